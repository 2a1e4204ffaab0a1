// Followed channels when the engine answers, but refuses reads or returns what does not fit: nothing is told recovered that is not, nobody
// misses a message without a notice, and reads come to an end.
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { BrokerPosition } from '../../../../types/broker.js'
import type { EngineSession, StoredRequest } from '../../../../lib/broker/remote/engine.js'
import { RemoteHistory } from '../../../../lib/broker/remote/history/remote-history.js'
import type { StoredFrame, StoredHistory } from '../../../../lib/broker/remote/history/stored.js'

const limits = { size: 10_000, ttl: 3_600_000 }
const room = 'room'

/** An engine with one message in each frame. `text` is a message; 'unreadable' one that cannot be opened. */
class Engine {
  epoch = 'e'
  readonly messages = new Map<string, string[]>()
  /** Set to refuse reads. */
  refuses = false
  /** Maximum frames of an answer. */
  most = Infinity
  reads = 0
  /** Milliseconds by which its clock is ahead of the node's. */
  ahead = 0

  get now (): number { return Date.now() + this.ahead }

  of (channel: string): string[] {
    const messages = this.messages.get(channel) ?? []
    this.messages.set(channel, messages)
    return messages
  }

  read ({ topic, since, limit, whole }: StoredRequest): StoredHistory {
    this.reads++
    if (this.refuses) throw Object.assign(new Error('OOM command not allowed'), { name: 'ReplyError' })
    const messages = this.of(topic)
    const top = { epoch: this.epoch, offset: messages.length, check: messages.length === 0 ? '' : `c${messages.length}` }
    const offset = since === 'oldest' ? 0 : since?.offset ?? 0
    const count = messages.length - offset
    if (since === null || (since !== 'oldest' && since.epoch !== this.epoch) || count < 1 || (whole && count > limit)) return { top, now: this.now, frames: [] }
    const frames: StoredFrame[] = messages.map((text, at) => ({ last: at + 1, count: 1, check: `c${at + 1}`, time: this.now, text }))
    return { top, now: this.now, frames: frames.slice(Math.max(0, offset - 1)).slice(0, this.most) }
  }
}

/** A node, with everything that its subscribers are given. */
function start (engine: Engine) {
  const events: string[] = []
  const dropped: string[] = []
  const session = { readHistory: async (request: StoredRequest) => engine.read(request) } as unknown as EngineSession
  const port = {
    session: session as EngineSession | null,
    sink: {
      publication: (channel: string, data: string) => { if (channel === room) events.push(data) },
      gap: (channel: string | null, position?: BrokerPosition) => { if (channel === room) events.push(`gap ${position?.epoch}.${position?.offset}`) }
    },
    dropped: (reason: string) => { dropped.push(reason) },
    topicOf: (channel: string) => channel,
    publish: () => Promise.resolve(),
    append: () => Promise.resolve(null),
    open: (_topic: string, text: string) => text === 'unreadable' ? null : { messages: [text], trusted: true },
    downError: () => Object.assign(new Error('down'), { code: 'SC_ERR_BROKER_DOWN' })
  }
  const history = new RemoteHistory(port)
  return {
    events,
    dropped,
    history,
    lose () {
      port.session = null
      history.gone(port.downError())
    },
    async back () {
      port.session = session
      history.up()
      await turn()
    },
    /** The engine keeps a message and publishes it. */
    publish (text: string, channel = room) {
      const first = engine.of(channel).push(text)
      if (port.session === null) return
      if (text === 'unreadable') this.arriveUnreadable(first)
      else this.arrive(first, text, channel)
    },
    arriveUnreadable (first: number) {
      history.receive(room, { epoch: engine.epoch, first, check: `c${first}`, time: engine.now, frame: '' }, null, false)
    },
    arrive (first: number, text: string, channel = room) {
      history.receive(channel, { epoch: engine.epoch, first, check: `c${first}`, time: engine.now, frame: '' }, [text], true)
    },
    /** @returns the page of a client that comes back; null if it cannot be read */
    async follow (since: BrokerPosition | null = null, channel = room, limit = 100) {
      for (;;) {
        const page = history.follow(channel, since, limit, limits)
        if (!(page instanceof Promise)) return page
        try {
          await page
        } catch {
          return null
        }
      }
    }
  }
}

