import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import swagger from '@fastify/swagger'
import fc from 'fast-check'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import fp from 'fastify-plugin'
import { serializerCompiler, validatorCompiler as zodValidatorCompiler } from 'fastify-type-provider-zod'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { Check } from 'typebox/value'
import { z } from 'zod'
import { scPlugin } from '../../lib/index.js'
import { Registry, type RegistryOptions } from '../../lib/contracts/registry.js'
import { Scopes } from '../../lib/lifecycle/scope.js'
import { injectSC } from '../../lib/testing/index.js'
import type { Checked, EventContext } from '../../types/routes.js'

interface Declaring {
  event (instance: FastifyInstance, name: unknown, contract: unknown, handler?: unknown): void
  channel (instance: FastifyInstance, pattern: unknown, contract?: unknown): void
  readonly registry: Registry
  readonly app: FastifyInstance
}

const noop = (): void => {}

/** A Fastify application with a registry, as the plugin puts them together. */
function declaring (t: Test, options: Partial<RegistryOptions> = {}, fastifyOptions: FastifyServerOptions = {}): Declaring {
  const app = Fastify(fastifyOptions) as unknown as FastifyInstance
  t.teardown(() => app.close())
  const scopes = new Scopes(app)
  const registry = new Registry(scopes.root, { channels: 'open', lifecycle: 'own', handlerTimeout: 9000, maxEventNameLength: 128, ...options })
  app.addHook('onRegister', function (child) { scopes.addChild(child, this as unknown as FastifyInstance) })
  app.addHook('onReady', async () => registry.compile())
  return {
    app,
    registry,
    event: (instance, name, contract, handler = noop) => registry.declareEvent(scopes.of(instance), instance, name as string, contract, handler as () => unknown),
    channel: (instance, pattern, contract = {}) => registry.declareChannel(scopes.of(instance), instance, pattern as string, contract)
  }
}

function validate (registry: Registry, name: string, data: unknown): Checked {
  return registry.event(name)!.validate!(data) as Checked
}

function refused (registry: Registry, name: string, data: unknown): Error & Record<string, any> {
  return validate(registry, name, data).error as Error & Record<string, any>
}

