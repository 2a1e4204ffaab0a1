import t from 'tap'
import { judge, judgeResubscribe, judgeTimes, runOutage, runResubscribe, runScenario, scenarios, shortPace, type EngineName } from './scenario.js'
import { judgeRecovery, runRecovery, type RecoveryReport } from './recovery.js'
import { recoveryScenarios } from './recovery-faults.js'
import { bestOf } from '../helpers/waiting.js'

// The short form of `npm run chaos`: the same faults, accounting and rules, at a quicker pace.
for (const engine of ['redis', 'nats'] as EngineName[]) {
  t.test(engine, async (t) => {
    const results = await Promise.all(scenarios(shortPace).map(async (scenario) => ({ scenario, report: await runScenario(scenario, engine) })))
    if (results.some(({ report }) => report === null)) return t.plan(0, `${engine}-server is not installed`)
    for (const { scenario, report: first } of results) {
      let report = first
      const times = await bestOf(3, async () => {
        report ??= await runScenario(scenario, engine)
        t.strictSame(judge(scenario, report!), [], scenario.name, { report })
        const times = judgeTimes(scenario, report!)
        report = null
        return times
      }, (times) => times.length === 0)
      t.strictSame(times, [], `${scenario.name}: times`)
    }

    const outage = await bestOf(3, async () => {
      const outage = await runOutage(engine, 2)
      t.ok(outage!.attempted > 5000 && outage!.refused === outage!.attempted, 'everything is refused', { outage })
      return outage
    }, (outage) => outage!.keptBy < outage!.published / 2)
    t.ok(outage!.keptBy < outage!.published / 2, 'an outage does not hoard publications', { outage })

    const resubscribe = await runResubscribe(engine, 20_000)
    t.strictSame(judgeResubscribe(resubscribe!), [], 'many channels after a cut', { resubscribe })
  })
}

t.test('clients that recover', async (t) => {
  const left = recoveryScenarios(shortPace).flatMap((scenario) => scenario.engines.map((engine) => ({ scenario, engine })))
  const results: Array<{ name: string, broken: string[], report: RecoveryReport | null }> = []
  // A process has no time for all of them at once.
  await Promise.all([1, 2, 3].map(async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const { scenario, engine } = next
      const report = await runRecovery(scenario, engine)
      results.push({ name: `${scenario.name}, ${engine}`, broken: report === null ? [] : judgeRecovery(scenario, report), report })
    }
  }))
  for (const { name, broken, report } of results) {
    if (report === null) t.pass(`${name}: not installed`)
    else t.strictSame(broken, [], name, { report })
  }
})
