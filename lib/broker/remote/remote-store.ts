import type { BrokerStore } from '../../../types/broker.js'
import { scError } from '../../errors.js'
import { brokerError } from '../errors.js'
import type { EngineStore } from './engine.js'
import { Reads } from './history/reads.js'
import type { Seal } from './seal.js'

/** The part of the broker that its store uses. */
export interface RemoteStorePort {
  /** The store of the session; `null` without a session. */
  readonly engine: EngineStore | null
  /** Signs values and verifies them; `null` without a key. */
  readonly seal: Seal | null
  topicOf (key: string): string
  downError (): Error
}

/** The store of a broker between processes, in its engine. With a `brokerKey`, values are signed as frames are. */
export class RemoteStore implements BrokerStore {
  readonly #port: RemoteStorePort
  readonly #calls = new Reads()

  constructor (port: RemoteStorePort) {
    this.#port = port
  }

  /** Time of the oldest call without an answer, by `performance.now()`; `Infinity` when there is none. */
  get waitingSince (): number { return this.#calls.waitingSince }

  async add (key: string, value: string, ttl: number): Promise<string | null> {
    const { seal } = this.#port
    const topic = this.#port.topicOf(key)
    const found = await this.#run((engine) => engine.add(topic, seal === null ? value : seal.close(topic, value), ttl))
    if (found === null || seal === null) return found
    const opened = seal.open(topic, found)
    if (opened === null) throw scError('SC_ERR_BROKER', ['the value of a key is not signed as it should be: the option brokerKey must be the same on all processes'])
    return opened
  }

  replace (key: string, expected: string, value: string | null, ttl: number): Promise<boolean> {
    const { seal } = this.#port
    const topic = this.#port.topicOf(key)
    const sealed = (text: string): string => seal === null ? text : seal.close(topic, text)
    return this.#run((engine) => engine.replace(topic, sealed(expected), value === null ? null : sealed(value), ttl))
  }

  /** Call when the session is gone. */
  gone (error: Error): void {
    this.#calls.fail(error)
  }

  async #run<T> (call: (engine: EngineStore) => Promise<T>): Promise<T> {
    const { engine } = this.#port
    if (engine === null) throw this.#port.downError()
    try {
      return await this.#calls.run(() => call(engine))
    } catch (err) {
      throw brokerError(err)
    }
  }
}
