// Who is in a channel, while nodes die, close and lose their engine: exact counts of what nodes and real clients are told.
import { setTimeout as sleep } from 'node:timers/promises'
import { atRest, until } from '../helpers/waiting.js'
import type { PresenceNodeOptions } from './presence-node.js'
import { type Back, PresenceStage, room, type Tab } from './presence-stage.js'
import { Cleanups, type EngineName, type Pace, startEngine } from './scenario.js'

/** Milliseconds within which a node that is alive is heard, and after which one that is dead is known to be so at the latest. */
const heartbeat = 2_000
const lease = 3.5 * heartbeat + heartbeat
/** Milliseconds for a message to clients to be collected and to arrive. */
const slack = 5_000

export interface PresenceScenario {
  readonly name: string
  readonly limits: PresenceNodeOptions['limits']
  readonly broker: PresenceNodeOptions['broker']
  readonly back: Back
  /** Builds the scene. @returns the fault, which says what observers are to be told of */
  setUp (stage: PresenceStage): Promise<() => Promise<void>>
}

export interface PresenceReport {
  /** Users at the beginning. */
  users: number
  /** Nodes and clients that were told the whole time. */
  observers: number
  /** Connections of users that ended. */
  disconnects: number
  /** Joins, updates and leaves over all observers. */
  joins: number
  updates: number
  leaves: number
  /** Those of them that are wrong, and those that are missing: must be 0. */
  wrong: number
  missing: number
  /** What contradicts what the same observer was told before: must be 0. */
  mistakes: number
  /** Leaves that were told too early or too late: must be 0. */
  untimely: number
  /** Milliseconds from the fault to the first leave and to the last one. */
  firstLeave: number | '-'
  lastLeave: number | '-'
  /** Observers and nodes that know other users at the end than there are: must be 0. */
  viewsDiffer: number
  /** Joins of users who were there before, told to clients that had to come back themselves: must be 0. */
  joinsToMoving: number
}

/** What breaks a rule; empty when all is well. */
export function judgePresence (report: PresenceReport): string[] {
  const broken: string[] = []
  for (const name of ['wrong', 'missing', 'mistakes', 'untimely', 'viewsDiffer', 'joinsToMoving'] as const) if (report[name] !== 0) broken.push(`${name} is ${report[name]}`)
  if (report.joins === 0) broken.push('nothing was told')
  return broken
}

/** Runs a scenario once. `null` when the machine has no such engine. */
export async function runPresence (scenario: PresenceScenario, engine: EngineName): Promise<PresenceReport | null> {
  const cleanups = new Cleanups()
  try {
    const server = await startEngine(engine, cleanups)
    if (server === null) return null
    const stage = new PresenceStage(server, cleanups, { engine, broker: scenario.broker, limits: scenario.limits }, scenario.back)
    const fault = await scenario.setUp(stage)
    await stage.begin()
    const users = stage.users.size
    const at = performance.now()
    await fault()
    await stage.end()
    await atRest(() => stage.observers.reduce((sum, { seen }) => sum + seen.length, 0))
    return await account(stage, users, at)
  } finally {
    await cleanups.run()
  }
}

