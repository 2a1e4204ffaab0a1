import type { FastifyInstance } from 'fastify'
import fc from 'fast-check'
import t from 'tap'
import { Type } from 'typebox'
import { channelName } from '../../lib/contracts/pattern-syntax.js'
import { type ScPluginOptions, ScRefusal } from '../../lib/index.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

/** Why a client's message may not go somewhere. Each is a channel, what is sent there, and the error that says so. */
interface Rule {
  readonly options?: ScPluginOptions
  readonly channel: unknown
  readonly data?: unknown
  readonly error: object
  declare? (app: FastifyInstance): void
}

const rules: Readonly<Record<string, Rule>> = {
  'the name is legal': { channel: 'a\nb', error: { code: 'SC_ERR_CHANNEL_NAME' } },
  'the name is not empty': { channel: '', error: { code: 'SC_ERR_CHANNEL_NAME' } },
  'the name is short enough': { options: { maxChannelNameLength: 20 }, channel: 'x'.repeat(21), error: { code: 'SC_ERR_CHANNEL_NAME' } },
  'the name is text': { channel: 7, error: { code: 'SC_ERR_CHANNEL_TYPE' } },
  'the channel is declared': { options: { channels: 'declared' }, channel: 'undeclared', error: { code: 'SC_ERR_CHANNEL_UNDECLARED' } },
  'parameters are not empty': { channel: 'room/', declare: (app) => app.scChannel('room/:id', {}), error: { code: 'SC_ERR_CHANNEL_PARAM' } },
  'parameters fit their schema': {
    channel: 'room/x',
    declare: (app) => app.scChannel('room/:id', { params: Type.Object({ id: Type.String({ pattern: '^[0-9]+$' }) }) }),
    error: { code: 'FST_ERR_VALIDATION', validationContext: 'params' }
  },
  clientPublish: { channel: 'closed', declare: (app) => app.scChannel('closed', { clientPublish: false }), error: { code: 'SC_ERR_CHANNEL_REFUSED' } },
  'the message fits its schema': { channel: 'typed', declare: (app) => app.scChannel('typed', { message: Type.Object({ n: Type.Integer() }) }), data: { n: 'x' }, error: { code: 'FST_ERR_VALIDATION', validationContext: 'message' } },
  maxMessageBytes: { channel: 'small', declare: (app) => app.scChannel('small', { maxMessageBytes: 10 }), data: 'x'.repeat(11), error: { code: 'SC_ERR_MESSAGE_SIZE' } },
  'the policy': { channel: 'asked', declare: (app) => app.scChannel('asked', { publish: () => { throw new ScRefusal('no', { name: 'PolicyError' }) } }), error: { name: 'PolicyError' } },
  'an async policy': { channel: 'asked', declare: (app) => app.scChannel('asked', { publish: async () => { throw new ScRefusal('no', { name: 'PolicyError' }) } }), error: { name: 'PolicyError' } },
  "the hooks of the channel's context": {
    channel: 'inside',
    declare: (app) => app.register(async (child) => {
      child.scHook('publishIn', async () => { throw new ScRefusal('members only', { name: 'HookError' }) })
      child.scChannel('inside', {})
    }),
    error: { name: 'HookError' }
  },
  "what the policy assigns fits the message's schema": {
    channel: 'rewritten',
    declare: (app) => app.scChannel('rewritten', { message: Type.Integer(), publish: (context) => { context.data = 'text' as never } }),
    data: 1,
    error: { code: 'FST_ERR_VALIDATION', validationContext: 'message' }
  }
}

