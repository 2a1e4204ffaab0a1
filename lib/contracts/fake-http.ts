import { EventEmitter } from 'node:events'
import { kCall } from './hidden-route.js'

type Headers = Record<string, string | string[] | undefined>

/**
 * Replaces Node's request for a call. The body is passed separately, so as a stream it is empty and ended. A real stream would
 * cost more than everything Fastify does for a call.
 */
export class StandInRequest extends EventEmitter {
  readonly method = 'POST'
  readonly httpVersion = '1.1'
  readonly httpVersionMajor = 1
  readonly httpVersionMinor = 1
  readonly complete = true
  readonly aborted = false
  readonly readable = false
  readonly readableEnded = true
  readonly destroyed = false
  readonly [kCall]: unknown

  constructor (readonly url: string, readonly headers: Headers, readonly socket: object, call: unknown) {
    super()
    this[kCall] = call
  }

  get originalUrl (): string {
    return this.url
  }

  get connection (): object {
    return this.socket
  }

  get trailers (): object {
    return {}
  }

  get rawHeaders (): string[] {
    return Object.entries(this.headers).flatMap(([name, value]) => [value ?? ''].flat().flatMap((one) => [name, one]))
  }

  pipe<T extends { end (): unknown }> (destination: T): T {
    destination.end()
    return destination
  }

  async * [Symbol.asyncIterator] (): AsyncGenerator<never> {}
  read (): null { return null }
  unpipe (): this { return this }
  pause (): this { return this }
  resume (): this { return this }
  setEncoding (): this { return this }
  setTimeout (): this { return this }
  destroy (): this { return this }
}

/** The reply that a stand-in response gathered. */
export interface GatheredReply {
  statusCode: number
  headers: Headers
  body: string | Buffer
}

type Chunk = string | Uint8Array
type Done = (err?: Error | null) => void

/** Replaces Node's response for a call: gathers what is written and passes it on once. */
export class StandInResponse extends EventEmitter {
  statusCode = 200
  statusMessage = ''
  headersSent = false
  sendDate = false
  strictContentLength = false
  writable = true
  writableEnded = false
  writableFinished = false
  destroyed = false
  readonly writableLength = 0
  readonly writableNeedDrain = false
  readonly #headers: Headers = {}
  readonly #finish: (reply: GatheredReply) => void
  #text = ''
  #chunks: Buffer[] | null = null

  constructor (readonly req: StandInRequest, finish: (reply: GatheredReply) => void) {
    super()
    this.#finish = finish
  }

  get socket (): object {
    return this.req.socket
  }

  get connection (): object {
    return this.req.socket
  }

  get finished (): boolean {
    return this.writableEnded
  }

  setHeader (name: string, value: string | readonly string[] | number): this {
    this.#headers[name.toLowerCase()] = typeof value === 'object' ? [...value] : String(value)
    return this
  }

  setHeaders (headers: Iterable<[string, string]>): this {
    for (const [name, value] of headers) this.setHeader(name, value)
    return this
  }

  appendHeader (name: string, value: string | readonly string[]): this {
    const old = this.getHeader(name)
    return this.setHeader(name, old === undefined ? value : [old, value as string | string[]].flat())
  }

  getHeader (name: string): string | string[] | undefined {
    return this.#headers[name.toLowerCase()]
  }

  getHeaders (): Headers {
    return { ...this.#headers }
  }

  getHeaderNames (): string[] {
    return Object.keys(this.#headers)
  }

  hasHeader (name: string): boolean {
    return this.#headers[name.toLowerCase()] !== undefined
  }

  removeHeader (name: string): void {
    delete this.#headers[name.toLowerCase()]
  }

  writeHead (statusCode: number, reason?: unknown, headers?: unknown): this {
    this.statusCode = statusCode
    const given = typeof reason === 'object' ? reason : headers
    if (typeof given === 'object' && given !== null) {
      for (const [name, value] of Object.entries(given)) if (value !== undefined) this.setHeader(name, value)
    }
    this.headersSent = true
    return this
  }

  write (chunk: Chunk, encoding?: BufferEncoding | Done, done?: Done): boolean {
    if (this.writableEnded || this.destroyed) return false
    this.headersSent = true
    this.#gather(chunk, encoding);
    (typeof encoding === 'function' ? encoding : done)?.()
    return true
  }

  end (chunk?: Chunk | Done | null, encoding?: BufferEncoding | Done, done?: Done): this {
    if (this.writableEnded || this.destroyed) return this
    this.headersSent = true
    // A reply is usually one string, which needs no copy.
    if (typeof chunk === 'string' && this.#chunks === null) this.#text = chunk
    else if (chunk !== undefined && chunk !== null && typeof chunk !== 'function') this.#gather(chunk, encoding)
    this.writable = false
    this.writableEnded = true
    this.writableFinished = true
    this.#finish({ statusCode: this.statusCode, headers: this.#headers, body: this.#chunks === null ? this.#text : Buffer.concat(this.#chunks) })
    for (const callback of [chunk, encoding, done]) if (typeof callback === 'function') callback()
    this.emit('finish')
    this.emit('close')
    return this
  }

  /** Ends a reply that breaks off, such as a stream that failed, with status 500. */
  destroy (): this {
    if (this.writableEnded || this.destroyed) return this
    this.writable = false
    this.destroyed = true
    this.#finish({ statusCode: 500, headers: { 'content-type': 'application/json' }, body: '{"statusCode":500,"error":"Internal Server Error","message":"The reply broke off"}' })
    this.emit('close')
    return this
  }

  #gather (chunk: Chunk, encoding: unknown): void {
    (this.#chunks ??= []).push(typeof chunk === 'string' ? Buffer.from(chunk, typeof encoding === 'string' ? encoding as BufferEncoding : 'utf8') : Buffer.from(chunk))
  }

  // These do nothing, because nothing is sent before the reply ends.
  flushHeaders (): void {}
  writeContinue (): void {}
  writeProcessing (): void {}
  writeEarlyHints (_hints: unknown, callback?: () => void): void { callback?.() }
  addTrailers (): void {}
  cork (): void {}
  uncork (): void {}
  setTimeout (): this { return this }
}

/** Creates a stand-in for the TCP socket, for sockets without one, as in tests without a network. */
export function standInSocket (remoteAddress: string | undefined, remotePort: number | undefined): object {
  return Object.assign(new EventEmitter(), { remoteAddress, remotePort, encrypted: false, destroyed: false, setTimeout () {} })
}
