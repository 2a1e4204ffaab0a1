import { createError } from '@fastify/error'
import fc from 'fast-check'
import t from 'tap'
import { ScError, ScRefusal, scError } from '../../lib/errors.js'
import { dehydrateError, hydrateError, internalError, presentError } from '../../lib/protocol/wire-errors.js'

class DriverError extends Error {
  override name = 'DriverError'
  query = 'SELECT secret'
}
const withFields = (message: string, fields: object): Error => Object.assign(new Error(message), fields)
const origins = ['own', 'deliberate', 'thrown'] as const

t.test('errors of the library are shown however they came, internal ones never', async (t) => {
  const error = scError('SC_ERR_AUTH_RATE', [5], { retryAfter: 5 })
  for (const origin of origins) {
    t.match(presentError(error, origin), { name: 'RateLimitError', retryAfter: 5 })
    t.equal(presentError(internalError('7'), origin), undefined)
  }
  t.match(internalError('7'), { code: 'SC_ERR_INTERNAL', id: '7' })
})

t.test('a refusal is shown with its own fields, however it came', async (t) => {
  const refusal = Object.assign(new ScRefusal('no'), { until: 5, cause: 'secret', stack: 'secret' })
  for (const origin of origins) {
    const shown = presentError(refusal, origin) as object
    t.match(shown, { message: 'no', until: 5 })
    t.notOk('cause' in shown || 'stack' in shown)
  }
})

t.test('what does not fit a schema is shown with what is wrong', async (t) => {
  const error = withFields('bad', { name: 'ValidationError', code: 'V', statusCode: 400, validation: [{ keyword: 'type' }], validationContext: 'body', extra: 1, cause: 'x' })
  t.same(presentError(error, 'own'), { name: 'ValidationError', message: 'bad', code: 'V', statusCode: 400, validation: [{ keyword: 'type' }], validationContext: 'body', extra: 1 })
  t.same(presentError(new DriverError('bad'), 'own'), { name: 'DriverError', message: 'bad' }, 'of a class of its own only what validators put there')
  t.same(presentError({ message: 'bad', validation: [], own: 1 }, 'own'), { message: 'bad', validation: [] }, 'and of what is no error')
})

t.test('an error that the contract declares is shown with the fields that it declares', async (t) => {
  const declared = { Taken: { properties: { seat: { type: 'number' }, by: { properties: { id: {} } }, list: { items: { properties: { n: {} } } }, any: { type: 'array' }, open: { type: 'object' } } } }
  const error = withFields('taken', { name: 'Taken', seat: 3, by: { id: 1, mail: 'secret' }, list: [{ n: 1, secret: 1 }, 2], any: [{ a: 1 }], open: { a: 1 }, secret: 1 })
  const shown = { name: 'Taken', message: 'taken', seat: 3, by: { id: 1 }, list: [{ n: 1 }, 2], any: [{ a: 1 }], open: { a: 1 } }
  t.same(presentError(error, 'thrown', declared), shown)
  t.same(presentError(error, 'deliberate', declared), shown)
  t.equal(presentError(withFields('x', { name: 'toString' }), 'thrown', declared), undefined, 'names that every object has are not declared')
  t.equal(presentError({ name: 'Taken', message: 'x' }, 'thrown', declared), undefined, 'what is no error is not the declared one')
  t.equal(presentError(withFields('x', { name: 'Other' }), 'thrown', declared), undefined)
  t.same(presentError(withFields('x', { name: 'A', b: 1, c: null }), 'thrown', { A: { allOf: [{ properties: { b: {} } }, { shape: { c: {} } }] } }), { name: 'A', message: 'x', b: 1, c: null }, 'schemas that are put together, and those of Zod')
  t.same(presentError(withFields('x', { name: 'A', b: 1 }), 'thrown', { A: undefined }), { name: 'A', message: 'x' })
  t.same(presentError(withFields('x', { name: 'A', b: { c: 1 } }), 'thrown', { A: { properties: { b: null } } }), { name: 'A', message: 'x', b: { c: 1 } })
  t.same(presentError(withFields('x', { name: 'A', b: [{ c: 1 }] }), 'thrown', { A: { properties: { b: null } } }), { name: 'A', message: 'x', b: [{ c: 1 }] })
})

