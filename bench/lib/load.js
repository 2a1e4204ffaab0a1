import { setTimeout as sleep } from 'node:timers/promises'
import { Connection } from './connection.js'
import { dialects } from './dialects.js'
import { clientFrame } from './frames.js'

const openAtOnce = 50
const patience = 60_000

/** Many connections to one server. */
export class Load {
  connections = []
  /** Messages that came since the last `expect`. */
  messages = 0
  #server
  #fail = null

  /** @param {import('./server-process.js').ServerProcess} server */
  constructor (server) {
    this.#server = server
    this.dialect = dialects[server.dialect]
  }

  /** Opens connections, handshake included. @param connect opens one; without it, it is a websocket */
  async open (count, connect = () => Connection.open(this.#server)) {
    const opened = await inParallel(count, connect)
    for (const connection of opened) connection.onLost = () => this.#fail?.(new Error('the server closed a connection'))
    this.connections.push(...opened)
  }

  /** Each connection subscribes to the channels that `channelsOf(index)` names. */
  async subscribe (channelsOf) {
    await inParallel(this.connections.length, async (i) => {
      let cid = 1
      for (const channel of channelsOf(i)) await this.connections[i].call(this.dialect.subscribe(channel, ++cid))
    })
  }

  /** Calls `act`, and ends when all connections together got `count` messages. */
  async receive (count, act) {
    this.messages = 0
    const all = new Promise((resolve) => {
      for (const connection of this.connections) {
        connection.onMessages = (messages) => {
          this.messages += messages
          if (this.messages >= count) resolve()
        }
      }
    })
    await act()
    await this.#patient(all, () => `expected ${count} messages, got ${this.messages}`)
    if (this.messages > count) throw new Error(`expected ${count} messages, got ${this.messages}`)
  }

  /**
   * Keeps `inFlight` calls of each connection waiting, while `act` runs: as many are sent as answers came, in one write.
   * `messages` counts the answers.
   */
  async keepCalling (event, data, inFlight, act) {
    // An answer that is an error would be counted like any other: look at the first.
    await this.connections[0].call(this.dialect.call(event, 2, data))
    const frames = []
    for (let cid = 3; cid < 515; cid++) frames.push(clientFrame(this.dialect.call(event, cid, data)))
    let next = 0
    let waiting = 0
    let stopped = null
    const send = (connection, count) => {
      waiting += count
      if (next + count > frames.length) next = 0
      connection.send(count === 1 ? frames[next] : Buffer.concat(frames.slice(next, next + count)))
      next += count
    }
    this.messages = 0
    for (const connection of this.connections) {
      connection.onMessages = (count) => {
        this.messages += count
        waiting -= count
        if (stopped === null) send(connection, count)
        else if (waiting === 0) stopped()
      }
      send(connection, inFlight)
    }
    const result = await this.#patient(act(), () => 'the work did not end')
    await this.#patient(new Promise((resolve) => { stopped = resolve }), () => `${waiting} calls were not answered`)
    await this.connections[0].call(this.dialect.call(event, 2, data))
    return result
  }

  drop (count = this.connections.length) {
    for (const connection of this.connections.splice(0, count)) connection.drop()
  }

  /** Waits, but not for ever, and not when the server ends a connection. */
  async #patient (promise, state) {
    const stop = new AbortController()
    const late = sleep(patience, null, { signal: stop.signal }).then(() => { throw new Error(`after ${patience / 1000} s: ${state()}`) })
    const lost = new Promise((resolve, reject) => { this.#fail = reject })
    late.catch(() => {}) // aborted
    try {
      return await Promise.race([promise, late, lost])
    } finally {
      this.#fail = null
      stop.abort()
    }
  }
}

export async function inParallel (count, job, atOnce = openAtOnce) {
  const results = new Array(count)
  let next = 0
  const worker = async () => {
    while (next < count) {
      const i = next++
      results[i] = await job(i)
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker))
  return results
}
