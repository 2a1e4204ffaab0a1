import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { ScPluginOptions } from '../../lib/index.js'
import { type Cleanup, RawClient } from '../helpers/raw.js'
import { type Served, serve } from '../helpers/serve.js'
import { atRest, until } from '../helpers/waiting.js'

function start (test: Cleanup, options: ScPluginOptions = {}): Promise<Served> {
  return serve(test, options, (app) => { app.scEvent('echo', {}, (data) => data) }, { trustProxy: '127.0.0.1' })
}

t.test('a socket may send a burst, then at its rate', async (t) => {
  const { app, port } = await start(t, { inboundRate: 5, inboundBurst: 10 })
  const client = await RawClient.connect(t, port)
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => client.call('echo', i)))
  const refused = answers.filter(({ error }) => error !== undefined)
  // The handshake was one of the burst; a slow machine may have refilled some meanwhile.
  t.ok(refused.length >= 1 && refused.length <= 11, `${refused.length} were over the rate`)
  const { error } = refused[0]
  t.match(error, { name: 'RateLimitError', code: 'SC_ERR_RATE' })
  t.ok(error.retryAfter > 0 && error.retryAfter <= 200, `it says when to try again: ${error.retryAfter} ms`)
  // This is what it says: later is right, too.
  await sleep(error.retryAfter + 100)
  t.equal((await client.call('echo', 'again')).data, 'again', 'then it goes on')
  t.equal(app.scServer.stats().rateLimited, refused.length)
})

t.test('one that does not slow down is closed with 4429', async (t) => {
  const { port } = await start(t, { inboundRate: 20, inboundBurst: 10 })
  const client = await RawClient.connect(t, port)
  const timer = setInterval(() => { for (let i = 0; i < 20; i++) client.send({ event: 'echo', data: i }) }, 50)
  t.teardown(() => clearInterval(timer))
  const { code } = await client.closed
  t.equal(code, 4429)
})

t.test('packets in an array count one by one, wanted acks do not', async (t) => {
  const { app, port } = await start(t, { inboundRate: 0.01, inboundBurst: 10 })
  const client = await RawClient.connect(t, port)
  const [socket] = Object.values(app.scServer.clients)
  for (let i = 0; i < 20; i++) {
    const asked = socket!.invoke('ask')
    const { cid } = await client.event('ask')
    client.send({ rid: cid, data: i })
    t.equal(await asked, i)
  }
  client.send(Array.from({ length: 12 }, (_, i) => ({ event: 'echo', data: i, cid: i + 100 })))
  const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => client.answer(i + 100)))
  t.ok(answers.filter(({ error }) => error?.name === 'RateLimitError').length >= 2)
})

t.test('sockets that share a key share a rate', async (t) => {
  const asFunction = ({ request }: { request: { headers: Record<string, unknown> } }): string | undefined => request.headers['x-tenant'] as string | undefined
  const cases: Array<[unknown, Record<string, string>, Record<string, string>, Record<string, string>?]> = [
    ['ip', { 'x-forwarded-for': '10.0.0.1' }, { 'x-forwarded-for': '10.0.0.2' }],
    ['ip', { 'x-forwarded-for': '2001:db8:1:2::1' }, { 'x-forwarded-for': '2001:db8:1:3::1' }, { 'x-forwarded-for': '2001:db8:1:2:f::2' }],
    ['ip', { 'x-forwarded-for': 'made up' }, { 'x-forwarded-for': '10.0.0.2' }, { 'x-forwarded-for': 'made up anew' }],
    [asFunction, { 'x-tenant': 'one' }, { 'x-tenant': 'two' }]
  ]
  for (const [inboundRateKey, same, other, alike = same] of cases) {
    const { port } = await start(t, { inboundRateKey: inboundRateKey as 'ip', inboundKeyRate: 0.01, inboundKeyBurst: 6 })
    const [one, two, three] = await Promise.all([same, alike, other].map((headers) => RawClient.connect(t, port, { headers })))
    // Two of the six were handshakes.
    for (let i = 0; i < 2; i++) for (const client of [one!, two!]) t.notOk((await client.call('echo', i)).error)
    t.equal((await one!.call('echo')).error.name, 'RateLimitError')
    t.equal((await two!.call('echo')).error.name, 'RateLimitError')
    t.notOk((await three!.call('echo')).error, 'another key has its own')
  }
})

