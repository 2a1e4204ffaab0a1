// Histories in NATS, on several nodes: what clients get when a node, a link, NATS or its stream fails.
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { connect as connectNats, type Msg, type NatsConnection, type SubscriptionOptions } from '@nats-io/transport-node'
import t, { type Test } from 'tap'
import { natsBroker, type NatsBrokerOptions, type NatsHistoryOptions } from '../../lib/broker/nats/index.js'
import { generations } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { startJetStream, startJetStreamCluster, startNats, type TestServer } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'
import { type HistoryEngine, historyNode, runEngineCases, withEngine } from './engine-cases.js'
import { join, numbers, proxyOf, publish, quick } from './several-nodes.js'

const small = { maxBytes: 64 * 1024 * 1024 }

const engine: HistoryEngine = {
  name: 'NATS',
  start: startJetStream,
  broker: (port, options = quick) => natsBroker({ servers: `127.0.0.1:${port}`, history: small, ...options })
}

/** Starts a node with other options of the broker. */
function node (t: Test, port: number, broker: NatsBrokerOptions = {}) {
  const server = broker.connection === undefined && broker.servers === undefined ? { servers: `127.0.0.1:${port}` } : {}
  return historyNode(t, natsBroker({ ...server, history: small, ...quick, ...broker }))
}

/** Runs a test with a JetStream of its own. */
const withJetStream = (name: string, run: (t: Test, nats: TestServer) => Promise<void>): void => withEngine(engine, name, run)

/** Opens a connection for what an operator does. */
async function operator (t: Test, port: number) {
  const connection = await connectNats({ servers: `127.0.0.1:${port}`, reconnect: false })
  t.teardown(() => connection.close())
  return async (call: string, data: object = {}): Promise<Record<string, any>> => (await connection.request(`$JS.API.STREAM.${call}`, JSON.stringify(data), { timeout: 5_000 })).json()
}

runEngineCases(engine)

withJetStream('a NATS with files that is killed and comes back has lost nothing that it accepted', async (t, nats) => {
  const nodes = [await node(t, nats.port, { history: { ...small, storage: 'file' } }), await node(t, nats.port, { history: { ...small, storage: 'file' } })] as const
  const seen = await Promise.all(nodes.map(({ port }) => join(t, generations[0]![1], port)))
  const accepted = await publish(nodes[0].sc, 1, 300, async (n) => {
    if (n !== 100) return
    await nats.kill()
    await until('the loss of NATS', () => nodes.every(({ sc }) => sc.stats().broker.state === 'down'))
    await nats.restart()
    await until('its return', () => nodes.every(({ sc }) => sc.stats().broker.state === 'up'))
  })
  t.ok(accepted.length > 200 && accepted.includes(300))
  for (const one of seen) {
    await until('the last message', () => one.messages().includes(300))
    const got = one.messages() as number[]
    t.strictSame(accepted.filter((n) => !got.includes(n)), [], 'all that was accepted came')
    t.strictSame(got, [...new Set(got)].sort((x, y) => x - y), 'once, and in order')
    t.strictSame([one.others(), one.disconnects], [[], 0])
  }
})

withJetStream('a stream that is changed under way: who is there misses nothing, who was away is told', async (t, nats) => {
  const [a, b] = [await node(t, nats.port), await node(t, nats.port)]
  const [, connect] = generations[0]!
  const api = await operator(t, nats.port)
  const last = async (): Promise<number | undefined> => (await api('MSG.GET.history-history', { last_by_subj: 'history.h.room=2F1' })).message?.seq
  for (const [what, act, told] of [
    ['deleted', () => api('DELETE.history-history'), 'told: unknown'],
    ['purged', () => api('PURGE.history-history'), 'told: unknown'],
    ['purged to the last message', () => api('PURGE.history-history', { keep: 1 }), 'told: trimmed']
  ] as const) {
    await t.test(what, async (t) => {
      const [there, away] = [await join(t, connect, b.port), await join(t, connect, b.port)]
      await publish(a.sc, 1, 10)
      for (const one of [there, away]) await until('10 messages', () => one.messages().length === 10)
      Object.assign(away.client.raw.options, { autoReconnect: false })
      away.client.raw.transport.socket.terminate()
      await until('its end', () => away.client.state === 'closed')
      const accepted = await publish(a.sc, 11, 100, async (n) => { if (n === 50) await act() })
      t.strictSame(accepted, numbers(11, 100))
      await until('100 messages', () => there.messages().length === 100)
      t.strictSame([there.events, there.disconnects], [numbers(1, 100), 0])
      // To another node, which has to read.
      const c = await node(t, nats.port)
      away.client.raw.options.port = c.port
      away.client.reconnect()
      await until('the answer', () => away.others().length === 1)
      t.strictSame(away.others(), [told])
      await publish(a.sc, 101, 110)
      await until('what follows', () => away.messages().length === 20)
      t.strictSame(away.messages(), [...numbers(1, 10), ...numbers(101, 110)])
      await there.client.close()
      await away.client.close()
    })
  }
  await t.test('the last messages deleted, like a failover that lost them: told to those who had them', async (t) => {
    const seen = await join(t, connect, b.port)
    const before = seen.messages().length
    await publish(a.sc, 1, 10)
    await until('10 messages', () => seen.messages().length === before + 10)
    const newest = (await last())!
    for (let i = 0; i < 3; i++) await api('MSG.DELETE.history-history', { seq: newest - i })
    // Version 2.10 then finds no message of the channel at all: a new history begins.
    const isNew = await last() === undefined
    await publish(a.sc, 11, 12)
    await until('12 messages', () => seen.messages().length === before + 12)
    t.strictSame(seen.messages().slice(before), numbers(1, 12))
    t.strictSame(seen.others().sort(), isNew ? [] : ['gap of room/1', 'told: unknown'])
  })
})

