import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { type Cleanup, RawClient } from '../helpers/raw.js'
import { type Served, serve } from '../helpers/serve.js'

const upgrade = ['GET /socketcluster/ HTTP/1.1', 'Host: 127.0.0.1', 'Connection: Upgrade', 'Upgrade: websocket',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13', '', ''].join('\r\n')
const get = (url: string): string => `GET ${url} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`

interface Slow extends Served {
  asked: Promise<void>
  answer: () => void
}

async function start (t: Cleanup): Promise<Slow> {
  let answer = (): void => {}
  const gate = new Promise<void>((resolve) => { answer = resolve })
  let ask = (): void => {}
  const asked = new Promise<void>((resolve) => { ask = resolve })
  const served = await serve(t, {}, (app) => {
    app.get('/fast', (_request, reply) => { reply.send('fast') })
    app.get('/slow', async () => {
      ask()
      await gate
      return 'slow'
    })
  })
  return Object.assign(served, { asked, answer })
}

/** Sends a text in one piece. `all` is what came until the server ended the connection. */
function send (t: Cleanup, port: number, text: string): { socket: Socket, all: Promise<string>, closed: Promise<unknown> } {
  const socket = connect({ port, host: '127.0.0.1' }, () => socket.write(text))
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  let came = ''
  socket.on('data', (chunk: Buffer) => { came += chunk.toString('latin1') })
  const closed = once(socket, 'close')
  return { socket, all: closed.then(() => came), closed }
}

const inOrder = (text: string, ...parts: string[]): boolean => {
  let at = 0
  return parts.every((part) => (at = text.indexOf(part, at) + part.length) >= part.length)
}

t.test('an upgrade behind a request that is answered at once', async (t) => {
  const { port } = await start(t)
  const answers = await send(t, port, get('/fast') + upgrade).all
  t.ok(inOrder(answers, 'HTTP/1.1 200', 'fast', 'HTTP/1.1 400'), answers)
})

t.test('an upgrade behind several requests, the first of which is slow', async (t) => {
  const { port, asked, answer } = await start(t)
  const { all } = send(t, port, get('/slow') + get('/fast') + upgrade)
  await asked
  answer()
  const answers = await all
  t.ok(inOrder(answers, 'slow', 'fast', 'HTTP/1.1 400'), answers)
})

t.test('an upgrade that comes later, while a request is still answered', async (t) => {
  const { app, port, asked, answer } = await start(t)
  const { socket, all } = send(t, port, get('/slow'))
  await asked
  const came = once(app.server, 'upgrade')
  socket.write(upgrade)
  await came
  answer()
  const answers = await all
  t.ok(inOrder(answers, 'slow', 'HTTP/1.1 400'), answers)
})

t.test('two upgrades in one piece', async (t) => {
  const { port, sc } = await start(t)
  const answers = await send(t, port, upgrade + upgrade).all
  t.ok(answers.startsWith('HTTP/1.1 101'), 'the first is made; the second is no frame')
  t.equal(sc.stats().pendingClients, 0)
})

t.test('an upgrade after an answer is made', async (t) => {
  const { port } = await start(t)
  const { socket } = send(t, port, get('/fast'))
  await once(socket, 'data')
  socket.write(upgrade)
  const [chunk] = await once(socket, 'data') as [Buffer]
  t.ok(chunk.toString('latin1').startsWith('HTTP/1.1 101'))
})

t.test('the client goes while the answer before its upgrade is slow', async (t) => {
  const { port, app, asked } = await start(t)
  const { socket } = send(t, port, get('/slow') + upgrade)
  await asked
  const connections = (): Promise<number> => new Promise((resolve) => app.server.getConnections((_err, count) => resolve(count)))
  socket.resetAndDestroy()
  while (await connections() !== 0) await new Promise(setImmediate)
  t.pass('its connection is freed')
})

t.test('closing meanwhile', async (t) => {
  for (const text of [get('/fast') + upgrade, get('/slow') + upgrade, upgrade + upgrade, get('/slow') + get('/fast') + upgrade + upgrade]) {
    const { app, port, asked, answer } = await start(t)
    await RawClient.connect(t, port)
    const { all, socket } = send(t, port, text)
    await (text.includes('/slow') ? asked : once(socket, 'data'))
    const closed = app.close()
    answer()
    await closed
    const answers = await all
    if (text.includes('/slow')) t.ok(inOrder(answers, 'slow'), 'what was asked before is answered')
    t.pass('it closes')
  }
})
