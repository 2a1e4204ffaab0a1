import t from 'tap'
import { Revocations, lifeOf } from '../../lib/cluster/revocations.js'

const now = 1_700_000_000_000
const second = now / 1000

t.test('what a filter revokes: all of its fields together, and users as text', async (t) => {
  const both = new Revocations(86_400, 0)
  both.add({ user: 'ann', jti: 'one' }, now)
  for (const [token, revoked] of [
    [{ sub: 'ann', jti: 'one', iat: second }, true], [{ sub: 'ann', jti: 'one' }, true], [{ sub: 'ann', jti: 'two', iat: second }, false],
    [{ sub: 'bob', jti: 'one', iat: second }, false], [{ jti: 'one' }, false], [{ sub: 'ann', iat: 1 }, false]
  ] as const) t.equal(both.has(token), revoked, JSON.stringify(token))

  const numbers = new Revocations(86_400, 0)
  numbers.add({ user: 5 }, now)
  numbers.add({ jti: 7 }, now)
  t.ok(numbers.has({ sub: 5 as any, iat: second }))
  t.ok(numbers.has({ sub: '5', iat: second }))
  t.ok(numbers.has({ jti: 7 as any }))
  t.notOk(numbers.has({ sub: '05', iat: second }))

  const connection = new Revocations(86_400, 0)
  t.equal(connection.add({ user: 'ann', socketId: 'x' }, now), null)
  t.notOk(connection.has({ sub: 'ann', iat: 1 }), 'one connection is no user')
})

t.test('clocks: a tolerance, and tokens that are made because of a revocation', async (t) => {
  const revocations = new Revocations(86_400, 5)
  revocations.add({ user: 'ann' }, now)
  t.ok(revocations.has({ sub: 'ann', iat: second + 5 }), 'of a clock that is ahead')
  t.notOk(revocations.has({ sub: 'ann', iat: second + 6 }))
  t.equal(revocations.issuableFrom('ann'), second + 6)
  t.equal(revocations.issuableFrom('bob'), undefined)
  // Twice in the same moment: what was issued between is meant.
  revocations.add({ user: 'ann' }, now)
  t.ok(revocations.has({ sub: 'ann', iat: second + 6 }))
  t.equal(revocations.issuableFrom('ann'), second + 7)
  // What another node says is taken as it is, the later one counts, and nothing lies far ahead.
  t.equal(revocations.merge({ user: 'ann', at: now - 5_000 }, now), false)
  t.equal(revocations.merge({ user: 'ann', at: now * 2 }, now), true)
  t.equal(revocations.issuableFrom('ann'), second + 3_600 + 6)
  t.equal(revocations.merge({ user: 'old', at: 5 }, now), false, 'over already')
  t.equal(revocations.size, 1)
})

t.test('in pieces', async (t) => {
  const revocations = new Revocations(86_400, 5)
  for (let i = 0; i < 25; i++) revocations.add({ user: `user ${i}` })
  const users: unknown[] = []
  let pieces = 0
  for (let after: number | null = 0; after !== null; pieces++) {
    const { entries, next } = revocations.piece(after, 10)
    users.push(...entries.map(({ user }) => user))
    after = next
  }
  t.equal(pieces, 3)
  t.same(users, Array.from({ length: 25 }, (_, i) => `user ${i}`))
  t.same(revocations.piece(0, 10, -1).entries, [], 'nothing was learned since')
  const told: number[] = []
  const many = new Revocations(86_400, 5, () => told.push(many.size))
  for (let i = 0; i < 100_050; i++) many.merge({ jti: String(i), at: Date.now() })
  t.equal(many.size, 100_000)
  t.ok(many.has({ jti: '100049' }))
  t.same(told, [100_000], 'told once that some are forgotten which are in force')
  // All of these are over, there is room: then it is told again.
  const later = Date.now() + 86_500_000
  many.merge({ jti: 'later', at: later }, later)
  for (let i = 0; i < 100_050; i++) many.merge({ jti: `later ${i}`, at: later }, later)
  t.equal(told.length, 2)
})

t.test('is in force as long as the longest token that is known of lives', (t) => {
  const day = 86_400_000
  const now = Date.now()
  const revocations = new Revocations(86_400, 5)
  revocations.outlive(lifeOf({ iat: 1_000, exp: 1_000 + 30 * 86_400 }))
  revocations.outlive(60)
  t.equal(revocations.longestLife, 30 * 86_400)
  revocations.merge({ user: 'ada', at: now - 20 * day })
  revocations.merge({ user: 'over', at: now - 31 * day })
  // What is over is forgotten with the next one.
  revocations.merge({ user: 'bob', at: now })
  t.ok(revocations.has({ sub: 'ada', iat: Math.floor((now - 25 * day) / 1000) }))
  t.notOk(revocations.has({ sub: 'over', iat: 1 }))
  t.same(revocations.piece(0, 10).entries.map(({ user }) => user), ['ada', 'bob'])

  // A token without an end.
  revocations.outlive(lifeOf({ sub: 'ada' }))
  t.ok(revocations.merge({ user: 'cat', at: 1 }))
  t.equal(JSON.parse(JSON.stringify(revocations.longestLife)), Number.MAX_SAFE_INTEGER)
  t.end()
})