/** How a message gets to a channel that its sender did not name. `redirect` sends `from` there. */
type Redirect = (request: { channel: string, data?: any }) => void
const ways: Readonly<Record<string, (app: FastifyInstance, redirect: Redirect) => void>> = {
  'a hook': (app, redirect) => app.scHook('publishIn', redirect),
  'an async hook': (app, redirect) => app.scHook('publishIn', async (request) => { await Promise.resolve(); redirect(request) }),
  "a hook of the sender's context": (app, redirect) => {
    app.register(async (child) => {
      child.scHook('publishIn', redirect)
      child.scChannel('from', {})
    })
  },
  "an async hook of the sender's context": (app, redirect) => {
    app.register(async (child) => {
      child.scHook('publishIn', async (request) => { await new Promise(setImmediate); redirect(request) })
      child.scChannel('from', {})
    })
  },
  'a middleware': (app, redirect) => app.scServer.addMiddleware('publishIn', (request, next) => { redirect(request); next() }),
  'a middleware that takes its time': (app, redirect) => app.scServer.addMiddleware('publishIn', (request, next) => setImmediate(() => { redirect(request); next() })),
  'two hooks, one after the other': (app, redirect) => {
    app.scHook('publishIn', (request) => { if (request.channel === 'from') request.channel = 'between' })
    app.register(async (child) => {
      child.scHook('publishIn', async (request) => { if (request.channel === 'between') { request.channel = 'from'; redirect(request) } })
      child.scChannel('between', {})
    })
  }
}

for (const [what, { options, channel, data, error, declare }] of Object.entries(rules)) {
  t.test(`rule: ${what}`, async (t) => {
    const attempt = async (name: string, way: ((app: FastifyInstance, redirect: Redirect) => void) | null): Promise<void> => {
      const delivered: unknown[] = []
      const { app, port, sc } = await serve(t, options, (app) => {
        declare?.(app)
        way?.(app, (request) => {
          if (request.channel !== 'from') return
          request.channel = channel as string
          if (data !== undefined) request.data = data
        })
        if (options?.channels === 'declared' && !name.includes("sender's")) app.scChannel('from', {})
      })
      for (const name of new Set(['from', 'between', channel])) {
        if (typeof name !== 'string' || name === '' || name.includes('\n') || name.length > 20) continue
        sc.exchange.subscribe(name).watch((message) => { delivered.push([name, message]) })
      }
      const client = await RawClient.connect(t, port)
      const packet = way === null ? { channel, data } : { channel: 'from', data: 'harmless' }
      t.match((await client.call('#publish', packet)).error, error, name)
      t.strictSame(delivered, [], `${name}: nothing was published`)
      t.equal((await client.call('#publish', { channel: 'other/way', data: 1 })).error?.code, options?.channels === 'declared' ? 'SC_ERR_CHANNEL_UNDECLARED' : undefined, 'the connection works on')
      await client.close()
      await app.close()
    }
    await attempt('direct', null)
    for (const [name, way] of Object.entries(ways)) await attempt(name, way)
  })
}

t.test('redirected: the rules of the last channel count, each hook runs once, the data and the answer go along', async (t) => {
  const ran: string[] = []
  const { port, sc } = await serve(t, { channels: 'declared' }, (app) => {
    app.scHook('publishIn', (request) => {
      ran.push(`root ${request.channel}`)
      request.data = { ...request.data, root: true }
      request.ackData = 'from the root'
    })
    app.register(async (child) => {
      child.scHook('publishIn', async (request) => {
        ran.push(`a ${request.channel}`)
        if (request.channel.startsWith('a/')) request.channel = 'b/7'
      })
      child.scChannel('a/:id', {})
    })
    app.register(async (child) => {
      child.scHook('publishIn', async (request) => {
        ran.push(`b ${request.channel} ${request.params.id} ${JSON.stringify(request.data)} ${request.ackData}`)
        // There and back again: it ends, because no hook runs twice.
        if (request.data.back === true) request.channel = 'a/1'
      })
      child.scChannel('b/:id', { message: Type.Object({ n: Type.Integer() }) })
    })
  })
  const seen: unknown[] = []
  sc.exchange.subscribe('b/7').watch((data) => { seen.push(['b/7', data]) })
  sc.exchange.subscribe('a/1').watch((data) => { seen.push(['a/1', data]) })
  const client = await RawClient.connect(t, port)
  t.match(await client.call('#publish', { channel: 'a/1', data: { n: 1 } }), { data: 'from the root' })
  t.strictSame(ran, ['root a/1', 'a a/1', 'b b/7 7 {"n":1,"root":true} from the root'])
  t.match((await client.call('#publish', { channel: 'a/1', data: { n: 'x' } })).error, { code: 'FST_ERR_VALIDATION' })
  t.equal((await client.call('#publish', { channel: 'a/1', data: { n: 2, back: true } })).error, undefined)
  t.strictSame(seen, [['b/7', { n: 1, root: true }], ['a/1', { n: 2, back: true, root: true }]])
})

