import type { Broker, BrokerSink } from '../../types/broker.js'
import { EngineState } from '../../lib/broker/engine-state.js'

/** A broker between processes whose answers the test gives. */
export class ManualBroker implements Broker {
  readonly name = 'manual'
  readonly shared = true
  sink!: BrokerSink
  readonly calls: Array<{ call: string, channels: readonly string[], answer: (err?: Error) => void }> = []

  start (sink: BrokerSink) {
    this.sink = sink
  }

  subscribe (channels: readonly string[]) { return this.#later('subscribe', channels) }
  unsubscribe (channels: readonly string[]) { return this.#later('unsubscribe', channels) }
  publish (channel: string, _data: string) { return this.#later('publish', [channel]) }
  control (message: string, toNode?: string) { return this.#later('control', [message, toNode ?? '*']) }
  stop () {}

  /** Answers the last call that has no answer yet, and waits until that was noticed. */
  async answerLast (err?: Error): Promise<void> {
    await new Promise(setImmediate)
    this.calls.pop()!.answer(err)
    await new Promise(setImmediate)
  }

  #later (call: string, channels: readonly string[]) {
    return new Promise<void>((resolve, reject) => {
      this.calls.push({ call, channels, answer: (err) => { err === undefined ? resolve() : reject(err) } })
    })
  }
}

/** The state of an engine that is up. */
export function upState (): EngineState {
  const state = new EngineState('manual')
  state.change('up')
  return state
}

/** What a link tells its owner, as texts. */
export function recorder () {
  const log: string[] = []
  return {
    log,
    publication: (channel: string, data: string) => { log.push(`${channel}=${data}`) },
    state: (state: string, cause?: Error) => { log.push(cause ? `${state}: ${cause.message}` : state) },
    gap: (channel: string | null) => { log.push(`gap ${channel ?? '*'}`) },
    control: (message: string, from: string) => { log.push(`control ${message} ${from}`) },
    warning: (err: Error) => { log.push(`warning ${err.message}`) }
  }
}
