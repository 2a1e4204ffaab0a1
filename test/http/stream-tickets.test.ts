import t from 'tap'
import { readTicket, ticketClaims, isTicket } from '../../lib/auth/ticket.js'
import { refusedStream, startStream } from '../helpers/event-stream.js'
import { serveStreams } from '../helpers/serve-streams.js'
import { connect20 } from '../helpers/app.js'

const asUser = (app: any): void => {
  app.addHook('onRequest', async (request: any) => {
    const { 'x-user': user } = request.headers
    if (user !== undefined) request.user = { sub: user, jti: 'session 7', role: 'admin' }
  })
  app.decorateRequest('user', null)
}

t.test('a ticket opens one stream, as its user', async (t) => {
  const { app, sc, port } = await serveStreams(t, {}, asUser)
  const answer = await app.inject({ method: 'POST', url: '/stream/ticket', headers: { 'x-user': 'ada' } })
  t.match(answer.json(), { ticket: String, expiresIn: 30_000 })
  t.equal(answer.headers['cache-control'], 'no-store')
  const query = { ticket: answer.json().ticket }
  const stream = await startStream(t, port, ['news'], { query })
  const [socket] = Object.values(sc.clients)
  t.match(socket!.authToken, { sub: 'ada', jti: 'session 7', role: 'admin' })
  t.strictSame(Object.keys(socket!.authToken!).sort(), ['jti', 'role', 'sub'])
  t.equal(socket!.signedAuthToken, null)
  t.match(await refusedStream(t, port, ['news'], { query }), { status: 401, body: { code: 'SC_ERR_SSE_TICKET' } }, 'once')
  const early = (await app.inject({ method: 'POST', url: '/stream/ticket', headers: { 'x-user': 'ada' } })).json()
  t.equal(await sc.revoke({ jti: 'session 7' }), 1)
  t.equal((await stream.next('disconnect')).data.code, 4401)
  const late = await app.inject({ method: 'POST', url: '/stream/ticket', headers: { 'x-user': 'ada' } })
  t.match(late.json(), { statusCode: 401, code: 'SC_ERR_TOKEN_REVOKED' })
  t.match(await refusedStream(t, port, ['news'], { query: { ticket: early.ticket } }), { status: 401, body: { code: 'SC_ERR_TOKEN_REVOKED' } })
})

t.test('100 requests with one ticket open one stream', async (t) => {
  const { app, sc, port } = await serveStreams(t, {}, asUser)
  const { ticket } = (await app.inject({ method: 'POST', url: '/stream/ticket', headers: { 'x-user': 'ada' } })).json()
  const results = await Promise.allSettled(Array.from({ length: 100 }, async () => await startStream(t, port, ['news'], { query: { ticket } })))
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  t.equal(sc.clientsCount, 1)
})

t.test('a ticket is no token, and nobody gets one without a user', async (t) => {
  const { app, port } = await serveStreams(t, {}, asUser)
  t.match((await app.inject({ method: 'POST', url: '/stream/ticket' })).json(), { statusCode: 401, code: 'SC_ERR_SSE_TICKET_USER' })
  const { ticket } = (await app.inject({ method: 'POST', url: '/stream/ticket', headers: { 'x-user': 'ada' } })).json()
  t.match(await refusedStream(t, port, ['news'], { headers: { authorization: `Bearer ${ticket}` } }), { status: 401, body: { code: 'SC_ERR_TOKEN_INVALID' } })
  const client = await connect20(t, { port })
  await t.rejects(client.authenticate(ticket), { name: 'AuthTokenInvalidError' })
  await startStream(t, port, ['news'], { query: { ticket } })
})

t.test('the claims of a ticket are those of its user, for a short time', async (t) => {
  const now = 1_700_000_000_500
  const claims = { sub: 'ada', iss: 'me', aud: ['x'], iat: 1_699_999_000, exp: 1_700_000_100, jti: 'a' }
  const ticket = ticketClaims(claims, now)
  t.match(ticket, { sub: 'ada', iss: 'me', aud: ['x'], exp: 1_700_000_030 })
  t.not(ticket.jti, 'a')
  t.ok(isTicket(ticket))
  t.notOk(isTicket(claims))
  t.strictSame(readTicket({ ...ticket, iat: 5 }), { id: ticket.jti, claims })
  t.equal(ticketClaims({ ...claims, exp: 1_700_000_010 }, now).exp, 1_700_000_010, 'never longer than the token')
  t.strictSame(readTicket({ ...ticketClaims({ sub: 'b' }, now), iat: 7 })!.claims, { sub: 'b' })
  t.equal(readTicket(claims), null)
  t.equal(readTicket({ 'sc:ticket': 1, jti: 'a' }), null)
})