t.test('a hook may not assign more subscription data than a client may send', async (t) => {
  const { port } = await serve(t, {}, (app) => {
    app.scHook('subscribe', async (request) => { if (request.channel === 'large') request.data = 'x'.repeat(20_000) })
  })
  const client = await RawClient.connect(t, port)
  t.match((await client.call('#subscribe', { channel: 'large' })).error, { code: 'SC_ERR_SUBSCRIBE_DATA' })
  t.equal((await client.call('#subscribe', { channel: 'small' })).error, undefined)
})

t.test('parameters are never empty, for clients on either side', async (t) => {
  const patterns = ['private/:id', 'a/:x/:y', 'a/*', 'logs/*', 'm/:a-:b', 'v:major.:minor', 't/:team/chat']
  const { port } = await serve(t, { channels: 'open' }, (app) => {
    for (const pattern of patterns) app.scChannel(pattern, {})
  })
  const client = await RawClient.connect(t, port)
  for (const channel of ['private/', 'a//b', 'a/b/', 'a//', 'a/', 'logs/', 'm/-', 'm/a-', 'm/-b', 'v.', 'v1.', 'v.1', 't//chat']) {
    t.match((await client.call('#subscribe', { channel })).error, { code: 'SC_ERR_CHANNEL_PARAM' }, `subscribe ${channel}`)
    t.match((await client.call('#publish', { channel, data: 1 })).error, { code: 'SC_ERR_CHANNEL_PARAM' }, `publish ${channel}`)
  }
  for (const channel of ['private', 'private//', 'logs//', 'logs//a', 'm/a-b', 'v1.2', 't/ /chat']) t.equal((await client.call('#subscribe', { channel })).error, undefined, channel)

  // (`a/*` takes what `a/:x/:y` takes first.) What the typed clients and the server make of a pattern is what its rules are for, or an error.
  const value = fc.oneof({ weight: 1, arbitrary: fc.constant('') }, { weight: 6, arbitrary: fc.string({ unit: fc.constantFrom('a', '1', '/', ':', '*', '%', '?'), maxLength: 4 }) })
  // All of them, else most patterns lack one and hardly any is filled.
  const values = fc.record({ id: value, x: value, y: value, a: value, b: value, major: value, minor: value, team: value, '*': value }, { noNullPrototype: true })
  const filled: Array<[pattern: string, name: string]> = []
  fc.assert(fc.property(fc.constantFrom(...patterns.filter((pattern) => pattern !== 'a/*')), values, (pattern, params) => {
    let name: string
    try {
      name = channelName(pattern, params)
    } catch {
      return
    }
    for (const [key, text] of Object.entries(params)) if (text === '' && (key === '*' ? pattern.endsWith('*') : new RegExp(`:${key}(?![a-z])`).test(pattern))) throw new Error(`${pattern} took an empty ${key}`)
    filled.push([pattern, name])
  }), { numRuns: 300 })
  t.ok(filled.length > 20, `${filled.length} of 300 were filled`)
  for (const [pattern, channel] of filled.slice(0, 40)) t.not((await client.call('#subscribe', { channel })).error?.code, 'SC_ERR_CHANNEL_PARAM', `${pattern} ${channel}`)
})