t.test('of what was thrown only errors are shown that were made to be', async (t) => {
  t.same(presentError(withFields('x', { expose: true, secret: 1 }), 'thrown'), { name: 'Error', message: 'x' })
  t.same(presentError({ message: 'x', expose: true }, 'thrown'), { message: 'x' })
  for (const hidden of [new Error('x'), new DriverError('x'), withFields('x', { expose: 'yes' }), withFields('x', { statusCode: 400 }), 'x', 7, null, undefined, { message: 'x' }]) t.equal(presentError(hidden, 'thrown'), undefined)
})

t.test('of errors that @fastify/error made, those of a client are shown', async (t) => {
  const made = (status: number, more = {}): Error => Object.assign(new (createError('MY_CODE', 'x', status))(), more)
  for (const status of [400, 404, 499]) t.same(presentError(made(status), 'thrown'), { name: 'FastifyError', message: 'x', code: 'MY_CODE', statusCode: status })
  for (const status of [200, 399, 500, 503]) t.equal(presentError(made(status), 'thrown'), undefined, String(status))
  t.equal(presentError(made(400, { expose: false }), 'thrown'), undefined)
  t.equal(presentError(made(400, { name: 'Other' }), 'thrown'), undefined)
  t.equal(presentError(made(400, { code: 7 }), 'thrown'), undefined)
  t.equal(presentError({ name: 'FastifyError', code: 'X', statusCode: 400 }, 'thrown'), undefined, 'what is no error')
  t.equal(presentError(made(400, { statusCode: '404' }), 'thrown'), undefined)
})

t.test('what was passed on purpose is shown with its fields where the application made it', async (t) => {
  t.same(presentError(withFields('x', { a: 1, stack: 's', cause: 'c', domain: 'd', domainEmitter: 'e' }), 'deliberate'), { name: 'Error', message: 'x', a: 1 })
  t.same(presentError({ a: 1, cause: 'c' }, 'deliberate'), { a: 1 })
  t.same(presentError(Object.assign(Object.create(null), { a: 1 }), 'deliberate'), { a: 1 })
  t.same(presentError(['a', { b: 1 }], 'deliberate'), { 0: 'a', 1: { b: 1 } })
  t.same(presentError(Object.assign(new DriverError('x'), { code: 'C' }), 'deliberate'), { name: 'DriverError', message: 'x', code: 'C' }, 'of other classes name, message and code')
  t.same(presentError(Object.assign(new DriverError('x'), { expose: true }), 'deliberate'), { name: 'DriverError', message: 'x', query: 'SELECT secret' })
  t.equal(presentError(withFields('x', { expose: false }), 'deliberate'), undefined)
  class Custom { message = 'x'; secret = 1 }
  t.same(presentError(new Custom(), 'deliberate'), { message: 'x' })
  t.equal(presentError(new (class Empty { secret = 1 })(), 'deliberate'), undefined)
})

t.test('values that are no objects are themselves, or a text', async (t) => {
  for (const value of ['text', 7, true, null, undefined]) t.equal(presentError(value, 'deliberate'), value)
  t.equal(presentError(5n, 'deliberate'), '5')
  t.equal(presentError(Symbol('s'), 'deliberate'), 'Symbol(s)')
  t.equal(presentError(function refuse () {}, 'deliberate'), '[function refuse]')
  t.equal(presentError(Object.defineProperty(() => {}, 'name', { value: 7 }), 'deliberate'), '[function ]')
})

