import t, { type Test } from 'tap'
import { Membership, maxNodes } from '../../lib/cluster/membership.js'
import type { ClusterMessage } from '../../lib/cluster/messages.js'
import { Clock } from '../helpers/clock.js'

function start (t: Test, fields: string[] = []) {
  const clock = new Clock(t)
  const said: Array<[ClusterMessage, string | undefined]> = []
  const changes: Array<readonly string[]> = []
  const full: string[] = []
  const port = {
    reachable: true,
    say: (message: ClusterMessage, toNode?: string) => { said.push([message, toNode]) },
    changed: (gone: readonly string[]) => { changes.push(gone) },
    full: (id: string) => { full.push(id) }
  }
  return { clock, said, changes, full, port, members: new Membership({ heartbeatInterval: 2_000, fields }, port) }
}

t.test('who is new is answered, and who says goodbye is gone', async (t) => {
  const { members, said, changes, clock } = start(t)
  members.up()
  t.strictSame(said.splice(0), [[{ t: 'hello' }, undefined]])
  t.equal(members.heard({ t: 'hello' }, 'n2'), true)
  t.equal(members.heard({ t: 'ask', id: 1, kind: 'stats' }, 'n3'), true, 'whatever it says')
  t.strictSame(said.splice(0), [[{ t: 'beat', every: 2_000 }, 'n2'], [{ t: 'beat', every: 2_000 }, 'n3']])
  members.heard({ t: 'beat', every: 2_000 }, 'n2')
  t.strictSame([said, members.ids, members.has('n2')], [[], ['n2', 'n3'], true])
  t.equal(members.heard({ t: 'bye' }, 'n2'), false)
  members.heard({ t: 'bye' }, 'a stranger')
  t.strictSame([members.ids, changes], [['n3'], [[], [], ['n2']]])
  members.stop()
  t.strictSame([said.at(-1), clock.armed, members.ids], [[{ t: 'bye' }, undefined], 0, []])
})

t.test('a lease ends when a node is silent for three and a half of the intervals that it told', async (t) => {
  const { members, said, changes, clock } = start(t)
  members.up()
  members.heard({ t: 'beat', every: 2_000 }, 'quick')
  members.heard({ t: 'beat', every: 20_000 }, 'slow')
  await clock.advance(6_999)
  t.strictSame(members.ids, ['quick', 'slow'])
  await clock.advance(1_001)
  t.strictSame([members.ids, changes.at(-1)], [['slow'], ['quick']])
  await clock.advance(64_000)
  t.strictSame(members.ids, [])
  t.equal(said.filter(([message, to]) => message.t === 'beat' && to === undefined).length, 36, 'a heartbeat every two seconds')
  members.stop()
})

t.test('absurd intervals are taken for the longest, or the shortest', async (t) => {
  const { members, clock } = start(t)
  members.up()
  for (const [id, every] of [['huge', 1e300], ['negative', -1]] as const) members.heard({ t: 'beat', every }, id)
  await clock.advance(2_000)
  t.strictSame(members.ids, ['huge'])
  await clock.advance(212_000)
  t.strictSame(members.ids, [])
  members.stop()
})

t.test('while the engine is down, and while the process was busy, nobody dies', async (t) => {
  const { members, said, clock, port } = start(t)
  members.up()
  members.heard({ t: 'beat', every: 2_000 }, 'n2')
  port.reachable = false
  said.length = 0
  await clock.advance(60_000)
  t.strictSame([members.ids, said], [['n2'], []], 'nothing is said either')
  port.reachable = true
  members.up()
  t.strictSame(said, [[{ t: 'beat', every: 2_000 }, undefined]], 'who knows others does not ask for answers of all of them')
  await clock.advance(4_000)
  await clock.stall(30_000)
  t.strictSame(members.ids, ['n2'], 'its heartbeats may be waiting to be read')
  await clock.advance(2_000)
  t.strictSame(members.ids, [])
  members.stop()
})

t.test('many nodes beat more slowly, and there are only so many', async (t) => {
  const { members, said, full, clock } = start(t)
  members.up()
  for (let i = 0; i <= maxNodes; i++) t.equal(members.heard({ t: 'hello' }, `n${i}`), i < maxNodes, { diagnostic: false })
  t.strictSame([full, members.ids.length], [['n1000'], 1_000])
  await clock.advance(2_000)
  t.match(said.at(-1), [{ t: 'beat', every: 40_040 }, undefined])
  members.stop()
})

t.test('an optional field may be sent while all nodes say that they read it', async (t) => {
  const { members, said } = start(t, ['position', 'origin'])
  members.up()
  t.strictSame(said[0], [{ t: 'hello', fields: ['position', 'origin'] }, undefined])
  t.ok(members.allRead('position'), 'alone')
  members.heard({ t: 'hello', fields: ['later', 'position'] }, 'n2')
  t.match(said[1], [{ t: 'beat', fields: ['position', 'origin'] }, 'n2'])
  t.strictSame([members.allRead('position'), members.allRead('origin')], [true, false])
  members.heard({ t: 'ask', id: 1, kind: 'stats' }, 'n2')
  t.ok(members.allRead('position'), 'what else it says changes nothing')
  members.heard({ t: 'ask', id: 1, kind: 'stats' }, 'n3')
  t.notOk(members.allRead('position'), 'who has not said so may be of an earlier version')
  members.heard({ t: 'beat', fields: ['position'] }, 'n3')
  t.ok(members.allRead('position'))
  for (const fields of [undefined, 'position', { position: true }, [['position']], 5]) {
    members.heard({ t: 'beat', fields }, 'n3')
    t.notOk(members.allRead('position'), JSON.stringify(fields))
  }
  members.heard({ t: 'bye' }, 'n3')
  t.ok(members.allRead('position'))
  members.stop()
})
