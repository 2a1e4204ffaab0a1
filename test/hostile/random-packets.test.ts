import fc from 'fast-check'
import t from 'tap'
import type { ScServerSocket } from '../../lib/index.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'

// One socket against a model of it: random messages, well formed and not, and what must be true afterwards.
// MODEL_SEED, MODEL_PATH and MODEL_RUNS replay a failure: the seed and the path are printed with it.

const channels = ['a', 'b', '__proto__', 'slow', 'slower', 'denied', 'slowly denied'] as const
type Channel = typeof channels[number]
const isSlow = (channel: string): boolean => channel.startsWith('slow')
const isDenied = (channel: string): boolean => channel.endsWith('denied')
const maxBatchItems = 6
const maxUnreadable = 3

type Action = { kind: 'subscribe', channel: Channel, bare: boolean } | { kind: 'unsubscribe', channel: Channel, bare: boolean } | { kind: 'publish', channel: Channel } |
  { kind: 'echo', event: 'echo' | 'slow echo' | 'throws' } | { kind: 'refused', event: unknown, data: unknown } | { kind: 'ignored', packet: unknown } | { kind: 'disconnect' }

interface Call {
  action: Action
  id: 'number' | 'text' | 'none' | 'unusable'
}

type Message = { kind: 'one', call: Call } | { kind: 'array', calls: Call[] } | { kind: 'raw', text: string } | { kind: 'unreadable', text: string }

const channel = fc.constantFrom(...channels)
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('subscribe' as const), channel, bare: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('unsubscribe' as const), channel, bare: fc.boolean() }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('publish' as const), channel }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('echo' as const), event: fc.constantFrom('echo', 'slow echo', 'throws') }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('refused' as const),
      event: fc.constantFrom('#handshake', '#kickOut', '#nonsense', 'close', '_error', 'toString', 'nobody', 5, {}, '', 'x'.repeat(200), '#subscribe', '#publish', '#unsubscribe'),
      // No channel name in any form, so that the three actions are refused as well.
      data: fc.constantFrom<unknown>(undefined, null, {}, { channel: 5 }, ['a'], { channel: { toString: 'a' } }, '\u0000', { channel: 'x'.repeat(300) })
    })
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('ignored' as const), packet: fc.constantFrom<unknown>({ rid: 1 }, { rid: '__proto__', error: {} }, {}, { data: 1 }, { event: null }, { rid: {}, data: 1 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'disconnect' as const }) }
)
const call: fc.Arbitrary<Call> = fc.record({ action, id: fc.constantFrom('number', 'number', 'text', 'none', 'unusable') })
const message: fc.Arbitrary<Message> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('one' as const), call }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('array' as const), calls: fc.array(call, { maxLength: maxBatchItems + 2 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('raw' as const), text: fc.constantFrom('text', '#2', '', '#3', '42', '{', '[', 'null', '"a"') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('unreadable' as const), text: fc.constantFrom('{"__proto__":1}', `{"event":"echo","data":${'['.repeat(40)}${']'.repeat(40)}}`) }) }
)
const sequence = fc.record({ version: fc.constantFrom(1 as const, 2 as const), handshake: fc.constantFrom(true, true, true, true, true, false), messages: fc.array(message, { maxLength: 12, size: 'max' }) })
type Sequence = typeof sequence extends fc.Arbitrary<infer T> ? T : never

const isSubscribe = (action: Action): boolean => action.kind === 'subscribe' || (action.kind === 'refused' && action.event === '#subscribe')

type Outcome = 'ok' | 'error' | 'maybe'

/** What must come of a sequence. */
interface Expected {
  wire: string[]
  /** By call id: how it is answered. */
  answers: Map<unknown, Outcome>
  subscribed: Set<string>
  /** By channel: what is received, in order. */
  received: Map<string, number[]>
  closed: number | null
}

