// Reads of a stream whose servers answer as the test says: batches or not, and replicas that are behind.
import type { Msg } from '@nats-io/transport-node'
import fc from 'fast-check'
import t from 'tap'
import { keptText } from '../../../lib/broker/nats/kept-frame.js'
import { natsHistoryDefaults } from '../../../lib/broker/nats/history-options.js'
import { FrameReader } from '../../../lib/broker/nats/reader.js'
import type { Requests } from '../../../lib/broker/nats/requests.js'
import { HistoryStream } from '../../../lib/broker/nats/stream.js'
import { pageOf } from '../../../lib/broker/remote/history/stored.js'

interface Stored { readonly seq: number, readonly text: string }

interface Server {
  /** The frames of the subject. */
  frames: Stored[]
  /** Whether reads of several frames work: from version 2.11 on. */
  batches?: boolean
  /** The last sequence that direct reads know of. */
  known?: () => number
  /** The servers that keep the stream. */
  replicas?: number
  /** How many of the last frames the leader does not know of. */
  behind?: () => number
  /** Answers that the test gives instead. */
  instead?: (subject: string) => object | number | undefined
}

const limits = { size: 1_000, ttl: 60_000 }

/** Returns a reader of a server, and the number of requests. */
function readerOf (server: Server) {
  const count = { requests: 0 }
  const json = (body: object): Msg => ({ data: Buffer.from(JSON.stringify(body)) }) as Partial<Msg> as Msg
  const headers = (code: number, fields: Record<string, string>) => ({ code, description: '', get: (name: string) => fields[name] ?? '', has: (name: string) => name in fields })
  const status = (code: number): Msg => ({ data: new Uint8Array(), headers: headers(code, {}) }) as never
  const answers = (subject: string, data: string): Msg[] => {
    count.requests++
    const instead = server.instead?.(subject)
    if (instead !== undefined) return [typeof instead === 'number' ? status(instead) : json(instead)]
    if (subject.startsWith('p.h.')) {
      const seq = (server.frames.at(-1)?.seq ?? 0) + 1
      server.frames.push({ seq, text: data })
      return [json({ seq })]
    }
    const { seq = 0, last_by_subj: last, batch = 1 } = JSON.parse(data)
    const call = subject.split('.')[2]
    if (call === 'DIRECT') {
      const found = server.frames.filter((frame) => frame.seq >= seq && frame.seq <= (server.known?.() ?? Infinity))
      if (found.length === 0) return [status(404)]
      const isBatch = server.batches === true && batch > 1
      const some = found.slice(0, isBatch ? batch : 1)
      const all = some.map((frame) => ({ data: Buffer.from(frame.text), headers: headers(0, { 'Nats-Sequence': String(frame.seq), ...isBatch && { 'Nats-Num-Pending': '1' } }) }) as never as Msg)
      return isBatch ? [...all, status(204)] : all
    }
    if (!subject.includes('MSG.GET')) return [json({ config: { name: 'p-history', subjects: ['p.h.>'], retention: 'limits', discard: 'old', storage: 'memory', num_replicas: server.replicas ?? 1, max_bytes: natsHistoryDefaults.maxBytes, max_msgs_per_subject: 100_001, max_age: 1e15, allow_direct: true, republish: { src: 'p.h.>', dest: 'p.c.>' } } })]
    const message = last === undefined ? server.frames.find((frame) => frame.seq >= seq) : server.frames.at(-1 - (server.behind?.() ?? 0))
    return [json(message === undefined ? { error: { code: 404, err_code: 10_037 } } : { message: { seq: message.seq, data: Buffer.from(message.text).toString('base64') } })]
  }
  const requests: Pick<Requests, 'ask' | 'send'> = {
    ask: async (subject, data) => answers(subject, data)[0]!,
    send: (subject, data, receive) => { for (const answer of answers(subject, data)) if (!receive(answer)) break }
  }
  const stream = new HistoryStream(requests as Requests, 'p', { ...natsHistoryDefaults, replicas: server.replicas ?? 1 }, '2.9.0')
  return { reader: new FrameReader(requests as Requests, stream, () => ({}) as never), count }
}

/** Frames with so many messages each, at sequences that are so far apart. */
function framesOf (parts: ReadonlyArray<{ count: number, gap: number }>): Stored[] {
  let seq = 0
  let last = 0
  return parts.map(({ count, gap }) => {
    const text = keptText({ seq, epoch: 'e', last, time: 0 }, count, `c${last + count}`.slice(0, 8), Date.now(), JSON.stringify(Array.from({ length: count }, (_, i) => String(last + i + 1))))
    seq += gap
    last += count
    return { seq, text }
  })
}

t.test('what follows any position is read completely, in few requests, also where replicas are behind', async (t) => {
  const part = fc.record({ count: fc.integer({ min: 1, max: 64 }), gap: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 100_000 })) })
  await fc.assert(fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 120, size: 'max' }), fc.nat(), fc.nat(), fc.boolean(), fc.nat(200), async (parts, trimmed, at, batches, behind) => {
    const frames = framesOf(parts)
    frames.splice(0, Math.min(trimmed % 40, frames.length - 1))
    const known = frames.at(-1 - behind)?.seq ?? 0
    const { reader, count } = readerOf({ frames, batches, known: () => behind < 100 ? Infinity : known })
    const last = (await reader.last('p.h.a'))!
    const since = { epoch: 'e', offset: at % (last.last + 1), check: '' }
    count.requests = 0
    const stored = await reader.read({ topic: 'p.c.a', since, limit: 10_000, limits: { size: 10_000, ttl: 60_000 }, whole: false })
    const first = Number(frames[0]!.text.split(' ')[3])
    const { entries, top, gap } = pageOf(stored, since, 10_000, { size: 10_000, ttl: 60_000 }, (text) => JSON.parse(text), false)
    const from = Math.max(since.offset + 1, first)
    t.equal(top.offset, last.last)
    const got = entries.map(({ data }) => Number(data))
    const expected = Array.from({ length: last.last - from + 1 }, (_, i) => from + i)
    if (JSON.stringify(got) !== JSON.stringify(expected)) throw new Error(`since ${since.offset}: got ${got.join()} of ${expected.join()}`)
    if (since.offset >= first && since.offset < last.last && gap === 'trimmed') throw new Error('expected what is kept')
    const few = batches && behind < 100 ? 60 : 60 + 2 * frames.length
    if (count.requests > few) throw new Error(`${count.requests} requests`)
  }), { numRuns: 300 })
})

