// Clients that recover, while nodes, links and engines fail: exact counts with real clients of both generations.
import type { RemoteBrokerOptions } from '../../lib/broker/remote/options.js'
import { type HistoryEngine, RecoveryStage, startHistoryEngine } from './recovery-stage.js'
import { Cleanups } from './scenario.js'

export interface RecoveryScenario {
  readonly name: string
  readonly engines: readonly HistoryEngine[]
  readonly clients: number
  readonly channels: readonly string[]
  /** Messages in each channel; the fault begins when `faultAt` of them were published. */
  readonly messages: number
  readonly faultAt: number
  readonly rate: number
  readonly options: RemoteBrokerOptions
  /** Whether clients that the scenario did not send away may lose their connections. */
  readonly reconnects: boolean
  /** Builds the scene. @returns the ports of the clients, and the fault */
  setUp (stage: RecoveryStage): Promise<{ ports: number[], fault: () => Promise<void> }>
}

export interface RecoveryReport {
  clients: number
  published: number
  acked: number
  rejected: number
  delivered: number
  /** Accepted messages that a client did not get, without being told: must be 0. */
  lostSilently: number
  lostTold: number
  duplicates: number
  outOfOrder: number
  /** Messages to clients that had lost the right to them, recovered or not: must be 0. */
  forbidden: number
  /** Connections that ended, but for those that the scenario ended. */
  reconnects: number
  /** `recovered: true`, over all clients and channels. */
  recovered: number
  /** `recovered: false`. */
  told: number
  /** The reasons that they were told, each once. */
  reasons: string
  /** Clients that were told less or more often than once in each channel, or at all though nothing was lost. */
  wronglyTold: number
}

/** What breaks a rule; empty when all is well. */
export function judgeRecovery ({ reconnects, clients, channels }: RecoveryScenario, report: RecoveryReport): string[] {
  const broken: string[] = []
  for (const name of ['lostSilently', 'duplicates', 'outOfOrder', 'forbidden', 'wronglyTold'] as const) if (report[name] !== 0) broken.push(`${name} is ${report[name]}`)
  if (reconnects && report.reconnects < clients) broken.push('not every client lost its connection')
  if (!reconnects && report.reconnects !== 0) broken.push(`reconnects is ${report.reconnects}`)
  if (reconnects && report.recovered < clients * channels.length) broken.push('not every client recovered')
  if (report.acked + report.rejected !== report.published) broken.push('not every publish was acked or rejected')
  if (report.acked === 0 || report.delivered === 0) broken.push('nothing was published')
  return broken
}

/** Runs a scenario once. `null` when the machine has no such engine. */
export async function runRecovery (scenario: RecoveryScenario, name: HistoryEngine): Promise<RecoveryReport | null> {
  const cleanups = new Cleanups()
  try {
    const engine = await startHistoryEngine(name, cleanups)
    if (engine === null) return null
    const stage = new RecoveryStage(name, engine, cleanups, scenario.channels, scenario.options)
    const { ports, fault } = await scenario.setUp(stage)
    await stage.connect(scenario.clients, ports)
    await stage.publishDuring(scenario.rate, scenario.messages, scenario.rate / 2, stage.until(scenario.faultAt).then(fault))
    await stage.arrived()
    return account(scenario, stage)
  } finally {
    await cleanups.run()
  }
}

function account ({ channels }: RecoveryScenario, { clients, answers }: RecoveryStage): RecoveryReport {
  const all = [...answers.values()].flat()
  const report: RecoveryReport = {
    clients: clients.length,
    published: all.length,
    acked: all.filter((answer) => answer === 'acked').length,
    rejected: all.filter((answer) => answer === 'rejected').length,
    delivered: 0,
    lostSilently: 0,
    lostTold: 0,
    duplicates: 0,
    outOfOrder: 0,
    forbidden: 0,
    reconnects: 0,
    recovered: 0,
    told: 0,
    reasons: [...new Set(clients.flatMap((client) => client.reasons))].join(', '),
    wronglyTold: 0
  }
  for (const client of clients) {
    const counts = client.count(answers)
    for (const name of ['delivered', 'lostSilently', 'lostTold', 'duplicates', 'outOfOrder', 'forbidden'] as const) report[name] += counts[name]
    report.reconnects += client.disconnects - (client.wasAway ? 1 : 0)
    report.recovered += client.recovered
    report.told += client.told
    if (client.mayBeTold ? client.told > channels.length : client.told !== (client.mustBeTold ? channels.length : 0)) report.wronglyTold++
  }
  return report
}