t.test('data', async (t) => {
  t.test('TypeBox and JSON Schema: what fits passes unchanged, what does not is never coerced', async (t) => {
    const { app, registry, event } = declaring(t)
    event(app, 'typebox', Type.Object({ n: Type.Integer(), s: Type.Optional(Type.Union([Type.String(), Type.Null()])) }))
    event(app, 'json', { type: 'object', properties: { n: { type: 'integer' }, list: { type: 'array' } }, required: ['n'], additionalProperties: false })
    event(app, 'none', {})
    await app.ready()

    const data = { n: 1, s: null }
    t.equal(validate(registry, 'typebox', data).value, data, 'the same object')
    t.strictSame(data, { n: 1, s: null }, 'null did not become text')
    for (const name of ['typebox', 'json']) {
      for (const wrong of [{ n: '1' }, { n: 1.5 }, { n: true }, {}, [], 'x', 7, null, undefined]) {
        const before = JSON.stringify(wrong)
        const error = refused(registry, name, wrong)
        t.match(error, { name: 'ValidationError', code: 'FST_ERR_VALIDATION', statusCode: 400, validationContext: 'data' }, `${name} ${before}`)
        t.ok(error.validation.length > 0 && typeof error.validation[0].message === 'string')
        t.equal(JSON.stringify(wrong), before)
      }
    }
    t.match(refused(registry, 'json', { n: '1' }).message, 'data/n must be integer')
    t.match(refused(registry, 'json', { n: 1, list: 'x' }).message, 'data/list must be array')
    const extra = { n: 1, extra: true }
    t.match(refused(registry, 'json', extra).message, 'must NOT have additional properties')
    t.strictSame(extra, { n: 1, extra: true }, 'nothing was removed')
    t.equal(registry.event('none')!.validate, null)
    t.equal(registry.event('unknown'), undefined)
    t.equal(registry.event('toString'), undefined)
  })

  t.test('defaults are filled in', async (t) => {
    const { app, registry, event } = declaring(t)
    event(app, 'typebox', Type.Object({ n: Type.Integer({ default: 3 }) }))
    event(app, 'json', { type: 'object', properties: { n: { type: 'integer', default: 3 } } })
    await app.ready()
    t.strictSame(validate(registry, 'typebox', {}).value, { n: 3 })
    t.strictSame(validate(registry, 'json', {}).value, { n: 3 })
    t.ok(refused(registry, 'typebox', { n: '3' }))
    t.ok(refused(registry, 'json', { n: '3' }))
  })

  t.test('what was not sent counts as null, unless the schema takes undefined', async (t) => {
    const { app, registry, event } = declaring(t)
    event(app, 'null', Type.Null())
    event(app, 'undefined', Type.Undefined())
    event(app, 'json null', { type: ['object', 'null'] })
    await app.ready()
    t.strictSame(validate(registry, 'null', undefined), { value: null })
    t.strictSame(validate(registry, 'undefined', undefined), { value: undefined })
    t.strictSame(validate(registry, 'json null', undefined), { value: null })
  })

  t.test('no invalid payload passes: generated data, mutated', async (t) => {
    const { app, registry, event } = declaring(t)
    const Schema = Type.Object({
      room: Type.String({ minLength: 1, maxLength: 5 }),
      level: Type.Optional(Type.Integer({ minimum: 0, maximum: 9 })),
      tags: Type.Array(Type.Union([Type.Literal('a'), Type.Literal('b')]), { maxItems: 3 }),
      at: Type.Union([Type.Object({ x: Type.Number() }, { additionalProperties: false }), Type.Null()])
    }, { additionalProperties: false })
    event(app, 'typebox', { data: Schema })
    event(app, 'json', { data: JSON.parse(JSON.stringify(Schema)) })
    await app.ready()

    const valid = fc.record({
      room: fc.string({ minLength: 1, maxLength: 5 }),
      level: fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined }),
      tags: fc.array(fc.constantFrom('a', 'b'), { maxLength: 3 }),
      at: fc.option(fc.record({ x: fc.double({ noNaN: true, noDefaultInfinity: true }) }), { nil: null })
    }).map((value) => JSON.parse(JSON.stringify(value)))
    fc.assert(fc.property(valid, (data) => {
      for (const name of ['typebox', 'json']) {
        const checked = validate(registry, name, structuredClone(data))
        if (checked.error !== undefined) throw checked.error
        t.strictSame(checked.value, data)
      }
    }), { numRuns: 100 })

    // One place of a valid value gets any JSON value, or goes, or a field comes that is none.
    const mutated = fc.tuple(valid, fc.constantFrom('room', 'level', 'tags', 'at', 'extra', ''), fc.option(fc.jsonValue({ maxDepth: 2 }), { nil: undefined })).map(([data, key, value]) => {
      if (key === '') return value
      if (value === undefined) delete data[key]
      else data[key] = value
      return data
    })
    let passed = 0
    let blocked = 0
    fc.assert(fc.property(mutated, (data) => {
      // The slow, independent way of TypeBox is the judge.
      const fits = Check(Schema, data)
      for (const name of ['typebox', 'json']) {
        const { error } = validate(registry, name, structuredClone(data))
        if ((error === undefined) !== fits) throw new Error(`${name} ${fits ? 'refused' : 'let through'} ${JSON.stringify(data)}`)
      }
      if (fits) passed++
      else blocked++
    }), { numRuns: 500 })
    t.ok(passed > 5 && blocked > 50, `${passed} passed, ${blocked} were blocked`)
  })

  t.test('schemas of the context: $ref, in a child too, and from TypeBox', async (t) => {
    const { app, registry, event } = declaring(t)
    app.addSchema({ $id: 'user', type: 'object', properties: { name: { type: 'string' } }, required: ['name'] })
    event(app, 'json', { type: 'object', properties: { user: { $ref: 'user#' } }, required: ['user'] })
    event(app, 'typebox', Type.Object({ user: Type.Ref('user#') }))
    app.register(async (child) => {
      child.addSchema({ $id: 'msg', type: 'object', properties: { by: { $ref: 'user#' } }, required: ['by'] })
      event(child, 'child', { data: { $ref: 'msg#' }, response: { $ref: 'msg#' } })
    })
    await app.ready()
    for (const name of ['json', 'typebox']) {
      t.strictSame(validate(registry, name, { user: { name: 'x' } }).value, { user: { name: 'x' } })
      t.match(refused(registry, name, { user: { name: 1 } }).message, 'data/user/name must be string')
    }
    t.match(refused(registry, 'child', { by: {} }).message, "data/by must have required property 'name'")
    t.equal(registry.event('child')!.serialize!({ by: { name: 'x', secret: 1 } }), '{"by":{"name":"x"}}')
  })

  t.test('local references of TypeBox', async (t) => {
    const { app, registry, event } = declaring(t)
    event(app, 'tree', Type.Cyclic({ Node: Type.Object({ children: Type.Array(Type.Ref('Node')) }) }, 'Node'))
    await app.ready()
    t.ok(validate(registry, 'tree', { children: [{ children: [] }] }).error === undefined)
    t.ok(refused(registry, 'tree', { children: [{ children: [1] }] }))
  })

  t.test('refinements of TypeBox run, and are not lost to another validator', async (t) => {
    const { app, registry, event } = declaring(t)
    event(app, 'even', Type.Object({ n: Type.Refine(Type.Integer(), (n) => n % 2 === 0), m: Type.Integer({ default: 1 }) }))
    await app.ready()
    t.strictSame(validate(registry, 'even', { n: 2 }).value, { n: 2, m: 1 })
    t.ok(refused(registry, 'even', { n: 3 }))

    const other = declaring(t)
    other.app.addSchema({ $id: 'u', type: 'string' })
    other.event(other.app, 'mixed', Type.Object({ n: Type.Refine(Type.Integer(), (n) => n % 2 === 0), u: Type.Ref('u#') }))
    await t.rejects(async () => { await other.app.ready() }, { code: 'SC_ERR_CONTRACT', message: /"mixed".*refinement.*"u#"/ })
  })
})

