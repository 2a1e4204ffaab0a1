import { setTimeout as sleep } from 'node:timers/promises'
import { Load } from './load.js'
import { ServerProcess } from './server-process.js'
import { median, times } from './statistics.js'

/** One work at one server: the server's process, the load, and how to measure. */
export class Run {
  #profiling = false
  #profilePath
  #heapPath

  static async of ({ name, options }, settings, body) {
    const run = new Run()
    run.quick = settings.quick
    run.#profilePath = settings.profilePath
    run.#heapPath = settings.heapPath
    run.server = await ServerProcess.start(name, options)
    run.load = new Load(run.server)
    try {
      const value = await body(run)
      const profile = run.#profiling ? await run.server.ask('stopProfile', { path: run.#profilePath }) : null
      if (run.#heapPath !== undefined) await run.server.ask('heapSnapshot', { path: run.#heapPath })
      return { value, profile }
    } finally {
      run.load.drop()
      await run.server.stop()
    }
  }

  /** The server's CPU time of `act`, in microseconds. The profile, if one is wanted, begins with the first of these. */
  async cpu (act) {
    const { server } = this
    if (this.#profilePath !== undefined && !this.#profiling) {
      this.#profiling = true
      await server.ask('startProfile')
    }
    const before = await server.ask('cpu')
    await act()
    return await server.ask('cpu') - before
  }

  /** The server's CPU time for each answered call while the load keeps calling: the median of some short stretches. */
  async cpuPerCall (event, data, inFlight) {
    const { load, quick } = this
    return load.keepCalling(event, data, inFlight, async () => {
      await sleep(quick ? 300 : 600)
      return this.stretches(async () => {
        const before = load.messages
        await sleep(quick ? 80 : 200)
        return load.messages - before
      })
    })
  }

  /** @param {() => Promise<number>} act returns how many operations it did; it is called several times, so that a disturbance of the machine is outvoted */
  async stretches (act) {
    const values = []
    await times(5, async () => {
      let operations
      const used = await this.cpu(async () => { operations = await act() })
      values.push(used / operations)
    })
    return median(values)
  }

  /** Publishes to each of the channels, which together have `deliveries` subscribers, and waits until all has come. */
  async publish (channels, deliveries, count = 1) {
    await this.load.receive(deliveries * count, () => this.server.ask('publish', { channels, count, data: message }))
  }
}

/** What each publication carries: about 115 bytes on the wire. */
export const message = { from: 'LqKtAABXRb5lTmVJAAAB', text: 'a line of chat' }

/** What each call carries, and its answer. */
export const callData = { n: 1, text: 'a line of chat' }
