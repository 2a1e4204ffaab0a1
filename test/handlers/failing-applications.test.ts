// Applications that fail, in every way: it is answered and logged, ends nothing else, and tells clients nothing of the inside.
import { once } from 'node:events'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { ScRefusal } from '../../lib/index.js'
import { Attacked, attack } from '../helpers/attack.js'
import { mistakeNames } from '../helpers/mistakes.js'
import { RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'

const attacked = await Attacked.start(t)

const secrets = /hunter2|\/srv|db\.internal|app\.js|node:internal|\.ts:\d/

attack(t, attacked, [
  {
    what: 'handlers and hooks that misbehave in every way',
    async run (t, clients) {
      const client = await clients.connect('slow')
      const late = new Set(['never settles', 'never answers'])
      await Promise.all(mistakeNames.map(async (mistake) => {
        const handled = await client.call(mistake)
        if (late.has(mistake)) t.match(handled, { error: { name: 'TimeoutError' } }, `a handler that ${mistake}`)
        else if (/after answering|twice/.test(mistake)) t.match(handled, { data: 'first' })
        else t.ok('error' in handled, `a handler that ${mistake}: ${JSON.stringify(handled).slice(0, 120)}`)
        t.notMatch(JSON.stringify(handled), secrets)
      }))
      const bad = ['throws', 'rejects', 'rejects with nothing', 'throws a text', 'throws null', 'throws a circle', 'throws an object', 'throws a system error', 'never settles']
      await Promise.all(bad.map(async (mistake) => {
        for (const [event, data] of [['echo', { mistake }], ['#subscribe', { channel: `m ${mistake}`, data: { mistake } }], ['#publish', { channel: `m ${mistake}`, data: { mistake } }], ['declared', undefined]] as const) {
          const answer = await client.call(event, event === 'declared' ? { mistake } : data)
          t.ok('error' in answer, `${event}, a hook that ${mistake}: ${JSON.stringify(answer).slice(0, 120)}`)
          if (mistake === 'never settles') t.match(answer.error, { name: 'TimeoutError' })
        }
      }))
      t.equal((await client.call('echo', 'alive')).data, 'alive', 'the socket lives')
    }
  },
  {
    what: 'errors that hold secrets, circles, and no errors at all',
    async run (t, clients) {
      const client = await clients.connect()
      await attacked.report()
      for (const mistake of ['throws', 'rejects', 'throws a system error', 'throws a text', 'throws an object', 'rejects with nothing', 'throws null']) {
        const { error } = await client.call(mistake)
        t.match(error, { message: 'Internal error', id: /^[\da-f-]{36}$/ }, mistake)
        const { logged } = await attacked.report()
        t.ok(logged.some((line) => line.includes(error.id)), 'the log has it under the same id')
        if (/throws$|rejects$/.test(mistake)) t.match(logged.find((line) => line.includes(error.id)), /hunter2/)
      }
      t.match((await client.call('throws a circle')).error, { name: 'Error', message: 'Internal error' })
      t.match((await client.call('fails with a circle')).error, { message: 'circular' })
    }
  }
])

t.test('what the application throws ends no process', async (t) => {
  let armed = ''
  const boom = (where: string, how: 'throw' | 'reject' | 'reject with nothing'): void | Promise<void> => {
    if (armed !== where) return
    if (how === 'throw') throw new Error(`boom in ${where}`)

    return Promise.reject(how === 'reject' ? new Error(`boom in ${where}`) : undefined)
  }
  for (const how of ['throw', 'reject', 'reject with nothing'] as const) {
    t.test(how, async (t) => {
      const { port, sc, warnings, nextSocket } = await serve(t, {}, (app) => {
        app.scHook('emit', () => boom('emit hook', how))
        app.scHook('subscribe', () => boom('subscribe hook', how))
        app.scHook('publishIn', () => boom('publishIn hook', how))
        app.scHook('publishOut', () => boom('publishOut hook', how))
        app.scHook('authenticate', () => boom('authenticate hook', how))
        app.scEvent('declared', {}, () => boom('declared event', how) as never)
        app.scServer.addMiddleware('emit', (_request, next) => {
          if (armed !== 'emit middleware') next()
          else return boom('emit middleware', how)
        })
        app.scServer.on('subscription', () => boom('listener of the server', how))
        app.scServer.on('warning', () => boom('listener of warnings', how))
      })
      const opening = nextSocket()
      const client = await RawClient.connect(t, port)
      const socket = await opening
      await client.call('#subscribe', 'news')
      socket.on('word', (_data: unknown, res: () => void) => {
        const failed = boom('listener of an event', how)
        if (failed !== undefined) return failed
        res()
      })
      socket.on('late', (_data: unknown, res: () => void) => {
        res()
        return boom('listener that has answered', how)
      })
      socket.on('subscribe', () => boom('local listener', how))
      sc.exchange.subscribe('news').watch(() => boom('watcher', how) as never)

      const cases: Array<[where: string, event: string, data: unknown, fails: boolean]> = [
        ['emit hook', 'word', 1, true],
        ['emit middleware', 'word', 1, true],
        ['subscribe hook', '#subscribe', 'other', true],
        ['publishIn hook', '#publish', { channel: 'news' }, true],
        ['publishOut hook', '#publish', { channel: 'news' }, false],
        ['authenticate hook', '#authenticate', jwt.sign({}, authKey), false],
        ['declared event', 'declared', 1, true],
        ['listener of an event', 'word', 1, true],
        ['listener that has answered', 'late', 1, false],
        ['listener of the server', '#subscribe', 'one', false],
        ['local listener', '#subscribe', 'two', false],
        ['watcher', '#publish', { channel: 'news' }, false],
        ['listener of warnings', '#unsubscribe', 'never subscribed', true]
      ]
      for (const [where, event, data, fails] of cases) {
        armed = where
        const before = warnings.length
        const answer = await client.call(event, data)
        await client.barrier()
        armed = ''
        t.equal('error' in answer, fails, `${where}: ${JSON.stringify(answer)}`)
        if (where === 'authenticate hook') t.match(answer.data, { isAuthenticated: false })
        t.ok(warnings.length > before, `${where}: a warning`)
        t.equal(socket.state, 'open')
        t.notOk(JSON.stringify(answer).includes(' at '), 'no stack')
      }
      const answered = once(sc, 'warning')
      socket.emit('question', 1, () => { throw new Error('boom in a callback') })
      client.send({ rid: (await client.event('question')).cid, data: 1 })
      t.match(await answered, [{ message: 'boom in a callback' }])
      t.match(await client.call('declared', 1), { rid: /./ })
    })
  }

  t.test('in the handshake, and on connection and close', async (t) => {
    const { port, sc, warnings } = await serve(t)
    const events = ['handshake', 'connection', 'disconnection', 'closure', 'authentication', 'authenticationStateChange'] as const
    for (const event of events) sc.on(event, () => { throw new Error(`boom in ${event}`) })
    const client = await RawClient.open(t, port)
    t.match(await client.handshake(jwt.sign({}, authKey)), { isAuthenticated: true })
    const closed = once(sc, 'closure')
    await client.close()
    await closed
    t.same(warnings.map((err) => err.message).sort(), events.map((event) => `boom in ${event}`).sort())
    sc.addMiddleware('handshakeSC', () => { throw new ScRefusal('no') })
    const other = await RawClient.open(t, port)
    t.match(await other.call('#handshake', {}), { error: { message: 'no' }, data: { code: 4008 } })
    t.equal((await other.closed).code, 4008)
  })
})

t.test('no stack on the wire', async (t) => {
  const { port, nextSocket } = await serve(t, { exposeErrors: true }, (app) => {
    app.scEvent('declared', {}, () => { throw new RangeError('declared') })
  })
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const texts: string[] = []
  client.ws.on('message', (data) => texts.push(data.toString()))
  const nested = new Error('outer', { cause: new Error('inner') })
  Object.assign(nested, { inner: new TypeError('as a field'), list: [new Error('in a list')], stack: nested.stack })
  const enumerable = new Error('own')
  Object.defineProperty(enumerable, 'stack', { value: 'Error: own\n    at secret (/home/app.js:1:1)', enumerable: true })
  const plain = { message: 'plain', stack: 'at secret (/home/app.js:1:1)' }
  socket.on('fail', (which: number, res: (err: unknown) => void) => res([nested, enumerable, plain][which]))
  socket.on('throw', () => { throw nested })
  socket.on('reject', async () => { throw enumerable })
  for (const which of [0, 1, 2]) t.match(await client.call('fail', which), { error: { message: ['outer', 'own', 'plain'][which] } })
  t.match(await client.call('throw'), { error: { message: 'outer' } })
  t.match(await client.call('reject'), { error: { message: 'own' } })
  t.match(await client.call('declared'), { error: { message: 'declared', name: 'RangeError' } })
  socket.emit('event', { err: 1 })
  t.match(await client.call('#authenticate', 'bad'), { error: { name: 'AuthTokenInvalidError' } })
  t.match(await client.call('#subscribe', 5), { error: { name: 'InvalidActionError' } })
  for (const text of texts) t.notMatch(text, /stack|app\.js|\.ts:\d|node_modules|\\n +at /)
})