t.test('compilers', async (t) => {
  t.test('one that the context has set is used, with its inheritance', async (t) => {
    const { app, registry, event } = declaring(t)
    const seen: unknown[] = []
    app.setValidatorCompiler(({ schema, httpPart, url }) => {
      seen.push([httpPart, url])
      return (data: unknown) => data === (schema as unknown as { only: unknown }).only ? { value: 'replaced' } : { error: new Error('not the one') }
    })
    event(app, 'x', { data: { only: 7 } })
    app.register(async (child) => {
      event(child, 'inherits', { data: { only: 8 } })
    })
    app.register(async (child) => {
      child.setValidatorCompiler(TypeBoxValidatorCompiler as never)
      event(child, 'own', { data: Type.Integer() })
    })
    await app.ready()
    t.strictSame(validate(registry, 'x', 7), { value: 'replaced' })
    t.match(refused(registry, 'x', 8), { message: 'not the one', statusCode: 400, code: 'FST_ERR_VALIDATION', validationContext: 'data' })
    t.strictSame(validate(registry, 'inherits', 8), { value: 'replaced' })
    t.strictSame(validate(registry, 'own', 1), { value: 1 })
    t.match(refused(registry, 'own', 'x').validation[0], { message: 'must be integer' })
    t.ok(seen.some((entry) => JSON.stringify(entry) === '["body","sc:x"]'))
  })

  t.test('set late, in the same context, it counts too', async (t) => {
    const { app, registry, event } = declaring(t)
    event(app, 'x', { data: { type: 'string' } })
    app.setValidatorCompiler(() => () => ({ value: 'late' }))
    await app.ready()
    t.strictSame(validate(registry, 'x', 1), { value: 'late' })
  })

  t.test("per event, per plugin, and 'context'", async (t) => {
    const always = (value: string) => () => () => ({ value })
    const { app, registry, event, channel } = declaring(t, { validatorCompiler: always('plugin') })
    event(app, 'plugin', { data: {} })
    event(app, 'event', { data: {}, validatorCompiler: always('event') })
    event(app, 'context', { data: { type: 'object', properties: { n: { type: 'integer' } } }, validatorCompiler: 'context' })
    channel(app, 'c', { message: {} })
    await app.ready()
    t.strictSame(validate(registry, 'plugin', 1), { value: 'plugin' })
    t.strictSame(validate(registry, 'event', 1), { value: 'event' })
    t.strictSame(validate(registry, 'context', { n: '5' }), { value: { n: 5 } }, "Fastify's own way, by explicit wish")
    t.strictSame(registry.channel('c').route.validateMessage!(1), { value: 'plugin' })
  })

  t.test('every form of result that Fastify takes', async (t) => {
    const { app, registry, event } = declaring(t)
    const withErrors = Object.assign(() => false, { errors: [{ keyword: 'k', instancePath: '/a', schemaPath: '#', params: {}, message: 'is bad' }] })
    const results: Record<string, unknown> = {
      true: () => true,
      undefined: () => undefined,
      false: withErrors,
      list: () => ({ error: [{ keyword: 'k', instancePath: '', schemaPath: '#', params: {}, message: 'is bad' }] }),
      throws: () => { throw new Error('broken validator') },
      async: async () => true,
      'async data': async () => ({ error: 'a field of the data', value: 'no' }),
      'async fails': async () => { throw Object.assign(new Error('async'), { errors: [{ keyword: 'k', instancePath: '/b', schemaPath: '#', params: {}, message: 'is bad' }] }) }
    }
    for (const [name, result] of Object.entries(results)) event(app, name, { data: {}, validatorCompiler: () => result as never })
    await app.ready()
    t.strictSame(validate(registry, 'true', 1), { value: 1 })
    t.strictSame(validate(registry, 'undefined', 1), { value: 1 })
    t.match(refused(registry, 'false', 1), { message: 'data/a is bad' })
    t.match(refused(registry, 'list', 1), { message: 'data is bad' })
    t.match(refused(registry, 'throws', 1), { code: 'SC_ERR_INTERNAL', cause: { message: 'broken validator' } })
    t.notMatch(refused(registry, 'throws', 1), { statusCode: 400 }, "a validator's own failure is not the client's")
    t.strictSame(await registry.event('async')!.validate!(1), { value: 1 })
    t.strictSame(await registry.event('async data')!.validate!(1), { value: 1 })
    t.match((await registry.event('async fails')!.validate!(1)).error, { message: 'data/b is bad', code: 'FST_ERR_VALIDATION' })
  })

  t.test('Zod, with its compilers', async (t) => {
    const { app, registry, event } = declaring(t)
    app.setValidatorCompiler(zodValidatorCompiler as never)
    app.setSerializerCompiler(serializerCompiler as never)
    event(app, 'z', { data: z.object({ n: z.number(), d: z.string().default('x') }), response: z.object({ ok: z.boolean() }) })
    event(app, 'bare', z.string())
    await app.ready()
    t.strictSame(validate(registry, 'z', { n: 1 }).value, { n: 1, d: 'x' })
    t.match(refused(registry, 'z', { n: '1' }), { statusCode: 400, code: 'FST_ERR_VALIDATION' })
    t.ok(refused(registry, 'bare', 1))
    t.equal(registry.event('z')!.serialize!({ ok: true }), '{"ok":true}')
    t.throws(() => registry.event('z')!.serialize!({ ok: 1 }), { code: 'SC_ERR_RESPONSE_INVALID' })
  })

  t.test('the formatter of an event, then of the plugin', async (t) => {
    const { app, registry, event, channel } = declaring(t, { schemaErrorFormatter: (errors, dataVar) => new Error(`plugin: ${errors.length} in ${dataVar}`) })
    event(app, 'plugin', Type.Integer())
    event(app, 'event', { data: Type.Integer(), schemaErrorFormatter: () => Object.assign(new Error('event'), { statusCode: 422 }) })
    event(app, 'broken', { data: Type.Integer(), schemaErrorFormatter: () => { throw new Error('the formatter broke') } })
    channel(app, 'c', { message: Type.Integer() })
    await app.ready()
    t.match(refused(registry, 'plugin', 'x'), { message: 'plugin: 1 in data', statusCode: 400 })
    t.match(refused(registry, 'event', 'x'), { message: 'event', statusCode: 422, code: 'FST_ERR_VALIDATION' })
    t.match(refused(registry, 'broken', 'x'), { code: 'SC_ERR_INTERNAL', cause: { message: 'the formatter broke' } })
    t.match((registry.channel('c').route.validateMessage!('x') as Checked).error, { message: 'plugin: 1 in message', validationContext: 'message' })
  })

  t.test('a schema that does not compile fails the boot and names the event', async (t) => {
    const json = declaring(t)
    json.event(json.app, 'bad one', { data: { type: 'no such type' } })
    await t.rejects(async () => { await json.app.ready() }, { code: 'SC_ERR_CONTRACT', message: /"bad one": the data schema cannot be compiled/ })
    const ref = declaring(t)
    ref.event(ref.app, 'bad ref', { data: { $ref: 'nowhere#' } })
    await t.rejects(async () => { await ref.app.ready() }, { message: /"bad ref".*nowhere/ })
    const channel = declaring(t)
    channel.channel(channel.app, 'room/:id', { message: { type: 'no such type' } })
    await t.rejects(async () => { await channel.app.ready() }, { message: /"room\/:id": the message schema/ })
    const response = declaring(t)
    response.event(response.app, 'bad_response', { response: { $ref: 'nowhere#' } })
    await t.rejects(async () => { await response.app.ready() }, /bad_response/)
  })
})