function predict ({ handshake, messages }: Sequence): Expected {
  const expected: Expected = { wire: [], answers: new Map(), subscribed: new Set(), received: new Map(channels.map((channel) => [channel, []])), closed: null }
  let serial = 100
  let unreadable = 0
  let open = handshake

  const perform = ({ action, id }: Call): unknown => {
    const n = ++serial
    const cid = id === 'number' ? n : id === 'text' ? `c${n}` : id === 'unusable' ? [n] : undefined
    let packet: unknown
    let outcome: Outcome = 'error'
    const ifOpen = (then: () => void): void => { if (expected.closed === null) then() }
    switch (action.kind) {
      case 'subscribe':
        packet = { event: '#subscribe', data: action.bare ? action.channel : { channel: action.channel }, cid }
        if (!isDenied(action.channel)) {
          outcome = 'ok'
          ifOpen(() => expected.subscribed.add(action.channel))
        }
        break
      case 'unsubscribe':
        packet = { event: '#unsubscribe', data: action.bare ? action.channel : { channel: action.channel }, cid }
        if (expected.subscribed.has(action.channel)) outcome = 'ok'
        ifOpen(() => expected.subscribed.delete(action.channel))
        break
      case 'publish':
        packet = { event: '#publish', data: { channel: action.channel, data: n }, cid }
        if (!isDenied(action.channel)) {
          outcome = 'ok'
          ifOpen(() => { if (expected.subscribed.has(action.channel)) expected.received.get(action.channel)!.push(n) })
        }
        break
      case 'echo':
        packet = { event: action.event, data: n, cid }
        if (action.event !== 'throws') outcome = 'ok'
        break
      case 'refused':
        packet = { event: action.event, data: action.data, cid }
        break
      case 'ignored':
        packet = action.packet
        break
      case 'disconnect':
        packet = { event: '#disconnect', data: { code: 4100 } }
        ifOpen(() => { expected.closed = 4100 })
        break
    }
    const answerable = (id === 'number' || id === 'text') && action.kind !== 'ignored' && action.kind !== 'disconnect'
    if (answerable && expected.closed === null) expected.answers.set(cid, outcome)
    return packet
  }

  for (const message of messages) {
    // Whatever comes before the handshake is refused: no sequence begins with one then.
    if (!open && expected.closed === null) expected.closed = 4009
    open = true
    switch (message.kind) {
      case 'one':
        unreadable = 0
        expected.wire.push(JSON.stringify(perform(message.call)))
        break
      case 'array':
        unreadable = 0
        // Subscribes are not counted, good ones and bad ones.
        if (message.calls.filter(({ action }) => !isSubscribe(action)).length > maxBatchItems && expected.closed === null) expected.closed = 4413
        expected.wire.push(JSON.stringify(message.calls.map(perform)))
        break
      case 'raw':
        // Pongs are not messages; the other texts can be read, as what they are.
        if (message.text !== '' && message.text !== '#2') unreadable = 0
        expected.wire.push(message.text)
        break
      case 'unreadable':
        if (++unreadable === maxUnreadable && expected.closed === null) expected.closed = 4400
        expected.wire.push(message.text)
        break
    }
  }
  if (!handshake && messages.length === 0) expected.closed = null
  if (expected.closed !== null) {
    // What was slow may have been done before the close, or not.
    for (const [cid] of expected.answers) expected.answers.set(cid, 'maybe')
  }
  return expected
}

const runs = Number(process.env.MODEL_RUNS ?? 2_000)
const seed = Number(process.env.MODEL_SEED ?? Date.now() % 0x7fffffff)

