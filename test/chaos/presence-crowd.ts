// A channel with more users than there are lists for: what those who look are told, and what it costs the nodes.
import { setTimeout as sleep } from 'node:timers/promises'
import { connect14, connect20 } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { until } from '../helpers/waiting.js'
import { NodeProcess } from './node-process.js'
import { Observer } from './presence-observer.js'
import { room } from './presence-stage.js'
import { Cleanups, type EngineName, startEngine } from './scenario.js'

export interface CrowdShape {
  readonly users: number
  /** The `members` of the declaration. */
  readonly members: number
  /** Users who come and leave in a second. */
  readonly rate: number
  /** The nodes, each in a process of its own. */
  readonly nodes: number
  /** Whether it is measured what it costs, which takes longer. */
  readonly isMeasured: boolean
}

export interface CrowdReport {
  users: number
  /** Clients that look. */
  watchers: number
  /** Seconds in which all came, and in which all left. */
  seconds: number
  /** The most messages with the number of users that a client got: one in a second. */
  counts: number
  /** The most users in a list. */
  longest: number
  /** Clients that had another number of users at the end than there were, or other users when all had left: must be 0. */
  wrong: number
  mistakes: number
  /** Microseconds of CPU of the nodes for each user who came, in a channel without presence and in one with it. */
  plainCpu: number
  cpu: number
  /** Bytes for each user, on both nodes together, beside a subscription to a channel without presence. */
  bytes: number
}

/** What breaks a rule; empty when all is well. */
export function judgeCrowd ({ members, users }: CrowdShape, report: CrowdReport): string[] {
  const broken: string[] = []
  for (const name of ['wrong', 'mistakes'] as const) if (report[name] !== 0) broken.push(`${name} is ${report[name]}`)
  if (report.users !== users) broken.push(`users is ${report.users}`)
  if (report.counts === 0) broken.push('no numbers were told')
  // One when it begins, and one when the last ones came.
  if (report.counts > report.seconds + 2) broken.push(`${report.counts} numbers in ${report.seconds.toFixed(1)} s`)
  if (report.longest > members) broken.push(`a list of ${report.longest}`)
  return broken
}

/** Runs it once, with bare websockets as users and real clients that look. `null` when the machine has no such engine. */
export async function runCrowd ({ users, members, rate, nodes: count, isMeasured }: CrowdShape, engine: EngineName): Promise<CrowdReport | null> {
  const cleanups = new Cleanups()
  try {
    const server = await startEngine(engine, cleanups)
    if (server === null) return null
    const nodes = await Promise.all(Array.from({ length: count }, () => NodeProcess.start('presence-node.ts', { engine, port: server.port, broker: {}, limits: { members } })))
    for (const node of nodes) cleanups.teardown(() => node.kill())
    const observers = await Promise.all(nodes.flatMap(({ port }) => [connect14, connect20].map(async (connect) => Observer.ofClient(await connect(cleanups, { port }), 'a client', room))))
    const sockets: RawClient[] = []
    cleanups.teardown(() => { for (const { ws } of sockets) ws.terminate() })
    for (let i = 0; i < users; i += 50) {
      sockets.push(...await Promise.all(Array.from({ length: Math.min(50, users - i) }, (_, j) => RawClient.connect(null, nodes[j % count]!.port, { path: `/socketcluster/?user=user-${i + j}` }))))
    }
    const use = (): Promise<{ cpu: number, memory: number }> | { cpu: number, memory: number } => isMeasured ? used(nodes) : { cpu: NaN, memory: NaN }
    /** Calls with all sockets, at the rate. @returns what the nodes used and how long it took */
    const all = async (event: '#subscribe' | '#unsubscribe', channel: string): Promise<{ cpu: number, memory: number, seconds: number }> => {
      const before = await use()
      const from = performance.now()
      const calls: Array<Promise<unknown>> = []
      while (calls.length < users) {
        const due = Math.min(users, (performance.now() - from) / 1_000 * rate)
        while (calls.length < due) calls.push(sockets[calls.length]!.call(event, event === '#subscribe' ? { channel } : channel))
        await sleep(5)
      }
      await Promise.all(calls)
      const seconds = (performance.now() - from) / 1_000
      // What is collected is told within two seconds.
      if (isMeasured) await sleep(2_500)
      const after = await use()
      return { cpu: (after.cpu - before.cpu) / users, memory: after.memory - before.memory, seconds }
    }
    // Nodes get quicker with what they do again.
    const plain = { cpu: NaN, memory: NaN }
    for (let i = 0, rounds = isMeasured ? 2 : 0; i < rounds; i++) {
      Object.assign(plain, await all('#subscribe', 'plain/1'))
      await all('#unsubscribe', 'plain/1')
    }
    const come = await all('#subscribe', room)
    await until('the number of users', () => observers.every(({ total }) => total === users)).catch(() => {})
    const report: CrowdReport = {
      users: sockets.filter(({ ws }) => ws.readyState === ws.OPEN).length,
      watchers: observers.length,
      seconds: come.seconds,
      counts: 0,
      longest: 0,
      wrong: observers.filter(({ total }) => total !== users).length,
      mistakes: 0,
      plainCpu: plain.cpu,
      cpu: come.cpu,
      bytes: (come.memory - plain.memory) / users
    }
    report.seconds += (await all('#unsubscribe', room)).seconds
    await until('the end', () => observers.every(({ total }) => total === 0)).catch(() => {})
    report.wrong += observers.filter(({ total, users }) => total !== 0 || users.size !== 0).length
    report.counts = Math.max(...observers.map(({ counts }) => counts.length))
    report.longest = Math.max(...observers.map(({ longest }) => longest))
    report.mistakes = observers.reduce((sum, { mistakes }) => sum + mistakes.length, 0)
    return report
  } finally {
    await cleanups.run()
  }
}

async function used (nodes: readonly NodeProcess[]): Promise<{ cpu: number, memory: number }> {
  const all = await Promise.all(nodes.map((node) => node.usage()))
  return { cpu: all.reduce((sum, { cpu }) => sum + cpu, 0), memory: all.reduce((sum, { memory }) => sum + memory, 0) }
}
