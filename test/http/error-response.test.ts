import { createError } from '@fastify/error'
import t from 'tap'
import { type ScErrorCode, ScRefusal, errorTable, scError } from '../../lib/errors.js'
import { errorResponse, httpError } from '../../lib/http/error-response.js'
import { exposeError, presentError } from '../../lib/protocol/wire-errors.js'

/** A logger that keeps its lines. */
function makeLog (): { lines: Array<Record<string, unknown>>, log: never } {
  const lines: Array<Record<string, unknown>> = []
  return { lines, log: { error: (fields: Record<string, unknown>) => { lines.push(fields) }, isLevelEnabled: () => true } as never }
}

const { log } = makeLog()

t.test('the status, the headers and the body of an error', async (t) => {
  const body = { statusCode: 404, error: 'Not Found', message: 'No handler for the "x" event', name: 'InvalidActionError', code: 'SC_ERR_EVENT_UNKNOWN' }
  t.same(httpError(scError('SC_ERR_EVENT_UNKNOWN', ['x']), log), { statusCode: 404, headers: {}, body })
})

t.test('each error of the library has a status that fits', async (t) => {
  const wanted: Record<number, RegExp> = {
    400: /^SC_ERR_(MESSAGE(_CODEC|_DEPTH|_KEYS|_NODES|_PROTO)?|BATCH|HANDSHAKE_CID|CHANNEL_(TYPE|NAME|PARAM)|FILTER|HTTP_QUERY)$/,
    401: /^SC_ERR_(TOKEN(_EXPIRED|_INVALID|_NOT_BEFORE|_SIGNING|_DELIVERY|_REVOKED)?|CHANNEL_AUTH|HANDSHAKE_BLOCKED|SSE_TICKET(_USER)?)$/,
    403: /^SC_ERR_(ORIGIN|BLOCKED_SILENTLY|CHANNEL_REFUSED|COMPANION|PUBLISH_DISABLED|EVENT_NOT_ALLOWED|NOT_ALLOWED)$/,
    404: /^SC_ERR_(EVENT_UNKNOWN|CHANNEL_UNDECLARED|NO_HISTORY|NO_PRESENCE)$/,
    409: /^SC_ERR_KEY_RUNNING$/,
    413: /^SC_ERR_MESSAGE_SIZE$/,
    415: /^SC_ERR_CONTENT_TYPE$/,
    421: /^SC_ERR_HOST$/,
    422: /^SC_ERR_KEY_REUSED$/,
    426: /^SC_ERR_UPGRADE_REQUIRED$/,
    429: /^SC_ERR_((HISTORY_|CONNECTION_|AUTH_)?RATE|SSE_STREAMS_OF_KEY)$/,
    501: /^SC_ERR_NO_(KEYS|STORE)$/,
    503: /^SC_ERR_(CLOSING|UPGRADE_TIMEOUT|BROKER(_DOWN|_BUSY|_DROPPED|_CONNECT)?|SUBSCRIBE|UNSUBSCRIBED|CLUSTER|CONNECTIONS|CONNECTION_SHARE|HISTORY_ROOM|REVOCATIONS|STREAM_BEHIND|SSE_STREAMS)$/,
    504: /^SC_ERR_(HOOK_TIMEOUT|ACK_TIMEOUT|HANDLER_TIMEOUT|HISTORY_TIMEOUT|STREAM_TIMEOUT|NOTHING_CAME)$/
  }
  for (const code of Object.keys(errorTable) as ScErrorCode[]) {
    const { statusCode, headers, body } = httpError(scError(code, ['a', 'b', 'c']), log)
    const fits = Object.entries(wanted).find(([, codes]) => codes.test(code))
    t.equal(statusCode, fits === undefined ? 500 : Number(fits[0]), code)
    t.equal(body.statusCode, statusCode)
    t.equal('www-authenticate' in headers, statusCode === 401, code)
    t.equal('retry-after' in headers, statusCode === 429 || statusCode === 503, code)
  }
})