/** Lets a connection lose messages of a topic. */
function losing (connection: NatsConnection, topic: string, isLost: (count: number) => boolean): NatsConnection {
  const subscribe = connection.subscribe.bind(connection)
  let count = 0
  connection.subscribe = (subject: string, options?: SubscriptionOptions) => {
    const callback = options?.callback
    if (subject !== topic || callback === undefined) return subscribe(subject, options)
    return subscribe(subject, { ...options, callback: (err: Error | null, msg: Msg) => { if (!isLost(++count)) callback(err, msg) } })
  }
  return connection
}

withJetStream('messages that are lost between NATS and a node are read, and no client notices; the connection is the application\'s', async (t, nats) => {
  const connection = await connectNats({ servers: `127.0.0.1:${nats.port}`, maxReconnectAttempts: -1, reconnectTimeWait: 10 })
  t.teardown(() => connection.close())
  const a = await node(t, nats.port)
  const b = await node(t, nats.port, { connection: losing(connection, 'history.c.room=2F1', (count) => count % 7 === 3) })
  const seen = await join(t, generations[1]![1], b.port)
  const before = b.sc.stats().broker.historyReads!
  for (const n of numbers(1, 101)) await a.sc.exchange.publish('room/1', n)
  await until(() => `101 messages, got ${seen.events.length}`, () => seen.messages().length === 101)
  t.strictSame([seen.events, seen.disconnects], [numbers(1, 101), 0])
  t.ok(b.sc.stats().broker.historyReads! > before, 'they were read')
})

t.test('a NATS cluster that loses the leader of the stream has lost nothing that it accepted', async (t) => {
  const cluster = await startJetStreamCluster(t, 3)
  if (cluster === null) return t.plan(0, 'nats-server is not installed')
  const servers = cluster.map(({ port }) => `127.0.0.1:${port}`)
  const start = () => node(t, 0, { servers, history: { ...small, replicas: 3 }, timeout: 2_000, probeInterval: 2_000, connectTimeout: 2_000 })
  // The servers elect a leader of the cluster first.
  const nodes: Array<Awaited<ReturnType<typeof start>>> = []
  await until('the cluster', () => start().then((one) => nodes.push(one) > 0, () => false))
  nodes.push(await start(), await start())
  const connection = await connectNats({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 50 })
  t.teardown(() => connection.close())
  const info = async (): Promise<any> => (await connection.request('$JS.API.STREAM.INFO.history-history', '', { timeout: 5_000 })).json()
  const seen = await Promise.all(nodes.map(({ port }) => join(t, generations[0]![1], port)))
  const accepted = await publish(nodes[0]!.sc, 1, 100)
  t.strictSame(accepted, numbers(1, 100))
  // What is on its way at this moment may be refused, and so is what follows until there is another leader.
  accepted.push(...await publish(nodes[0]!.sc, 101, 300, async (n) => {
    if (n === 150) await cluster[Number((await info()).cluster.leader.slice(1))]!.kill()
  }))
  await until('the next leader', () => nodes[0]!.sc.exchange.publish('room/1', 301).then(() => true, () => false))
  for (const one of seen) {
    await until('the last message', () => one.messages().includes(301))
    const got = one.messages() as number[]
    t.strictSame(accepted.filter((n) => !got.includes(n)), [], 'all that was accepted came')
    t.strictSame(got, [...new Set(got)].sort((x, y) => x - y), 'once, and in order')
    t.strictSame([one.others(), one.disconnects], [[], 0])
  }
})

