// What waits for one client, above a stream that takes nothing until it is told to.
import t from 'tap'
import type { SlowConsumerPolicy } from '../../lib/index.js'
import { type Flushable, Flusher } from '../../lib/transport/flusher.js'
import { SharedMessage } from '../../lib/transport/shared-message.js'
import { Holdings } from '../../lib/transport/holdings.js'
import { type Item, OutgoingQueue } from '../../lib/transport/outgoing-queue.js'

const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

class Client extends OutgoingQueue {
  open = true
  /** Whether the operating system takes nothing. */
  stuck = false
  readonly sent: string[] = []
  readonly told: SlowConsumerPolicy[] = []
  congested = 0
  rooms = 0
  faults: unknown[] = []
  #waiting: string[] = []
  #drained: Array<() => void> = []

  constructor (limit: number, readonly counted = new Holdings(0, () => {}), flusher = new Flusher()) {
    super(flusher, counted, limit)
  }

  protected get backlog (): number { return this.#waiting.reduce((sum, text) => sum + text.length, 0) }

  protected write (single: Item, queue: Item[] | null): void {
    for (const item of queue ?? [single]) {
      const text = item instanceof SharedMessage ? String(item.data) : String(item)
      ;(this.stuck ? this.#waiting : this.sent).push(text)
    }
  }

  protected onDrained (drained: () => void): void { this.#drained.push(drained) }
  protected onBacklog (_bytes: number, policy: SlowConsumerPolicy): void { this.told.push(policy) }
  protected onCongested (): void { this.congested++ }
  protected onRoom (): void { this.rooms++ }
  fault (err: unknown): void { this.faults.push(err) }

  /** The operating system takes some of what was written. */
  take (count: number): void {
    this.sent.push(...this.#waiting.splice(0, count))
  }

  /** The operating system takes everything, and what comes. */
  drain (): void {
    this.stuck = false
    this.take(Infinity)
    for (const drained of this.#drained.splice(0)) drained()
  }

  end (): void { this.letGo() }
  last (): void { this.flushLast() }

  /** How many wait for the operating system to take what was written. */
  get awaited (): number { return this.#drained.length }
}

/** Who asked to be flushed. */
class Asked extends Flusher {
  readonly asked: boolean[] = []

  override add (_target: Flushable, urgent: boolean): void { this.asked.push(urgent) }
}

function message (text: string): SharedMessage {
  return new SharedMessage(text)
}

const ten = (text: string): SharedMessage => message(text.padEnd(10, '.'))

t.test('what one turn says is written in one piece and in order', async (t) => {
  const client = new Client(100)
  client.send('a')
  client.publish(message('b'), 'x', 'drop')
  client.send('c')
  t.same([client.sent, client.queuedMessages], [[], 3])
  await turn()
  t.same([client.sent, client.queuedMessages, client.bufferedBytes, client.counted.total], [['a', 'b', 'c'], 0, 0, 0])
})

t.test('over the budget a publication is left out, an answer is not', async (t) => {
  const client = new Client(25)
  client.stuck = true
  t.ok(client.publish(ten('1'), 'x', 'drop'))
  t.ok(client.publish(ten('2'), 'x', 'drop'))
  await turn()
  t.notOk(client.publish(ten('3'), 'x', 'drop'))
  client.send('answer')
  await turn()
  t.ok(client.congested > 0)
  t.equal(client.counted.total, client.bufferedBytes)
  client.drain()
  t.same(client.sent, ['1.........', '2.........', 'answer'])
})

t.test('a message that is larger than the budget goes when nothing waits', async (t) => {
  const client = new Client(5)
  t.ok(client.publish(ten('1'), 'x', 'drop'))
  await turn()
  t.same(client.sent, ['1.........'])
})

t.test('"latest": of each channel the last one goes when there is room', async (t) => {
  const client = new Client(30)
  client.stuck = true
  for (const n of [1, 2, 3]) t.ok(client.publish(ten(`x${n}`), 'x', 'latest'))
  await turn()
  for (const n of [4, 5]) t.notOk(client.publish(ten(`x${n}`), 'x', 'latest'))
  t.notOk(client.publish(message('y1'), 'y', 'latest'))
  t.equal(client.counted.total, client.bufferedBytes)
  client.drain()
  await turn()
  t.same(client.sent, ['x1........', 'x2........', 'x3........', 'x5........', 'y1'])
  t.same([client.bufferedBytes, client.counted.total], [0, 0])
})

t.test('"latest": a newer message is not followed by an older one', async (t) => {
  const client = new Client(30)
  client.stuck = true
  for (const n of [1, 2, 3]) client.publish(ten(`x${n}`), 'x', 'latest')
  await turn()
  t.notOk(client.publish(ten('x4'), 'x', 'latest'), 'there is no room: it is kept')
  // Some of the backlog is taken, so that there is room; the stream has not said that it drained.
  client.take(3)
  t.ok(client.publish(ten('x5'), 'x', 'latest'))
  client.drain()
  await turn()
  t.same(client.sent.map((text) => text.replace(/\.+$/, '')), ['x1', 'x2', 'x3', 'x5'])
  t.same([client.bufferedBytes, client.counted.total], [0, 0])
})

t.test('a slow consumer is told once, and again after its backlog has halved', async (t) => {
  const client = new Client(40)
  const fill = async (): Promise<void> => {
    client.stuck = true
    for (let n = 0; n < 8; n++) {
      client.publish(ten(`${n}`), 'x', 'drop')
      await turn()
    }
  }
  await fill()
  t.same(client.told, ['drop'])
  client.take(1)
  await fill()
  t.same(client.told, ['drop'], 'it has not halved')
  client.drain()
  await fill()
  t.same(client.told, ['drop', 'drop'])
})

t.test('"latest" has an end too: without room for the last of each channel the client is ended', async (t) => {
  const client = new Client(20)
  client.stuck = true
  for (let n = 0; n < 2; n++) client.publish(ten(`x${n}`), 'x', 'latest')
  await turn()
  client.publish(ten('a'), 'a', 'latest')
  client.publish(ten('b'), 'b', 'latest')
  t.same(client.told, ['latest', 'disconnect'])
})

t.test('answers that nobody reads end the client', async (t) => {
  const client = new Client(20)
  client.stuck = true
  for (let n = 0; n < 5; n++) {
    client.send('0123456789')
    await turn()
  }
  t.equal(client.told[0], 'disconnect')
})

t.test('what is taken back is not sent', async (t) => {
  const client = new Client(10)
  client.stuck = true
  client.publish(ten('x1'), 'x', 'latest')
  await turn()
  const kept = ten('x2')
  client.publish(kept, 'x', 'latest')
  t.equal(client.takeLatest('x'), kept)
  t.equal(client.takeLatest('x'), undefined)
  client.drain()
  await turn()
  t.same(client.sent, ['x1........'])
})

t.test('one that is gone counts for nothing, and says nothing', async (t) => {
  const client = new Client(10)
  client.stuck = true
  client.publish(ten('x1'), 'x', 'latest')
  await turn()
  client.publish(ten('x2'), 'x', 'latest')
  client.hold(5)
  client.open = false
  client.end()
  t.equal(client.counted.total, 0)
  client.send('never')
  t.notOk(client.publish(ten('never'), 'x', 'latest'))
  client.hold(5)
  client.release(5)
  client.drain()
  await turn()
  t.same([client.sent.length, client.faults, client.queuedMessages], [1, [], 0])
})

t.test('a budget of 0 is none', async (t) => {
  const client = new Client(0)
  client.stuck = true
  for (let n = 0; n < 50; n++) {
    t.ok(client.publish(ten('x'), 'x', 'drop'))
    client.send('answer')
    await turn()
  }
  t.strictSame(client.told, [])
  t.ok(client.hasRoom(1e12))
})

t.test('how many messages wait is known: none, one and more', async (t) => {
  const client = new Client(1_000)
  const counts = [client.queuedMessages]
  for (let n = 0; n < 3; n++) {
    client.send('x')
    counts.push(client.queuedMessages)
  }
  t.strictSame(counts, [0, 1, 2, 3])
})

t.test('it asks to be flushed once: for an answer at once, and for the first publication', async (t) => {
  const flusher = new Asked()
  const client = new Client(1_000, undefined, flusher)
  client.publish(ten('1'), 'x', 'drop')
  client.publish(ten('2'), 'x', 'drop')
  t.strictSame(flusher.asked, [false])
  client.send('a')
  client.send('b')
  client.publish(ten('3'), 'x', 'drop')
  t.strictSame(flusher.asked, [false, true])
  client.flush(flusher)
  client.flush(flusher)
  t.equal(client.sent.length, 5, 'and what was written is not written again')
  client.send('c')
  client.publish(ten('4'), 'x', 'drop')
  t.strictSame(flusher.asked, [false, true, true])
})

t.test('text counts two bytes a character till it is written, bytes and publications as they are', async (t) => {
  const client = new Client(1_000, undefined, new Asked())
  client.send('12345')
  t.strictSame([client.bufferedBytes, client.counted.total], [10, 10])
  client.send(Buffer.from('12345'))
  t.strictSame([client.bufferedBytes, client.counted.total], [15, 15])
  client.publish(ten('x'), 'x', 'drop')
  t.strictSame([client.bufferedBytes, client.counted.total], [25, 15], 'a publication is in memory once, for all')
})

t.test('an answer is queued until what waited before is over one and a half of the budget', async (t) => {
  const client = new Client(20)
  client.stuck = true
  client.send(Buffer.alloc(30))
  await turn()
  client.send(Buffer.alloc(1))
  t.strictSame(client.told, [], 'thirty bytes of twenty are just allowed')
  await turn()
  client.send(Buffer.alloc(1))
  t.strictSame(client.told, ['disconnect'])
})

t.test('a client that is ended because of its answers is sent none', async (t) => {
  const flusher = new Asked()
  class Ending extends Client {
    protected override onBacklog (bytes: number, policy: SlowConsumerPolicy): void {
      super.onBacklog(bytes, policy)
      this.open = false
      this.end()
    }
  }
  const client = new Ending(20, undefined, flusher)
  client.stuck = true
  client.send(Buffer.alloc(40))
  client.flush(flusher)
  client.send('x')
  t.strictSame([client.told, client.queuedMessages, client.counted.total], [['disconnect'], 0, 0])
})

t.test('answers that the operating system takes at once do not count against a client', async (t) => {
  const client = new Client(20, undefined, new Asked())
  for (let n = 0; n < 50; n++) client.send('0123456789')
  t.strictSame(client.told, [])
  t.equal(client.sent.length + client.queuedMessages, 50)
  const reader = new Client(20, undefined, new Asked())
  for (let n = 0; n < 50; n++) t.ok(reader.publish(ten('x'), 'x', 'drop'))
  t.strictSame(reader.told, [])
})

t.test('a closed connection takes nothing', async (t) => {
  const flusher = new Asked()
  const client = new Client(20, undefined, flusher)
  client.open = false
  client.send('x')
  t.notOk(client.publish(ten('x'), 'x', 'drop'))
  client.hold(5)
  client.release(7)
  t.strictSame([client.bufferedBytes, client.counted.total, client.queuedMessages, flusher.asked], [0, 0, 0, []])
})

t.test('what is queued when it closes is not written', async (t) => {
  const flusher = new Asked()
  const client = new Client(20, undefined, flusher)
  client.send('x')
  client.open = false
  client.flush(flusher)
  t.strictSame([client.sent, client.bufferedBytes], [[], 0])
})

t.test('there is room for what fits, and for anything where nothing waits', async (t) => {
  const client = new Client(20)
  t.ok(client.hasRoom(1_000))
  client.hold(10)
  t.strictSame([client.bufferedBytes, client.counted.total], [10, 10])
  t.strictSame([9, 10, 11].map((bytes) => client.hasRoom(bytes)), [true, true, false])
  client.release(4)
  t.strictSame([client.bufferedBytes, client.counted.total], [6, 6])
  t.strictSame([14, 15].map((bytes) => client.hasRoom(bytes)), [true, false])
  client.release(6)
  t.ok(client.hasRoom(1_000))
})

t.test('there is room, too, where the operating system takes what is queued', async (t) => {
  const client = new Client(20, undefined, new Asked())
  client.send(Buffer.from('012345678901234'))
  t.ok(client.hasRoom(10))
  t.equal(client.sent.length, 1, 'it was given to it')
  client.stuck = true
  client.send(Buffer.from('012345678901234'))
  t.notOk(client.hasRoom(10))
  client.send(Buffer.from('x'))
  t.notOk(client.hasRoom(10))
  t.equal(client.queuedMessages, 1, 'nothing is given to one that did not take the last')
})

t.test('what is held counts beside what the operating system takes', async (t) => {
  const client = new Client(20, undefined, new Asked())
  client.hold(15)
  client.send(Buffer.from('0123'))
  t.notOk(client.hasRoom(6))
  t.equal(client.queuedMessages, 0)
  client.send(Buffer.from('0123'))
  t.ok(client.hasRoom(5))
})

t.test('what the operating system took without a word is counted again when asked', async (t) => {
  const client = new Client(1_000)
  client.stuck = true
  client.hold(3)
  client.publish(ten('1'), 'x', 'drop')
  client.publish(ten('2'), 'x', 'drop')
  await turn()
  t.equal(client.counted.total, 23)
  client.take(1)
  t.equal(client.counted.total, 23)
  client.recount()
  t.equal(client.counted.total, 13)
  client.recount()
  t.equal(client.counted.total, 13)
})

t.test('it says that it is congested when something was left after a write', async (t) => {
  const client = new Client(1_000)
  client.send('x')
  await turn()
  t.equal(client.congested, 0)
  client.stuck = true
  client.send('y')
  await turn()
  t.equal(client.congested, 1)
})

t.test('"latest" waits once for the operating system, and again the next time', async (t) => {
  const client = new Client(10)
  client.stuck = true
  const fill = async (): Promise<void> => {
    client.publish(ten('1'), 'x', 'latest')
    await turn()
    for (let n = 0; n < 3; n++) client.publish(message(`${n}`), 'x', 'latest')
  }
  await fill()
  t.equal(client.awaited, 1)
  client.drain()
  await turn()
  t.strictSame(client.sent, ['1.........', '2'])
  client.stuck = true
  await fill()
  t.equal(client.awaited, 1)
  client.drain()
  await turn()
  t.strictSame(client.sent.slice(2), ['1.........', '2'])
})

t.test('the last of several channels ask to be flushed once, as publications', async (t) => {
  const flusher = new Asked()
  const client = new Client(30, undefined, flusher)
  client.stuck = true
  client.publish(message('x'.repeat(30)), 'x', 'latest')
  client.flush(flusher)
  client.publish(message('a'), 'a', 'latest')
  client.publish(message('b'), 'b', 'latest')
  t.strictSame(flusher.asked, [false])
  client.drain()
  t.strictSame(flusher.asked, [false, false])
  client.flush(flusher)
  t.strictSame(client.sent.slice(1), ['a', 'b'])
})

t.test('what cannot be sent when there is room again is a fault', async (t) => {
  const error = new Error('no')
  const flusher = new class extends Asked { override add (target: Flushable, urgent: boolean): void { super.add(target, urgent); if (this.asked.length > 1) throw error } }()
  const client = new Client(10, undefined, flusher)
  client.stuck = true
  client.publish(ten('1'), 'x', 'latest')
  client.flush(flusher)
  client.publish(ten('2'), 'x', 'latest')
  client.drain()
  t.strictSame(client.faults, [error])
})

t.test('drained or not, one that closed meanwhile is sent nothing', async (t) => {
  const flusher = new Asked()
  const client = new Client(10, undefined, flusher)
  client.stuck = true
  client.publish(ten('1'), 'x', 'latest')
  client.flush(flusher)
  client.publish(ten('2'), 'x', 'latest')
  client.open = false
  client.drain()
  t.strictSame([client.queuedMessages, flusher.asked], [0, [false]])
})

t.test('before it closes all that is queued is written, and nothing more is kept', async (t) => {
  const client = new Client(10)
  client.stuck = true
  client.publish(ten('1'), 'x', 'latest')
  await turn()
  client.publish(ten('2'), 'x', 'latest')
  client.hold(5)
  client.send('bye')
  client.last()
  t.strictSame([client.queuedMessages, client.bufferedBytes, client.counted.total], [0, 13, 13])
  client.drain()
  await turn()
  t.strictSame(client.sent, ['1.........', 'bye'])
})

t.test('a slow consumer has recovered when its backlog is less than half of the budget', async (t) => {
  const client = new Client(40)
  const over = (): void => { t.notOk(client.publish(message('x'.repeat(41)), 'x', 'drop')) }
  client.stuck = true
  client.publish(ten('1'), 'x', 'drop')
  await turn()
  over()
  client.publish(ten('2'), 'x', 'drop')
  await turn()
  over()
  t.strictSame(client.told, ['drop'], 'twenty of forty are not less than half')
  client.take(1)
  client.publish(message('123456789'), 'x', 'drop')
  await turn()
  over()
  t.strictSame(client.told, ['drop', 'drop'])
})

t.test('as much as the budget may wait', async (t) => {
  const client = new Client(20)
  client.stuck = true
  client.publish(ten('1'), 'x', 'drop')
  await turn()
  t.ok(client.publish(ten('2'), 'x', 'drop'))
  await turn()
  t.notOk(client.publish(message('x'), 'x', 'drop'))
})

t.test('who waits for room is told once: when what was written is taken, or when what was held is gone', async (t) => {
  const client = new Client(10)
  client.stuck = true
  t.equal(client.publish(ten('a'), 'room', 'resume'), true)
  t.equal(client.publish(ten('b'), 'room', 'resume'), false)
  client.awaitRoom()
  client.awaitRoom()
  t.strictSame([client.rooms, client.awaited], [0, 1])
  client.drain()
  t.equal(client.rooms, 1)
  client.hold(10)
  client.awaitRoom()
  t.equal(client.awaited, 0, 'nothing is written that could be taken')
  client.release(10)
  client.drain()
  t.equal(client.rooms, 2)
  client.publish(ten('c'), 'room', 'resume')
  client.open = false
  client.awaitRoom()
  t.equal(client.awaited, 0, 'nothing is written to a connection that closes')
  t.equal(client.rooms, 2)
})

t.test('under resume at most 32 KiB wait, or the budget if it is less, and the socket is not slow by itself', async (t) => {
  for (const [budget, expected] of [[1_000_000, 32], [10_000, 10]] as const) {
    const client = new Client(budget)
    client.stuck = true
    let taken = 0
    while (client.publish(message('x'.repeat(1_000)), 'room', 'resume')) {
      taken++
      await turn()
    }
    t.equal(taken, expected)
    t.strictSame(client.told, [])
  }
})

t.test('under resume, what waits for hooks counts towards the budget, and not towards the 32 KiB', async (t) => {
  const client = new Client(1_000_000)
  client.hold(900_000)
  t.equal(client.publish(message('x'.repeat(40_000)), 'room', 'resume'), true, 'nothing else is on its way')
  client.stuck = true
  await turn()
  t.equal(client.publish(message('x'), 'room', 'resume'), false)
  const other = new Client(1_000_000)
  other.hold(990_000)
  t.equal(other.publish(message('x'.repeat(20_000)), 'room', 'resume'), false)
})
