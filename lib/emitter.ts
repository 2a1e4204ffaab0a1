import type { AnyListener } from '../types/user-data.js'
import { checkFunction, checkText } from './arguments.js'
import { promiseOf } from './promises.js'
import { memorySize } from './memory-size.js'
import { StreamSet } from './stream-set.js'
import type { Stream, StreamKeeper } from './streams.js'
import { isInstance, read } from './untrusted.js'

/** Measures waiting values for loops that do not belong to a socket. */
export function memoryKeeper (behind: (err: Error) => void): StreamKeeper {
  return { countsBusy: false, hold: memorySize, release () {}, behind }
}

/**
 * Returns the arguments of an event that are in memory because of it: text, bytes, plain data and errors, but not sockets and
 * servers.
 */
export function carried (args: unknown[]): unknown[] {
  const own = args.filter((arg) => typeof arg === 'string' || ArrayBuffer.isView(arg) || isInstance(arg, Error) || isPlain(arg))
  // The `signedAuthToken` of a refused token is not enumerable.
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
    // A value of the application that cannot be read counts as the largest possible message.
    return true
  }
}

interface Entry {
  readonly fn: AnyListener
  readonly once: boolean
  /** Whether a listener of `once` was already called, possibly by a nested emit. */
  called: boolean
}

/**
 * An event emitter with streams. Listeners are kept in a Map, because clients choose event names and any text is possible.
 * `Objects` maps local events to the objects that their streams yield, as in SocketCluster 15 and later. Errors and rejections of
 * a listener go to `onListenerError` and never reach the emitting code.
 */
export abstract class Emitter<Objects extends object> {
  // Created on first use, because most sockets have few listeners.
  #entries: Map<string, Entry[]> | null = null
  #streams: StreamSet<Objects> | null = null

  /** Handles an error or a rejection of a listener. */
  protected abstract onListenerError (err: unknown, event: string): void

  /** The `this` of listeners. */
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
    // Copied, so that a running emit continues with the listeners that it started with.
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

  /** Calls `visit` for each listener. A listener of `once` is removed first. */
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

  /** The streams of the local events, created on first use. */
  protected get streams (): StreamSet<Objects> {
    return (this.#streams ??= new StreamSet(this.streamKeeper()))
  }

  /** Creates the keeper that counts the values waiting for slow loops. */
  protected streamKeeper (): StreamKeeper {
    return memoryKeeper((err) => this.onListenerError(err, ''))
  }

  /** Returns the stream of an event, creating it on first use. */
  protected stream<E extends keyof Objects & string> (event: E): Stream<Objects[E]> {
    return this.streams.of(event)
  }

  /** Returns the stream of an event if a loop is reading it. */
  protected activeStream<E extends keyof Objects & string> (event: E): Stream<Objects[E]> | undefined {
    return this.#streams?.active(event)
  }

  /** Ends the loops over one event immediately. */
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
