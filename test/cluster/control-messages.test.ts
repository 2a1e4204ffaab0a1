import Fastify from 'fastify'
import fc from 'fast-check'
import t from 'tap'
import scPlugin, { type Broker } from '../../lib/index.js'
import { injectSC } from '../../lib/testing/index.js'
import { Stopwatch } from '../helpers/stopwatch.js'

// Whoever may write to the engine may send a node any control message. None of them harms it, and none makes it wait for ever.

/** A broker between processes that is nothing but what a test says in the name of other nodes. */
class FakeBroker implements Broker {
  readonly name = 'fake'
  readonly shared = true
  sink!: Parameters<Broker['start']>[0]
  readonly sent: Array<{ message: any, toNode: string | undefined }> = []
  async start (sink: Parameters<Broker['start']>[0]): Promise<void> {
    this.sink = sink
    sink.state('up')
  }

  async subscribe (): Promise<void> {}
  async unsubscribe (): Promise<void> {}
  async publish (): Promise<void> {}
  async stop (): Promise<void> {}
  async control (message: string, toNode?: string): Promise<void> {
    this.sent.push({ message: JSON.parse(message), toNode })
  }

  says (node: string, message: unknown): void {
    this.sink.control(typeof message === 'string' ? message : JSON.stringify(message), node)
  }
}

async function start (t: { teardown (fn: () => unknown): void }) {
  const broker = new FakeBroker()
  const app = Fastify()
  await app.register(scPlugin, { authKey: 'a secret of tests that has more than thirty-two bytes', broker })
  await app.ready()
  t.teardown(() => app.close())
  const warnings: any[] = []
  app.scServer.on('warning', (err) => { warnings.push(err) })
  return { app, sc: app.scServer, broker, warnings }
}

t.test('a node with an absurd interval, or that never answers, holds nobody up', async (t) => {
  const { sc, broker } = await start(t)
  for (const every of [1e300, -5, 0, 1e9, Number.MAX_SAFE_INTEGER]) broker.says(`node${every}`.replace(/\W/g, ''), { t: 'beat', every })
  const times: number[] = []
  for (let i = 0; i < 4; i++) {
    const watch = new Stopwatch()
    await sc.revoke({ user: 'ann' })
    times.push(watch.stop())
  }
  t.ok(times[2]! < 1_000 && times[3]! < 1_000, `waited for twice, and no more: ${times.map(Math.round).join(', ')} ms`)
  // It answers: from then on it is waited for again, and counted.
  const pending = sc.revoke({ user: 'ann' })
  const { message } = broker.sent.findLast(({ message }) => message.t === 'ask')!
  broker.says('node1e300', { t: 'answer', id: message.id, value: 3 })
  await pending
  const again = sc.revoke({ user: 'ann' })
  const { message: second } = broker.sent.findLast(({ message }) => message.t === 'ask')!
  broker.says('node1e300', { t: 'answer', id: second.id, value: 3 })
  t.equal(await again, 3)
})

t.test('more nodes than there can be', async (t) => {
  const { sc, broker, warnings } = await start(t)
  for (let i = 0; i < 5_000; i++) broker.says(`n${i}`, { t: 'hello' })
  t.equal(sc.cluster.nodes.length, 1_001)
  t.ok(warnings.length > 0 && warnings.length <= 20, 'a flood is no flood of warnings')
})

t.test('a flood of questions is no flood of answers; commands are carried out all the same', async (t) => {
  const { sc, broker, warnings } = await start(t)
  for (let i = 0; i < 1_500; i++) await sc.revoke({ user: `user ${i}`.padEnd(900, 'x') })
  broker.sent.length = 0
  let accept!: () => void
  const accepted = new Promise<void>((resolve) => { accept = resolve })
  let asked = 0
  let length = 0
  broker.control = async (message, toNode) => {
    if (toNode !== 'n1') return
    asked++
    length += message.length
    await accepted
  }
  for (const question of [{ kind: 'query', body: { revocations: { after: 0 } } }, { kind: 'stats' }, { kind: 'query' }]) {
    for (let i = 0; i < 1_000; i++) broker.says('n1', { t: 'ask', id: i, ...question })
  }
  t.ok(asked > 4 && length < 12_000_000, `${asked} answers of ${length} characters`)
  const before = asked
  broker.says('n1', { t: 'ask', id: 1, kind: 'command', body: { do: 'disconnect', filter: {}, code: 4999 } })
  await new Promise(setImmediate)
  t.equal(asked, before + 1, 'a command is')
  t.match(warnings.filter(({ message }) => /questions/.test(message)).length, 10, 'a warning, ten times a second at most')
  accept()
  await new Promise(setImmediate)
  broker.says('n1', { t: 'ask', id: 2, kind: 'stats' })
  t.equal(asked, before + 2, 'when they are sent, there are answers again')
})

t.test('a command of a node for which there is no place', async (t) => {
  const { app, sc, broker } = await start(t)
  const client = await injectSC(app)
  t.teardown(() => client.close())
  for (let i = 0; i < 1_000; i++) broker.says(`n${i}`, { t: 'hello' })
  broker.sent.length = 0
  broker.says('late', { t: 'ask', id: 7, kind: 'stats' })
  broker.says('late', { t: 'ask', id: 8, kind: 'command', body: { do: 'disconnect', filter: {}, code: 4999 } })
  await new Promise(setImmediate)
  t.equal(sc.clientsCount, 0)
  t.strictSame(broker.sent, [{ message: { t: 'answer', id: 8, value: 1 }, toNode: 'late' }])
})

