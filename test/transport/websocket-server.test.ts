import t from 'tap'
import { defaultOptions } from '../../lib/index.js'
import { createWebSocketServer } from '../../lib/transport/websocket-server.js'

const optionsOf = (options: object): Record<string, unknown> => (createWebSocketServer({ ...defaultOptions, ...options } as never) as unknown as { options: Record<string, unknown> }).options

t.test('ws listens to nothing itself and has the limits of the options', async (t) => {
  t.match(optionsOf({ maxPayload: 77 }), { noServer: true, maxPayload: 77, maxFragments: 256, maxBufferedChunks: 4_096 })
})

t.test('a client that does not answer a close frame is dropped after two seconds at the latest', async (t) => {
  t.equal(optionsOf({ closeTimeout: 500 }).closeTimeout, 500)
  t.equal(optionsOf({ closeTimeout: 60_000 }).closeTimeout, 2_000)
})