async function account (stage: PresenceStage, users: number, at: number): Promise<PresenceReport> {
  const { observers, moving, nodes, expected, leavesWithin: [from, to] } = stage
  const seen = observers.flatMap((observer) => observer.seen)
  const leaves = seen.filter(({ change }) => change === 'leave').map((leave) => leave.at)
  const report: PresenceReport = {
    users,
    observers: observers.length,
    disconnects: stage.tabs.reduce((sum, { disconnects }) => sum + disconnects, 0),
    joins: seen.filter(({ change }) => change === 'join').length,
    updates: seen.filter(({ change }) => change === 'update').length,
    leaves: leaves.length,
    wrong: 0,
    missing: 0,
    mistakes: [...observers, ...moving].reduce((sum, { mistakes }) => sum + mistakes.length, 0),
    untimely: leaves.filter((time) => time < from || time > to).length,
    firstLeave: leaves.length === 0 ? '-' : Math.round(Math.min(...leaves) - at),
    lastLeave: leaves.length === 0 ? '-' : Math.round(Math.max(...leaves) - at),
    viewsDiffer: 0,
    joinsToMoving: moving.reduce((sum, observer) => sum + observer.seen.filter(({ change, key }) => change === 'join' && !expected.joins.has(key)).length, 0)
  }
  for (const observer of observers) {
    const left = { join: new Set(expected.joins), update: new Set<string>(), leave: new Set(expected.leaves) }
    for (const { change, key } of observer.seen) if (!left[change].delete(key)) report.wrong++
    report.missing += left.join.size + left.leave.size
  }
  const truth = [...stage.users].sort().join()
  const differs = (keys: Iterable<string>): boolean => [...keys].sort().join() !== truth
  report.viewsDiffer = [...observers, ...moving].filter(({ users }) => differs(users.keys())).length
  for (const { sc } of nodes) {
    // A node that was the last one to reach its engine again asks the others for some seconds.
    await until('a complete answer', async () => (await sc.exchange.presence(room)).complete).catch(() => {})
    const { members, complete } = await sc.exchange.presence(room)
    if (!complete || differs(members.map(({ key }) => key))) report.viewsDiffer++
  }
  return report
}

const names = (count: number, from = 0): string[] => Array.from({ length: count }, (_, i) => `user ${from + i}`.replace(' ', '-'))

/** The rows of the table, at a pace. The long form has the defaults of the package and of stock clients. */
export function presenceScenarios (pace: Pace): PresenceScenario[] {
  const isLong = pace.duration > 10_000
  const leaveDelay = isLong ? 30_000 : 3_000
  const users = isLong ? 500 : 40
  const common = {
    limits: isLong ? {} : { leaveDelay },
    broker: isLong ? {} : { maxRetryDelay: 300 },
    back: isLong ? { initialDelay: 10_000, randomness: 10_000 } : { initialDelay: 300, randomness: 700 }
  }

  /** A node of two that observe, and one that is killed; on it a user who does not come back, so that it is known when the time is over. */
  const killed = (name: string, then: (stage: PresenceStage, front: { target: number }, tabs: Tab[]) => Promise<void>, looksThere = false): PresenceScenario => ({
    ...common,
    name,
    async setUp (stage) {
      const doomed = await stage.process()
      const front = await stage.proxy(doomed.port)
      await stage.observingNode()
      await stage.observingNode()
      await stage.know(3)
      const tabs = await stage.enter(front.port, names(users))
      if (looksThere) await stage.look(front.port)
      const [gone] = await stage.enter(doomed.port, ['gone'])
      return async () => {
        stage.expected.leaves.add('gone')
        gone!.client.raw.options.autoReconnect = false
        const at = performance.now()
        stage.leavesWithin = [at - heartbeat + leaveDelay, at + Math.max(leaveDelay, lease) + slack]
        await then(stage, front, tabs)
        await doomed.kill()
        await stage.leavesTold(Math.max(leaveDelay, lease) + slack * 2)
      }
    }
  })

  return [
    killed(`kill -9 of a node with ${users} users, who come back to others`, async (stage, front) => {
      front.target = stage.nodes[1]!.port
    }, true),
    killed(`kill -9 of a node with ${users} users, nobody comes back`, async (stage, _front, tabs) => {
      for (const { client, user } of tabs) {
        client.raw.options.autoReconnect = false
        stage.expected.leaves.add(user)
      }
    }),
    killed(`kill -9 of a node with a tab of each of ${users} users`, async (stage, _front, tabs) => {
      for (const { client } of tabs) client.raw.options.autoReconnect = false
      await stage.there(await stage.enter(stage.nodes[0]!.port, tabs.map(({ user }) => user)))
    }),
    ...(['SIGSTOP', 'black hole'] as const).map((kind) => outage(kind, { ...common, isLong, users })),
    {
      ...common,
      name: `rolling restart of three nodes with ${users * 3} users`,
      limits: { ...common.limits, members: 5_000 },
      back: isLong ? { initialDelay: 500, randomness: 1_500 } : common.back,
      async setUp (stage) {
        const nodes = await Promise.all([1, 2, 3].map(() => stage.restartable(isLong)))
        const fronts = await Promise.all(nodes.map(({ port }) => stage.proxy(port)))
        await stage.observingNode()
        await stage.know(4)
        for (const [i, { port }] of fronts.entries()) {
          await stage.enter(port, names(users, i * users))
          await stage.look(port)
        }
        const [gone] = await stage.enter(nodes[2]!.port, ['gone'])
        return async () => {
          stage.expected.leaves.add('gone')
          gone!.client.raw.options.autoReconnect = false
          for (const [i, front] of fronts.entries()) {
            front.target = nodes[(i + 1) % 3]!.port
            const at = performance.now()
            await nodes[i]!.close()
            stage.leavesWithin = [at + leaveDelay, performance.now() + leaveDelay + slack]
            nodes[i] = await stage.restartable(isLong)
            front.target = nodes[i]!.port
            await stage.there(stage.tabs.filter((tab) => tab !== gone))
          }
          await stage.leavesTold(leaveDelay + slack * 2)
        }
      }
    }
  ]
}

