import type { ScHttpClientOptions } from '../../types/client.js'

/** The name of the error when no answer of the server came. */
const noAnswer = 'BadConnectionError'

/** Requests of `overHttp`: with the token, and with the errors that a client over a websocket would get. */
export class HttpRequests {
  readonly #options: ScHttpClientOptions
  readonly #signal: AbortSignal

  /** @param signal ends all requests */
  constructor (options: ScHttpClientOptions, signal: AbortSignal) {
    this.#options = options
    this.#signal = signal
  }

  /** Sends data as JSON, and resolves with the data of the answer. */
  async send (method: string, url: string, data: unknown, headers: Readonly<Record<string, string>>, timeout: number, given?: AbortSignal): Promise<unknown> {
    const late = timeout === 0 ? undefined : AbortSignal.timeout(timeout)
    const signal = AbortSignal.any([this.#signal, given, late].filter((each) => each !== undefined))
    const body = data === undefined ? {} : { body: JSON.stringify(data) }
    try {
      const response = await this.#fetch(url, { method, ...body, headers: { ...(data === undefined ? {} : { 'content-type': 'application/json' }), ...headers }, signal })
      if (!response.ok) throw await errorOf(response)
      return await answerOf(response)
    } catch (err) {
      if (late?.aborted === true && !this.#signal.aborted && given?.aborted !== true) throw named('TimeoutError', `No answer to ${method} ${url} within ${timeout} ms; the option timeout allows more`, err)
      throw signal.aborted ? signal.reason : err
    }
  }

  /** Opens a stream. Resolves with the response, whatever its status. */
  async open (url: string, lastEventId: string, signal: AbortSignal): Promise<Response> {
    return await this.#fetch(url, { headers: { accept: 'text/event-stream', ...(lastEventId === '' ? {} : { 'last-event-id': lastEventId }) }, signal })
  }

  /** @throws an error named BadConnectionError if there is no answer */
  async #fetch (url: string, { headers, ...init }: RequestInit & { headers: Record<string, string> }): Promise<Response> {
    const { fetch = globalThis.fetch, headers: always, token } = this.#options
    const signed = typeof token === 'function' ? await token() : token
    const authorization: Record<string, string> = signed === undefined || signed === null || signed === '' ? {} : { authorization: `Bearer ${signed}` }
    init.signal!.throwIfAborted()
    try {
      return await fetch(url, { ...init, headers: { ...always, ...authorization, ...headers } })
    } catch (err) {
      throw init.signal!.aborted ? err : named(noAnswer, `No answer of ${url}`, err)
    }
  }
}

/** Returns an error with a name. */
export function named (name: string, message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, cause === undefined ? undefined : { cause }), { name })
}

/** The data of a response. @throws an error named BadConnectionError if it is cut off, or no JSON */
async function answerOf (response: Response): Promise<unknown> {
  try {
    const text = await response.text()
    return text === '' ? undefined : JSON.parse(text)
  } catch (err) {
    throw named(noAnswer, `What ${response.url} answered is cut off, or is no answer of the server`, err)
  }
}

/** The error of a response that is none of success: that of the server, with its fields, or one about the status. */
export async function errorOf (response: Response): Promise<Error & { statusCode: number }> {
  const { status, headers } = response
  const fields = await bodyOf(response)
  const retryAfter = readRetryAfter(headers.get('retry-after'))
  const isOurs = typeof fields.message === 'string' && typeof fields.name === 'string'
  const error = isOurs ? named(fields.name as string, fields.message as string) : named(noAnswer, `Status ${status} of ${response.url}, which is no answer of the server`)
  const { name, message, error: _text, ...others } = isOurs ? fields : {}
  return Object.assign(error, others, { statusCode: status }, retryAfter === null ? {} : { retryAfter })
}

async function bodyOf (response: Response): Promise<Record<string, unknown>> {
  try {
    const body = JSON.parse(await response.text()) as unknown
    return typeof body === 'object' && body !== null ? body as Record<string, unknown> : {}
  } catch {
    return {}
  }
}

/** Milliseconds of a `Retry-After` header: seconds, or a date. */
function readRetryAfter (value: string | null): number | null {
  if (value === null) return null
  const time = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now()
  return Number.isNaN(time) ? null : Math.max(0, time)
}