t.test('a broker whose counters are no JSON', async (t) => {
  const { broker } = await start(t)
  Object.assign(broker, { stats: () => ({ framesOut: 1n }) })
  broker.says('n1', { t: 'ask', id: 1, kind: 'stats' })
  await new Promise(setImmediate)
  t.match(broker.sent.at(-1), { message: { t: 'answer', id: 1, error: /BigInt/ }, toNode: 'n1' })
})

t.test('answers that are no answers', async (t) => {
  const { sc, broker } = await start(t)
  broker.says('n1', { t: 'hello' })
  const ask = async (value: unknown) => {
    const pending = sc.cluster.stats()
    const { message } = broker.sent.findLast(({ message }) => message.kind === 'stats')!
    broker.says('n1', `{"t":"answer","id":${message.id},"value":${typeof value === 'string' ? value : JSON.stringify(value)}}`)
    return pending
  }
  for (const value of [{}, [], 5, null, '1e999', '{"__proto__":{"clients":5},"clients":1e999}', { id: 'other', clients: '7', closes: { 1006: 2, bad: {} }, broker: 5, eventLoopDelay: null },
    `${'{"closes":'.repeat(5_000)}{}${'}'.repeat(5_000)}`] as unknown[]) {
    const { nodes, total } = await ask(value)
    t.ok(nodes.every(({ id }) => id === sc.cluster.nodeId || id === 'n1'))
    t.ok(Number.isFinite(total.clients) && Number.isFinite(total.eventLoopDelay.max), JSON.stringify(value).slice(0, 60))
  }
  t.match((await ask({ clients: 4, closes: { 1006: 2 }, broker: { state: 'up' } })).total, { clients: 4, closes: { 1006: 2 } }, 'a good one is')
})

t.test('commands that are not whole do nothing to sockets', async (t) => {
  const { app, sc, broker } = await start(t)
  const client = await injectSC(app)
  t.teardown(() => client.close())
  const [socket] = Object.values(sc.clients)
  for (const body of [
    { do: 'disconnect', filter: {}, code: 'text' }, { do: 'disconnect', filter: { user: {} }, code: 4999 }, { do: 'disconnect', filter: { jti: [] }, code: 4999 }, { do: 'disconnect', filter: {}, code: 5 },
    { do: 'disconnect', filter: {} }, { do: 'disconnect', code: 4999 }, { do: 'disconnect', filter: {}, code: 4999, reason: {} }, { do: 'other', filter: {}, code: 4999 }, { filter: {}, code: 4999 }
  ]) {
    broker.says('n1', { t: 'ask', id: 1, kind: 'command', body })
    t.equal(socket!.state, 'open', JSON.stringify(body))
  }
  broker.says('n1', { t: 'ask', id: 1, kind: 'command', body: { do: 'disconnect', filter: {}, code: 4999 } })
  t.equal(socket!.getState(), 'closed', 'one that is whole does')
})

t.test('any control message', async (t) => {
  const { app, sc, broker } = await start(t)
  const uncaught: unknown[] = []
  const onError = (err: unknown): void => { uncaught.push(err) }
  process.on('unhandledRejection', onError)
  t.teardown(() => process.off('unhandledRejection', onError))
  const filter = fc.record({ user: fc.jsonValue(), jti: fc.jsonValue(), socketId: fc.jsonValue() }, { requiredKeys: [] })
  const body = fc.oneof(
    fc.jsonValue(),
    fc.record({ do: fc.constantFrom('revoke', 'remember', 'disconnect', 'kickOut', 'other'), filter: fc.oneof(filter, fc.jsonValue()), at: fc.oneof(fc.double(), fc.jsonValue()), code: fc.oneof(fc.integer(), fc.jsonValue()), channel: fc.jsonValue(), reason: fc.jsonValue(), message: fc.jsonValue(), entries: fc.oneof(fc.array(fc.record({ user: fc.jsonValue(), jti: fc.jsonValue(), at: fc.oneof(fc.double(), fc.jsonValue()) }, { requiredKeys: [] }), { maxLength: 5 }), fc.jsonValue()) }, { requiredKeys: ['do'] }),
    fc.record({ revocations: fc.oneof(fc.jsonValue(), fc.record({ after: fc.oneof(fc.double(), fc.jsonValue()), within: fc.oneof(fc.double(), fc.jsonValue()) }, { requiredKeys: [] })) })
  )
  const message = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.record({ t: fc.oneof(fc.constantFrom('hello', 'bye', 'beat', 'ask', 'answer'), fc.jsonValue()), id: fc.oneof(fc.integer(), fc.jsonValue()), every: fc.oneof(fc.double(), fc.jsonValue()), kind: fc.oneof(fc.constantFrom('command', 'stats', 'query'), fc.jsonValue()), body, value: fc.jsonValue(), error: fc.jsonValue() }, { requiredKeys: ['t'] }).map((value) => JSON.stringify(value))
  )
  const node = fc.oneof(fc.constantFrom('n1', 'n2', 'n3'), fc.string(), fc.constant('x'.repeat(100)))
  await t.resolves(fc.assert(fc.asyncProperty(fc.array(fc.tuple(node, message), { maxLength: 20 }), async (messages) => {
    for (const [from, text] of messages) broker.sink.control(text, from)
    await new Promise(setImmediate)
    for (const { message } of broker.sent.splice(0)) {
      if (typeof message.t !== 'string') throw new Error('it said something that is no message')
    }
    if (sc.cluster.nodes.some((id) => id.length > 64)) throw new Error('a node with a name that none can have')
  }), { numRuns: 500 }))
  t.same(uncaught, [])
  t.equal(app.scServer.isReady, true)
})
