import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Broker } from '../../types/broker.js'
import { BrokerLink } from '../../lib/broker/link.js'
import type { RemoteBrokerOptions } from '../../lib/broker/remote/options.js'
import { natsBroker } from '../../lib/broker/nats/index.js'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { TcpProxy } from '../helpers/proxy.js'
import { startNats, startRedis, type TestServer } from '../helpers/servers.js'
import { Stopwatch } from '../helpers/stopwatch.js'

export type EngineName = 'redis' | 'nats'

/** A fault in the life of two nodes, of which the second reaches the engine through a proxy. */
export interface Scenario {
  readonly name: string
  /** Publishes per second of each node that publishes. */
  readonly rate: number
  /** Milliseconds of publishing; the fault comes at `faultAt`. */
  readonly duration: number
  readonly faultAt: number
  readonly options: RemoteBrokerOptions
  /** Nodes that publish. */
  readonly publishers: readonly number[]
  /** Nodes that must notice. */
  readonly affected: readonly number[]
  /** Milliseconds from the fault within which they must notice, and from `healed` within which they must be up again. */
  readonly noticedWithin: number
  /** Milliseconds that the refusal of a publish may take while the node is down. */
  readonly refusedWithin: number
  readonly backWithin: number
  /** Does harm, and heals it. */
  fault (engine: TestServer, proxy: TcpProxy): Promise<void>
}

/** The exact counts of one run. */
export interface ChaosReport {
  published: number
  acked: number
  rejected: number
  unanswered: number
  /** The slowest rejection of a publish that was made while its node was down. */
  slowestRefusal: number
  delivered: number
  /** Acked publications that a node did not get, in a window that ended with a gap. */
  lostInGap: number
  /** The same outside of such a window: must be 0. */
  lostSilently: number
  duplicates: number
  outOfOrder: number
  /** Delivered although the publish was rejected: its fate was unknown. */
  rejectedButDelivered: number
  gaps: number
  /** Milliseconds from the fault to the last affected node's `down`. */
  noticed: number
  /** Milliseconds from the heal to the last affected node's `up`. */
  back: number
  /** Milliseconds that this process was held up in all. */
  heldUp: number
}

/** What breaks a rule, whatever the machine does meanwhile; empty when all is well. */
export function judge (scenario: Scenario, report: ChaosReport): string[] {
  const broken: string[] = []
  const zero = (name: keyof ChaosReport): void => { if (report[name] !== 0) broken.push(`${name} is ${report[name]}`) }
  zero('unanswered')
  zero('lostSilently')
  zero('duplicates')
  zero('outOfOrder')
  if (report.acked + report.rejected !== report.published) broken.push('not every publish was acked or rejected')
  if (report.acked === 0 || report.delivered === 0) broken.push('nothing was published')
  return broken
}

/** What is over a limit of time, or was noticed where nothing was. The time in which this process was held up does not count. */
export function judgeTimes (scenario: Scenario, report: ChaosReport): string[] {
  const broken: string[] = []
  if (report.slowestRefusal - report.heldUp > scenario.refusedWithin) broken.push(`a refusal took ${report.slowestRefusal} ms`)
  if (!(report.noticed - report.heldUp <= scenario.noticedWithin)) broken.push(`noticed after ${report.noticed} ms`)
  if (!(report.back - report.heldUp <= scenario.backWithin)) broken.push(`back after ${report.back} ms`)
  if (report.gaps !== scenario.affected.length) broken.push(`${report.gaps} gaps`)
  return broken
}

type LogEntry = { readonly from: number, readonly n: number } | 'down' | 'gap'

class ChaosNode {
  readonly link: BrokerLink
  readonly log: LogEntry[] = []
  readonly answers: Array<'acked' | 'rejected' | undefined> = []
  /** When each was published. */
  readonly sentAt: number[] = []
  readonly gapsAt: number[] = []
  slowestRefusal = 0
  downAt = NaN
  upAt = NaN

  constructor (readonly index: number, broker: Broker) {
    this.link = new BrokerLink(broker, { node: { id: `n${index}`, prefix: 'chaos' } }, {
      publication: (channel, data) => { this.log.push({ from: Number(channel.slice(1)), n: Number(data) }) },
      state: (state) => {
        if (state === 'down') {
          this.downAt = performance.now()
          this.log.push('down')
        } else this.upAt = performance.now()
      },
      gap: () => {
        this.log.push('gap')
        this.gapsAt.push(performance.now())
      },
      control () {},
      warning () {}
    })
  }

