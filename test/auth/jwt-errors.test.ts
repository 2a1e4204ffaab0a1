import { inspect } from 'node:util'
import t from 'tap'
import { fromVerifier } from '../../lib/auth/jwt-errors.js'
import { toAuthError } from '../../lib/auth/token-errors.js'

const threeParts = 'a.b.c'
const failed = (code: string, message = ''): Error => Object.assign(new Error(message), { code })
const claims = (): unknown => ({ exp: 1_000, nbf: 2_000 })

t.test('what @fastify/jwt and fast-jwt say, in the words of jsonwebtoken', async (t) => {
  for (const [code, message, name, text] of [
    ['FAST_JWT_EXPIRED', '', 'TokenExpiredError', 'jwt expired'],
    ['FST_JWT_AUTHORIZATION_TOKEN_EXPIRED', '', 'TokenExpiredError', 'jwt expired'],
    ['FAST_JWT_INACTIVE', '', 'NotBeforeError', 'jwt not active'],
    ['FAST_JWT_MALFORMED', '', 'JsonWebTokenError', 'invalid token'],
    ['FAST_JWT_INVALID_PAYLOAD', '', 'JsonWebTokenError', 'invalid token'],
    ['FAST_JWT_INVALID_SIGNATURE', '', 'JsonWebTokenError', 'invalid signature'],
    ['FAST_JWT_VERIFY_ERROR', '', 'JsonWebTokenError', 'invalid signature'],
    ['FAST_JWT_MISSING_SIGNATURE', '', 'JsonWebTokenError', 'jwt signature is required'],
    ['FAST_JWT_INVALID_ALGORITHM', '', 'JsonWebTokenError', 'invalid algorithm'],
    ['FAST_JWT_INVALID_CRIT_HEADER', '', 'JsonWebTokenError', 'unsupported critical header'],
    ['FAST_JWT_INVALID_TYPE', '', 'JsonWebTokenError', 'invalid token'],
    ['FST_JWT_AUTHORIZATION_TOKEN_INVALID', '', 'JsonWebTokenError', 'invalid token'],
    ['FST_JWT_AUTHORIZATION_TOKEN_UNTRUSTED', '', 'JsonWebTokenError', 'invalid token'],
    ['FAST_JWT_MISSING_REQUIRED_CLAIM', 'The iss claim is required.', 'JsonWebTokenError', 'jwt issuer invalid'],
    ['FAST_JWT_INVALID_CLAIM_TYPE', 'The jti claim must be a string.', 'JsonWebTokenError', 'jwt jwtid invalid'],
    ['FAST_JWT_INVALID_CLAIM_VALUE', 'None of aud claim values are allowed.', 'JsonWebTokenError', 'jwt audience invalid'],
    ['FAST_JWT_INVALID_CLAIM_VALUE', 'The sub claim value is not allowed.', 'JsonWebTokenError', 'jwt subject invalid'],
    ['FAST_JWT_INVALID_CLAIM_VALUE', 'The nonce claim value is not allowed.', 'JsonWebTokenError', 'jwt nonce invalid'],
    ['FAST_JWT_INVALID_CLAIM_VALUE', 'The room claim value is not allowed.', 'JsonWebTokenError', 'invalid room value'],
    ['FAST_JWT_INVALID_CLAIM_VALUE', 'Not allowed.', 'JsonWebTokenError', 'invalid claim value']
  ] as const) {
    const err = fromVerifier(failed(code, message), threeParts, claims)
    t.ok(err instanceof Error)
    t.strictSame([err.name, err.message], [name, text], `${code} ${message}`)
  }
  t.equal(fromVerifier(failed('FAST_JWT_MALFORMED'), 'a.b', claims).message, 'jwt malformed')
})

t.test('the times are those of the token, and no dates where it cannot be read', async (t) => {
  t.strictSame(fromVerifier(failed('FAST_JWT_EXPIRED'), threeParts, claims), Object.assign(new Error('jwt expired'), { name: 'TokenExpiredError', expiredAt: new Date(1_000_000) }))
  t.match(fromVerifier(failed('FAST_JWT_INACTIVE'), threeParts, claims), { date: new Date(2_000_000) })
  for (const decode of [() => null, () => ({}), () => { throw new Error('no') }]) {
    const { expiredAt } = fromVerifier(failed('FAST_JWT_EXPIRED'), threeParts, decode) as Error & { expiredAt: Date }
    t.equal(inspect(expiredAt), 'Invalid Date')
  }
})

t.test('what the token is not to blame for is not said of it', async (t) => {
  const offline = failed('ECONNREFUSED', 'the keys could not be fetched')
  t.equal(fromVerifier(offline, threeParts, claims), offline)
  t.match(fromVerifier('in words', threeParts, claims), { name: 'Error', message: 'in words' })
  t.match(fromVerifier(new RangeError('Invalid time value'), threeParts, claims), { name: 'JsonWebTokenError', message: 'invalid token' }, 'a time that no date can hold is in the token')
})

t.test('an error of an engine has its name as text, or none that counts', async (t) => {
  for (const name of [['NotBeforeError'], { toString: () => 'NotBeforeError' }, { toString () { throw new Error('no') } }, Symbol('NotBeforeError')]) {
    const { authError, isBadToken } = toAuthError({ name, message: 'x' })
    t.strictSame([authError.name, isBadToken], ['AuthTokenError', true])
  }
})

t.test('its cause is one as of any error', async (t) => {
  const cause = new Error('no')
  const { value, ...kind } = Object.getOwnPropertyDescriptor(toAuthError(cause).authError, 'cause')!
  t.equal(value, cause)
  const { value: ofAny, ...kindOfAny } = Object.getOwnPropertyDescriptor(new Error('x', { cause }), 'cause')!
  t.equal(ofAny, cause)
  t.strictSame(kind, kindOfAny)
})
