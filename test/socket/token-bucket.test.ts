import t from 'tap'
import { TokenBucket } from '../../lib/socket/token-bucket.js'

t.test('a burst goes through at once, then as many a second as the rate says', async (t) => {
  const bucket = new TokenBucket(10, 3, 1_000)
  t.strictSame([1, 2, 3, 4].map(() => bucket.take(1_000)), [0, 0, 0, 100])
  t.equal(bucket.take(1_050), 50)
  t.equal(bucket.take(1_075), 25)
  t.equal(bucket.take(1_100), 0)
  t.equal(bucket.take(1_100), 100)
})

t.test('milliseconds to wait are never too few', async (t) => {
  const bucket = new TokenBucket(3, 1, 0)
  t.strictSame([bucket.take(0), bucket.take(0)], [0, 334])
  t.equal(bucket.take(333), 1)
  t.equal(bucket.take(334), 0)
})

t.test('no more than a burst gathers', async (t) => {
  const bucket = new TokenBucket(10, 2, 0)
  t.strictSame([1, 2, 3].map(() => bucket.take(1_000_000)), [0, 0, 100])
})

t.test('a clock that goes back takes nothing', async (t) => {
  const bucket = new TokenBucket(10, 2, 1_000)
  t.strictSame([bucket.take(0), bucket.take(0), bucket.take(0)], [0, 0, 100])
})

t.test('a token that was not needed is given back, up to the burst', async (t) => {
  const bucket = new TokenBucket(1, 1, 0)
  t.equal(bucket.take(0), 0)
  bucket.refund()
  bucket.refund()
  t.strictSame([bucket.take(0), bucket.take(0)], [0, 1_000])
})

t.test('it has recovered when half of the burst is there', async (t) => {
  const bucket = new TokenBucket(1, 4, 0)
  const seen = [bucket.recovered]
  for (let i = 0; i < 4; i++) {
    bucket.take(0)
    seen.push(bucket.recovered)
  }
  t.strictSame(seen, [true, true, true, false, false])
})

t.test('it is known when it would be full', async (t) => {
  const bucket = new TokenBucket(2, 2, 1_000)
  t.equal(bucket.isFull(1_000), true)
  bucket.take(1_000)
  t.strictSame([1_000, 1_499, 1_500, 9_000].map((now) => bucket.isFull(now)), [false, false, true, true])
})