t.test('responses', async (t) => {
  const { app, registry, event } = declaring(t)
  event(app, 'object', { response: Type.Object({ id: Type.String(), n: Type.Optional(Type.Integer()) }) })
  event(app, 'list', { response: { type: 'array', items: { type: 'integer' } } })
  event(app, 'null', { response: { type: 'null' } })
  event(app, 'none', {})
  app.register(async (child) => {
    child.setSerializerCompiler(() => (data) => `custom ${JSON.stringify(data)}`)
    event(child, 'custom', { response: Type.Object({}) })
  })
  await app.ready()
  const serialize = (name: string, data: unknown): string => registry.event(name)!.serialize!(data)
  t.equal(serialize('object', { id: 'x', secret: true }), '{"id":"x"}')
  t.equal(serialize('list', [1, 2]), '[1,2]')
  t.equal(serialize('null', null), 'null')
  t.equal(serialize('custom', { a: 1 }), 'custom {"a":1}')
  t.equal(registry.event('none')!.serialize, null)
  for (const wrong of [undefined, null, {}]) t.throws(() => serialize('object', wrong), { code: 'SC_ERR_RESPONSE_INVALID', message: /"object"/ })
  t.throws(() => serialize('list', null), { code: 'SC_ERR_RESPONSE_INVALID' })
})

