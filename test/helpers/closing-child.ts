// Serves all kinds of clients, closes, and exits by itself when nothing keeps the process alive any more.
import { once } from 'node:events'
import { RawClient, NetClient } from './raw.js'
import { serve } from './serve.js'
import { Stopwatch } from './stopwatch.js'

const { app, sc, port } = await serve(null, { closeTimeout: 200, pingInterval: 100, pingTimeout: 1_000, handshakeTimeout: 5_000, hookTimeout: 5_000 }, (app) => {
  app.scHook('publishIn', () => new Promise(() => {}))
  app.scHook('authenticate', () => {})
})
const client = await RawClient.connect(null, port)
await client.call('#subscribe', 'news')
client.send({ event: '#publish', data: { channel: 'news', data: 'waits for its hook' }, cid: 'never' })
const connection = once(sc, 'connection')
await NetClient.connect(null, port)
const [muteSocket] = await connection
await NetClient.open(null, port)
muteSocket.emit('question', 1, () => {})
muteSocket.setAuthToken({ exp: Math.floor(Date.now() / 1000) + 600 }).catch(() => {})
sc.exchange.subscribe('watched')
sc.stats()
const watch = new Stopwatch()
await app.close()
const took = watch.stop()
await client.closed
// The event loop closes handles in the next turn.
for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
// Only timers and sockets count: the pipes of a child process stay open.
const left = process.getActiveResourcesInfo().filter((name) => !/Pipe|TTY|Immediate|FSReqPromise|FSReqCallback|MessagePort|CloseReq|WriteWrap|ShutdownWrap/.test(name))
process.stdout.write(JSON.stringify({ left, took, clients: sc.clientsCount, pending: sc.pendingClientsCount }) + '\n')
