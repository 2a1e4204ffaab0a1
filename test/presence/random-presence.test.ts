// Presence of several nodes against a model: after a while without disturbance all nodes show who is there, whatever happened before;
// and nobody is said to leave who is there. PRESENCE_SEED, PRESENCE_PATH and PRESENCE_RUNS replay a failure.
import fc from 'fast-check'
import t from 'tap'
import { Clock } from '../helpers/clock.js'
import { interval, leaveDelay, lease, Network } from './simulation.js'

type Command =
  { kind: 'join', node: number, user: number, data: number } |
  { kind: 'leave', node: number, tab: number, code: number | null } |
  { kind: 'kill' | 'watch' | 'unwatch', node: number } |
  { kind: 'start' | 'down' | 'up' } |
  { kind: 'lose', pattern: number } |
  { kind: 'time', milliseconds: number }

const node = fc.nat(3)
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('join' as const), node, user: fc.nat(4), data: fc.nat(1) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('leave' as const), node, tab: fc.nat(9), code: fc.constantFrom(null, 1000, 1001, 1006, 1006) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('kill' as const), node }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom('watch' as const, 'watch' as const, 'unwatch' as const), node }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('start' as const, 'start' as const, 'down' as const, 'up' as const, 'up' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('lose' as const), pattern: fc.integer({ min: 0, max: 255 }) }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('time' as const), milliseconds: fc.constantFrom(1, 20, 60, 150, 1_000, 9_000, 31_000) }) }
)

const { PRESENCE_SEED, PRESENCE_PATH, PRESENCE_RUNS } = process.env
const replay = { ...PRESENCE_SEED !== undefined && { seed: Number(PRESENCE_SEED) }, ...PRESENCE_PATH !== undefined && { path: PRESENCE_PATH } }

t.test('all nodes agree after a while, and what they say on the way adds up', async (t) => {
  const clock = new Clock(t)
  let watchedNodes = 0
  let leaves = 0
  await fc.assert(fc.asyncProperty(fc.array(command, { maxLength: 40, size: 'max' }), async (commands) => {
    const network = new Network()
    for (let i = 0; i < 3; i++) network.start()
    /** Whether messages were lost: then somebody who is elsewhere may be thought to be gone. */
    let disturbed = false
    /** When each user was last without any socket, or had none that others knew of. */
    const absentAt = new Map<string, number>()
    const note = (): void => {
      const users = new Set(network.users)
      for (let i = 0; i < 5; i++) if (!users.has(`u${i}`)) absentAt.set(`u${i}`, clock.now)
    }
    const mistakes: string[] = []
    const look = (): void => {
      note()
      for (const { follower } of network.living) {
        if (follower === null) continue
        mistakes.push(...follower.mistakes.splice(0))
        for (const user of follower.leaves.splice(0)) {
          leaves++
          // A message about a leave may be on its way while the user comes back.
          if (!disturbed && clock.now - (absentAt.get(user) ?? -Infinity) > interval + 200) mistakes.push(`${user} left and was there`)
        }
      }
    }
    for (const command of commands) {
      const { living } = network
      const target = 'node' in command ? living[command.node % living.length] : undefined
      switch (command.kind) {
        case 'join':
          network.join(target!, `u${command.user}`, command.data)
          // Other nodes hear of it a moment later.
          absentAt.set(`u${command.user}`, clock.now)
          break
        case 'leave': {
          const tab = target?.tabs[command.tab % target.tabs.length]
          if (tab === undefined) break
          network.leave(target!, tab, command.code)
          // Who leaves on purpose leaves at once, and nobody could be heard who knows more.
          if (network.state === 'down' && (command.code === null || command.code === 1000)) disturbed = true
          break
        }
        case 'kill':
          if (living.length > 1) network.kill(target!)
          break
        case 'watch':
          network.watch(target!)
          break
        case 'unwatch':
          target!.unwatch()
          break
        case 'start':
          if (living.length < 4) network.start()
          break
        case 'lose': {
          // Some messages are lost, in a pattern that repeats.
          let at = 0
          network.loses = () => (command.pattern >> (at++ % 8) & 1) === 1
          if (command.pattern !== 0) disturbed = true
          break
        }
        case 'down':
        case 'up':
          network.change(command.kind)
          break
        case 'time':
          for (let left = command.milliseconds; left > 0; left -= 50) {
            await clock.advance(Math.min(left, 50))
            look()
          }
      }
      look()
    }
    // Quiet.
    network.change('up')
    network.loses = () => false
    await clock.advance(lease * 2 + leaveDelay + 40_000)
    look()
    const users = network.users
    const shown: string[] = []
    for (const node of network.living) {
      const { follower } = node
      if (follower?.started !== true) continue
      watchedNodes++
      if ([...follower.users.keys()].sort().join() !== users.join()) mistakes.push(`${node.id} shows ${[...follower.users.keys()].sort().join()} instead of ${users.join()}`)
      shown.push(JSON.stringify([...follower.users].sort(([a], [b]) => a < b ? -1 : 1)))
    }
    if (new Set(shown).size > 1) mistakes.push(`nodes show different data: ${shown.join(' ')}`)
    for (const { presence } of network.living) {
      const { joins, leaves, members } = presence.stats()
      if (joins - leaves !== members || members < 0) mistakes.push('the statistics do not add up')
    }
    const there = new Set(network.living.flatMap((node) => node.tabs.map(({ user }) => `${node.id} ${user}`))).size
    const counted = network.living.reduce((sum, { presence }) => sum + presence.stats().members, 0)
    if (counted !== there) mistakes.push(`${counted} users counted of ${there}`)
    for (const { presence } of network.nodes) presence.stop()
    await clock.advance(lease)
    if (mistakes.length !== 0) throw new Error(mistakes.join('; '))
  }), { numRuns: Number(PRESENCE_RUNS ?? 600), ...replay })
  t.ok(watchedNodes > 100 && leaves > 100, `${watchedNodes} views, ${leaves} leaves`)
})