t.test('errors of the system, of the language and of the server are nobody\'s purpose', async (t) => {
  for (const hidden of [
    new TypeError('x'), new RangeError('x'), new ReferenceError('x'), new SyntaxError('x'), new URIError('x'), new AggregateError([], 'x'), new DOMException('x', 'TypeError'),
    ...['EvalError', 'AssertionError', 'SystemError', 'DOMException'].map((name) => withFields('x', { name })),
    withFields('x', { syscall: 'open' }), withFields('x', { errno: -2 }), withFields('x', { name: 7 }),
    withFields('x', { statusCode: 500 }), withFields('x', { statusCode: 399 }), withFields('x', { statusCode: 999 }), { message: 'x', statusCode: 500 },
    withFields('x', { syscall: 'open', statusCode: 404 }), withFields('x', { errno: 1, statusCode: 404 })
  ]) t.equal(presentError(hidden, 'deliberate'), undefined, String(hidden))
  t.same(presentError(Object.assign(new TypeError('x'), { statusCode: 404, secret: 1 }), 'deliberate'), { name: 'TypeError', message: 'x', statusCode: 404 })
  t.same(presentError(withFields('x', { statusCode: 4401 }), 'deliberate'), { name: 'Error', message: 'x', statusCode: 4401 }, 'a close code of a handshake')
  t.same(presentError(withFields('x', { statusCode: 1_000 }), 'deliberate'), { name: 'Error', message: 'x', statusCode: 1_000 })
  t.same(presentError(withFields('x', { statusCode: 404 }), 'deliberate'), { name: 'Error', message: 'x', statusCode: 404 })
  t.same(presentError(withFields('x', { statusCode: '500' }), 'deliberate'), { name: 'Error', message: 'x', statusCode: '500' }, 'a status is a number')
})

t.test('an error that a client sent is not shown to another when it is thrown', async (t) => {
  const error = hydrateError({ message: 'x', expose: true })
  t.equal(presentError(error, 'thrown'), undefined)
  t.same(presentError(withFields('x', { expose: true }), 'thrown'), { name: 'Error', message: 'x' })
})

t.test('the plain form of an error has its fields, never its stack', async (t) => {
  t.same(dehydrateError(withFields('x', { code: 7, statusCode: 4401, a: { b: [1] }, cause: 1, expose: true })), { name: 'Error', message: 'x', code: 7, statusCode: 4401, a: { b: [1] } })
  t.same(dehydrateError(withFields('x', { code: {}, statusCode: 'no' })), { name: 'Error', message: 'x', code: {}, statusCode: 'no' })
  t.same(dehydrateError({ a: 1 }), { a: 1 })
  t.same(dehydrateError({ message: 7 }), { message: 7 })
  t.same(dehydrateError({ message: 'x', name: 7 }), { message: 'x', name: 7 })
  for (const value of ['text', 7, true, null, undefined]) t.equal(dehydrateError(value), value)
  t.equal(dehydrateError(5n), '5')
  t.equal(dehydrateError(Symbol('s')), 'Symbol(s)')
  t.equal(dehydrateError(function refuse () {}), '[function refuse]')
  t.equal(dehydrateError(() => {}), '[function anonymous]')
  const library = dehydrateError(scError('SC_ERR_TOKEN', ['secret of an engine'])) as Record<string, unknown>
  t.equal(library.message, 'The auth token could not be checked', 'clients read the text that is for them')
  t.ok(dehydrateError(scError('SC_ERR_TOKEN', ['x'])) instanceof ScError === false)
  for (const [key, value] of Object.entries({ code: 'C', retryAfter: 1, expiry: '2020', date: '2021', type: 't', reason: 'r', id: 'i' })) {
    t.match(dehydrateError(Object.assign(scError('SC_ERR_AUTH_RATE', [1]), { [key]: value, other: 1 })), { [key]: value })
  }
  t.notOk('other' in (dehydrateError(Object.assign(scError('SC_ERR_AUTH_RATE', [1]), { other: 1 })) as object))
})

