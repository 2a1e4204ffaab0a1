import { connect } from '@nats-io/transport-node'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { Broker, BrokerSink } from '../../types/broker.js'
import type { Engine, SessionEvents } from '../../lib/broker/remote/engine.js'
import { encodeFrame } from '../../lib/broker/remote/frames.js'
import { subjectToken } from '../../lib/broker/nats/subjects.js'
import { natsBroker } from '../../lib/broker/nats/index.js'
import { isPublication, maxPublicationDepth, maxPublicationLength } from '../../lib/broker/publication.js'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { RemoteBroker } from '../../lib/broker/remote/broker.js'
import { remoteDefaults } from '../../lib/broker/remote/options.js'
import { Seal } from '../../lib/broker/remote/seal.js'
import { scPlugin, type ScPluginOptions } from '../../lib/index.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { startNats, startRedis } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'

const key = 'a key of tests that has more than thirty-two bytes'
const otherKey = 'another key of tests that has more than thirty-two bytes'

/** Texts that end the packet they are put in and go on with something else, or are no JSON in another way. */
const injections = [
  '1},"event":"#setAuthToken","data":{"token":"x"', '1},"event":"#removeAuthToken","data":{"a":1', '1}},{"event":"#kickOut","data":{"channel":"room"}', '1},"rid":1,"error":{"name":"X"},"x":{"y":1',
  '1,"channel":"other"', 'null,"channel":"private"', '}', '{', '[', ']', '1 2', '1,2', '[1],[2]', '"', 'undefined', 'NaN', "'a'", '01', '+1', '.5', '1.', '-', '\u00001', '\ufeff1', ' ', '\n', '{"a":1,}', '//', '#1', '"\n"', '"\\x"',
  '['.repeat(200_000), '['.repeat(5_000) + ']'.repeat(5_000), '{"a":'.repeat(2_000) + '1' + '}'.repeat(2_000), '"' + 'x'.repeat(200_000), 'true false', 'truefalse', '{"event":"#publish"}{"event":"#setAuthToken"}'
]

t.test('a publication is nothing, or exactly one JSON value', (t) => {
  for (const good of ['', '0', '-1.5e+9', '"a"', '"\\ud800"', 'null', 'true', '[]', '{}', ' [1, {"a": "}"}]\n', '"},\\"event\\":\\"#setAuthToken\\""', '['.repeat(maxPublicationDepth) + ']'.repeat(maxPublicationDepth)]) t.ok(isPublication(good), good.slice(0, 40))
  for (const bad of injections) t.notOk(isPublication(bad), bad.slice(0, 40))
  t.notOk(isPublication('['.repeat(maxPublicationDepth + 1) + ']'.repeat(maxPublicationDepth + 1)))
  t.notOk(isPublication(`"${'x'.repeat(maxPublicationLength)}"`))
  fc.assert(fc.property(fc.json(), (json) => isPublication(json)))
  // Whatever passes is one value where it is put, and changes nothing around it.
  const part = fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '"a"', '1', 'null', '\\', ' ', '"event"', '"#setAuthToken"')
  fc.assert(fc.property(fc.array(part, { maxLength: 8 }).map((parts) => parts.join('')), (text) => {
    if (text === '' || !isPublication(text)) return
    t.strictSame(JSON.parse(`{"event":"#publish","data":{"channel":"c","data":${text}}}`), { event: '#publish', data: { channel: 'c', data: JSON.parse(text) } }, { diagnostic: false })
  }), { numRuns: 5_000 })
  t.end()
})

/** An engine that hands out what the test sends, and keeps what it gets. */
class TestEngine implements Engine {
  readonly name = 'test'
  readonly order = 'channel'
  readonly address = 'nowhere'
  events!: SessionEvents
  readonly sent: Array<[topic: string, text: string]> = []
  async load () {}
  channelTopic (prefix: string, channel: string) { return `${prefix}:c:${channel}` }
  nodeTopic (prefix: string, nodeId?: string) { return nodeId === undefined ? `${prefix}:all` : `${prefix}:n:${nodeId}` }
  async open (events: SessionEvents) {
    this.events = events
    return {
      subscribe: async () => {},
      unsubscribe: async () => {},
      publish: (frames: readonly any[]) => {
        for (const frame of frames) {
          this.sent.push([frame.topic, frame.text])
          frame.settle()
        }
      },
      close () {}
    }
  }
}