t.test('a search among many channels needs few requests', async (t) => {
  const frames = framesOf(Array.from({ length: 5_000 }, (_, i) => ({ count: 1, gap: i % 500 === 0 ? 1_000_000 : 7 })))
  const { reader, count } = readerOf({ frames, batches: true })
  for (const offset of [1, 10, 499, 500, 501, 2_500, 4_900, 4_999]) {
    count.requests = 0
    const { frames: found } = await reader.read({ topic: 'p.c.a', since: { epoch: 'e', offset, check: '' }, limit: 20, limits, whole: false })
    t.ok(found.some(({ last }) => last === offset), `the frame of ${offset}`)
    t.ok(found.at(-1)!.last >= Math.min(5_000, offset + 20))
    t.ok(count.requests <= 30, `${count.requests} requests`)
  }
})

t.test('reads that are not needed are not made', async (t) => {
  const { reader, count } = readerOf({ frames: framesOf(Array.from({ length: 500 }, () => ({ count: 2, gap: 1 }))), batches: true })
  await reader.read({ topic: 'p.c.a', since: null, limit: 0, limits, whole: true })
  count.requests = 0
  const read = async (offset: number, epoch = 'e') => (await reader.read({ topic: 'p.c.a', since: { epoch, offset, check: '' }, limit: 100, limits, whole: true })).frames.length
  t.strictSame([await read(1_000), await read(1_001), await read(10, 'other'), await read(899), await read(999)], [0, 0, 0, 0, 1])
  t.equal(count.requests, 5, 'one for the last frame each')
})

t.test('the newest messages are read until there are more than 8 MiB, and it is told that older ones were left out', async (t) => {
  const large = (count: number) => framesOf(Array.from({ length: count }, () => ({ count: 1, gap: 1 }))).map(({ seq, text }) => ({ seq, text: text + 'x'.repeat(1024 * 1024) }))
  for (const [count, kept] of [[7, 7], [8, 8], [20, 8]] as const) {
    const { frames, isPart } = await readerOf({ frames: large(count), batches: true }).reader.read({ topic: 'p.c.a', since: null, limit: 100, limits, whole: true })
    t.strictSame([frames.map(({ last }) => last), isPart], [Array.from({ length: kept }, (_, i) => count - kept + 1 + i), kept < count])
  }
})

t.test('a history without messages begins with an epoch; without a leader the read fails', async (t) => {
  const server: Server = { frames: [] }
  const { reader } = readerOf(server)
  const read = () => reader.read({ topic: 'p.c.a', since: null, limit: 10, limits, whole: false })
  const { top, frames } = await read()
  t.match(top, { offset: 0, check: '' })
  t.strictSame(frames, [])
  t.equal((await read()).top.epoch, top.epoch, 'it stays')
  server.frames = []
  t.not((await read()).top.epoch, top.epoch, 'a history that was deleted begins anew')
  server.frames = []
  server.instead = (subject) => subject.startsWith('p.h.') ? 503 : undefined
  await t.rejects(read(), { message: 'the stream "p-history" has no leader: nobody keeps the history' })
})

t.test('what the server refuses is an error', async (t) => {
  const server: Server = { frames: framesOf([{ count: 1, gap: 1 }, { count: 1, gap: 1 }, { count: 1, gap: 1 }]) }
  const { reader } = readerOf(server)
  const read = () => reader.read({ topic: 'p.c.a', since: { epoch: 'e', offset: 1, check: '' }, limit: 10, limits, whole: false })
  server.instead = (subject) => subject.includes('DIRECT') ? 408 : undefined
  await t.rejects(read(), { message: 'the stream "p-history" cannot be read: 408' })
  server.instead = (subject) => subject.includes('MSG.GET') ? { error: { code: 503, err_code: 10_008, description: 'JetStream system temporarily unavailable' } } : undefined
  await t.rejects(read(), { message: /JetStream answered: JetStream system temporarily unavailable \(10008\)/ })
})

t.test('a new leader that is behind what it gave this node gets a second to catch up, where there can be another leader', async (t) => {
  for (const [replicas, looks, isKnown, expected] of [[3, 4, true, 7], [3, Infinity, true, 5], [1, Infinity, true, 5], [3, Infinity, false, 5]] as const) {
    let left: number = looks
    const { reader } = readerOf({ frames: framesOf(Array.from({ length: 7 }, () => ({ count: 1, gap: 1 }))), replicas, behind: () => left-- > 0 ? 2 : 0 })
    const from = performance.now()
    const { top } = await reader.read({ topic: 'p.c.a', since: { epoch: 'e', offset: 6, check: '' }, limit: 10, limits, whole: true, isKnown })
    const what = `${replicas} replicas, behind for ${looks} looks, ${isKnown ? 'known' : 'what a client says'}`
    t.equal(top.offset, expected, what)
    t.equal(left <= 0 || performance.now() - from >= 1_000, replicas === 3 && isKnown, `${what}: it waits`)
  }
})