t.test('declarations are checked', async (t) => {
  const { app, event, channel, registry } = declaring(t)
  event(app, 'taken', {})
  t.throws(() => event(app, 'taken', {}), { code: 'SC_ERR_EVENT_DUPLICATE' })
  for (const name of ['', '#publish', '#x', 'disconnect', 'error', 7, undefined, null]) t.throws(() => event(app, name, {}), { code: 'SC_ERR_EVENT_NAME' }, String(name))
  t.throws(() => event(app, 'x'.repeat(129), {}), { code: 'SC_ERR_CONTRACT', message: /maxEventNameLength/ })
  event(app, 'x'.repeat(128), {})
  for (const name of ['__proto__', 'constructor', 'toString', 'a/b:c*d', 'ünï ☃']) event(app, name, {}, () => name)
  t.throws(() => event(app, 'no handler', {}, 'x'), { message: /handler to be a function, got string/ })
  t.throws(() => event(app, 'unknown', { data: Type.String(), respons: Type.String() }), { message: /unknown property "respons"/ })
  t.throws(() => event(app, 'wrong', { data: Type.String(), timeout: -1 }), { message: /timeout to be a number of 0 or more/ })
  t.throws(() => event(app, 'wrong', { preHandler: ['x'] }), { message: /preHandler to be a function or an array/ })
  t.throws(() => event(app, 'wrong', { lifecycle: 'other' }), { message: /lifecycle to be 'own' or 'request'/ })
  t.throws(() => event(app, 'wrong', 'text'), { message: /schema or a contract, got "text"/ })

  channel(app, 'room/:id')
  t.throws(() => channel(app, 'room/:id'), { code: 'SC_ERR_CHANNEL_DUPLICATE' })
  t.throws(() => channel(app, 'room/:other'), { code: 'SC_ERR_CHANNEL_DUPLICATE' }, 'it would match the same names')
  channel(app, 'room/lobby')
  t.throws(() => channel(app, 'room/lobby'), { code: 'SC_ERR_CHANNEL_DUPLICATE' })
  for (const pattern of ['', 7, 'a\u0000', 'a/:', 'a/:b:c', 'a/:b/:b', 'a*', 'a/*/b', ':__proto__', 'x/:id(\\d+)', 'x/:id?']) {
    t.throws(() => channel(app, pattern), { code: 'SC_ERR_CONTRACT' }, String(pattern))
  }
  t.throws(() => channel(app, 'p', { onSubscribe () {} }), { message: /unknown property "onSubscribe"/ })
  t.throws(() => channel(app, 'p', { clientPublish: 'no' }), { message: /clientPublish to be a boolean, got "no"/ })
  t.throws(() => channel(app, 'p', []), { message: /expected a contract, got array/ })

  await app.ready()
  t.throws(() => event(app, 'late', {}), { code: 'SC_ERR_AFTER_READY', message: /scEvent/ })
  t.throws(() => channel(app, 'late'), { code: 'SC_ERR_AFTER_READY', message: /scChannel/ })
  t.equal(registry.event('__proto__')!.handler.call(app, null, {} as EventContext), '__proto__')
  t.strictSame(registry.declaredEvents().map(({ name }) => name).slice(0, 2), ['taken', 'x'.repeat(128)])
  t.strictSame(registry.declaredChannels().map(({ pattern, paramNames }) => [pattern, paramNames]), [['room/:id', ['id']], ['room/lobby', []]])
})

