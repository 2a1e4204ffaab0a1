import type { ScContracts, ScHttpCallOptions, ScHttpChannel, ScHttpClient, ScHttpClientOptions, ScHttpPublishOptions, ScRecoveryEvent, ScResult } from '../../types/client.js'
import type { UserData } from '../../types/user-data.js'
import { hasParams } from '../contracts/fill-pattern.js'
import { reportError } from './call-handler.js'
import { type Params, nameOf } from './channel-name.js'
import { HttpChannel } from './http-channel.js'
import { HttpRequests, named } from './http-requests.js'

/** Milliseconds to wait for the answer to a request. */
const defaultTimeout = 10_000
/** Milliseconds without a comment or an event after which a stream counts as lost. The server sends one every 20 seconds. */
const defaultSilence = 60_000

/** The untyped client. Only the signature of `overHttp` knows the contract, so it exists at compile time only. */
interface Client {
  invoke (event: string, data?: unknown, options?: ScHttpCallOptions): Promise<unknown>
  tryInvoke (event: string, data?: unknown, options?: ScHttpCallOptions): Promise<ScResult<UserData>>
  publish (pattern: string, ...args: unknown[]): Promise<void>
  subscribe (pattern: string, ...args: unknown[]): ScHttpChannel<unknown>
  close (): void
}

/**
 * A client for places where no websocket comes through: it calls events, publishes and subscribes over HTTP, with the types of a
 * contract. It needs `fetch` only.
 *
 * ```ts
 * const client = overHttp<{ events: typeof events, channels: typeof channels }>('https://example.com/realtime', { token, events: '/shop' })
 * const { left } = await client.invoke('order', { article: 'tea', count: 1 })
 * for await (const { text } of client.subscribe('room/:id', { id: '7' })) show(text)
 * ```
 *
 * @param baseUrl where `fastify-socketcluster/http` is registered, for `publish` and `subscribe`
 * @throws TypeError if a URL is not valid
 */
export function overHttp<C extends ScContracts> (baseUrl: string | URL, options?: ScHttpClientOptions): ScHttpClient<C>
export function overHttp (baseUrl: string | URL, options: ScHttpClientOptions = {}): Client {
  const base = folder(baseUrl)
  const events = options.events === undefined ? base : folder(new URL(options.events, base))
  const { timeout = defaultTimeout, silence = defaultSilence, routes = {} } = options
  const closing = new AbortController()
  const requests = new HttpRequests(options, closing.signal)
  const channels = new Map<string, HttpChannel>()

  const invoke = async (event: string, data?: unknown, { timeout: own = timeout, signal }: ScHttpCallOptions = {}): Promise<unknown> => {
    const { url = `/events/${event}`, method = 'POST' } = routes[event] ?? {}
    return await requests.send(method, new URL(`.${url.replaceAll('::', ':')}`, events).href, data, {}, own, signal)
  }
  const publish = async (channel: string, data: unknown, { idempotencyKey, signal, timeout: own = timeout }: ScHttpPublishOptions = {}): Promise<void> => {
    await requests.send('POST', new URL('publish', base).href, { channel, data }, idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }, own, signal)
  }
  return {
    invoke,
    async tryInvoke (event, data, callOptions) {
      try {
        return { ok: true, data: await invoke(event, data, callOptions) }
      } catch (error) {
        return { ok: false, error: error as ScResult<UserData>['error'] & Error }
      }
    },
    publish (pattern, ...args) {
      const params = hasParams(pattern) ? args.shift() as Params : undefined
      return publish(nameOf(pattern, params), args[0], args[1] as ScHttpPublishOptions | undefined)
    },
    subscribe (pattern, params) {
      const name = nameOf(pattern, params as Params | undefined)
      const known = channels.get(name)
      if (known !== undefined) return known
      if (closing.signal.aborted) throw closed()
      const channel = new HttpChannel(name, {
        requests,
        url: `${new URL('stream', base).href}?${new URLSearchParams({ channel: name }).toString()}`,
        silence,
        onRecovery: (event: ScRecoveryEvent) => { options.onRecovery?.(event) },
        publish: (message) => publish(name, message),
        ended: () => { channels.delete(name) }
      })
      channels.set(name, channel)
      channel.run().catch(reportError)
      return channel
    },
    close () {
      for (const channel of [...channels.values()]) channel.unsubscribe()
      closing.abort(closed())
    }
  }
}

function closed (): Error {
  return named('BadConnectionError', 'The client is closed')
}

/** The URL with a slash at its end, so that paths are added to it. */
function folder (url: string | URL): URL {
  const whole = new URL(url)
  if (!whole.pathname.endsWith('/')) whole.pathname += '/'
  return whole
}
