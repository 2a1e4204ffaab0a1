// The default auth engine in an application of its own, and helpers to create tokens.
import { createHmac } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Test } from 'tap'
import { signToken, verifyToken } from '../../lib/auth/call-engine.js'
import { createJwtEngine, type JwtEngine } from '../../lib/auth/engine.js'
import type { AuthKey, ScAuthToken, SignTokenOptions } from '../../types/auth.js'
import type { ScPluginOptions } from '../../types/options.js'

export const SECRET = 'a secret of more than thirty-two bytes'

export interface LogLine { level: number, msg: string, [field: string]: unknown }

/** Creates an application that records its log lines. */
export function newApp (t: Test): { app: FastifyInstance, warnings: () => LogLine[] } {
  const lines: LogLine[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } })
  t.teardown(() => app.close())
  return { app, warnings: () => lines.filter((line) => line.level === 40) }
}

/** Registers the engine like the plugin: in the context of the application; the keys are resolved in `onReady`. */
export function sc (app: FastifyInstance, options: ScPluginOptions, set: (engine: JwtEngine) => void): void {
  app.register(fp(async (instance) => {
    const engine = await createJwtEngine(instance, options)
    set(engine)
    instance.addHook('onReady', async () => { engine.resolve() })
  }))
}

export async function ready (t: Test, options: ScPluginOptions, before?: (app: FastifyInstance) => void, after?: (app: FastifyInstance) => void) {
  const { app, warnings } = newApp(t)
  let engine!: JwtEngine
  before?.(app)
  sc(app, options, (made) => { engine = made })
  after?.(app)
  await app.ready()
  return { app, engine, keys: engine.resolve(), warnings }
}

export type Ready = Awaited<ReturnType<typeof ready>>
export const sign = ({ engine, keys }: Pick<Ready, 'engine' | 'keys'>, token: object, options: Omit<SignTokenOptions, 'async'> = {}, key: AuthKey | null = keys.signatureKey) =>
  signToken(engine, token as ScAuthToken, key, { async: false, ...options }) as string
export const verify = ({ engine, keys }: Pick<Ready, 'engine' | 'keys'>, token: unknown, key: AuthKey | null = keys.verificationKey, algorithms?: string[]) =>
  verifyToken(engine, token as string, key, { async: true, algorithms }) as ScAuthToken

export function outcome<R> (fn: () => R): { value?: R, error?: { name: string, message: string } } {
  try {
    return { value: fn() }
  } catch (err) {
    return { error: { name: (err as Error).name, message: (err as Error).message } }
  }
}

export const b64 = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
/** Creates a token with any header and payload and a valid signature. */
export function forge (header: unknown, payload: unknown, secret: string = SECRET): string {
  const input = `${b64(header)}.${b64(payload)}`
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}