t.test('attempts to authenticate', async (t) => {
  const { port } = await start(t, { authenticateRate: 3 })
  const client = await RawClient.connect(t, port)
  for (let i = 0; i < 3; i++) t.equal((await client.call('#authenticate', 'no token')).error.name, 'AuthTokenInvalidError')
  t.match((await client.call('#authenticate', 'no token')).error, { name: 'RateLimitError', code: 'SC_ERR_AUTH_RATE' })
  t.equal((await client.closed).code, 4429)
})

t.test('connections are refused before the upgrade', async (t) => {
  const refused = (port: number, headers = {}): Promise<Error> => RawClient.open(t, port, { headers }).then(() => { throw new Error('it was accepted') }, (err: Error) => err)
  t.test('maxConnections', async (t) => {
    const { port, app } = await start(t, { maxConnections: 2 })
    const [one] = await Promise.all([RawClient.connect(t, port), RawClient.connect(t, port)])
    t.match(await refused(port), { message: /503/ })
    const answer = await fetch(`http://127.0.0.1:${port}/socketcluster/`)
    t.equal(answer.status, 426, 'an ordinary request is told to upgrade')
    const closed = once(app.scServer, 'closure')
    await one!.close()
    await closed
    await RawClient.connect(t, port)
  })
  t.test('maxConnectionsPerIp', async (t) => {
    const { port } = await start(t, { maxConnectionsPerIp: 1 })
    await RawClient.connect(t, port, { headers: { 'x-forwarded-for': '10.0.0.1' } })
    t.match(await refused(port, { 'x-forwarded-for': '10.0.0.1' }), { message: /503/ })
    await RawClient.connect(t, port, { headers: { 'x-forwarded-for': '10.0.0.2' } })
  })
  t.test('maxPendingHandshakes', async (t) => {
    const { port } = await start(t, { maxPendingHandshakes: 1 })
    const silent = await RawClient.open(t, port)
    t.match(await refused(port), { message: /503/ })
    await silent.handshake()
    await RawClient.connect(t, port)
  })
})

for (const [what, options, most] of [
  ['actions', { inboundQueue: 8 }, 100],
  ['bytes', { inboundQueue: 0, inboundQueueBytes: 16_000 }, 100]
] as const) {
  t.test(`reading pauses while hooks are slow: the limit of ${what}`, async (t) => {
    const { app, port } = await start(t, { ...options, inboundRate: 0, hookTimeout: 10_000 })
    let seen = 0
    const waiting: Array<() => void> = []
    app.scServer.addMiddleware('emit', (_req, next) => {
      seen++
      waiting.push(next as () => void)
    })
    const client = await RawClient.connect(t, port)
    const total = 200
    const text = 'x'.repeat(1000)
    for (let i = 1; i <= total; i++) client.send({ event: 'echo', data: text, cid: 1000 + i })
    await until('the first to begin', () => seen > 0)
    await atRest(() => seen)
    t.ok(seen < most, `${seen} of ${total} were begun while none was done`)
    t.ok(Object.values(app.scServer.clients)[0]!.state === 'open')
    const timer = setInterval(() => { for (const next of waiting.splice(0)) next() }, 1)
    t.teardown(() => clearInterval(timer))
    for (let i = 1; i <= total; i++) t.equal((await client.answer(1000 + i)).data, text)
  })
}

t.test('neither limit: nothing pauses', async (t) => {
  const { app, port } = await start(t, { inboundQueue: 0, inboundQueueBytes: 0, inboundRate: 0, hookTimeout: 10_000 })
  const waiting: Array<() => void> = []
  const all = new Promise<void>((resolve) => {
    app.scServer.addMiddleware('emit', (_req, next) => { if (waiting.push(next as () => void) === 200) resolve() })
  })
  const client = await RawClient.connect(t, port)
  for (let i = 1; i <= 200; i++) client.send({ event: 'echo', data: 'x'.repeat(1000), cid: 1000 + i })
  await all
  for (const next of waiting) next()
  for (let i = 1; i <= 200; i++) t.ok((await client.answer(1000 + i)).data)
})
