import type { AnyListener } from '../types/user-data.js'
import { checkFunction, checkText } from './arguments.js'
import { promiseOf } from './promises.js'
import { memorySize } from './memory-size.js'
import { type Stream, type StreamKeeper, StreamSet } from './streams.js'
import { isInstance, read } from './untrusted.js'

/** Counts what waits, for loops that have no socket in whose name it is held. */
export function memoryKeeper (behind: (err: Error) => void): StreamKeeper {
  return { countsBusy: false, hold: memorySize, release () {}, behind }
}

/** Of the arguments of an event those that are in memory because of it: text, bytes, plain data and errors. Sockets and servers live elsewhere. */
export function carried (args: unknown[]): unknown[] {
  const own = args.filter((arg) => typeof arg === 'string' || ArrayBuffer.isView(arg) || isInstance(arg, Error) || isPlain(arg))
  // Of a token that was refused, which is no enumerable property.
  const signedAuthToken = read(own[0], 'signedAuthToken')
  if (typeof signedAuthToken === 'string') own.push(signedAuthToken)
  return own
}

function isPlain (value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  try {
    const prototype: unknown = Object.getPrototypeOf(value)
    return prototype === Object.prototype || prototype === null
  } catch {
    // An application's own: what cannot be looked at counts as the largest message there is.
    return true
  }
}

interface Entry {
  readonly fn: AnyListener
  readonly once: boolean
  /** One that wanted to be called once was, perhaps by an emit within an emit. */
  called: boolean
}

/**
 * Listeners by event name, in a Map: names that clients choose can be any text. `Objects` says what the streams of its local
 * events give: one object for each, as in SocketCluster 15 and later.
 * A listener that throws or rejects never harms who emits: `onListenerError` gets the error.
 */
export abstract class Emitter<Objects extends object> {
  // Most sockets listen to little; what is not used is not made.
  #entries: Map<string, Entry[]> | null = null
  #streams: StreamSet<Objects> | null = null

  /** Gets what a listener threw or rejected with. */
  protected abstract onListenerError (err: unknown, event: string): void

  /** Who listeners are called for: their `this`. */
  protected get receiver (): unknown { return this }

  on (event: string, listener: AnyListener): this {
    return this.#add(event, listener, false)
  }

  once (event: string, listener: AnyListener): this {
    return this.#add(event, listener, true)
  }

  off (event?: string, listener?: AnyListener): this {
    if (event !== undefined) checkText('off', 'event', event)
    if (listener !== undefined) checkFunction('off', 'listener', listener)
    if (event === undefined) this.#entries = null
    else if (listener === undefined) this.#entries?.delete(event)
    else this.#remove(event, (entry) => entry.fn === listener)
    return this
  }

  removeListener (event: string, listener: AnyListener): this {
    return this.off(event, listener)
  }

  listeners (event: string): AnyListener[] {
    return this.#entries?.get(event)?.map((entry) => entry.fn) ?? []
  }

  hasListeners (event: string): boolean {
    return this.#entries?.has(event) ?? false
  }

  #add (event: string, fn: AnyListener, once: boolean): this {
    checkText('on', 'event', event)
    checkFunction('on', 'listener', fn)
    const entries = (this.#entries ??= new Map()).get(event)
    // Copied, so that an emit under way goes on with the listeners it began with.
    this.#entries.set(event, entries === undefined ? [{ fn, once, called: false }] : [...entries, { fn, once, called: false }])
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
  protected forEachListener (event: string, visit: (listener: AnyListener) => void): void {
    const entries = this.#entries?.get(event)
    if (entries === undefined) return
    for (const entry of entries) {
      if (entry.once) {
        if (entry.called) continue
        entry.called = true
        this.#remove(event, (other) => other === entry)
      }
      visit(entry.fn)
    }
  }

  /** The streams of its local events, made on first use. */
  protected get streams (): StreamSet<Objects> {
    return (this.#streams ??= new StreamSet(this.streamKeeper()))
  }

  /** What counts the values that wait for slow loops. */
  protected streamKeeper (): StreamKeeper {
    return memoryKeeper((err) => this.onListenerError(err, ''))
  }

  /** The stream of an event, made on first use. */
  protected stream<E extends keyof Objects & string> (event: E): Stream<Objects[E]> {
    return this.streams.of(event)
  }

  /** The stream of an event if somebody reads it. */
  protected activeStream<E extends keyof Objects & string> (event: E): Stream<Objects[E]> | undefined {
    return this.#streams?.active(event)
  }

  /** Ends the loops over one event at once. */
  protected stopStream (event: keyof Objects & string): void {
    this.#streams?.stop(true, event)
  }

  protected closeStreams (): void {
    this.#streams?.end(false)
  }

  getListenerBackpressure (event: string): number { return this.#streams?.backpressure(event) ?? 0 }
  getAllListenersBackpressure (): number { return this.#streams?.backpressure() ?? 0 }

  /** Calls the listeners of a local event and writes to its stream. */
  protected fire<E extends keyof Objects & string, Args extends unknown[]> (event: E, args: Args, toObject: (...args: Args) => Objects[E]): void {
    this.tellListeners(event, args)
    this.activeStream(event)?.write(toObject(...args), carried(args))
  }

  protected tellListeners (event: string, args: unknown[]): void {
    this.forEachListener(event, (listener) => {
      try {
        promiseOf(listener.apply(this.receiver, args))?.then(undefined, (err: unknown) => this.onListenerError(err, event))
      } catch (err) {
        this.onListenerError(err, event)
      }
    })
  }
}
