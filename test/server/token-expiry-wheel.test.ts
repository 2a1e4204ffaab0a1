// What happens when the tokens of several sockets run out at the same moment.
import jwt from 'jsonwebtoken'
import t from 'tap'
import { ExpiryWheel } from '../../lib/server/token-expiry-wheel.js'
import type { ScServerSocket } from '../../lib/index.js'
import { RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'

/** Something that runs out, and what it is told. */
class Item {
  readonly faults: unknown[] = []
  fault (err: unknown): void { this.faults.push(err) }
}

t.test('what runs out may take others of the same moment out, or give them more time', async (t) => {
  const [first, taken, later, last] = [new Item(), new Item(), new Item(), new Item()] as const
  const over: Item[] = []
  const wheel = new ExpiryWheel<Item>((item) => {
    over.push(item)
    if (item === first) {
      wheel.remove(taken)
      wheel.add(later, at + 300)
    }
    if (item === last) throw new Error('a bug')
  })
  t.teardown(() => wheel.stop())
  const at = Date.now()
  for (const item of [first, taken, later, last]) wheel.add(item, at)
  await until('all are over', () => over.length === 3)
  t.ok(Date.now() >= at + 300)
  t.strictSame(over, [first, last, later])
  t.match([first, taken, later, last].map(({ faults }) => faults.map((err) => (err as Error).message)), [[], [], [], ['a bug']])
})

t.test('when one session of a user runs out, a listener may end the others: each ends as it should, and leaves nothing behind', async (t) => {
  const { sc, port, warnings } = await serve(t)
  const authToken = jwt.sign({ sub: 'ann' }, authKey, { expiresIn: 3 })
  const clients = await Promise.all(['a', 'b', 'c'].map(async (channel) => {
    const client = await RawClient.connect(t, port, { authToken })
    await client.call('#subscribe', channel)
    return client
  }))
  const lost: ScServerSocket[] = []
  sc.on('deauthentication', (socket: ScServerSocket) => {
    lost.push(socket)
    for (const other of Object.values(sc.clients)) if (other !== socket) other.disconnect(4100)
  })
  await until('a token runs out', () => lost.length > 0)
  await until('the others are closed', () => sc.clientsCount === 1 && clients.filter(({ ws }) => ws.readyState === ws.OPEN).length === 1)
  const last = clients.find(({ ws }) => ws.readyState === ws.OPEN)
  const { channels, subscriptions, faults } = sc.stats()
  t.strictSame({ lost: lost.length, channels, subscriptions, faults }, { lost: 1, channels: 1, subscriptions: 1, faults: 0 })
  t.match(warnings, [{ code: 4100 }, { code: 4100 }])
  const closed = clients.filter((client) => client !== last)
  t.same(await Promise.all(closed.map(async (client) => (await client.closed).code)), [4100, 4100])
})
