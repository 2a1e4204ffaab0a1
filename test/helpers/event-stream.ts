import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import type { Cleanup } from './raw.js'
import { Inbox } from './raw.js'

/** An event of a stream, as an EventSource would dispatch it. */
export interface StreamEvent {
  /** `message` without a name. */
  readonly event: string
  /** Parsed; `undefined` for lines without data. */
  readonly data: any
  /** The id that the client has with it. */
  readonly id: string
}

/** A client of an event stream that follows the specification to the letter. */
export class StreamReader {
  readonly events = new Inbox<StreamEvent>()
  readonly all: StreamEvent[] = []
  /** All that came, as text. */
  text = ''
  comments = 0
  retry: number | null = null
  lastEventId = ''
  ended = false
  readonly #response: IncomingMessage
  #line = ''
  #fields = { event: '', data: [] as string[], id: '' }

  constructor (response: IncomingMessage) {
    this.#response = response
    response.setEncoding('utf8')
    response.on('data', (text: string) => { this.#take(text) })
    response.on('error', () => {})
    response.once('close', () => { this.ended = true })
  }

  get status (): number { return this.#response.statusCode! }
  get headers (): IncomingMessage['headers'] { return this.#response.headers }

  /** Resolves with the next event of a name. */
  next (event = 'message'): Promise<StreamEvent> { return this.events.take((each) => each.event === event, `an event ${event}`) }
  /** Resolves with the data of the next publication. */
  async data (): Promise<any> { return (await this.next()).data.data }

  pause (): void { this.#response.pause() }
  resume (): void { this.#response.resume() }
  close (): void { this.#response.destroy() }

  async end (): Promise<void> {
    if (!this.ended) await once(this.#response, 'close')
  }

  #take (text: string): void {
    this.text += text
    const lines = (this.#line + text).split(/\r\n|[\r\n]/)
    this.#line = lines.pop()!
    for (const line of lines) this.#takeLine(line)
  }

  #takeLine (line: string): void {
    if (line === '') return this.#dispatch()
    const [, name, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!
    if (name === '') this.comments++
    else if (name === 'data') this.#fields.data.push(value ?? '')
    else if (name === 'event') this.#fields.event = value ?? ''
    else if (name === 'id' && value?.includes('\0') !== true) this.#fields.id = value ?? ''
    else if (name === 'retry' && /^\d+$/.test(value ?? '')) this.retry = Number(value)
    else throw new Error(`a line that no stream has: ${JSON.stringify(line)}`)
  }

  #dispatch (): void {
    const { event, data, id } = this.#fields
    this.lastEventId = id
    this.#fields = { event: '', data: [], id }
    if (data.length === 0) return
    const told = { event: event === '' ? 'message' : event, data: JSON.parse(data.join('\n')), id }
    this.all.push(told)
    this.events.push(told)
  }
}

/** Opens a stream. @param query channels and other fields of the query */
export async function openStream (t: Cleanup, port: number, channels: readonly string[], { headers = {}, query = {}, path = '/stream' }: { headers?: Record<string, string>, query?: Record<string, string>, path?: string } = {}): Promise<StreamReader> {
  const search = new URLSearchParams([...channels.map((channel) => ['channel', channel] as [string, string]), ...Object.entries(query)])
  const sent = request({ host: '127.0.0.1', port, path: `${path}?${search.toString()}`, headers, agent: false })
  t.teardown(() => sent.destroy())
  sent.on('error', () => {})
  sent.end()
  const [response] = await once(sent, 'response') as [IncomingMessage]
  return new StreamReader(response)
}

/** Opens a stream and waits for its first event. */
export async function startStream (...args: Parameters<typeof openStream>): Promise<StreamReader> {
  const stream = await openStream(...args)
  if (stream.status !== 200) throw new Error(`status ${stream.status}`)
  await stream.next('subscribed')
  return stream
}

/** Opens a stream that is refused. Resolves with the status and the body. */
export async function refusedStream (...args: Parameters<typeof openStream>): Promise<{ status: number, headers: IncomingMessage['headers'], body: any }> {
  const stream = await openStream(...args)
  if (stream.status === 200) throw new Error('the stream was opened')
  await stream.end()
  return { status: stream.status, headers: stream.headers, body: stream.text === '' ? null : JSON.parse(stream.text) }
}