  publish (): void {
    const n = this.answers.push(undefined) - 1
    const at = this.sentAt[n] = performance.now()
    const wasDown = this.link.state === 'down'
    Promise.resolve(this.link.publish(`c${this.index}`, `${n}`)).then(() => {
      this.answers[n] = 'acked'
    }, (err: Error) => {
      if (err.name !== 'BrokerError') throw err
      this.answers[n] = 'rejected'
      if (wasDown) this.slowestRefusal = Math.max(this.slowestRefusal, performance.now() - at)
    })
  }
}

/** What ends with a test, and here with a run. */
export class Cleanups {
  readonly #list: Array<() => Promise<void> | void> = []

  teardown (fn: () => Promise<void> | void): void {
    this.#list.unshift(fn)
  }

  async run (): Promise<void> {
    for (const fn of this.#list) await fn()
  }
}

export function startEngine (name: EngineName, cleanups: Cleanups): Promise<TestServer | null> {
  return name === 'redis' ? startRedis(cleanups) : startNats(cleanups)
}

export function engineBroker (name: EngineName, port: number, options: RemoteBrokerOptions): Broker {
  return name === 'redis' ? redisBroker({ url: `redis://127.0.0.1:${port}`, ...options }) : natsBroker({ servers: `127.0.0.1:${port}`, ...options })
}

/** Runs a scenario once. `null` when the machine has no such engine. */
export async function runScenario (scenario: Scenario, name: EngineName): Promise<ChaosReport | null> {
  const cleanups = new Cleanups()
  try {
    const engine = await startEngine(name, cleanups)
    if (engine === null) return null
    const proxy = await new TcpProxy(engine.port).listen()
    cleanups.teardown(() => proxy.close())
    const nodes = [engine.port, proxy.port].map((port, index) => new ChaosNode(index, engineBroker(name, port, scenario.options)))
    for (const node of nodes) {
      await node.link.start()
      cleanups.teardown(() => node.link.stop())
      await Promise.all([node.link.hold('c0'), node.link.hold('c1')])
    }

    const watch = new Stopwatch()
    cleanups.teardown(() => { watch.stop() })
    const start = performance.now()
    const publishing = (async () => {
      for (let made = 0; performance.now() - start < scenario.duration;) {
        const due = Math.floor((performance.now() - start) / 1000 * scenario.rate)
        for (; made < due; made++) for (const index of scenario.publishers) nodes[index]!.publish()
        await sleep(5)
      }
    })()
    await sleep(scenario.faultAt)
    const faultAt = performance.now()
    await scenario.fault(engine, proxy)
    const healedAt = performance.now()
    await publishing
    // Until everything is answered, and for stragglers.
    for (let i = 0; i < 500 && nodes.some((node) => node.link.state === 'down' || node.answers.includes(undefined)); i++) await sleep(10)
    await sleep(300)
    return account(scenario, nodes, { faultAt, healedAt, heldUp: Math.round(watch.heldUp) })
  } finally {
    await cleanups.run()
  }
}

function account (scenario: Scenario, nodes: ChaosNode[], { faultAt, healedAt, heldUp }: { faultAt: number, healedAt: number, heldUp: number }): ChaosReport {
  const affected = scenario.affected.map((index) => nodes[index]!)
  const report: ChaosReport = {
    published: 0,
    acked: 0,
    rejected: 0,
    unanswered: 0,
    slowestRefusal: 0,
    delivered: 0,
    lostInGap: 0,
    lostSilently: 0,
    duplicates: 0,
    outOfOrder: 0,
    rejectedButDelivered: 0,
    gaps: 0,
    noticed: Math.round(Math.max(...affected.map((node) => node.downAt - faultAt))),
    back: Math.max(0, Math.round(Math.max(...affected.map((node) => node.upAt - healedAt)))),
    heldUp
  }
  for (const publisher of nodes) {
    report.published += publisher.answers.length
    report.slowestRefusal = Math.max(report.slowestRefusal, Math.round(publisher.slowestRefusal))
    for (const answer of publisher.answers) report[answer ?? 'unanswered']++
    for (const receiver of nodes) accountPair(publisher, receiver, report)
  }
  for (const node of nodes) report.gaps += node.log.filter((entry) => entry === 'gap').length
  return report
}

/** Compares what one node published with what one node got. */
function accountPair (publisher: ChaosNode, receiver: ChaosNode, report: ChaosReport): void {
  const positions = new Map<number, number>()
  const windows: Array<[down: number, gap: number, gapAt: number]> = []
  let down = -1
  let last = -1
  for (const [position, entry] of receiver.log.entries()) {
    if (entry === 'down') down = position
    else if (entry === 'gap') windows.push([down, position, receiver.gapsAt[windows.length]!])
    else if (entry.from === publisher.index) {
      report.delivered++
      if (positions.has(entry.n)) report.duplicates++
      else positions.set(entry.n, position)
      if (entry.n < last) report.outOfOrder++
      last = Math.max(last, entry.n)
      if (publisher.answers[entry.n] === 'rejected') report.rejectedButDelivered++
    }
  }
  for (const [n, answer] of publisher.answers.entries()) {
    if (answer !== 'acked' || positions.has(n)) continue
    // The hole lies between the last publication before it and the first one after it.
    let before = n - 1
    while (before >= 0 && !positions.has(before)) before--
    let after = n + 1
    while (after < publisher.answers.length && !positions.has(after)) after++
    const from = positions.get(before) ?? -1
    const to = positions.get(after) ?? receiver.log.length
    // What is published after the gap was raised must arrive.
    if (windows.some(([down, gap, gapAt]) => down <= to && gap >= from && publisher.sentAt[n]! <= gapAt)) report.lostInGap++
    else report.lostSilently++
  }
}

/** How the times of the scenarios are scaled: the long form has the default options, the short one quick ones. */
export interface Pace {
  readonly duration: number
  readonly faultAt: number
  readonly outage: number
  readonly pause: number
  /** A machine that runs other tests at the same time needs patience. */
  readonly refusal: number
  readonly options: Required<Pick<RemoteBrokerOptions, 'timeout' | 'probeInterval' | 'connectTimeout' | 'maxRetryDelay'>>
}

export const longPace: Pace = { duration: 12_000, faultAt: 2000, outage: 3000, pause: 10_000, refusal: 50, options: { timeout: 2000, probeInterval: 2000, connectTimeout: 2000, maxRetryDelay: 2000 } }
export const shortPace: Pace = { duration: 3500, faultAt: 500, outage: 1000, pause: 1500, refusal: 500, options: { timeout: 400, probeInterval: 500, connectTimeout: 3_000, maxRetryDelay: 300 } }

/** The faults of the table, at a pace. */
export function scenarios (pace: Pace): Scenario[] {
  const { options, faultAt } = pace
  const noticed = 2 * options.probeInterval + 1000
  const common = { rate: 500, duration: pace.duration, faultAt, options, publishers: [0, 1], affected: [1], refusedWithin: pace.refusal }
  // Attempts that were under way when the engine came back, and the wait after them.
  const back = options.connectTimeout + options.maxRetryDelay + 1000
  return [
    { ...common, name: 'TCP cut', noticedWithin: pace.refusal + 500, backWithin: 2000, async fault (_engine, proxy) { proxy.cut() } },
    {
      ...common,
      name: 'black hole',
      noticedWithin: noticed,
      backWithin: back,
      async fault (_engine, proxy) {
        proxy.blackHole()
        await sleep(noticed)
        proxy.heal()
      },
      duration: Math.max(pace.duration, faultAt + noticed + back)
    },
    {
      ...common,
      name: 'black hole around a node that only listens',
      publishers: [0],
      noticedWithin: noticed,
      backWithin: back,
      async fault (_engine, proxy) {
        proxy.blackHole()
        await sleep(noticed)
        proxy.heal()
      },
      duration: Math.max(pace.duration, faultAt + noticed + back)
    },
    {
      ...common,
      name: `kill -9, back empty after ${pace.outage / 1000} s`,
      affected: [0, 1],
      noticedWithin: pace.refusal + 500,
      backWithin: back,
      async fault (engine) {
        await engine.kill()
        await sleep(pace.outage)
        await engine.restart()
      }
    },
    {
      ...common,
      name: `SIGSTOP for ${pace.pause / 1000} s`,
      affected: [0, 1],
      noticedWithin: noticed,
      backWithin: back,
      async fault (engine) {
        engine.pause()
        await sleep(pace.pause)
        engine.resume()
      },
      duration: Math.max(pace.duration, faultAt + pace.pause + back)
    }
  ]
}

/** What an outage costs a node that goes on publishing. */
export interface OutageReport {
  seconds: number
  attempted: number
  refused: number
  /** MB of what was published. */
  published: number
  /** MB that are in use at its end beyond those when it began, garbage left out. */
  keptBy: number
  /** MB that the process grew by at most, garbage and the system's buffers included. */
  grownBy: number
  microsecondsPerRefusal: number
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes that are in use, garbage left out. */
async function inUse (): Promise<number> {
  for (let i = 0; i < 2; i++) {
    collect()
    await sleep(10)
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Publishes 20,000 times a second into an outage. */
export async function runOutage (name: EngineName, seconds: number): Promise<OutageReport | null> {
  const cleanups = new Cleanups()
  try {
    const engine = await startEngine(name, cleanups)
    if (engine === null) return null
    let attempted = 0
    let refused = 0
    const link = new BrokerLink(engineBroker(name, engine.port, {}), { node: { id: 'n0', prefix: 'chaos' } }, { publication () {}, state () {}, gap () {}, control () {}, warning () {} })
    await link.start()
    cleanups.teardown(() => link.stop())
    const data = JSON.stringify({ text: 'x'.repeat(200) })
    let spent = 0
    const publishFor = async (milliseconds: number, look: () => void): Promise<void> => {
      const start = performance.now()
      for (let made = 0; performance.now() - start < milliseconds;) {
        const due = (performance.now() - start) * 20
        const from = performance.now()
        for (; made < due; made++, attempted++) Promise.resolve(link.publish(`c${made % 100}`, data)).catch(() => { refused++ })
        await Promise.resolve()
        spent += performance.now() - from
        look()
        await sleep(5)
      }
    }
    // The heap has its working size after a while.
    await publishFor(3000, () => {})
    await engine.kill()
    while (link.state === 'up') await sleep(5)
    await publishFor(2000, () => {})
    const kept = await inUse()
    const before = process.memoryUsage().rss
    let most = before
    attempted = refused = spent = 0
    await publishFor(seconds * 1000, () => { most = Math.max(most, process.memoryUsage().rss) })
    const keptBy = (await inUse() - kept) / 1e6
    return { seconds, attempted, refused, published: attempted * data.length / 1e6, keptBy, grownBy: (most - before) / 1e6, microsecondsPerRefusal: spent * 1000 / refused }
  } finally {
    await cleanups.run()
  }
}

/** What a node with many channels needs after its connections were cut. */
export interface ResubscribeReport {
  channels: number
  /** Milliseconds to subscribe them one by one the first time, in batches of a tick. */
  first: number
  /** Milliseconds from `down` to the `gap` that ends it: the least of some cuts. */
  again: number
  /** Milliseconds of CPU of this process for both. */
  firstCpu: number
  againCpu: number
  /** How many of 1,000 channels picked from all delivered afterwards. */
  delivered: number
}

/**
 * What breaks a rule; empty when all is well. To subscribe again is less work than it was the first time, and what else the machine
 * does slows both down.
 */
export function judgeResubscribe ({ first, again, firstCpu, againCpu, delivered }: ResubscribeReport): string[] {
  const broken: string[] = []
  if (delivered !== 1_000) broken.push(`delivered is ${delivered}`)
  if (againCpu > firstCpu) broken.push(`${againCpu} ms of CPU instead of ${firstCpu}`)
  if (again > Math.max(2_000, 2 * first)) broken.push(`${again} ms instead of ${first}`)
  return broken
}

/** Cuts the connections of a node with many channels, some times. */
export async function runResubscribe (name: EngineName, channels: number, cuts = 3): Promise<ResubscribeReport | null> {
  const cleanups = new Cleanups()
  try {
    const engine = await startEngine(name, cleanups)
    if (engine === null) return null
    const proxy = await new TcpProxy(engine.port).listen()
    cleanups.teardown(() => proxy.close())
    let downAt = NaN
    let cpu = process.cpuUsage()
    const seen = { delivered: 0 }
    let gapped!: () => void
    const link = new BrokerLink(engineBroker(name, proxy.port, { timeout: 5000 }), { node: { id: 'n0', prefix: 'chaos' } }, {
      publication () { seen.delivered++ },
      state (state) {
        if (state !== 'down') return
        downAt = performance.now()
        cpu = process.cpuUsage()
      },
      gap () { gapped() },
      control () {},
      warning () {}
    })
    const spent = (): number => {
      const { user, system } = process.cpuUsage(cpu)
      return Math.round((user + system) / 1_000)
    }
    await link.start()
    cleanups.teardown(() => link.stop())
    const from = performance.now()
    cpu = process.cpuUsage()
    await Promise.all(Array.from({ length: channels }, (_, i) => link.hold(`room/${i}`)))
    const report: ResubscribeReport = { channels, first: Math.round(performance.now() - from), again: Infinity, firstCpu: spent(), againCpu: Infinity, delivered: 0 }
    for (let i = 0; i < cuts; i++) {
      const gap = new Promise<void>((resolve) => { gapped = resolve })
      proxy.cut()
      await gap
      report.again = Math.min(report.again, Math.round(performance.now() - downAt))
      report.againCpu = Math.min(report.againCpu, spent())
    }
    for (let i = 0; i < 1000; i++) await link.publish(`room/${Math.floor(i * channels / 1000)}`, '1')
    for (let i = 0; i < 200 && seen.delivered < 1000; i++) await sleep(10)
    return { ...report, delivered: seen.delivered }
  } finally {
    await cleanups.run()
  }
}
