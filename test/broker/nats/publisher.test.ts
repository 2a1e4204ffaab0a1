import type { Msg, MsgHdrs } from '@nats-io/transport-node'
import t from 'tap'
import { FramePublisher } from '../../../lib/broker/nats/publisher.js'
import { readKept, type KeptFrame } from '../../../lib/broker/nats/kept-frame.js'
import type { OutboundFrame } from '../../../lib/broker/remote/engine.js'
import type { Requests } from '../../../lib/broker/nats/requests.js'
import type { HistoryStream } from '../../../lib/broker/nats/stream.js'

interface Sent {
  readonly text: string
  readonly after: string
  readonly answer: (body: object | 'no responders') => void
}

/** A publisher whose requests the test answers. */
function publisher ({ last = null }: { last?: () => KeptFrame | null } | { last?: null } = {}) {
  const sent: Sent[] = []
  const counts = { reads: 0, creations: 0 }
  const requests: Pick<Requests, 'ask'> = {
    ask: (_subject, text, headers) => new Promise((resolve) => {
      const one: Sent = {
        text,
        after: headers as never,
        answer: (body) => resolve((body === 'no responders' ? { data: new Uint8Array(), headers: { code: 503 } } : { data: Buffer.from(JSON.stringify(body)) }) as Msg)
      }
      sent.push(one)
    })
  }
  const stream: Pick<HistoryStream, 'name' | 'subjectOf' | 'reserve' | 'ensure'> = { name: 's', subjectOf: (topic) => topic, reserve: async () => {}, ensure: async () => { counts.creations++ } }
  const reader = { last: async () => { counts.reads++; return last?.() ?? null } }
  const made = new FramePublisher(requests as Requests, stream as HistoryStream, reader, (_name, value) => value as never as MsgHdrs)
  const settled: Array<string> = []
  const plain: string[] = []
  const frame = (text: string, kept: OutboundFrame['kept']): OutboundFrame => ({ topic: 'p.c.a', text, kept, settle: (err) => { settled.push(err === undefined ? text : `${text}: ${err.message}`) } })
  const publish = (text: string, count = 1) => made.take(frame(text, { limits: { size: 10, ttl: 1_000 }, count, check: 'abc', keys: null }), () => {})
  const publishPlain = (text: string) => made.take(frame(text, null), ({ text }) => plain.push(text))
  const next = async (): Promise<Sent> => {
    while (sent.length === 0) await new Promise((resolve) => setImmediate(resolve))
    return sent.shift()!
  }
  return { made, publish, publishPlain, plain, next, sent, settled, counts }
}

const taken = { error: { code: 400, err_code: 10_071, description: 'wrong last sequence: 9' } }
const place = ({ text, after }: Sent) => [readKept(text, 0)!.first, readKept(text, 0)!.text, after]
const rest = () => new Promise<void>((resolve) => { setTimeout(resolve, 5) })

t.test('the frames of a channel go one after the other, each behind the one before', async (t) => {
  const { publish, next, sent, settled, counts } = publisher()
  publish('one', 3)
  publish('two')
  const one = await next()
  t.strictSame(place(one), [1, 'one', '0'])
  await rest()
  t.strictSame(sent, [], 'the second one waits')
  one.answer({ seq: 7 })
  const two = await next()
  t.strictSame([place(two), settled], [[4, 'two', '7'], ['one']])
  t.equal(readKept(two.text, 0)!.epoch, readKept(one.text, 0)!.epoch)
  two.answer({ seq: 8 })
  await rest()
  t.strictSame([settled, counts.reads], [['one', 'two'], 1])
})

t.test('a frame that is not kept goes behind those of its channel that are', async (t) => {
  const { publish, publishPlain, plain, next, settled } = publisher()
  t.notOk(publishPlain('alone'), 'nothing is on its way')
  publish('one')
  t.ok(publishPlain('two'))
  publish('three')
  const one = await next()
  await rest()
  t.strictSame(plain, [])
  one.answer({ seq: 1 })
  t.strictSame(place(await next()), [2, 'three', '1'])
  t.strictSame([plain, settled], [['two'], ['one']])
})

t.test('a frame that another node was faster than goes behind that one\'s; what arrived needs no read', async (t) => {
  let last: KeptFrame | null = null
  const { made, publish, next, settled, counts } = publisher({ last: () => last })
  publish('one')
  const one = await next()
  last = readKept('5 sc2 theirs 1 xyz 1 f', 9)
  one.answer(taken)
  const again = await next()
  t.strictSame([place(again), readKept(again.text, 0)!.epoch, counts.reads], [[6, 'one', '9'], 'theirs', 2])
  again.answer({ seq: 10 })
  await rest()
  t.strictSame(settled, ['one'])
  made.arrived('p.c.a', readKept('2 sc2 theirs 7 xyz 1 f', 0)!, () => 12)
  made.arrived('p.c.a', readKept('2 sc2 theirs 1 xyz 1 f', 0)!, () => 5)
  made.arrived('p.c.other', readKept('2 sc2 theirs 1 xyz 1 f', 0)!, () => { throw new Error('not read: this node does not publish to the channel') })
  publish('two')
  t.strictSame([place(await next()), counts.reads], [[9, 'two', '12'], 2])
})

t.test('what arrives of a new history makes the next frame read where it belongs', async (t) => {
  let last: KeptFrame | null = null
  const { made, publish, next, counts } = publisher({ last: () => last })
  publish('one')
  ;(await next()).answer({ seq: 20 })
  await rest()
  // The stream was deleted, and sequences begin again.
  last = readKept('1 sc2 another 1 xyz 1 f', 2)
  made.arrived('p.c.a', readKept('1 sc2 another 1 xyz 1 f', 0)!, () => 2)
  publish('two')
  t.strictSame([place(await next()), counts.reads], [[2, 'two', '2'], 2])
})

t.test('a frame is never older than the one before it, whatever the clocks of the processes say', async (t) => {
  const ahead = Date.now() + 60_000
  const { publish, next } = publisher({ last: () => readKept(`1 sc2 theirs 1 xyz ${ahead} f`, 9) })
  publish('one')
  publish('two')
  const one = await next()
  t.equal(readKept(one.text, 0)!.time, ahead)
  one.answer({ seq: 10 })
  t.equal(readKept((await next()).text, 0)!.time, ahead)
})

t.test('a frame that finds no place within a second is refused, and the next one goes on', async (t) => {
  const { publish, next, settled } = publisher()
  const from = performance.now()
  publish('one')
  publish('two')
  while (settled.length === 0) (await next()).answer(taken)
  t.match(settled, [/^one: other processes publish to the channel, and within 1000 ms/])
  t.ok(performance.now() - from >= 1_000)
})

t.test('a deleted stream is made again, but not for ever; other errors refuse the frame', async (t) => {
  const { publish, next, settled, counts } = publisher()
  publish('one')
  ;(await next()).answer('no responders')
  ;(await next()).answer({ seq: 1 })
  await rest()
  t.strictSame([settled, counts.creations], [['one'], 1])
  publish('two')
  for (let i = 0; i < 3; i++) (await next()).answer('no responders')
  await rest()
  t.match(settled[1], /^two: the stream "s" has no leader/)
  publish('three')
  ;(await next()).answer({ error: { code: 500, err_code: 10_023, description: 'insufficient resources' } })
  await rest()
  t.match(settled[2], /^three: JetStream answered: insufficient resources \(10023\)/)
})
