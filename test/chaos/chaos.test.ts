import t from 'tap'
import { judge, judgeTimes, runOutage, runResubscribe, runScenario, scenarios, shortPace, type EngineName } from './scenario.js'
import { judgeRecovery, recoveryScenarios, runRecovery, type RecoveryReport, type RecoveryScenario } from './recovery.js'
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

    const resubscribe = await bestOf(3, async () => {
      const resubscribe = await runResubscribe(engine, 20_000)
      t.equal(resubscribe!.delivered, 1000, 'all channels are subscribed again', { resubscribe })
      return resubscribe
    }, (resubscribe) => resubscribe!.again < Math.max(2_000, resubscribe!.first))
    // Or in the time that it took at first, where the machine is busy.
    t.ok(resubscribe!.again < Math.max(2_000, resubscribe!.first), 'in under two seconds', { resubscribe })
  })
}

t.test('clients that recover', async (t) => {
  const left = recoveryScenarios(shortPace)
  const results: Array<{ scenario: RecoveryScenario, report: RecoveryReport | null }> = []
  // A process has no time for all of them at once.
  await Promise.all([1, 2, 3].map(async () => {
    for (let scenario = left.shift(); scenario !== undefined; scenario = left.shift()) results.push({ scenario, report: await runRecovery(scenario) })
  }))
  if (results.some(({ report }) => report === null)) return t.plan(0, 'redis-server is not installed')
  for (const { scenario, report } of results) t.strictSame(judgeRecovery(scenario, report!), [], scenario.name, { report })
})