t.test('channels', async (t) => {
  t.test('text before a parameter before a wildcard', async (t) => {
    const { app, registry, channel } = declaring(t)
    for (const pattern of ['room/*', 'room/:id', 'room/lobby', 'room/:id/users/:user', 'v:major.:minor', 'a::b', 'a::b/:c', '*']) channel(app, pattern)
    await app.ready()
    const found = (name: string): unknown => {
      const { route, params } = registry.channel(name)
      return [route.pattern, { ...params }]
    }
    t.strictSame(found('room/lobby'), ['room/lobby', {}])
    t.strictSame(found('room/7'), ['room/:id', { id: '7' }])
    t.strictSame(found('room/7/users/ann'), ['room/:id/users/:user', { id: '7', user: 'ann' }])
    t.strictSame(found('room/7/users'), ['room/*', { '*': '7/users' }])
    t.strictSame(found('v1.2'), ['v:major.:minor', { major: '1', minor: '2' }])
    t.strictSame(found('a:b'), ['a::b', {}])
    t.strictSame(found('a:b/x'), ['a::b/:c', { c: 'x' }])
    t.strictSame(found('else'), ['*', { '*': 'else' }])
  })

  t.test('names are plain text, whatever they hold', async (t) => {
    const { app, registry, channel } = declaring(t)
    for (const pattern of ['room/:id', 'q?x', 'h#x', 'p%41', 's;x', 'logs/*', '100%/:x']) channel(app, pattern)
    await app.ready()
    for (const name of ['q?x', 'h#x', 'p%41', 's;x']) t.equal(registry.channel(name).route.pattern, name)
    t.equal(registry.channel('pA').route.pattern, null, 'nothing is decoded')
    t.equal(registry.channel('q').route.pattern, null)
    t.strictSame({ ...registry.channel('100%/%2F').params }, { x: '%2F' })
    const hostile = ['a?b', 'a#b', '%', '%%', '%41', '%2F', '%25', '%zz', ';', 'a;b=c', '..', '.', '__proto__', 'constructor', ':id', '*', ' ', '\\', '☃', '\ud800', 'x'.repeat(1000), '&#', '+']
    for (const id of hostile) {
      const match = registry.channel(`room/${id}`)
      t.equal(match.route.pattern, 'room/:id', JSON.stringify(id.slice(0, 20)))
      t.equal(match.params.id, id)
    }
    t.strictSame({ ...registry.channel('logs//a//').params }, { '*': '/a//' }, 'slashes are not merged')
    t.equal(registry.channel('room//').route.pattern, null)
    t.equal(registry.channel('/room/1').route.pattern, null)
    t.equal(registry.channel('Room/1').route.pattern, null, 'case counts')
    t.equal(registry.channel('p\u000141').route.pattern, null, 'no name can pass for another')
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 30 }), (id) => {
      // eslint-disable-next-line no-control-regex
      if (/[\u0000-\u001f\u007f]/.test(id)) return
      const match = registry.channel(`logs/${id}`)
      if (match.route.pattern !== 'logs/*' || match.params['*'] !== id) throw new Error(`logs/${id}: ${match.route.pattern} ${match.params['*']}`)
    }), { numRuns: 500 })
  })

  t.test('undeclared names: open', async (t) => {
    const { app, registry } = declaring(t)
    await app.ready()
    const match = registry.channel('anything')
    t.match(match, { route: { pattern: null, clientSubscribe: true, clientPublish: true, validateMessage: null, subscribe: null, publish: null, deliver: null } })
    t.equal(match.error, undefined)
    t.equal(registry.channel('something else'), match, 'one object for all')
  })

  t.test('undeclared names: declared only', async (t) => {
    const { app, registry, channel } = declaring(t, { channels: 'declared' })
    channel(app, 'room/:id', { clientPublish: false })
    await app.ready()
    t.match(registry.channel('other'), { route: { pattern: null, clientSubscribe: false, clientPublish: false }, error: { code: 'SC_ERR_CHANNEL_UNDECLARED', message: 'Channel "other" is not declared' } })
    const room = registry.channel('room/1')
    t.match(room.route, { clientSubscribe: true, clientPublish: false })
    t.equal(room.error, undefined)
  })

  t.test('messages and parameters', async (t) => {
    const { app, registry, channel } = declaring(t)
    channel(app, 'room/:id', { message: Type.Object({ text: Type.String() }), params: Type.Object({ id: Type.String({ maxLength: 3 }) }), config: { a: 1 } })
    channel(app, 'small', { maxMessageBytes: 10 })
    channel(app, 'both', { maxMessageBytes: 10, message: Type.String() })
    channel(app, 'async/:id', { params: {}, validatorCompiler: () => async () => true })
    await app.ready()
    const room = registry.channel('room/123')
    t.equal(room.error, undefined)
    t.strictSame({ ...room.params }, { id: '123' })
    t.match(room.route.config, { a: 1 })
    t.match(registry.channel('room/1234').error, { code: 'FST_ERR_VALIDATION', validationContext: 'params' })
    const check = (name: string, data: unknown): Checked => registry.channel(name).route.validateMessage!(data) as Checked
    t.strictSame(check('room/1', { text: 'x' }), { value: { text: 'x' } })
    t.match(check('room/1', { text: 1 }).error, { message: 'message/text must be string', validationContext: 'message', statusCode: 400 })
    t.strictSame(check('small', '12345678'), { value: '12345678' })
    t.match(check('small', '123456789').error, { code: 'SC_ERR_MESSAGE_SIZE', message: /"small" may have at most 10 bytes, got 11/ })
    t.match(check('small', '☃☃☃').error, { code: 'SC_ERR_MESSAGE_SIZE' }, 'bytes, not characters')
    t.strictSame(check('small', undefined), { value: undefined })
    t.match(check('both', 1).error, { code: 'FST_ERR_VALIDATION' })
    t.match(registry.channel('async/1').error, { message: /must not be async/ })
  })
})

