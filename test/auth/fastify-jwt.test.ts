import t from 'tap'
import { decoratorOf, findApplicationJwt, hasSecretFunction, type Jwt } from '../../lib/auth/fastify-jwt.js'

const sign = (): string => ''
const verify = (): object => ({})

t.test('a decorator `jwt` counts when it signs and verifies, a namespace when the option names it', async (t) => {
  const jwt = { sign, verify }
  t.equal(findApplicationJwt({ jwt } as never, {}), jwt)
  for (const other of [undefined, null, 'text', {}, { sign }, { verify }, { sign, verify: 'text' }]) t.equal(findApplicationJwt({ jwt: other } as never, {}), undefined)
  const spaces = { jwt: { a: jwt, b: { sign } } }
  t.equal(findApplicationJwt(spaces as never, {}), undefined)
  t.equal(findApplicationJwt(spaces as never, { jwtNamespace: 'a' }), jwt)
  t.equal(findApplicationJwt(spaces as never, { jwtNamespace: 'b' }), undefined)
  t.equal(findApplicationJwt({} as never, { jwtNamespace: 'a' }), undefined)
})

t.test('the user of a request is where the application says, else where @fastify/jwt leaves it', async (t) => {
  t.equal(decoratorOf({ options: { decoratorName: 'person' } }), 'person')
  for (const jwt of [undefined, null, {}, { options: {} }, { options: { decoratorName: 5 } }]) t.equal(decoratorOf(jwt), 'user')
})

t.test('whether the secret is a function is asked once, and without a rejection that nobody handles', async (t) => {
  const rejections: unknown[] = []
  const onRejection = (err: unknown): void => { rejections.push(err) }
  process.on('unhandledRejection', onRejection)
  t.teardown(() => process.off('unhandledRejection', onRejection))
  for (const [verify, has] of [
    [() => { throw new Error('malformed') }, false], [async () => { throw new Error('malformed') }, true], [() => ({ then () {} }), true], [() => undefined, true]
  ] as Array<[() => unknown, boolean]>) {
    let asked = 0
    const jwt: Jwt = { sign, verify () { asked++; return verify() }, decode: () => null, options: {} }
    t.strictSame([hasSecretFunction(jwt), hasSecretFunction(jwt), asked], [has, has, 1])
  }
  await new Promise((resolve) => setImmediate(resolve))
  t.strictSame(rejections, [])
})
