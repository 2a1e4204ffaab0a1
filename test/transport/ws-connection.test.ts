// A connection above a stand-in for the websocket: it says what the real one is not known to say, and must not.
import { EventEmitter } from 'node:events'
import { Duplex } from 'node:stream'
import t from 'tap'
import type { WebSocket } from 'ws'
import { Flusher } from '../../lib/transport/flusher.js'
import { Holdings } from '../../lib/transport/holdings.js'
import { WsConnection } from '../../lib/transport/ws-connection.js'

class StandIn extends EventEmitter {
  readonly OPEN = 1
  readonly CLOSED = 3
  readyState = 1
  extensions = ''
  bufferedAmount = 0
  terminate (): void { this.readyState = 3 }
  close (): void { this.readyState = 2 }
  pause (): void {}
  resume (): void {}
}

function connect () {
  const ws = new StandIn()
  const told: string[] = []
  const counters = { inboundMessages: 0, inboundBytes: 0, outboundMessages: 0, outboundBytes: 0 }
  const holdings = new Holdings(0, () => {})
  const stream = new Duplex({ read () {}, write (_chunk, _encoding, done) { done() } })
  const connection = new WsConnection(ws as unknown as WebSocket, stream, new Flusher(), counters, holdings, 1_000_000)
  connection.attach({
    onArrival () { told.push('arrival'); return true },
    onMessage (data) { told.push(`message ${data.toString()}`) },
    onControl () { told.push('control') },
    onClose (code) { told.push(`close ${code}`) },
    onError (err) { told.push(`error ${err.message}`) },
    onBacklog () { told.push('backlog') },
    onCongested () { told.push('congested') },
    fault (err) { told.push(`fault ${String(err)}`) }
  })
  const speak = (): void => {
    ws.emit('message', Buffer.from('text'), false)
    ws.emit('message', Buffer.from('bytes'), true)
    ws.emit('ping', Buffer.from('x'))
    ws.emit('pong', Buffer.from('x'))
  }
  return { ws, connection, told, speak, counters, holdings }
}

t.test('what comes is handed on', async (t) => {
  const { told, speak } = connect()
  speak()
  t.strictSame(told, ['arrival', 'message text', 'arrival', 'message bytes', 'control', 'control'])
})

const ends: Record<string, [end: (connection: ReturnType<typeof connect>) => void, told: string[]]> = {
  'an error': [({ ws }) => ws.emit('error', new Error('unreadable')), ['error unreadable']],
  'its end': [({ ws }) => ws.emit('close', 1006, Buffer.alloc(0)), ['close 1006']],
  'a terminate of ours': [({ connection }) => connection.terminate(), []]
}

for (const [what, [end, expected]] of Object.entries(ends)) {
  t.test(`a receiver that goes on after ${what} is not listened to`, async (t) => {
    const connection = connect()
    end(connection)
    connection.speak()
    t.strictSame(connection.told, expected)
    t.equal(connection.counters.inboundMessages, 2, 'it is counted as traffic')
  })
}

t.test('what follows an error within a message that is handed on', async (t) => {
  const connection = connect()
  const { ws, told } = connection
  ws.once('message', () => { ws.emit('error', new Error('unreadable')) })
  connection.speak()
  t.strictSame(told, ['arrival', 'message text', 'error unreadable'])
  ws.emit('close', 1007, Buffer.alloc(0))
  t.strictSame(told.slice(3), ['close 1007'], 'its end is told')
})

t.test('a connection that is gone holds nothing', async (t) => {
  for (const [end] of Object.values(ends).slice(1)) {
    const connection = connect()
    connection.connection.hold(5_000)
    connection.connection.send('x'.repeat(1_000))
    t.equal(connection.holdings.total, 7_000)
    end(connection)
    t.equal(connection.holdings.total, 0)
  }
})