t.test('encapsulation', async (t) => {
  const { app, registry, event, channel } = declaring(t)
  let nested!: FastifyInstance
  let shared!: FastifyInstance
  app.register(async (child) => {
    nested = child
    event(child, 'nested', {}, function (this: unknown) { return this })
    channel(child, 'nested/:id')
    child.register(fp(async (same) => {
      shared = same
      event(same, 'shared', {})
    }))
  })
  await app.ready()
  t.equal(registry.event('nested')!.instance, nested)
  t.equal(registry.channel('nested/1').route.instance, nested)
  t.equal(registry.event('shared')!.instance, shared)
  t.equal(registry.event('shared')!.hooks, registry.event('nested')!.hooks, 'fastify-plugin shares the context')
  t.not(registry.event('nested')!.hooks, registry.channel('x').route.hooks)
})

t.test('hidden routes', async (t) => {
  const { app, event } = declaring(t)
  await app.register(swagger)
  app.get('/seen', { schema: {} }, async () => 'x')
  event(app, 'own', { data: Type.String(), response: Type.String() })
  event(app, 'request', { lifecycle: 'request', data: Type.String() })
  await app.ready()
  const hidden = app.printRoutes({ commonPrefix: false }).match(/__sc\/\S+/g) ?? []
  t.ok(hidden.length >= 2)
  for (const path of hidden) {
    for (const method of ['POST', 'GET'] as const) {
      const response = await app.inject({ method, url: '/' + path, ...(method === 'POST' ? { payload: { a: 1 } } : {}) })
      t.equal(response.statusCode, 404, `${method} ${path}`)
    }
  }
  t.strictSame(Object.keys((app as unknown as { swagger (): { paths: object } }).swagger().paths), ['/seen'])
})

