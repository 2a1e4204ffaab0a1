/** An event of a stream of server-sent events. */
export interface StreamEvent {
  /** `'message'` for an event without a name. */
  readonly event: string
  readonly data: string
}

/**
 * Reads the text of server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html. It works with `fetch`, which
 * can send a token, while an EventSource cannot.
 */
export class EventStreamParser {
  /** The id of the last whole event. */
  lastEventId: string
  /** Milliseconds after which the server wants the client back; `null` until it says so. */
  retry: number | null = null
  readonly #onEvent: (event: StreamEvent) => void
  #rest = ''
  #event = ''
  #id: string
  #data: string[] = []

  constructor (lastEventId: string, onEvent: (event: StreamEvent) => void) {
    this.lastEventId = this.#id = lastEventId
    this.#onEvent = onEvent
  }

  /** Takes the next part of the stream. An event is passed on with the empty line after it. */
  push (text: string): void {
    // A carriage return at the end may be the first half of a line's end.
    const held = text.endsWith('\r') ? '\r' : ''
    const lines = (this.#rest + (held === '' ? text : text.slice(0, -1))).split(/\r\n|[\r\n]/)
    this.#rest = lines.pop()! + held
    for (const line of lines) this.#takeLine(line)
  }

  #takeLine (line: string): void {
    if (line === '') {
      this.#dispatch()
      return
    }
    const colon = line.indexOf(':')
    const name = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (name === 'data') this.#data.push(value)
    else if (name === 'event') this.#event = value
    else if (name === 'id' && !value.includes('\0')) this.#id = value
    else if (name === 'retry' && /^\d+$/.test(value)) this.retry = Number(value)
  }

  #dispatch (): void {
    const event = this.#event === '' ? 'message' : this.#event
    const data = this.#data
    this.#event = ''
    this.#data = []
    this.lastEventId = this.#id
    if (data.length > 0) this.#onEvent({ event, data: data.join('\n') })
  }
}
