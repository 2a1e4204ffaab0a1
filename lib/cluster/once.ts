import { createHash, randomUUID } from 'node:crypto'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import type { BrokerStore } from '../../types/broker.js'
import type { ScOnceOptions } from '../../types/cluster.js'
import { checkFunction, checkText } from '../arguments.js'
import type { BrokerLink } from '../broker/link.js'
import { brokerError } from '../broker/errors.js'
import { scError, typeName } from '../errors.js'
import { ifRejects } from '../promises.js'
import { toJson } from '../protocol/codec.js'
import { messageOf } from '../untrusted.js'

/** Milliseconds for which a result is kept: by default, at least and at most. */
export const defaultTtl = 300_000
export const minTtl = 1_000
export const maxTtl = 86_400_000
/** Maximum characters of a key or a fingerprint, and of a result as JSON. */
const maxKeyLength = 1_024
const maxResultLength = 65_536
/** Milliseconds for which a key stays used when its process dies. While the work runs, the time is extended again and again. */
const lease = 30_000
const renewal = 10_000

/** What the store has of a key: the hash of its fingerprint, and who runs the work, or its result when nobody does. */
const recordSchema = Type.Object({ f: Type.String(), o: Type.Optional(Type.String()), r: Type.Optional(Type.Unknown()) })
const records = Compile(recordSchema)
type OnceRecord = Static<typeof recordSchema>

/** What `Once` uses. */
export interface OncePort {
  readonly link: Pick<BrokerLink, 'broker' | 'checkUp'>
  warn (err: unknown): void
}

/**
 * Runs work once for a key, at one node of all. The store of the broker has a record for each key that is in use or was used. The
 * record says who runs the work until it has a result.
 */
export class Once {
  readonly #port: OncePort

  constructor (port: OncePort) {
    this.#port = port
  }

  async run<Result> (key: string, work: () => Result | Promise<Result>, options: ScOnceOptions = {}): Promise<Result> {
    const { name, print, ttl } = checked(key, work, options)
    const { link } = this.#port
    const { store } = link.broker
    if (store === undefined) throw scError('SC_ERR_NO_STORE', [link.broker.name])
    link.checkUp()
    const own = JSON.stringify({ f: print, o: randomUUID() } satisfies OnceRecord)
    const found = await add(store, name, own)
    if (found !== null) return resultOf(found, print) as Result
    const renewing = setInterval(() => { ifRejects(replace(store, name, own, own, lease), (err) => this.#port.warn(err)) }, renewal)
    // The work keeps the process alive, not the timer.
    renewing.unref()
    let result: Result
    let text: string
    try {
      result = await work()
      text = textOf(result)
    } catch (err) {
      clearInterval(renewing)
      await this.#settle(store, name, own, null, lease)
      throw err
    }
    clearInterval(renewing)
    const isKept = await this.#settle(store, name, own, doneRecord(print, text), ttl)
    if (!isKept) this.#port.warn(scError('SC_ERR_BROKER', ['The record of a key of runOnce() was lost while the work ran: its result is not kept, and another node may have run the work too']))
    return result
  }

  /** Stores a result, or removes the record for `null`. The work is done: a store that cannot be reached is a warning only. */
  async #settle (store: BrokerStore, name: string, own: string, value: string | null, ttl: number): Promise<boolean> {
    try {
      return await replace(store, name, own, value, ttl)
    } catch (err) {
      this.#port.warn(err)
      return true
    }
  }
}

/** @throws InvalidArgumentsError */
function checked (key: unknown, work: unknown, options: ScOnceOptions): { name: string, print: string, ttl: number } {
  checkText('runOnce', 'key', key)
  if (key.length === 0 || key.length > maxKeyLength) throw scError('SC_ERR_ARGUMENT', ['runOnce', `a key of 1 to ${maxKeyLength} characters`, key.length])
  checkFunction('runOnce', 'work', work)
  if (typeof options !== 'object' || options === null) throw scError('SC_ERR_ARGUMENT', ['runOnce', 'an object of options', typeName(options)])
  const { fingerprint = '', ttl = defaultTtl } = options
  checkText('runOnce', 'fingerprint', fingerprint)
  if (!Number.isInteger(ttl) || ttl < minTtl || ttl > maxTtl) throw scError('SC_ERR_ARGUMENT', ['runOnce', `a ttl from ${minTtl} to ${maxTtl} ms`, typeof ttl === 'number' ? ttl : typeName(ttl)])
  return { name: hash(key), print: hash(fingerprint), ttl }
}

/** Any text becomes a name of the same length, with the characters that every engine allows. */
function hash (text: string): string {
  return createHash('sha256').update(JSON.stringify(text)).digest('base64url')
}

function textOf (result: unknown): string {
  let text: string
  try {
    text = toJson(result) ?? ''
  } catch (err) {
    throw scError('SC_ERR_ENCODE', [messageOf(err)], { cause: err })
  }
  if (text.length > maxResultLength) throw scError('SC_ERR_ARGUMENT', ['runOnce', `a result of at most ${maxResultLength} characters as JSON`, text.length])
  return text
}

/** Returns the result of a record. @throws IdempotencyError if the work is running, or the fingerprint is another one */
function resultOf (found: string, print: string): unknown {
  const record = readRecord(found)
  if (record.f !== print) throw scError('SC_ERR_KEY_REUSED')
  if (record.o !== undefined) throw scError('SC_ERR_KEY_RUNNING')
  return record.r
}

/** Makes the record of work that is done. @param result as JSON; '' for `undefined` */
function doneRecord (print: string, result: string): string {
  return result === '' ? JSON.stringify({ f: print } satisfies OnceRecord) : `{"f":"${print}","r":${result}}`
}

function readRecord (text: string): OnceRecord {
  try {
    const record: unknown = JSON.parse(text)
    if (records.Check(record)) return record
  } catch {
    // The engine holds something else under this name.
  }
  throw scError('SC_ERR_BROKER', ['the engine holds something else than a record under a key of runOnce()'])
}

async function add (store: BrokerStore, name: string, record: string): Promise<string | null> {
  try {
    return await store.add(name, record, lease)
  } catch (err) {
    throw brokerError(err)
  }
}

async function replace (store: BrokerStore, name: string, expected: string, value: string | null, ttl: number): Promise<boolean> {
  try {
    return await store.replace(name, expected, value, ttl)
  } catch (err) {
    throw brokerError(err)
  }
}
