import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { type Cleanup, RawClient, frame } from '../helpers/raw.js'
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
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
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

const never = (): Promise<void> => new Promise(() => {})

t.test('the client goes before its upgrade is decided', async (t) => {
  const elsewhere = upgrade.replace('/socketcluster/', '/never')
  const texts: Record<string, string> = {
    'behind a slow answer': get('/never') + upgrade,
    'on a route of the application': elsewhere,
    'on a route of the application, with early bytes': elsewhere + 'early',
    'while hooks of the upgrade take their time': upgrade.replace('\r\n', '\r\nX-Slow: 1\r\n')
  }
  for (const [name, text] of Object.entries(texts)) {
    for (const [how, leave] of [['resets', (socket: Socket) => socket.resetAndDestroy()], ['leaves', (socket: Socket) => socket.destroy()], ['says no more', (socket: Socket) => socket.end()]] as const) {
      let ask = (): void => {}
      const asked = new Promise<void>((resolve) => { ask = resolve })
      const { app, port } = await serve(t, {}, (app) => {
        app.addHook('onRequest', async (request) => {
          if (request.headers['x-slow'] === undefined) return
          ask()
          await never()
        })
        app.get('/never', () => {
          ask()
          return never()
        })
      })
      const { socket } = send(t, port, text)
      await asked
      const connections = (): Promise<number> => new Promise((resolve) => app.server.getConnections((_err, count) => resolve(count)))
      t.equal(await connections(), 1)
      leave(socket)
      while (await connections() !== 0) await new Promise(setImmediate)
      t.pass(`${name}, it ${how}: its connection is freed`)
      await app.close()
    }
  }
})

t.test('what comes before the answer to an upgrade belongs to the websocket', async (t) => {
  let go = (): void => {}
  const gate = new Promise<void>((resolve) => { go = resolve })
  let ask = (): void => {}
  const asked = new Promise<void>((resolve) => { ask = resolve })
  const { app, port } = await serve(t, {}, (app) => app.addHook('onRequest', async () => {
    ask()
    await gate
  }))
  const handshake = frame(JSON.stringify({ event: '#handshake', data: {}, cid: 1 }))
  const { socket } = send(t, port, upgrade)
  await asked
  for (const byte of handshake) {
    socket.write(Buffer.of(byte))
    await new Promise(setImmediate)
  }
  await send(t, port, upgrade + 'x'.repeat(200_000)).closed
  t.pass('it is not much')
  go()
  let answers = ''
  while (!answers.includes('"rid":1')) answers += String((await once(socket, 'data'))[0])
  t.match(answers, /^HTTP\/1.1 101/)
  socket.write(frame(JSON.stringify({ event: 'nobody', cid: 2 })))
  while (!answers.includes('"rid":2')) answers += String((await once(socket, 'data'))[0])
  t.pass('and it goes on')
  await app.close()
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

t.test('what Fastify calls before its hooks throws: the connection ends, and nothing else', async (t) => {
  let broken = false
  const genReqId = (): string => {
    if (broken) throw new Error('no id')
    return 'an id'
  }
  const { port } = await serve(t, {}, undefined, { genReqId })
  broken = true
  await t.rejects(RawClient.open(t, port), { message: /hang up|ECONNRESET/ })
  broken = false
  t.ok(await RawClient.connect(t, port))
})
