// `npm run chaos`: every fault three times over every engine, with the exact counts as a table. Takes about two hours. CHAOS_RUNS is
// the number of times, CHAOS_ONLY the tables: faults, recovery, presence, crowd, channels, outage. CHAOS_ROWS is a regular expression
// for the names of the faults, and CHAOS_ENGINES the engines: redis, nats.
import { judgeCrowd, runCrowd } from './presence-crowd.js'
import { judgePresence, presenceScenarios, runPresence } from './presence.js'
import { judgeRecovery, runRecovery } from './recovery.js'
import { recoveryScenarios } from './recovery-faults.js'
import { judge, judgeResubscribe, judgeTimes, longPace, runOutage, runResubscribe, runScenario, scenarios, type EngineName } from './scenario.js'

const runs = Number(process.env.CHAOS_RUNS ?? 3)
const engines = (process.env.CHAOS_ENGINES ?? 'redis,nats').split(',') as EngineName[]
const only = process.env.CHAOS_ONLY?.split(',')
const rows = new RegExp(process.env.CHAOS_ROWS ?? '')
let failures = 0

function row (...cells: unknown[]): void {
  process.stdout.write(`| ${cells.join(' | ')} |\n`)
}

function table (title: string, ...columns: string[]): void {
  process.stdout.write(`\n## ${title}\n\n`)
  row(...columns)
  row(...columns.map(() => '---'))
}

function verdict (broken: string[]): string {
  failures += broken.length
  return broken.length === 0 ? 'ok' : broken.join('; ')
}

function chosen<T extends { readonly name: string }> (scenarios: T[]): T[] {
  return scenarios.filter(({ name }) => rows.test(name))
}

/** Plays over each engine, as often as it is wanted. */
async function onEngines (play: (engine: EngineName, run: number) => Promise<void>): Promise<void> {
  for (const engine of engines) for (let run = 1; run <= runs; run++) await play(engine, run)
}

const tables: Record<string, () => Promise<void>> = {
  async faults () {
    table('Faults', 'fault', 'engine', 'run', 'published', 'acked', 'rejected', 'unanswered', 'delivered', 'lost inside a gap', 'lost silently', 'duplicates', 'out of order', 'rejected but delivered', 'slowest refusal ms', 'noticed ms', 'back ms', 'held up ms', 'verdict')
    for (const scenario of chosen(scenarios(longPace))) {
      await onEngines(async (engine, run) => {
        const r = await runScenario(scenario, engine)
        if (r === null) row(scenario.name, engine, run, ...Array(14).fill('-'), 'not installed')
        else row(scenario.name, engine, run, r.published, r.acked, r.rejected, r.unanswered, r.delivered, r.lostInGap, r.lostSilently, r.duplicates, r.outOfOrder, r.rejectedButDelivered, r.slowestRefusal, r.noticed, r.back, r.heldUp, verdict([...judge(scenario, r), ...judgeTimes(scenario, r)]))
      })
    }
  },

  async recovery () {
    table('Clients that recover', 'fault', 'engine', 'run', 'clients', 'published', 'acked', 'rejected', 'delivered', 'lost silently', 'lost and told', 'duplicates', 'out of order', 'forbidden', 'reconnects', 'recovered', 'told', 'why', 'wrongly told', 'verdict')
    for (const scenario of chosen(recoveryScenarios(longPace))) {
      for (const engine of scenario.engines.filter((name) => engines.includes(name.split(',')[0] as EngineName))) {
        for (let run = 1; run <= runs; run++) {
          const r = await runRecovery(scenario, engine)
          if (r === null) continue
          row(scenario.name, engine, run, r.clients, r.published, r.acked, r.rejected, r.delivered, r.lostSilently, r.lostTold, r.duplicates, r.outOfOrder, r.forbidden, r.reconnects, r.recovered, r.told, r.reasons, r.wronglyTold, verdict(judgeRecovery(scenario, r)))
        }
      }
    }
  },

  async presence () {
    table('Presence', 'fault', 'engine', 'run', 'users', 'nodes and clients that are told', 'connections lost', 'joins', 'updates', 'leaves', 'wrong', 'missing', 'contradictions', 'untimely', 'first leave ms', 'last leave ms', 'wrong views', 'joins to clients that were cut off', 'verdict')
    for (const scenario of chosen(presenceScenarios(longPace))) {
      await onEngines(async (engine, run) => {
        const r = await runPresence(scenario, engine)
        if (r !== null) row(scenario.name, engine, run, r.users, r.observers, r.disconnects, r.joins, r.updates, r.leaves, r.wrong, r.missing, r.mistakes, r.untimely, r.firstLeave, r.lastLeave, r.viewsDiffer, r.joinsToMoving, verdict(judgePresence(r)))
      })
    }
  },

  async crowd () {
    table('A channel with more users than there are lists for', 'users', 'members', 'engine', 'run', 'seconds', 'most numbers to a client', 'longest list', 'wrong', 'contradictions', 'CPU µs a user', 'without presence', 'bytes a user, two nodes', 'verdict')
    await onEngines(async (engine, run) => {
      const shape = { users: 10_000, members: 1_000, rate: 1_000, nodes: 2, isMeasured: true }
      const r = await runCrowd(shape, engine)
      if (r !== null) row(r.users, shape.members, engine, run, r.seconds.toFixed(1), r.counts, r.longest, r.wrong, r.mistakes, Math.round(r.cpu), Math.round(r.plainCpu), Math.round(r.bytes), verdict(judgeCrowd(shape, r)))
    })
  },

  async channels () {
    table('100,000 channels after a cut', 'engine', 'run', 'subscribed first ms', 'subscribed again ms', 'CPU ms first', 'CPU ms again', 'delivered of 1,000', 'verdict')
    await onEngines(async (engine, run) => {
      const r = await runResubscribe(engine, 100_000)
      if (r !== null) row(engine, run, r.first, r.again, r.firstCpu, r.againCpu, r.delivered, verdict(judgeResubscribe(r)))
    })
  },

  async outage () {
    table('An outage of 60 s at 20,000 publishes a second', 'engine', 'run', 'attempted', 'refused', 'kept MB', 'grown by MB', 'µs per refusal', 'verdict')
    await onEngines(async (engine, run) => {
      const r = await runOutage(engine, Number(process.env.CHAOS_OUTAGE ?? 60))
      if (r !== null) row(engine, run, r.attempted, r.refused, r.keptBy.toFixed(1), r.grownBy.toFixed(1), r.microsecondsPerRefusal.toFixed(2), verdict([...r.keptBy < 5 ? [] : ['too much memory'], ...r.refused === r.attempted ? [] : ['not all refused']]))
    })
  }
}

for (const [name, play] of Object.entries(tables)) if (only?.includes(name) !== false) await play()

process.stdout.write(failures === 0 ? '\nAll rules held.\n' : `\n${failures} rules were broken.\n`)
process.exitCode = failures === 0 ? 0 : 1
