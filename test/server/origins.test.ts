import t from 'tap'
import { Hosts, Origins } from '../../lib/server/origins.js'
import { generations, startApp } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import Fastify from 'fastify'
import scPlugin from '../../lib/index.js'

t.test('the same host is a whole origin', async (t) => {
  const origins = new Origins('same-host')
  for (const [origin, host, protocol, allowed] of [
    ['https://example.com', 'example.com', 'https', true],
    ['http://example.com', 'example.com', 'https', false],
    ['http://example.com', 'example.com', 'http', true],
    // A proxy ends TLS and does not say so.
    ['https://example.com', 'example.com', 'http', true],
    ['https://example.com:8443', 'example.com:8443', 'http', true],
    ['https://example.com', 'example.com:8443', 'https', false],
    ['https://example.com', 'example.com:443', 'https', true],
    ['http://example.com', 'example.com:80', 'http', true],
    ['http://example.com:8000', 'example.com', 'http', false],
    ['https://example.com.evil', 'example.com', 'https', false],
    ['https://EXAMPLE.com', 'example.COM', 'https', true],
    ['http://[::1]:8000', '[::1]:8000', 'http', true],
    ['ftp://example.com', 'example.com', 'http', false],
    ['chrome-extension://example.com', 'example.com', 'http', false],
    ['null', 'example.com', 'https', false],
    ['https://example.com', undefined, 'https', false],
    [undefined, 'example.com', 'https', true]
  ] as const) t.equal(origins.allows(origin, host, protocol), allowed, `${origin} at ${protocol}://${host}`)
})

t.test('origins are matched exactly, before any middleware', async (t) => {
  const tables: Array<[origins: string | string[] | undefined, allowed: string[], refused: string[]]> = [
    ['https://example.com', ['https://example.com', 'HTTPS://EXAMPLE.COM', 'https://example.com:443'],
      ['http://example.com', 'https://example.com:8443', 'https://example.com.evil.org', 'https://notexample.com', 'https://sub.example.com', 'https://example.com@evil.org', 'https://user@example.com', 'null', 'https://example.co',
        'https://evil.org/https://example.com', 'example.com', '']],
    [['https://a.example:*', '*://b.example:80', 'c.example:*'], ['https://a.example:1', 'http://b.example', 'http://c.example:5', 'https://c.example'], ['http://a.example:1', 'https://b.example', 'http://cc.example:5']],
    ['*:*', ['https://any.example', 'null', 'http://10.0.0.1:5'], []],
    [undefined, [], ['https://example.com', 'null']]
  ]
  for (const [origins, allowed, refused] of tables) {
    let asked = 0
    const { port, sc } = await serve(t, origins === undefined ? {} : { origins })
    sc.addMiddleware('handshakeWS', (_request, next) => {
      asked++
      next()
    })
    for (const origin of allowed) {
      const client = await RawClient.open(t, port, { origin })
      client.ws.terminate()
    }
    const before = asked
    t.equal(before, allowed.length)
    for (const origin of refused) {
      if (origin === '') await t.rejects(RawClient.open(t, port, { headers: { origin: '' } }), /403/, 'an empty Origin')
      else await t.rejects(RawClient.open(t, port, { origin }), /403/, `${origin} with ${String(origins)}`)
    }
    t.equal(asked, before, 'middleware is not asked about refused ones')
    const client = await RawClient.open(t, port)
    client.ws.terminate()
    if (origins === undefined) {
      const same = await RawClient.open(t, port, { origin: `http://127.0.0.1:${port}` })
      same.ws.terminate()
      await t.rejects(RawClient.open(t, port, { origin: `http://127.0.0.1:${port + 1}` }), /403/)
    }
  }
})

t.test('hosts', async (t) => {
  const hosts = new Hosts(['Example.com', 'localhost:8000', '[::1]', 'tls.example:443'])
  for (const [host, protocol, has] of [
    ['example.com', 'http', true], ['example.com:9000', 'https', true], ['localhost:8000', 'http', true], ['localhost', 'http', false], ['[::1]:5', 'http', true],
    ['tls.example', 'https', true], ['tls.example', 'http', false], ['evil.example', 'http', false], ['example.com.evil', 'http', false], ['example.com@evil', 'http', false], ['', 'http', false], [undefined, 'http', false]
  ] as const) t.equal(hosts.has(host, protocol), has, `${protocol}://${host}`)
  for (const entry of ['', 'http://example.com', '*.example.com', 'a b', 'example.com/']) {
    const app = Fastify()
    await t.rejects(async () => {
      await app.register(scPlugin, { hosts: [entry] })
      await app.ready()
    }, { code: 'SC_ERR_OPTIONS' }, entry)
  }
})

for (const [generation, connect] of generations) {
  t.test(`client ${generation}: behind a proxy that says how it was asked, and by a name that is not the server's`, async (t) => {
    const app = await startApp(t, { hosts: ['127.0.0.1', 'example.com'] }, undefined, { trustProxy: true })
    await connect(t, app)
    const version = generation === 14 ? 1 : 2
    const open = (headers: Record<string, string>): Promise<RawClient> => RawClient.open(t, app.port, { version, headers })
    const forwarded = { 'x-forwarded-host': 'example.com', 'x-forwarded-proto': 'https' }
    await open({ ...forwarded, origin: 'https://example.com' })
    await t.rejects(open({ ...forwarded, origin: 'http://example.com' }), /403/)
    await open({ 'x-forwarded-host': 'example.com', origin: 'https://example.com' })
    await open({ 'x-forwarded-host': 'example.com', 'x-forwarded-proto': 'http', origin: 'http://example.com' })
    await t.rejects(open({ host: 'rebound.example', origin: 'http://rebound.example' }), /421/)
    await t.rejects(open({ host: 'rebound.example' }), /421/)
  })
}