t.test(`${runs} random sequences, seed ${seed}`, { timeout: runs > 2_000 ? 0 : 220_000 }, async (t) => {
  const sockets = new Map<string, ScServerSocket>()
  const { port, sc } = await serve(t, { inboundRate: 0, maxBatchItems, maxConnections: 0 }, (app) => {
    const judge = ({ channel }: { channel: string }): void | Promise<void> => {
      if (!isSlow(channel)) {
        if (isDenied(channel)) throw new Error('denied')
        return
      }
      return new Promise((resolve, reject) => setImmediate(() => setImmediate(() => {
        if (isDenied(channel)) reject(new Error('denied'))
        else resolve()
      })))
    }
    app.scHook('subscribe', judge)
    app.scHook('publishIn', judge)
  })
  sc.on('handshake', (socket) => {
    sockets.set(socket.id, socket)
    socket.on('echo', (data: unknown, res: (err: unknown, data: unknown) => void) => res(null, data))
    socket.on('slow echo', async (data: unknown) => {
      await new Promise((resolve) => setImmediate(resolve))
      return data
    })
    socket.on('throws', () => { throw new Error('thrown') })
  })
  // Every subscription and unsubscription has its event, so their sum is what the server believes.
  let believed = 0
  sc.on('subscription', () => believed++)
  sc.on('unsubscription', () => believed--)
  let longest = 0

  async function check (given: Sequence): Promise<void> {
    // A handshake among the packets is one too, when nothing came before it.
    const [first] = given.messages
    fc.pre(given.handshake || first?.kind !== 'one' || first.call.action.kind !== 'refused' || first.call.action.event !== '#handshake')
    const expected = predict(given)
    longest = Math.max(longest, expected.wire.length)
    const client = await RawClient.open(null, port, { version: given.version })
    try {
      let socket: ScServerSocket | undefined
      if (given.handshake) socket = sockets.get((await client.handshake()).id)
      for (const text of expected.wire) client.send(text)

      const answers = new Map<unknown, any>()
      const received = new Map<string, number[]>(channels.map((channel) => [channel, []]))
      const read = (): void => {
        for (const packet of client.inbox.items.splice(0)) {
          if (packet.event === '#publish') {
            received.get(packet.data.channel)!.push(packet.data.data)
          } else if (packet.event === undefined) {
            if (answers.has(packet.rid)) throw new Error(`two answers to ${JSON.stringify(packet.rid)}`)
            if (!expected.answers.has(packet.rid)) throw new Error(`an answer that nothing asked for: ${JSON.stringify(packet)}`)
            answers.set(packet.rid, packet)
          }
        }
      }

      if (expected.closed !== null) {
        const { code } = await client.closed
        read()
        if (code !== expected.closed) throw new Error(`expected the close code ${expected.closed}, got ${code}`)
        if (socket !== undefined && (socket.state !== 'closed' || socket.subscriptions().length !== 0)) throw new Error('a closed socket has subscriptions')
      } else if (given.handshake) {
        // An action on each slow channel comes after all others on it; the last answer is the one to them.
        for (const channel of channels.filter(isSlow)) {
          const cid = `end of ${channel}`
          client.send({ event: '#publish', data: { channel, data: -1 }, cid })
          await client.answer(cid)
        }
        client.send({ event: 'slow echo', cid: 'end' })
        await client.answer('end')
        read()
        for (const [cid, outcome] of expected.answers) {
          const answer = answers.get(cid)
          if (answer === undefined) throw new Error(`no answer to ${JSON.stringify(cid)}`)
          if ((answer.error === undefined ? 'ok' : 'error') !== outcome) throw new Error(`expected ${outcome} for ${JSON.stringify(cid)}, got ${JSON.stringify(answer)}`)
        }
        for (const [channel, want] of expected.received) {
          const got = received.get(channel)!.filter((n) => n !== -1)
          if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`expected ${JSON.stringify(want)} on ${channel}, got ${JSON.stringify(got)}`)
        }
        const subscriptions = socket!.subscriptions().sort()
        if (JSON.stringify(subscriptions) !== JSON.stringify([...expected.subscribed].sort())) throw new Error(`expected subscriptions ${[...expected.subscribed].join()}, got ${subscriptions.join()}`)
        if (Object.keys(socket!.channelSubscriptions).length !== socket!.channelSubscriptionsCount) throw new Error('the count is not the size of the map')
        if (sc.stats().subscriptions !== subscriptions.length) throw new Error('the server counts other subscriptions')
      }
      client.ws.close()
      await client.closed
      await until('nobody to be left', () => sc.stats().clients + sc.stats().pendingClients === 0)
      const { clients, pendingClients, subscriptions, channels: left } = sc.stats()
      if (clients + pendingClients + subscriptions + left !== 0) throw new Error(`left: ${JSON.stringify({ clients, pendingClients, subscriptions, left })}`)
      if (believed !== 0) throw new Error(`${believed} subscriptions without an end`)
    } finally {
      client.ws.terminate()
      sockets.clear()
    }
  }

  const start = Date.now()
  const result = await fc.check(fc.asyncProperty(sequence, check), { seed, numRuns: runs, path: process.env.MODEL_PATH, interruptAfterTimeLimit: runs > 2_000 ? undefined : 200_000, markInterruptAsFailure: true })
  if (result.failed) {
    t.fail(`MODEL_SEED=${seed} MODEL_PATH=${String(result.counterexamplePath)}`, { error: String((result.errorInstance as Error | null)?.message), sequence: JSON.stringify(result.counterexample) })
  } else {
    t.pass(`${runs} sequences of up to ${longest} messages in ${Date.now() - start} ms, seed ${seed}`)
  }
  t.same(Object.keys(Object.prototype), [])
})