t.test('an error that the client may not see has only the id of its log line', async (t) => {
  const { lines, log } = makeLog()
  const { statusCode, body } = httpError(Object.assign(new TypeError('SELECT secret'), { statusCode: 404, query: 'secret' }), log)
  t.equal(statusCode, 500)
  t.match(body, { statusCode: 500, error: 'Internal Server Error', message: 'Internal error', name: 'Error', code: 'SC_ERR_INTERNAL', errorId: /^[\da-f-]{36}$/ })
  t.notMatch(JSON.stringify(body), /secret/)
  t.equal(lines[0]?.errorId, body.errorId)
  t.equal(httpError(new Error('secret'), log, { denied: true }).statusCode, 500, 'also when a hook threw it')
  const { body: down } = httpError(scError('SC_ERR_BROKER_DOWN', ['redis', 'secret']), log)
  t.match(down, { message: 'The redis broker is down', errorId: /^[\da-f-]{36}$/, id: undefined })
})

t.test('what exposeErrors shows is an internal error all the same', async (t) => {
  t.match(errorResponse(exposeError(new TypeError('x is not a function'))), { statusCode: 500, body: { name: 'TypeError', message: 'x is not a function' } })
})

t.test('an error that the application made for clients', async (t) => {
  t.match(httpError(new ScRefusal('no', { seat: 5 }), log), { statusCode: 400, body: { name: 'RefusalError', message: 'no', seat: 5 } })
  t.equal(httpError(new ScRefusal('no'), log, { denied: true }).statusCode, 403, 'a hook that refuses')
  t.equal(httpError(new ScRefusal('no', { statusCode: 402 }), log, { denied: true }).statusCode, 402)
  t.equal(httpError(new ScRefusal('no', { statusCode: 4403 }), log, { denied: true }).statusCode, 403, 'a close code is no status')
  t.equal(httpError(new ScRefusal('no', { statusCode: 200 }), log).statusCode, 400, 'an error is never a success')
  t.match(httpError(new ScRefusal('no', { name: 'NotAuthenticatedError' }), log), { statusCode: 401, headers: { 'www-authenticate': 'Bearer' } })
  t.equal(httpError(new (createError('X', 'no', 409))(), log).statusCode, 409)
  const declared = { Taken: { properties: { seat: { type: 'number' } } } }
  const taken = Object.assign(new Error('taken'), { name: 'Taken', seat: 5, by: 'secret' })
  t.same(httpError(taken, log, { declared }), { statusCode: 400, headers: {}, body: { statusCode: 400, error: 'Bad Request', message: 'taken', name: 'Taken', seat: 5 } })
  t.equal(httpError(Object.assign(taken, { statusCode: 409 }), log, { declared }).statusCode, 409)
})

t.test('a text, and values of other types', async (t) => {
  t.same(errorResponse('no', 403), { statusCode: 403, headers: {}, body: { message: 'no', statusCode: 403, error: 'Forbidden', name: 'Error' } })
  t.match(errorResponse(1234), { statusCode: 400, body: { message: '1234' } })
  t.match(errorResponse(presentError({ message: 5, error: 'x', statusCode: 'x' }, 'deliberate')), { statusCode: 400, body: { message: '', error: 'Bad Request' } })
})

t.test('how long to wait', async (t) => {
  t.match(httpError(scError('SC_ERR_RATE', [1_200], { retryAfter: 1_200 }), log), { statusCode: 429, headers: { 'retry-after': '2' }, body: { retryAfter: 1_200 } })
  t.match(httpError(scError('SC_ERR_BROKER', ['x']), log), { statusCode: 503, headers: { 'retry-after': '10' } })
  t.match(httpError(scError('SC_ERR_TOKEN_EXPIRED', ['jwt expired']), log).headers, { 'www-authenticate': 'Bearer error="invalid_token"' })
})