async function node (t: Test, keys?: string[]) {
  const engine = new TestEngine()
  const broker = new RemoteBroker(engine, remoteDefaults)
  const seen: string[] = []
  const reasons: string[] = []
  const sink: BrokerSink = {
    publication: (channel, data) => { seen.push(`${channel}=${data}`) },
    control: (message, from) => { seen.push(`${from}: ${message}`) },
    state () {},
    gap () {},
    dropped: (reason) => { reasons.push(reason) }
  }
  await broker.start(sink, { id: 'n1', prefix: 'sc', keys: keys?.map((key) => Buffer.from(key)) })
  t.teardown(() => broker.stop())
  await broker.subscribe(['a', 'b'])
  return { engine, broker, seen, reasons, receive: (topic: string, text: string) => engine.events.message(topic, text) }
}

t.test('signed frames: of this channel, by a known key, unaltered', async (t) => {
  const { broker, engine, seen, reasons, receive } = await node(t, [key, otherKey])
  await broker.publish('a', '"good"')
  await broker.control('command', 'n2')
  const [[topic, text], [nodeTopic, command]] = engine.sent as [[string, string], [string, string]]
  t.equal(topic, 'sc:c:a')
  t.match(text, /^sc1s [\w-]{43} sc1 m n1 6\n"good"$/)
  receive(topic, text)
  t.strictSame(seen, ['a="good"'])
  receive('sc:c:a', new Seal([Buffer.from(otherKey)]).close('sc:c:a', encodeFrame('m', 'n2', ['1', '2'])))
  t.strictSame(seen, ['a="good"', 'a=1', 'a=2'], 'the second key verifies')
  const foreign = await node(t, [otherKey])
  foreign.receive(topic, text)
  t.strictSame(foreign.seen, [], 'what the first key signed')

  seen.length = 0
  const bad: Array<[topic: string, text: string]> = [
    ['sc:c:b', text], ['sc:all', text], ['sc:n:n1', text], ['sc:n:n1', command], ['sc:c:a', command], ['sc:all', command],
    ['sc:c:a', encodeFrame('m', 'n2', ['1'])], ['sc:all', encodeFrame('c', 'n2', ['{"t":"hello"}'])], ['sc:n:n1', encodeFrame('c', 'n2', ['x'])],
    ['sc:c:a', new Seal([Buffer.from('x'.repeat(32))]).close('sc:c:a', encodeFrame('m', 'n2', ['1']))],
    ['sc:c:a', ''], ['sc:c:a', 'sc1s'], ['sc:c:a', 'sc1s '], ['sc:c:a', text.slice(0, -1)], ['sc:c:a', text + ' '], ['sc:c:a', text.replace('n1', 'n2')], ['sc:c:a', text.replace('sc1 m', 'sc1 c')]
  ]
  for (const [topic, text] of bad) receive(topic, text)
  t.strictSame(seen, [])
  t.equal(broker.stats().framesDropped, bad.length)
  t.equal(reasons.length, bad.length)
  t.match([...new Set(reasons)].sort(), [/signature that does not fit.*brokerKey/, /without a signature.*brokerKey/])
  fc.assert(fc.property(fc.nat(text.length - 1), fc.string({ unit: 'binary', maxLength: 2 }), (at, other) => {
    const altered = text.slice(0, at) + other + text.slice(at + 1)
    if (altered === text) return
    receive(topic, altered)
    t.strictSame(seen, [], { diagnostic: false })
  }), { numRuns: 500 })
  t.equal(nodeTopic, 'sc:n:n2')

  const keyless = await node(t)
  keyless.receive(topic, text)
  t.strictSame(keyless.seen, [])
  t.match(keyless.reasons, [/signed: this process has no key; set the option brokerKey/])
})

t.test('frames of its own are known to the letter, whoever claims to have sent one', async (t) => {
  const engine = new TestEngine()
  const broker = new RemoteBroker(engine, remoteDefaults)
  const seen: Array<[data: string, known: boolean | undefined]> = []
  await broker.start({ publication: (_channel, data, known) => { seen.push([data, known]) }, control () {}, state () {}, gap () {} }, { id: 'n1', prefix: 'sc' })
  t.teardown(() => broker.stop())
  await broker.subscribe(['a', 'b'])
  const receive = (topic: string, text: string): Array<[string, boolean | undefined]> => {
    engine.events.message(topic, text)
    return seen.splice(0)
  }
  for (const data of ['1', '2', '3']) await broker.publish('a', data)
  const [one, two, three] = engine.sent.map(([, text]) => text) as [string, string, string]
  t.strictSame(receive('sc:c:a', encodeFrame('m', 'n1', ['}'])), [['}', false]], 'in our name, but not ours')
  t.strictSame(receive('sc:c:b', one), [['1', false]], 'ours, but of another channel')
  t.strictSame(receive('sc:c:a', one), [['1', true]])
  t.strictSame(receive('sc:c:a', one), [['1', false]], 'once')
  t.strictSame(receive('sc:c:a', three), [['3', true]], 'one was lost on the way')
  t.strictSame(receive('sc:c:a', two), [['2', false]])
  // What never comes back is forgotten.
  for (let i = 0; i < 40; i++) await broker.publish('a', JSON.stringify('x'.repeat(60_000)))
  await broker.publish('a', '4')
  t.strictSame(receive('sc:c:a', engine.sent.at(-1)![1]), [['4', true]])
  await broker.publish('a', JSON.stringify('x'.repeat(1_200_000)))
  t.strictSame(receive('sc:c:a', engine.sent.at(-1)![1])[0]![1], false, 'too large to be remembered')
})