withJetStream('a connection of the application that is cut and reconnects', async (t, nats) => {
  const proxy = await proxyOf(t, nats.port)
  const connection = await connectNats({ servers: `127.0.0.1:${proxy.port}`, maxReconnectAttempts: -1, reconnectTimeWait: 10, inboxPrefix: '_INBOX.own' })
  t.teardown(() => connection.close())
  const a = await node(t, nats.port)
  const b = await node(t, 0, { connection })
  const seen = await join(t, generations[0]![1], b.port)
  await publish(a.sc, 1, 300, (n) => { if (n % 100 === 50) proxy.cut() })
  await until(() => `300 messages, got ${seen.events.length}`, () => seen.messages().length >= 300)
  t.strictSame([seen.events, seen.disconnects], [numbers(1, 300), 0])
})

withJetStream('the stream is made for the largest history, whoever needs it, and keeps the wishes of others', async (t, nats) => {
  const api = await operator(t, nats.port)
  const config = async () => (await api('INFO.history-history')).config
  const first = await node(t, nats.port)
  t.match(await config(), { storage: 'memory', max_msgs_per_subject: 101, max_bytes: small.maxBytes, num_replicas: 1 })
  await first.sc.exchange.publish('room/1', 1)
  t.match(await config(), { max_msgs_per_subject: 2_001, max_age: 86_400_000 * 1e6 })
  const second = await serve(t, { broker: natsBroker({ servers: `127.0.0.1:${nats.port}`, history: { maxBytes: 32 * 1024 * 1024 }, ...quick }), brokerPrefix: 'history' }, (app) => {
    app.scChannel('rare', { history: { size: 10, ttl: 86_400_000 } })
  })
  t.match(await config(), { max_msgs_per_subject: 2_001, max_bytes: 32 * 1024 * 1024 })
  t.strictSame((await second.sc.exchange.history('rare')).messages, [])
  t.match(await config(), { max_msgs_per_subject: 2_001, max_age: 2 * 86_400_000 * 1e6 })
  // An operator makes it smaller: whoever connects then makes it as large as it needs.
  await api('UPDATE.history-history', { ...await config(), max_msgs_per_subject: 1, max_age: 3_600_000 * 1e6 })
  const third = await node(t, nats.port)
  t.match(await config(), { max_msgs_per_subject: 101, max_age: 86_400_000 * 1e6 })
  t.strictSame((await third.sc.exchange.history('room/1')).messages.map(({ data }) => data), [1])
  t.match(await config(), { max_msgs_per_subject: 2_001, max_age: 86_400_000 * 1e6 })
})

withJetStream('messages have no keys, and one that the server does not take is refused', async (t, nats) => {
  const { sc } = await node(t, nats.port)
  await t.rejects(sc.exchange.publish('room/1', 1, { idempotencyKey: 'k' }), { code: 'SC_ERR_NO_KEYS' })
  await t.rejects(sc.exchange.publish('room/1', 'x'.repeat(1_100_000)), { name: 'BrokerError' })
})

withJetStream('a message of somebody else in the stream: the channel goes on without its history', async (t, nats) => {
  const { sc, port, warnings } = await node(t, nats.port)
  const connection = await connectNats({ servers: `127.0.0.1:${nats.port}` })
  t.teardown(() => connection.close())
  await connection.request('history.h.room=2F1', 'hello')
  const raw = await RawClient.connect(t, port)
  t.match(await raw.call('#subscribe', { channel: 'room/1', since: 'abc.1.def' }), { data: { recovered: false, reason: 'unknown' } })
  t.match(warnings, [{ name: 'BrokerError', message: /"history-history" has a message that no process of this application wrote/ }])
  await t.rejects(sc.exchange.publish('room/1', 1), { name: 'BrokerError', message: /no process of this application/ })
  await (await operator(t, nats.port))('PURGE.history-history', { filter: 'history.h.room=2F1' })
  await sc.exchange.publish('room/1', 2)
  t.match(await raw.event('#publish'), { data: { channel: 'room/1', data: 2 } })
})

/** Boots a server, which must fail, and returns the error. */
async function bootError (t: Test, port: number, history: true | NatsHistoryOptions = true, options: NatsBrokerOptions = {}): Promise<string> {
  try {
    await node(t, port, { history, ...options })
  } catch (err) {
    return (err as Error).message
  }
  return 'no error'
}