type Common = Omit<PresenceScenario, 'name' | 'setUp'> & { readonly isLong: boolean, readonly users: number }

/** Two nodes lose the engine. Meanwhile users come, move to the other node, and are gone. */
function outage (kind: 'SIGSTOP' | 'black hole', { isLong, users, ...common }: Common): PresenceScenario {
  const seconds = isLong ? 60 : 4
  const some = users / 10
  return {
    ...common,
    name: `${kind === 'SIGSTOP' ? 'SIGSTOP of the engine' : 'a black hole around the engine'} for ${seconds} s`,
    limits: isLong ? {} : { leaveDelay: 1_000 },
    // The clients of those who move are quick, so that they are back before the end.
    back: { initialDelay: 100, randomness: 400 },
    broker: isLong ? {} : { ...common.broker, timeout: 500, probeInterval: 500, connectTimeout: 3_000 },
    async setUp (stage) {
      const links = [await stage.proxy(stage.engine.port), await stage.proxy(stage.engine.port)]
      const nodes = [await stage.observingNode(links[0]!.port), await stage.observingNode(links[1]!.port)]
      await stage.know(2)
      for (const [i, { port }] of nodes.entries()) await stage.enter(port, names(users / 2, i * users / 2))
      return async () => {
        const [gone, moves] = [stage.tabs.slice(0, some), stage.tabs.slice(some, 2 * some)]
        const over = sleep(seconds * 1_000)
        if (kind === 'SIGSTOP') stage.engine.pause()
        else for (const link of links) link.blackHole()
        await stage.down()
        for (const tab of gone) {
          tab.cut(false)
          stage.expected.leaves.add(tab.user)
        }
        for (const tab of moves) tab.cut(true, nodes[1]!.port)
        const come = names(some, 10_000)
        for (const user of come) stage.expected.joins.add(user)
        await stage.enter(nodes[0]!.port, come)
        await stage.there(stage.tabs.filter((tab) => !gone.includes(tab)))
        await over
        stage.leavesWithin = [performance.now(), Infinity]
        if (kind === 'SIGSTOP') stage.engine.resume()
        else for (const link of links) link.reopen()
        await stage.up()
        // The others are asked for 10 seconds, and who lost the connection shortly before has the rest of its delay.
        stage.leavesWithin[1] = performance.now() + 10_000 + slack
        await stage.leavesTold(slack * 4)
      }
    }
  }
}