t.test('the option brokerKey is checked', async (t) => {
  const register = async (options: ScPluginOptions): Promise<void> => {
    const { app } = await serve(null, options)
    await app.close()
  }
  for (const [brokerKey, message] of [['short', /at least 32 bytes, got 5/], [7, /got number/], [[], /got array/], [[key, 'short'], /got 5/], [[key, null], /got null/]] as const) {
    await t.rejects(register({ brokerKey: brokerKey as never }), { code: 'SC_ERR_OPTIONS', message })
  }
  await register({ brokerKey: key })
  await register({ brokerKey: [Buffer.from(key), otherKey] })
  const unsigned: Broker = { name: 'mine', shared: true, start () {}, subscribe () {}, unsubscribe () {}, publish () {}, control () {}, stop () {} }
  await t.rejects(register({ brokerKey: key, broker: unsigned }), { code: 'SC_ERR_BROKER_KEY' })
  t.type(scPlugin, 'function')
})

/** Somebody who can write to the engine. */
type Stranger = (kind: 'c' | 'n' | 'all', name: string, text: string) => Promise<void>

const engines: Readonly<Record<string, (t: Test) => Promise<{ make: () => Broker, stranger: Stranger } | null>>> = {
  async redis (t) {
    const server = await startRedis(t)
    if (server === null) return null
    const client = new Redis(server.port)
    t.teardown(() => client.disconnect())
    return {
      make: () => redisBroker({ url: `redis://127.0.0.1:${server.port}` }),
      stranger: async (kind, name, text) => { await client.publish(kind === 'all' ? 'sc:all' : `sc:${kind}:${name}`, text) }
    }
  },
  async nats (t) {
    const server = await startNats(t)
    if (server === null) return null
    const client = await connect({ servers: `127.0.0.1:${server.port}` })
    t.teardown(() => client.close())
    return {
      make: () => natsBroker({ servers: `127.0.0.1:${server.port}` }),
      stranger: async (kind, name, text) => { client.publish(kind === 'all' ? 'sc.all' : `sc.${kind}.${kind === 'c' ? subjectToken(name) : name}`, text) }
    }
  }
}

const channels = ['room', 'hooked', 'a.b *']
const message = fc.oneof(fc.constantFrom(...injections), fc.json({ maxDepth: 3 }), fc.string({ unit: 'binary', maxLength: 30 }))
const goodFrame = fc.record({ kind: fc.constantFrom('m', 'c', 'p'), id: fc.constantFrom('n9', 'stranger', 'x'.repeat(64)), messages: fc.array(message, { minLength: 1, maxLength: 5 }) })
  .map(({ kind, id, messages }) => encodeFrame(kind as 'm', id, messages))
const frame = fc.oneof(
  { weight: 4, arbitrary: goodFrame },
  // Truncated, lengthened, with other lengths, with one character changed.
  { weight: 1, arbitrary: fc.tuple(goodFrame, fc.nat(100)).map(([text, at]) => text.slice(0, at)) },
  { weight: 1, arbitrary: fc.tuple(goodFrame, fc.string({ maxLength: 10 })).map(([text, more]) => text + more) },
  { weight: 1, arbitrary: fc.tuple(goodFrame, fc.nat(60), fc.string({ unit: 'binary', maxLength: 2 })).map(([text, at, other]) => text.slice(0, at) + other + text.slice(at + 1)) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 200 }) }
)

