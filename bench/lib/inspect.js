import { createWriteStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { Session } from 'node:inspector/promises'
import { pipeline } from 'node:stream/promises'
import { getHeapSnapshot } from 'node:v8'

/** A CPU profile of this process. */
export class CpuProfile {
  #session = null

  async start () {
    this.#session = new Session()
    this.#session.connect()
    await this.#session.post('Profiler.enable')
    await this.#session.post('Profiler.setSamplingInterval', { interval: 100 })
    await this.#session.post('Profiler.start')
  }

  /** Writes the profile, for the developer tools of a browser, and returns the functions that took the most time themselves. */
  async stop (path) {
    const { profile } = await this.#session.post('Profiler.stop')
    this.#session.disconnect()
    await writeFile(path, JSON.stringify(profile))
    return ownTimes(profile)
  }
}

/** @returns {{ share: number, name: string }[]} share of the time that was not idle, from most to least */
function ownTimes ({ nodes, samples, timeDeltas }) {
  const byId = new Map(nodes.map((node) => [node.id, label(node.callFrame)]))
  const times = new Map()
  let busy = 0
  samples.forEach((id, i) => {
    const name = byId.get(id)
    if (name === '(idle)') return
    busy += timeDeltas[i]
    times.set(name, (times.get(name) ?? 0) + timeDeltas[i])
  })
  return [...times].map(([name, time]) => ({ name, share: time / busy })).sort((a, b) => b.share - a.share).slice(0, 25)
}

function label ({ functionName, url, lineNumber }) {
  // Native time is booked on the call that started the profiler.
  if (functionName === 'dispatch' && url === '') return '(program)'
  const name = functionName || '(anonymous)'
  if (url === '') return name
  return `${name}  ${url.replace(/^file:\/\//, '').replace(/^.*\/(node_modules|dist)\//, '')}:${lineNumber + 1}`
}

export async function writeHeapSnapshot (path) {
  await pipeline(getHeapSnapshot(), createWriteStream(path))
}