t.test('a schema that does not compile is told with the name of its event or channel, at boot', async (t) => {
  const bad = { type: 'objekt' }
  const unknownReference = { type: 'object', properties: { a: { $ref: 'nowhere#' } } }
  for (const lifecycle of ['own', 'request'] as const) {
    for (const schema of [bad, unknownReference]) {
      for (const part of ['data', 'response']) {
        const app = Fastify()
        t.teardown(() => app.close())
        await app.register(scPlugin, { authKey: 'a secret of tests that has more than thirty-two bytes', lifecycle })
        app.register(async (child) => {
          child.scEvent('fine', { data: { type: 'object' }, response: { type: 'object' } }, () => ({}))
          child.scEvent('chat one', { [part]: schema }, () => {})
        }, { prefix: '/v1' })
        const err = await app.ready().then(() => null, (err) => err)
        t.match(err?.message, new RegExp(`Contract of "chat one": the ${part} schema cannot be compiled: `), `${lifecycle}, ${part}`)
      }
    }
  }
  for (const contract of [{ message: bad }, { params: bad }]) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(scPlugin, { authKey: 'a secret of tests that has more than thirty-two bytes' })
    app.scChannel('room/:id', contract)
    await t.rejects(async () => { await app.ready() }, /Contract of "room\/:id": the (message|params) schema cannot be compiled: /)
  }
})

t.test("responses by the application's own compiler, whenever it is set", async (t) => {
  for (const when of ['before', 'after'] as const) {
    for (const lifecycle of ['own', 'request'] as const) {
      const app = Fastify()
      t.teardown(() => app.close())
      await app.register(scPlugin, { authKey: 'a secret of tests that has more than thirty-two bytes', lifecycle })
      app.register(async (child) => {
        const set = (): void => {
          child.setSerializerCompiler(({ schema }) => {
            if ((schema as { mine?: boolean }).mine !== true) throw new Error('not one of mine')
            return (value) => JSON.stringify({ mine: value })
          })
        }
        if (when === 'before') set()
        child.scEvent('mine', { response: { mine: true } }, () => 1)
        if (when === 'after') set()
      })
      const client = await injectSC(app)
      t.same(await client.invoke('mine'), { mine: 1 }, `${when}, ${lifecycle}`)
    }
  }
})
