import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { inspect } from 'node:util'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { ScRefusal, type ScDiagnostics, type ScStats } from '../../lib/index.js'
import { startApp } from '../helpers/app.js'
import { type Cleanup, RawClient } from '../helpers/raw.js'
import { authKey } from '../helpers/serve.js'

/** The counters of actions, and the diagnostics channel of each. */
const kinds = { blocked: 'sc:action:blocked', invalid: 'sc:action:invalid', rateLimited: 'sc:action:rate-limited', refusedConnections: 'sc:upgrade:refused' } as const
type Kind = keyof typeof kinds

/** What is published while a test runs. */
function record (t: Cleanup): Record<Kind, any[]> {
  const seen = { blocked: [], invalid: [], rateLimited: [], refusedConnections: [] } as Record<Kind, any[]>
  for (const [kind, channel] of Object.entries(kinds) as Array<[Kind, string]>) {
    const listener = (message: unknown): void => { seen[kind].push(message) }
    subscribe(channel, listener)
    t.teardown(() => { unsubscribe(channel, listener) })
  }
  return seen
}

const counted = (stats: ScStats): Record<Kind, number> => ({ blocked: stats.blocked, invalid: stats.invalid, rateLimited: stats.rateLimited, refusedConnections: stats.refusedConnections })
const published = (seen: Record<Kind, any[]>): Record<Kind, number> => ({ blocked: seen.blocked.length, invalid: seen.invalid.length, rateLimited: seen.rateLimited.length, refusedConnections: seen.refusedConnections.length })

/** Ways in which a hook says no. */
const hookStyles: Record<string, () => unknown> = {
  throws: () => { throw new Error('no') },
  'throws a refusal': () => { throw new ScRefusal('no') },
  'throws nothing': () => { throw undefined }, // eslint-disable-line no-throw-literal
  rejects: async () => { await sleep(1); throw new Error('no') },
  'rejects with a refusal': async () => { throw new ScRefusal('no') }
}
/** And a middleware. */
const middlewareStyles: Record<string, (next: any) => unknown> = {
  'next(err)': (next) => next(new Error('no')),
  "next('text')": (next) => next('no'),
  'next(true)': (next) => next(true),
  'next({ silent })': (next) => next({ silent: true }),
  'next(err) later': (next) => { setTimeout(() => next(new Error('no')), 1) },
  throws: () => { throw new Error('no') },
  rejects: async () => { throw new Error('no') }
}

const lines = ['handshakeSC', 'authenticate', 'subscribe', 'publishIn', 'publishOut', 'emit', 'preHandler'] as const

