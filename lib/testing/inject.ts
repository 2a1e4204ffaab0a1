import type { FastifyInstance } from 'fastify'
import type { WebSocket } from 'ws'
import type { ScAuthToken } from '../../types/auth.js'
import type { ScServer } from '../../types/server.js'
import type { InjectOptions, ScTestClient, ScTestContract } from '../../types/testing.js'
import '../../types/fastify.js'
import { scError } from '../errors.js'
import { TestClient } from './client.js'
import { upgrade } from './upgrade.js'

const optionNames = ['protocol', 'headers', 'token', 'path', 'remoteAddress', 'contract', 'timeout', 'pong']

/**
 * Connects a client without a network, like Fastify's `inject` for requests. The application does not have to listen. Upgrade,
 * hooks, handshake, validation and close are the real ones. `app.close()` also closes the client.
 *
 * ```ts
 * const client = await injectSC(app, { token: { sub: 'ada' }, contract: { events, channels } })
 * t.same(await client.invoke('chat', { room: '7', text: 'hi' }), { id: '1' })
 * const room = await client.subscribe('room/:id', { id: '7' })
 * t.same(await room.next(), { from: 'ada', text: 'hi' })
 * ```
 *
 * @throws SC_ERR_UPGRADE_REFUSED with `statusCode`, `headers` and `body` when a hook, the origin check or a limit refuses the upgrade
 * @throws the server's error when a `handshakeSC` hook refuses the handshake; its `data.code` is the close code
 */
export async function injectSC<const C extends ScTestContract | undefined = undefined> (app: FastifyInstance, options: InjectOptions<C> = {}): Promise<ScTestClient<C>> {
  const { protocol = 2, headers = {}, token, remoteAddress = '127.0.0.1', contract, timeout = 5_000, pong = true } = options
  for (const name of Object.keys(options)) {
    if (!optionNames.includes(name)) throw scError('SC_ERR_OPTIONS', [`injectSC has no option "${name}"; expected some of ${optionNames.join(', ')}`])
  }
  if (protocol !== 1 && protocol !== 2) throw scError('SC_ERR_OPTIONS', [`Option protocol: expected 1 or 2, got ${JSON.stringify(protocol)}`])
  // `ready()` of a child context cannot be called once the application is ready.
  if ((app.scServer as ScServer | undefined)?.isReady !== true) await app.ready()
  if (!app.hasDecorator('scServer')) throw scError('SC_ERR_OPTIONS', ['injectSC expects an application with fastify-socketcluster registered'])

  const signed = token === undefined || typeof token === 'string' ? token ?? null : await sign(app, token)
  let client!: TestClient
  await upgrade(app, {
    path: options.path ?? app.scServer.getPath(),
    headers,
    remoteAddress,
    timeout,
    // The first messages may arrive together with the upgrade's response.
    onSocket (ws: WebSocket) {
      client = new TestClient(ws, {
        protocol,
        timeout,
        pong,
        patterns: contract?.channels !== undefined,
        sign: (claims) => sign(app, claims)
      })
    }
  })
  try {
    await client.handshake(signed)
  } catch (err) {
    client.terminate()
    throw err
  }
  return client as ScTestClient<C>
}

/** Signs a token as the server itself would. */
async function sign ({ scServer }: FastifyInstance, claims: ScAuthToken): Promise<string> {
  const { auth, signatureKey, options } = scServer
  return await new Promise((resolve, reject) => {
    const lifetime = claims.exp === undefined ? { expiresIn: options.authDefaultExpiry } : {}
    // An audience in the test's claims is kept.
    const purpose = typeof options.authAudience === 'string' ? { aud: options.authAudience } : {}
    const returned = auth.signToken({ ...purpose, ...claims }, signatureKey, { async: options.authSignAsync, ...lifetime }, (err, signed) => {
      if (err !== null) reject(err)
      else resolve(signed as string)
    })
    returned?.then((signed) => { if (signed !== undefined) resolve(signed) }, reject)
  })
}