for (const [name, start] of Object.entries(engines)) {
  for (const brokerKey of [undefined, key]) {
    t.test(`${name}${brokerKey === undefined ? '' : ', signed'}: a stranger who writes to the engine`, async (t) => {
      const engine = await start(t)
      if (engine === null) return t.plan(0, `${name} is not installed`)
      const faults: unknown[] = []
      const fault = (err: unknown): void => { faults.push(err) }
      process.on('unhandledRejection', fault)
      process.on('uncaughtException', fault)
      t.teardown(() => {
        process.off('unhandledRejection', fault)
        process.off('uncaughtException', fault)
      })
      const { port, sc, warnings } = await serve(t, { broker: engine.make(), brokerKey, maxBufferedBytes: 0, maxTotalBufferedBytes: 0 } as ScPluginOptions, (app) => {
        app.scChannel('hooked', { deliver: async ({ data }) => ({ seen: data }) })
      })
      const client = await RawClient.connect(t, port)
      for (const channel of channels) {
        t.equal((await client.call('#subscribe', { channel })).error, undefined)
        sc.exchange.subscribe(channel).watch(() => {})
      }
      const before = sc.stats().broker.framesDropped!
      const run = async (texts: string[], kind: 'c' | 'n' | 'all', name: string): Promise<void> => {
        for (const text of texts) await engine.stranger(kind, name, text)
      }
      await run(injections.map((text) => encodeFrame('m', 'n9', [text])), 'c', 'room')
      await run(injections.map((text) => encodeFrame('m', 'n9', ['1', text, '2'])), 'c', 'hooked')
      const seed = Date.now() % 1e9
      t.comment(`seed ${seed}`)
      const texts = fc.sample(frame, { numRuns: 400, seed })
      for (const [i, text] of texts.entries()) await run([text], 'c', channels[i % channels.length]!)
      await run(fc.sample(frame, { numRuns: 150, seed: seed + 1 }), 'n', sc.cluster.nodeId)
      await run(fc.sample(frame, { numRuns: 150, seed: seed + 2 }), 'all', '')
      // Commands that no process of ours would send.
      for (const body of [null, {}, { do: 'revoke' }, { do: 'revoke', filter: null }, { do: 'x', filter: {} }, { do: 'kickOut', filter: {}, channel: 7 }, 'x']) {
        await run([encodeFrame('c', 'n9', [JSON.stringify({ t: 'ask', id: 1, kind: 'command', body })])], 'all', '')
      }
      // Everything before has been read when these are here.
      for (const channel of channels) {
        await engine.stranger('c', channel, encodeFrame('m', 'n9', ['"stranger"']))
        await sc.exchange.publish(channel, 'end')
      }
      const packets: any[] = []
      const ends = new Set<string>()
      while (ends.size < channels.length) {
        const packet = await client.inbox.take((packet) => packet !== null, 'the last publications')
        packets.push(packet)
        const data = packet.data?.data?.seen ?? packet.data?.data
        if (data === 'end') ends.add(packet.data.channel)
      }
      for (const packet of packets) {
        if (packet.event !== '#publish' || !channels.includes(packet.data?.channel) || Object.keys(packet).length !== 2 || Object.keys(packet.data).some((key) => key !== 'channel' && key !== 'data')) {
          t.fail(`a packet that is no publication of its channels: ${JSON.stringify(packet).slice(0, 200)}`)
        }
      }
      t.equal(packets.some(({ data }) => data.data === 'stranger'), brokerKey === undefined, 'a stranger is heard only where nothing is signed')
      if (brokerKey !== undefined) t.equal(packets.length, channels.length)
      await until('the frames to be dropped', () => sc.stats().broker.framesDropped! - before >= injections.length * 2)
      t.ok(sc.stats().broker.framesDropped! - before >= injections.length * 2, `${sc.stats().broker.framesDropped! - before} dropped`)
      const drops = warnings.filter(({ code }) => code === 'SC_ERR_BROKER_DROPPED')
      t.ok(drops.length >= 1 && drops.length <= 6, `${drops.length} warnings, one for each reason`)
      t.match(drops[0].message, /brokerKey|cannot be read/)
      t.strictSame(faults, [])
      t.equal((await client.call('#subscribe', { channel: 'later' })).error, undefined, 'the connection works on')
    })
  }
}

t.test('a message that no process would take is refused where it is published', async (t) => {
  const engine = await engines.redis!(t)
  if (engine === null) return t.plan(0, 'redis is not installed')
  const { sc } = await serve(t, { broker: engine.make() })
  await t.rejects(sc.exchange.publish('a', 'x'.repeat(maxPublicationLength)), { name: 'BrokerError', message: /at most 8388608 characters/ })
  await sc.exchange.publish('a', 'x'.repeat(1_000_000))
})
