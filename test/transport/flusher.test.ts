import t from 'tap'
import { Flusher } from '../../lib/transport/flusher.js'
import { Clock } from '../helpers/clock.js'

const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A connection that writes down when it is flushed. */
function target (name: string, log: unknown[], flush = (): void => {}) {
  return { name, flush (flusher: Flusher) { log.push(name); flush(); if (!(flusher instanceof Flusher)) throw new Error('no flusher') }, fault (err: unknown) { log.push([name, err]) } }
}

t.test('all are flushed once, after the code that runs; answers before publications', async (t) => {
  const flusher = new Flusher()
  const log: unknown[] = []
  flusher.add(target('bulk 1', log), false)
  flusher.add(target('urgent', log), true)
  flusher.add(target('bulk 2', log), false)
  t.strictSame(log, [])
  await turn()
  t.strictSame(log, ['urgent', 'bulk 1', 'bulk 2'])
  await turn()
  t.equal(log.length, 3)
  flusher.add(target('again', log), false)
  await turn()
  t.equal(log.at(-1), 'again')
})

t.test('one that fails is told, and robs no other', async (t) => {
  const flusher = new Flusher()
  const log: unknown[] = []
  const error = new Error('no')
  for (const urgent of [true, false]) {
    flusher.add(target('bad', log, () => { throw error }), urgent)
    flusher.add(target('good', log), urgent)
  }
  await turn()
  t.strictSame(log, ['bad', ['bad', error], 'good', 'bad', ['bad', error], 'good'])
})

t.test('who is flushed may add others', async (t) => {
  const flusher = new Flusher()
  const log: unknown[] = []
  flusher.add(target('first', log, () => flusher.add(target('second', log), true)), true)
  await turn()
  t.strictSame(log, ['first', 'second'])
})

t.test('a large fan-out goes in slices, and answers need not wait for its end', async (t) => {
  const clock = new Clock(t)
  const flusher = new Flusher()
  const log: unknown[] = []
  for (let i = 0; i < 100; i++) flusher.add(target(`bulk ${i}`, log, () => { clock.now += 1 }), false)
  await new Promise<void>((resolve) => { process.nextTick(resolve) })
  t.equal(log.length, 32, 'the clock is read every 32')
  flusher.add(target('answer', log), true)
  flusher.add(target('late', log), false)
  await new Promise<void>((resolve) => { process.nextTick(resolve) })
  t.strictSame(log.slice(32), ['answer'], 'publications wait for their slice')
  await turn()
  t.equal(log.length, 33 + 32)
  for (let i = 0; i < 3; i++) await turn()
  t.equal(log.length, 102)
  t.equal(log.at(-1), 'late')
  t.equal(new Set(log).size, 102, 'each once')
})

t.test('a fan-out that is quick goes in one slice', async (t) => {
  const clock = new Clock(t)
  const flusher = new Flusher()
  const log: unknown[] = []
  for (let i = 0; i < 200; i++) flusher.add(target(`bulk ${i}`, log, () => { clock.now += 0.04 }), false)
  await new Promise<void>((resolve) => { process.nextTick(resolve) })
  t.equal(log.length, 200)
})

t.test('answers that come while slices are under way go before the next slice', async (t) => {
  const clock = new Clock(t)
  const flusher = new Flusher()
  const log: unknown[] = []
  for (let i = 0; i < 64; i++) flusher.add(target('bulk', log, () => { clock.now += 1; if (i === 31) setImmediate(() => flusher.add(target('answer', log), true)) }), false)
  for (let i = 0; i < 4; i++) await turn()
  t.equal(log.length, 65)
  t.ok(log.includes('answer'))
})

t.test('the same messages are joined once in a turn', async (t) => {
  const flusher = new Flusher()
  const [a, b, c] = [Buffer.from('a'), Buffer.from('b'), Buffer.from('c')]
  const join = (...parts: Buffer[]): Buffer => flusher.joined(parts, Buffer.concat)
  const joined = join(a, b)
  t.equal(joined.toString(), 'ab')
  t.equal(join(a, b), joined)
  t.equal(join(a, c).toString(), 'ac')
  t.equal(join(a, b, c).toString(), 'abc')
  t.equal(join(a, b).toString(), 'ab')
  t.equal(join(Buffer.from('a'), b).toString(), 'ab', 'it is the parts that are the same, not their bytes')
  const last = join(a, b)
  flusher.add(target('x', []), false)
  await turn()
  t.not(join(a, b), last, 'nothing is kept once all is written')
})
