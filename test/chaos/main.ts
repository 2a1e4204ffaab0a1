// `npm run chaos`: every fault three times over every engine, with the exact counts as a table. Takes about twenty minutes.
import { judgeRecovery, recoveryScenarios, runRecovery } from './recovery.js'
import { judge, judgeTimes, longPace, runOutage, runResubscribe, runScenario, scenarios, type EngineName } from './scenario.js'

const runs = Number(process.env.CHAOS_RUNS ?? 3)
const engines: EngineName[] = ['redis', 'nats']
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

table('Faults', 'fault', 'engine', 'run', 'published', 'acked', 'rejected', 'unanswered', 'delivered', 'lost inside a gap', 'lost silently', 'duplicates', 'out of order', 'rejected but delivered', 'slowest refusal ms', 'noticed ms', 'back ms', 'verdict')
for (const scenario of scenarios(longPace)) {
  for (const engine of engines) {
    for (let run = 1; run <= runs; run++) {
      const r = await runScenario(scenario, engine)
      if (r === null) {
        row(scenario.name, engine, run, ...Array(13).fill('-'), 'not installed')
        continue
      }
      row(scenario.name, engine, run, r.published, r.acked, r.rejected, r.unanswered, r.delivered, r.lostInGap, r.lostSilently, r.duplicates, r.outOfOrder, r.rejectedButDelivered, r.slowestRefusal, r.noticed, r.back, verdict([...judge(scenario, r), ...judgeTimes(scenario, r)]))
    }
  }
}

table('Clients that recover', 'fault', 'run', 'clients', 'published', 'acked', 'rejected', 'delivered', 'lost silently', 'lost and told', 'duplicates', 'out of order', 'reconnects', 'recovered', 'told', 'why', 'wrongly told', 'verdict')
for (const scenario of recoveryScenarios(longPace)) {
  for (let run = 1; run <= runs; run++) {
    const r = await runRecovery(scenario)
    if (r === null) continue
    row(scenario.name, run, r.clients, r.published, r.acked, r.rejected, r.delivered, r.lostSilently, r.lostTold, r.duplicates, r.outOfOrder, r.reconnects, r.recovered, r.told, r.reasons, r.wronglyTold, verdict(judgeRecovery(scenario, r)))
  }
}

table('100,000 channels after a cut', 'engine', 'run', 'subscribed first ms', 'subscribed again ms', 'delivered of 1,000', 'verdict')
for (const engine of engines) {
  for (let run = 1; run <= runs; run++) {
    const r = await runResubscribe(engine, 100_000)
    if (r === null) continue
    row(engine, run, r.first, r.again, r.delivered, verdict([...r.again < 2000 ? [] : ['too slow'], ...r.delivered === 1000 ? [] : ['not all']]))
  }
}

table('An outage of 60 s at 20,000 publishes a second', 'engine', 'run', 'attempted', 'refused', 'kept MB', 'grown by MB', 'µs per refusal', 'verdict')
for (const engine of engines) {
  for (let run = 1; run <= runs; run++) {
    const r = await runOutage(engine, Number(process.env.CHAOS_OUTAGE ?? 60))
    if (r === null) continue
    row(engine, run, r.attempted, r.refused, r.keptBy.toFixed(1), r.grownBy.toFixed(1), r.microsecondsPerRefusal.toFixed(2), verdict([...r.keptBy < 5 ? [] : ['too much memory'], ...r.refused === r.attempted ? [] : ['not all refused']]))
  }
}

process.stdout.write(failures === 0 ? '\nAll rules held.\n' : `\n${failures} rules were broken.\n`)
process.exitCode = failures === 0 ? 0 : 1