const at = (offset: number): BrokerPosition => ({ epoch: 'e', offset, check: `c${offset}` })

t.test('a lost link, on a channel whose first read was refused', async (t) => {
  const engine = new Engine()
  const node = start(engine)
  engine.refuses = true
  t.equal(await node.follow(), null)
  node.lose()
  node.publish('1')
  await node.back()
  node.publish('2')
  t.strictSame(node.events.splice(0), ['gap 0.0', '2'], 'nobody knows what was missed, so a notice comes')
  node.lose()
  await node.back()
  t.strictSame(node.events.splice(0), ['gap 0.0'])
  engine.refuses = false
  node.lose()
  node.publish('3')
  await node.back()
  node.publish('4')
  t.strictSame(node.events.splice(0), ['gap e.3', '4'], 'reads work again')
  node.lose()
  node.publish('5')
  await node.back()
  node.publish('6')
  t.strictSame(node.events.splice(0), ['5', '6'], 'and what is missed is delivered')
})

t.test('a channel whose first read was refused is complete from its next message on', async (t) => {
  const engine = new Engine()
  const node = start(engine)
  engine.refuses = true
  await node.follow()
  for (const text of ['1', '2']) node.publish(text)
  t.match(node.history.follow(room, at(1), 10, limits), { entries: [{ data: '2' }], gap: null })
  engine.refuses = false
  node.lose()
  node.publish('3')
  await node.back()
  node.publish('4')
  t.strictSame(node.events, ['1', '2', '3', '4'])
})

t.test('a lost link, and the read of what was missed is refused', async (t) => {
  const engine = new Engine()
  const node = start(engine)
  await node.follow()
  node.publish('1')
  node.lose()
  node.publish('2')
  engine.refuses = true
  await node.back()
  t.strictSame(node.events, ['1', 'gap 0.0'])
  t.equal(await node.follow(at(1)), null, 'a client that has all messages up to the loss is not told that it missed nothing')
  engine.refuses = false
  t.match(await node.follow(at(1)), { entries: [{ data: '2' }], gap: null })
  node.publish('3')
  t.strictSame(node.events.slice(2), ['3'])
})

t.test('more messages than are kept of a channel are returned to who asks for them', async (t) => {
  const engine = new Engine()
  const node = start(engine)
  for (let n = 0; n < 30; n++) node.publish('x'.repeat(100_000))
  t.match(await node.follow({ epoch: 'e', offset: 0, check: '' }), { entries: { length: 30 }, gap: null })
})

t.test('a frame with an offset that the engine never gave', async (t) => {
  const engine = new Engine()
  const node = start(engine)
  await node.follow()
  node.publish('1')
  const before = engine.reads
  for (const offset of [7, 999_999_999_999_999]) {
    node.arrive(offset, 'forged')
    for (let i = 0; i < 20; i++) await turn()
  }
  t.equal(engine.reads - before, 2, 'is read for once')
  node.publish('2')
  t.strictSame(node.events, ['1', '2'])
  t.match(node.dropped, [/position/, /position/])
})

t.test('the first part of what was missed cannot be read', async (t) => {
  const engine = new Engine()
  const node = start(engine)
  await node.follow()
  node.publish('1')
  node.lose()
  for (const text of ['unreadable', 'unreadable', 'unreadable', '5', 'unreadable', '7', 'unreadable']) node.publish(text)
  engine.most = 3
  await node.back()
  for (let i = 0; i < 10; i++) await turn()
  node.publish('9')
  t.strictSame(node.events, ['1', 'gap e.3', 'gap e.4', '5', 'gap e.6', '7', 'gap e.8', '9'], 'a notice before each message that follows one that is missing')
})

t.test('a frame that this process cannot read', async (t) => {
  const engine = new Engine()
  const node = start(engine)
  await node.follow()
  node.publish('1')
  node.publish('unreadable')
  await turn()
  t.strictSame(node.events.splice(0), ['1', 'gap e.2'], 'is told, though no message follows')
  t.match(await node.follow(at(1)), { gap: 'unknown', entries: [] }, 'a client that has all messages before it is not told that it missed nothing')
  t.match(await node.follow(at(2)), { gap: null }, 'one that is told of it goes on after it')
  node.publish('3')
  t.strictSame(node.events.splice(0), ['3'])
  t.match(await node.follow(at(1)), { gap: 'unknown', entries: [] })
  t.match(await node.follow(at(2)), { gap: null, entries: [{ data: '3' }] })
  const before = engine.reads
  node.arriveUnreadable(2)
  node.arriveUnreadable(9)
  node.arriveUnreadable(9)
  node.arriveUnreadable(9)
  for (let i = 0; i < 10; i++) await turn()
  t.strictSame([node.events.splice(0), engine.reads - before], [[], 2], 'one that the engine does not keep is none, and is asked for while no read is running')
  node.publish('4')
  t.strictSame(node.events.splice(0), ['4'])
})

