import { checkFunction, checkText } from './arguments.js'
import { promiseOf } from './promises.js'
import { Stream } from './streams.js'

export type Listener = (...args: any[]) => unknown

interface Entry {
  readonly fn: Listener
  readonly once: boolean
}

/**
 * Listeners by event name, in a Map: names that clients choose can be any text.
 * A listener that throws or rejects never harms who emits: `onListenerError` gets the error.
 */
export abstract class Emitter {
  // Most sockets listen to little; what is not used is not made.
  #entries: Map<string, Entry[]> | null = null
  #streams: Map<string, Stream<unknown>> | null = null

  /** Gets what a listener threw or rejected with. */
  protected abstract onListenerError (err: unknown, event: string): void

  on (event: string, listener: Listener): this {
    return this.#add(event, listener, false)
  }

  once (event: string, listener: Listener): this {
    return this.#add(event, listener, true)
  }

  off (event?: string, listener?: Listener): this {
    if (event !== undefined) checkText('off', 'event', event)
    if (listener !== undefined) checkFunction('off', 'listener', listener)
    if (event === undefined) this.#entries = null
    else if (listener === undefined) this.#entries?.delete(event)
    else this.#remove(event, (entry) => entry.fn === listener)
    return this
  }

  removeListener (event: string, listener: Listener): this {
    return this.off(event, listener)
  }

  listeners (event: string): Listener[] {
    return this.#entries?.get(event)?.map((entry) => entry.fn) ?? []
  }

  hasListeners (event: string): boolean {
    return this.#entries?.has(event) ?? false
  }

  #add (event: string, fn: Listener, once: boolean): this {
    checkText('on', 'event', event)
    checkFunction('on', 'listener', fn)
    const entries = (this.#entries ??= new Map()).get(event)
    // Copied, so that an emit under way goes on with the listeners it began with.
    this.#entries.set(event, entries === undefined ? [{ fn, once }] : [...entries, { fn, once }])
    return this
  }

  #remove (event: string, matches: (entry: Entry) => boolean): void {
    const entries = this.#entries?.get(event)
    if (entries === undefined) return
    const at = entries.findIndex(matches)
    if (at === -1) return
    if (entries.length === 1) this.#entries!.delete(event)
    else this.#entries!.set(event, entries.toSpliced(at, 1))
  }

  /** Calls `visit` for each listener, after removing those that wanted to be called once. */
  protected forEachListener (event: string, visit: (listener: Listener) => void): void {
    const entries = this.#entries?.get(event)
    if (entries === undefined) return
    for (const entry of entries) {
      if (entry.once) this.#remove(event, (other) => other === entry)
      visit(entry.fn)
    }
  }

  /** The stream of an event, made on first use. */
  protected stream (key: string): Stream<any> {
    const streams = (this.#streams ??= new Map())
    let stream = streams.get(key)
    if (stream === undefined) streams.set(key, stream = new Stream())
    return stream
  }

  /** The stream of an event if somebody reads it. */
  protected activeStream (key: string): Stream<any> | undefined {
    const stream = this.#streams?.get(key)
    return stream?.active === true ? stream : undefined
  }

  protected closeStreams (): void {
    if (this.#streams === null) return
    for (const stream of this.#streams.values()) stream.close()
  }

  /** Calls the listeners of a local event and writes to its stream. */
  protected fire (event: string, args: unknown[], toObject?: (...args: any[]) => unknown): void {
    this.forEachListener(event, (listener) => {
      try {
        promiseOf(listener.apply(this, args))?.then(undefined, (err: unknown) => this.onListenerError(err, event))
      } catch (err) {
        this.onListenerError(err, event)
      }
    })
    if (toObject !== undefined) this.activeStream(event)?.write(toObject(...args))
  }
}
