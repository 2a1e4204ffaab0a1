import type { FastifyInstance, FastifyRequest, FastifyServerOptions } from 'fastify'
import { signToken } from '../../lib/auth/call-engine.js'
import type { ScAuthToken, ScPluginOptions, ScServer } from '../../lib/index.js'
import { type ScStreamOptions, scHttp } from '../../lib/http/index.js'
import { coreOf, type ServerCore } from '../../lib/server/core.js'
import { type App, startApp } from './app.js'
import type { Cleanup } from './raw.js'

export interface StreamsApp extends App {
  readonly core: ServerCore
  /** Signs claims as the server does. */
  sign (claims: ScAuthToken): Promise<string>
}

async function signTokenOf ({ auth, signatureKey }: ScServer, claims: ScAuthToken): Promise<string> {
  return await signToken(auth, claims, signatureKey, { async: false, ...('exp' in claims ? {} : { expiresIn: 60 }) })
}

/** Starts an application with the routes of streams, on a free port. */
export async function serveStreams (t: Cleanup, options: ScPluginOptions = {}, setUp?: (app: FastifyInstance) => unknown, streams: ScStreamOptions & { authorize?: (request: FastifyRequest, channels: readonly string[] | null) => unknown } = {}, fastifyOptions: FastifyServerOptions = {}): Promise<StreamsApp> {
  let core!: ServerCore
  const { authorize = () => {}, ...rest } = streams
  const served = await startApp(t, options, async (app) => {
    core = coreOf(app.scServer)
    await setUp?.(app)
    await app.register(scHttp, {
      streams: rest,
      operations: ['nodes'],
      async authorize (request, operation) {
        await authorize(request, operation.operation === 'stream' ? operation.channels : null)
        return true
      }
    })
  }, fastifyOptions)
  const sign = (claims: ScAuthToken): Promise<string> => signTokenOf(served.sc, claims)
  return Object.assign(served, { core, sign })
}
