// What waits for one client, above a stream that takes nothing until it is told to.
import t from 'tap'
import type { SlowConsumerPolicy } from '../../lib/index.js'
import { Flusher } from '../../lib/transport/flusher.js'
import { SharedMessage } from '../../lib/transport/frames.js'
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
  faults: unknown[] = []
  #waiting: string[] = []
  #drained: Array<() => void> = []

  constructor (limit: number, readonly counted = new Holdings(0, () => {})) {
    super(new Flusher(), counted, limit)
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
