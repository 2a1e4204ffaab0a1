// The short form of the presence tables of `npm run chaos`: the same faults and accounting, with fewer users and shorter delays.
import t from 'tap'
import { judgeCrowd, runCrowd } from './presence-crowd.js'
import { judgePresence, type PresenceReport, type PresenceScenario, presenceScenarios, runPresence } from './presence.js'
import { type EngineName, shortPace } from './scenario.js'

t.test('who is in a channel, while nodes and engines fail', async (t) => {
  const scenarios = presenceScenarios(shortPace)
  // The rest has nothing to do with the engine.
  const left: Array<[PresenceScenario, EngineName]> = [
    ...scenarios.map((scenario): [PresenceScenario, EngineName] => [scenario, 'redis']),
    ...scenarios.filter(({ name }) => /SIGSTOP/.test(name)).map((scenario): [PresenceScenario, EngineName] => [scenario, 'nats'])
  ].reverse()
  const results: Array<{ name: string, report: PresenceReport | null }> = []
  // Most of the time is spent on waiting.
  await Promise.all([1, 2, 3, 4].map(async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) results.push({ name: `${next[0].name}, over ${next[1]}`, report: await runPresence(...next) })
  }))
  for (const { name, report } of results) {
    if (report === null) t.pass(`${name}: not installed`)
    else t.strictSame(judgePresence(report), [], name, { report })
  }
})

t.test('more users than there are lists for', async (t) => {
  const shape = { users: 300, members: 100, rate: 300, nodes: 1, isMeasured: false }
  const report = await runCrowd(shape, 'redis')
  if (report === null) return t.pass('redis-server is not installed')
  t.strictSame(judgeCrowd(shape, report), [], 'only numbers, one in a second', { report })
})
