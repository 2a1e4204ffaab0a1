// Engines of the application's own, beyond what they answer: how their methods may be written.
import t from 'tap'
import { signToken, verifyToken } from '../../lib/auth/call-engine.js'
import type { AuthEngine, ScAuthToken } from '../../types/auth.js'

type Callback = (err: unknown, value?: unknown) => void

const claims: ScAuthToken = { sub: 'ann' }
const verify = async (method: unknown): Promise<ScAuthToken> => verifyToken({ verifyToken: method } as AuthEngine, 'token', 'key', { async: true })
const sign = async (method: unknown): Promise<string> => signToken({ signToken: method } as AuthEngine, claims, 'key', { async: false })

t.test('what fails without an error has one, and says what it was', async (t) => {
  for (const failure of [7, { reason: 'x' }, true]) {
    await t.rejects(verify((_token: unknown, _key: unknown, _options: unknown, callback: Callback) => callback(failure)), { message: 'The auth engine failed', cause: failure })
  }
  // eslint-disable-next-line n/no-callback-literal
  await t.rejects(verify((_token: unknown, _key: unknown, _options: unknown, callback: Callback) => callback('in words')), { message: 'in words', cause: 'in words' })
})

t.test('what a method with a callback returns besides is no answer', async (t) => {
  for (const returned of [true, 'started', { timer: 1 }]) {
    t.equal(await verify((_token: unknown, _key: unknown, _options: unknown, callback: Callback) => {
      setImmediate(callback, null, claims)
      return returned
    }), claims)
  }
})

t.test('a callback that the length of the method does not tell of', async (t) => {
  t.equal(await verify((_token: unknown, _key: unknown, _options: unknown, callback: Callback = () => {}) => { setImmediate(callback, null, claims) }), claims, 'with a default')
  t.equal(await verify(async (...args: unknown[]) => { setImmediate(args[3] as Callback, null, claims) }), claims, 'among the rest, by an async function that is done before')
})

t.test('what is no token is named', async (t) => {
  await t.rejects(sign(async () => ''), { message: "The auth engine's signToken must answer with a non-empty string, got an empty one" })
  await t.rejects(sign(async () => 5), { message: "The auth engine's signToken must answer with a non-empty string, got number" })
  await t.rejects(verify(async (_token: unknown) => 'text'), { message: "The auth engine's verifyToken must answer with an object of claims, got string" })
})