t.test('where a link comes back, what can be read before and after such frames is delivered', async (t) => {
  const engine = new Engine()
  const node = start(engine)
  await node.follow()
  node.publish('1')
  node.lose()
  for (const text of ['2', '3', 'unreadable', '5', 'unreadable', '7', '8']) node.publish(text)
  const before = engine.reads
  await node.back()
  for (let i = 0; i < 5; i++) await turn()
  t.strictSame([node.events, engine.reads - before], [['1', '2', '3', 'gap e.6', '7', '8'], 2], 'with one notice, and two reads however many there are')
  t.match(await node.follow(at(3)), { gap: 'unknown' })
  const page = await node.history.read(room, at(1), 100, limits)
  t.match([page.gap, page.entries.map(({ data }) => data)], [null, ['2', '3']], 'a part ends before them')
  t.match(await node.history.read(room, at(3), 100, limits), { gap: 'unknown' }, 'and the next one tells of them')
  t.match(await node.history.read(room, 'oldest', 100, limits), { gap: null, entries: { length: 3 } })
  engine.messages.set(room, ['unreadable', '2', 'unreadable', '4'])
  t.match(await node.history.read(room, 'oldest', 100, limits), { gap: 'unknown' }, 'also where the oldest ones cannot be read')
})

t.test('messages expire by the clock of the engine', async (t) => {
  for (const ahead of [-2 * limits.ttl, 2 * limits.ttl]) {
    const engine = new Engine()
    engine.ahead = ahead
    const node = start(engine)
    await node.follow()
    for (const text of ['1', '2', '3']) node.publish(text)
    const before = engine.reads
    t.match(await node.follow(at(1)), { gap: null, entries: [{ data: '2' }, { data: '3' }] })
    t.match(node.history.follow(room, null, 2, limits), { gap: null, entries: { length: 2 } })
    t.equal(engine.reads, before, 'the node has them')
    engine.ahead += limits.ttl
    await node.follow(null, 'another channel')
    t.match(await node.follow(at(1)), { gap: 'trimmed', entries: [] }, 'each read tells the time')
  }
})

t.test('a frame that cannot be read, while the history is read and when it could not be read', async (t) => {
  const engine = new Engine()
  const node = start(engine)
  const first = node.follow()
  node.publish('unreadable')
  await first
  t.match(await node.follow({ epoch: 'e', offset: 0, check: '' }), { gap: 'unknown' })
  node.publish('2')
  t.strictSame(node.events.splice(0).filter((event) => event !== 'gap e.1'), ['2'])
  engine.refuses = true
  node.lose()
  await node.back()
  t.strictSame(node.events.splice(0), ['gap 0.0'])
  node.publish('unreadable')
  node.publish('4')
  t.strictSame(node.events.splice(0), ['gap e.3', '4'])
  engine.refuses = false
  engine.epoch = 'f'
  engine.messages.clear()
  node.publish('unreadable')
  for (let i = 0; i < 3; i++) await turn()
  node.publish('2')
  t.strictSame(node.events.splice(0), ['gap f.1', '2'], 'the first one of another epoch')
})

t.test('repairs do not make the messages of other channels seem larger', async (t) => {
  const engine = new Engine()
  const node = start(engine)
  const text = 'x'.repeat(100_000)
  await node.follow(null, 'other')
  node.publish('1', 'other')
  await node.follow()
  for (let i = 0; i < 100; i++) {
    node.lose()
    const back = node.back()
    // Arrive before the answer.
    for (let n = 0; n < 10; n++) {
      engine.of(room).push(text)
      node.arrive(engine.of(room).length, text)
    }
    await back
  }
  const page = node.history.follow('other', { epoch: 'e', offset: 0, check: '' }, 10, limits)
  t.notOk(page instanceof Promise, 'they are still here')
})