t.test('fields are copied as far as they are plain data', async (t) => {
  const shown = (field: unknown): unknown => (dehydrateError({ field }) as { field?: unknown }).field
  t.equal(shown(5n), '5')
  t.equal(shown(Symbol('s')), 'Symbol(s)')
  t.equal(shown(() => {}), undefined)
  t.equal(shown(null), null)
  t.strictSame(shown(new Date(5)), new Date(5))
  t.equal(shown(new Date(NaN)), null)
  t.same(shown(new DriverError('x')), { name: 'DriverError', message: 'x' })
  t.equal(shown(new Map()), undefined)
  t.equal(shown(new (class { a = 1 })()), undefined)
  t.same(shown([1, undefined, () => {}, new Map(), [2]]), [1, null, null, null, [2]])
  t.same(shown({ a: 1, stack: 's', cause: 'c', b: undefined }), { a: 1 })
  t.same(shown(JSON.parse('{"__proto__":{"a":1},"b":1}')), { b: 1 })
  t.same(Object.keys(dehydrateError(JSON.parse('{"__proto__":{"a":1},"b":1}')) as object), ['b'])
})

t.test('circles and what lies too deep are named instead', async (t) => {
  const circle: Record<string, unknown> = { list: [] as unknown[] }
  circle.self = circle
  ;(circle.list as unknown[]).push(circle.list)
  t.same(dehydrateError({ circle }), { circle: { self: '[Circular]', list: ['[Circular]'] } })
  const twice = { a: 1 }
  t.same(dehydrateError({ field: [twice, twice] }), { field: [twice, twice] }, 'the same object beside itself is no circle')
  let deep: unknown = { end: true }
  for (let i = 0; i < 7; i++) deep = { deep }
  t.match(JSON.stringify(dehydrateError({ deep })), '"end":true')
  t.match(JSON.stringify(dehydrateError({ deep: { deep } })), '"[Object]"')
})

t.test('an error of a client becomes an Error', async (t) => {
  t.equal(hydrateError(undefined), null)
  t.equal(hydrateError(null), null)
  t.match(hydrateError('text'), { message: 'text', name: 'Error' })
  t.match(hydrateError(7), { message: '7' })
  const error = hydrateError({ name: 'Own', message: 'x', a: 1, stack: 'theirs', toString: 'theirs', cause: 'c' }) as Error & Record<string, unknown>
  t.ok(error instanceof Error)
  t.match(error, { name: 'Own', message: 'x', a: 1, cause: 'c' })
  t.not(error.stack, 'theirs')
  t.type(error.toString, 'function', 'what every error has is not replaced')
  t.match(hydrateError({}), { name: 'Error', message: 'Invalid error message format' })
  t.match(hydrateError({ name: 7, message: {} }), { name: 'Error', message: 'Invalid error message format' })
  t.same(Object.getOwnPropertyDescriptor(error, 'a'), { value: 1, enumerable: true, writable: true, configurable: true })
  t.same(Object.getOwnPropertyDescriptor(hydrateError(JSON.parse('{"message":"x","__proto__":{"a":1}}'))!, 'a'), undefined)
})

t.test('nothing that an application throws makes any of it throw', async (t) => {
  const throwing = (): never => { throw new Error('read') }
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()
  const values = [
    revoked.proxy,
    new Proxy({}, { get: throwing, ownKeys: throwing, getPrototypeOf: throwing, has: throwing }),
    Object.defineProperty(new Error('x'), 'message', { get: throwing }),
    Object.defineProperty({}, 'a', { get: throwing, enumerable: true }),
    { a: revoked.proxy }, [revoked.proxy]
  ]
  for (const value of values) {
    for (const origin of origins) t.doesNotThrow(() => presentError(value, origin, { Error: {} }))
    t.doesNotThrow(() => dehydrateError(value))
  }
  t.same(dehydrateError({ a: revoked.proxy, b: 1 }), { b: 1 })
  t.same(dehydrateError(Object.defineProperty({ b: 1 }, 'a', { get: throwing, enumerable: true })), { b: 1 })
  fc.assert(fc.property(fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withTypedArray: true }), (value) => {
    for (const origin of origins) JSON.stringify(presentError({ field: value }, origin))
    JSON.stringify(dehydrateError(value))
    return true
  }))
})