t.test('a server that cannot keep histories fails the boot, and the error says what to do', async (t) => {
  const plain = await startNats(t)
  if (plain === null) return t.plan(0, 'nats-server is not installed')
  t.match(await bootError(t, plain.port), /histories need JetStream, which this server \(version \d+\.\d+\.\d+\) does not offer: start nats-server with -js, or leave out the option history/)
  const nats = (await startJetStream(t))!
  t.match(await bootError(t, nats.port, { maxBytes: 2 ** 52 }), /JetStream answered: insufficient .*resources.*; see the option history of natsBroker/)
  t.match(await bootError(t, nats.port, { ...small, replicas: 3 }), /JetStream answered: replicas > 1 not supported in non-clustered mode .*; see the option history of natsBroker/)
  await node(t, nats.port)
  t.match(await bootError(t, nats.port, { ...small, storage: 'file' }), /the stream "history-history" has the storage 'memory', and the option history.storage of natsBroker is 'file': change the option, or delete the stream/)
})

t.test('the rights that docs/histories-in-redis-and-nats.md names are enough, and without one of them the boot says so', async (t) => {
  const page = await readFile(new URL('../../docs/histories-in-redis-and-nats.md', import.meta.url), 'utf8')
  const [, ...rights] = /needs to publish to `(.*)` and `(.*)`, and to subscribe `(.*)` and `(.*)`\./.exec(page)!.map((text) => text.replace('<prefix>', 'history'))
  const dir = await mkdtemp(joinPath(tmpdir(), 'sc-rights-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  const file = joinPath(dir, 'nats.conf')
  const user = (name: string, publish: string[], subscribe: string[]) => `{ user: ${name}, password: pw, permissions: { publish: ${JSON.stringify(publish)}, subscribe: ${JSON.stringify(subscribe)} } }`
  const [prefix, api, received, inbox] = rights as [string, string, string, string]
  await writeFile(file, `authorization { users: [${[user('all', [prefix, api], [received, inbox]), user('noapi', [prefix], [received, inbox]), user('noinbox', [prefix, api], [received])].join()}] }`)
  const nats = await startJetStream(t, ['-c', file])
  if (nats === null) return t.plan(0, 'nats-server is not installed')
  const { sc } = await node(t, nats.port, { nats: { user: 'all', pass: 'pw' } })
  for (const n of numbers(1, 40)) await sc.exchange.publish('room/1', n)
  t.equal((await sc.exchange.history('room/1')).messages.length, 40)
  for (let i = 0; i < 2; i++) t.equal(await sc.cluster.runOnce('key', () => i), 0, 'the stream of keys needs no other right')
  t.match(await bootError(t, nats.port, small, { nats: { user: 'noapi', pass: 'pw' }, connectTimeout: 2_000 }), /the user may not publish to \$JS.API.>/)
  t.match(await bootError(t, nats.port, small, { nats: { user: 'noinbox', pass: 'pw' } }), /Permissions Violation for Subscription to "_INBOX/i)
})

t.test('a server that is too old, or that does not answer JetStream requests', async (t) => {
  for (const [version, error] of [
    ['2.8.4', /histories need nats-server 2.9 or later, and this one has version 2.8.4: update it, or leave out the option history/],
    ['2.9.0', /JetStream did not answer within 1000 ms: .*; see the options connectTimeout and history of natsBroker/]
  ] as const) {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.write(`INFO ${JSON.stringify({ server_id: 'x', version, proto: 1, headers: true, max_payload: 1_048_576 })}\r\n`)
      socket.on('data', (data) => { if (data.includes('PING\r\n')) socket.write('PONG\r\n') })
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => new Promise<void>((resolve) => server.close(() => resolve())))
    t.match(await bootError(t, (server.address() as AddressInfo).port, true, { connectTimeout: 2_000 }), error)
  }
})

t.test('wrong values of the option history', async (t) => {
  const refused = (history: unknown, message: RegExp) => t.throws(() => natsBroker({ history: history as boolean }), { name: 'InvalidOptionsError', message })
  refused('yes', /natsBroker expects the option history to be a boolean or an object, got "yes"/)
  refused('3', /natsBroker expects the option history to be a boolean or an object, got "3"/)
  refused([], /natsBroker expects the option history to be a boolean or an object, got array/)
  refused(null, /natsBroker expects the option history to be a boolean or an object, got null/)
  refused({ size: 1 }, /natsBroker has no option "history.size"; expected one of storage, replicas, maxBytes/)
  refused({ storage: 'disk' }, /history.storage to be 'memory' or 'file', got "disk"/)
  refused({ replicas: 0 }, /history.replicas to be a whole number from 1 to 5, got 0/)
  refused({ replicas: 6 }, /history.replicas to be a whole number from 1 to 5, got 6/)
  refused({ replicas: '3' }, /history.replicas to be a whole number from 1 to 5, got "3"/)
  refused({ maxBytes: 1_000 }, /history.maxBytes to be a whole number from 1048576 to \d+, got 1000/)
  t.ok(natsBroker({ history: { storage: undefined } as NatsHistoryOptions }).history)
  t.equal(natsBroker({ history: false }).history, undefined)
  t.equal(natsBroker().history, undefined)
})