for (const version of [1, 2] as const) {
  t.test(`protocol ${version}: every way to be denied counts, is published, logged and warned of once, and says which hook it was`, async (t) => {
    /** Who says no just now, and how. */
    let who = ''
    let how: (...args: any[]) => unknown = () => {}
    const ask = (name: string, ...args: any[]): unknown => who === name ? how(...args) : undefined
    const token = jwt.sign({ sub: 'ann' }, authKey)
    const { sc, port, logs, warnings, nextSocket } = await startApp(t, { protocolVersion: version, authenticateRate: 0 }, (app) => {
      for (const line of lines) {
        app.scHook(line, (() => {}) as never)
        app.scHook(line, (function second () { return ask(`hook ${line}`) }) as never)
      }
      app.scEvent('own', { preHandler: [() => {}, function own () { return ask('preHandler of the event') as void }] }, () => 'done')
      app.scEvent('request', { lifecycle: 'request', preHandler: [function own () { return ask('preHandler of the event') as void }] }, () => 'done')
      app.register(async (child) => {
        child.addHook('preValidation', async () => { await ask('preValidation') })
        child.scEvent('http', { lifecycle: 'request' }, () => 'done')
        child.scEvent('http reply', { lifecycle: 'request' }, () => 'done')
        child.addHook('preHandler', async (_request, reply) => { if (who === 'a reply') return reply.code(403).send({ message: 'no' }) })
      })
      app.scChannel('room', {
        subscribe: () => ask('subscribe policy') as void,
        publish: () => ask('publish policy') as void,
        deliver: () => ask('deliver policy') as void
      })
      const { scServer } = app
      for (const line of ['handshakeWS', ...lines.filter((line) => line !== 'preHandler')] as const) {
        scServer.addMiddleware(line as 'emit', (_request, next) => next())
        scServer.addMiddleware(line as 'emit', function inTheMiddle (_request, next) { return who === `middleware ${line}` ? how(next) : next() })
        if (line === 'handshakeWS') scServer.addMiddleware(line, async () => { await ask('hook handshakeWS') })
      }
    })
    const seen = record(t)
    const open = async (): Promise<RawClient> => {
      const waiting = nextSocket()
      const client = await RawClient.connect(t, port, { version })
      await waiting
      return client
    }
    let client: RawClient

    /** Asks for something once, and looks at everything that was told of it. */
    async function denied (what: string, [name, style]: [string, (...args: any[]) => unknown], act: () => Promise<unknown>, expected: Partial<ScDiagnostics['sc:action:blocked']>, warns = true): Promise<void> {
      // A socket of its own: so many lines of one would not all be written.
      client = await open()
      const before = counted(sc.stats())
      const publishedBefore = published(seen)
      const linesBefore = logs.length
      const warningsBefore = warnings.length
      who = name
      how = style
      await act()
      while (seen.blocked.length === publishedBefore.blocked) await sleep(1)
      who = ''
      const { duration, socket, error, ...rest } = seen.blocked.at(-1)
      const ofHook = expected.line === 'preHandler' || expected.line === 'request'
      const lines = logs.slice(linesBefore).filter(({ msg, line }) => line === expected.line || (ofHook && /application error|action refused/.test(msg)))
      const silent = error?.name === 'SilentMiddlewareBlockedError'
      t.same({
        counted: counted(sc.stats()),
        published: published(seen),
        message: rest,
        timed: duration === undefined ? !('hook' in expected) : duration >= 0,
        socket: socket === null ? null : 'a socket',
        warnings: warnings.slice(warningsBefore).filter((warning) => warning === error).length,
        lines: lines.map(({ line, hook, index, channel, event }) => ofHook ? 'a line' : JSON.parse(JSON.stringify({ line, hook, index, channel, event })))
      }, {
        counted: { ...before, blocked: before.blocked + 1 },
        published: { ...publishedBefore, blocked: publishedBefore.blocked + 1 },
        message: expected,
        timed: true,
        socket: expected.line === 'handshakeWS' ? null : 'a socket',
        warnings: warns && !silent ? 1 : 0,
        lines: [ofHook ? 'a line' : expected]
      }, what)
      client.ws.terminate()
    }

    const acts: Array<[line: string, act: () => Promise<unknown>, about: object]> = [
      ['handshakeSC', async () => { const other = await RawClient.open(t, port, { version }); await other.call('#handshake', {}); await other.closed }, {}],
      ['authenticate', () => client.call('#authenticate', token), {}],
      ['subscribe', () => client.call('#subscribe', { channel: 'room' }), { channel: 'room' }],
      ['publishIn', () => client.call('#publish', { channel: 'room', data: 1 }), { channel: 'room' }],
      ['publishOut', async () => { await client.call('#subscribe', { channel: 'room' }); await client.call('#publish', { channel: 'room', data: 1 }); await client.call('#unsubscribe', 'room') }, { channel: 'room' }],
      ['emit', () => client.call('anything'), { event: 'anything' }]
    ]
    for (const [line, act, about] of acts) {
      for (const [how, style] of Object.entries(hookStyles)) await denied(`a hook of ${line} ${how}`, [`hook ${line}`, style], act, { line, hook: 'second', index: 3, ...about } as object)
      for (const [how, style] of Object.entries(middlewareStyles)) await denied(`a middleware of ${line}: ${how}`, [`middleware ${line}`, style], act, { line, hook: 'inTheMiddle', index: 1, ...about } as object)
    }
    const upgrade = (): Promise<unknown> => RawClient.open(t, port, { version }).then(() => { t.fail('upgraded') }, () => {})
    for (const [how, style] of Object.entries(middlewareStyles)) await denied(`a middleware of handshakeWS: ${how}`, ['middleware handshakeWS', style], upgrade, { line: 'handshakeWS', hook: 'inTheMiddle', index: 1 })
    for (const [how, style] of Object.entries(hookStyles)) await denied(`handshakeWS ${how}`, ['hook handshakeWS', style], upgrade, { line: 'handshakeWS', hook: 'anonymous', index: 2 })

    for (const [how, style] of Object.entries(hookStyles)) {
      await denied(`the subscribe policy ${how}`, ['subscribe policy', style], acts[2]![1], { line: 'subscribe', hook: 'subscribe policy', channel: 'room' })
      await denied(`the publish policy ${how}`, ['publish policy', style], acts[3]![1], { line: 'publishIn', hook: 'publish policy', channel: 'room' })
      await denied(`the deliver policy ${how}`, ['deliver policy', style], acts[4]![1], { line: 'publishOut', hook: 'deliver policy', channel: 'room' })
      for (const event of ['own', 'request']) {
        await denied(`preHandler, event ${event}: ${how}`, ['hook preHandler', style], () => client.call(event), { line: 'preHandler', hook: 'second', index: 1, event })
        await denied(`preHandler of the event ${event}: ${how}`, ['preHandler of the event', style], () => client.call(event), { line: 'preHandler', hook: 'own', index: event === 'own' ? 1 : 2, event })
      }
      if (how !== 'throws nothing') await denied(`a hook of Fastify's ${how}`, ['preValidation', style], () => client.call('http'), { line: 'request', event: 'http' })
    }
    await denied('a hook of Fastify\'s answers', ['a reply', () => {}], () => client.call('http reply'), { line: 'request', event: 'http reply' })

    // A subscription that is checked again and lost.
    await denied('a hook of subscribe, when it is asked again', ['hook subscribe', hookStyles.throws!], async () => {
      who = ''
      await client.call('#authenticate', token)
      await client.call('#subscribe', { channel: 'room' })
      who = 'hook subscribe'
      client.send({ event: '#removeAuthToken' })
      await client.event('#kickOut')
    }, { line: 'subscribe', hook: 'second', index: 3, channel: 'room' }, false)
    t.same(counted(sc.stats()), published(seen))
    const { request } = seen.blocked.at(-1)
    t.type((request as FastifyRequest).headers, 'object')
    t.notMatch(inspect(seen.blocked, { depth: 5 }), /sec-websocket/)
  })

  t.test(`protocol ${version}: what breaks a rule or a limit is counted and published as often`, async (t) => {
    const seen = record(t)
    const { sc, port, nextSocket } = await startApp(t, { protocolVersion: version, inboundRate: 50, inboundBurst: 50, authenticateRate: 1, maxBatchItems: 4, maxConnectionsPerIp: 4, socketChannelLimit: 2 }, (app) => {
      app.scEvent('number', { data: Type.Number() }, () => {})
      app.scChannel('closed', { clientSubscribe: false, clientPublish: false })
      app.scChannel('numbers', { message: Type.Number() })
    })
    const open = async (): Promise<RawClient> => {
      const waiting = nextSocket()
      const client = await RawClient.connect(t, port, { version })
      await waiting
      return client
    }
    const client = await open()
    const acts: Array<[what: string, kinds: Kind[], act: () => Promise<unknown>]> = [
      ['data that does not fit', ['invalid'], () => client.call('number', 'x')],
      ['a message that does not fit', ['invalid'], () => client.call('#publish', { channel: 'numbers', data: 'x' })],
      ['a channel that takes no subscriptions', ['invalid'], () => client.call('#subscribe', { channel: 'closed' })],
      ['a channel that takes no publications', ['invalid'], () => client.call('#publish', { channel: 'closed' })],
      ['a channel that is no text', ['invalid'], () => client.call('#subscribe', { channel: 7 })],
      ['an unsubscribe from what it is not in', ['invalid'], () => client.call('#unsubscribe', 'nowhere')],
      ['a second handshake', ['invalid'], () => client.call('#handshake', {})],
      ['a packet that is none', ['invalid'], () => client.call('')],
      ['a packet that is none, and is not answered', ['invalid'], async () => { client.send({ event: '' }); await client.barrier() }],
      ['a reserved event', ['invalid'], () => client.call('#kickOut')],
      ['an event of the server\'s own', ['invalid'], () => client.call('disconnect')],
      ['an event of the server\'s own, unanswered', ['invalid'], async () => { client.send({ event: 'disconnect' }); await client.barrier() }],
      ['a message that cannot be read', ['invalid'], async () => { client.send('{"__proto__":1}'); await client.barrier() }],
      ['too many tokens', ['invalid', 'rateLimited'], async () => { const other = await open(); await other.call('#authenticate', 'x'); await other.call('#authenticate', 'x'); await other.closed }],
      ['too large an array', ['invalid'], async () => { const other = await open(); other.send(Array.from({ length: 5 }, () => ({ event: 'x' }))); await other.closed }],
      ['too many connections', ['refusedConnections'], async () => {
        await Promise.all([open(), open(), open()])
        await t.rejects(RawClient.open(t, port, { version }))
      }]
    ]
    for (const [what, expected, act] of acts) {
      const before = counted(sc.stats())
      await act()
      const after = counted(sc.stats())
      const added = (Object.keys(kinds) as Kind[]).filter((kind) => after[kind] !== before[kind])
      t.same(added.sort(), [...expected].sort(), what)
      t.same(published(seen), after, `${what}: published as often as counted`)
    }
    await Promise.all(Array.from({ length: 60 }, (_, at) => client.call(`flood ${at}`)))
    t.ok(sc.stats().rateLimited > 1)
    t.same(published(seen), counted(sc.stats()))
    t.ok(seen.invalid.every(({ error, socket }) => error instanceof Error && typeof socket.id === 'string'))
  })
}
