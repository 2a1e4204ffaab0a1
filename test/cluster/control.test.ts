import { setImmediate as tick } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Broker, BrokerSink } from '../../types/broker.js'
import { BrokerLink } from '../../lib/broker/link.js'
import { Control } from '../../lib/cluster/control.js'
import { Revocations } from '../../lib/cluster/revocations.js'

/** A node over a broker that is nothing but what the test says in the name of others. */
function start (t: Test) {
  const sent: Array<{ message: any, toNode: string | undefined }> = []
  let sink!: BrokerSink
  const broker: Broker = {
    name: 'fake',
    shared: true,
    start (given) { sink = given },
    async subscribe () {},
    async unsubscribe () {},
    async publish () {},
    async control (message, toNode) { sent.push({ message: JSON.parse(message), toNode }) },
    stop () {}
  }
  const ran: unknown[] = []
  const learned: unknown[] = []
  const warnings: string[] = []
  const revocations = new Revocations(86_400, 0)
  const link: BrokerLink = new BrokerLink(broker, { node: { id: 'n1', prefix: 'sc' } }, {
    publication () {}, gap () {}, warning () {}, state: (state) => control.brokerState(state), control: (message, from) => control.handle(message, from)
  })
  const control: Control = new Control(link, {
    commands: {
      run (command) {
        ran.push(command)
        return 1
      },
      learn (entries) {
        learned.push(...entries)
        return 0
      }
    },
    revocations,
    listed: { sockets: [], channels: () => [], memberCount: () => 0, counts: () => ({ clients: 2, pendingClients: 0, channels: 0, subscriptions: 0, bufferedBytes: 0 }) },
    stats: () => ({ clients: 2, eventLoopDelay: { mean: 1, p99: 2, max: 3 } }) as never,
    warn: (err) => { warnings.push((err as Error).message) }
  })
  link.start()
  t.teardown(() => {
    control.stop()
    return link.stop()
  })
  const says = (from: string, message: object): void => sink.control(JSON.stringify(message), from)
  const lastAsk = (kind: string): any => sent.findLast(({ message }) => message.t === 'ask' && message.kind === kind)?.message
  return { sink, control, link, sent, says, lastAsk, ran, learned, warnings, revocations }
}

t.test('a command runs here at once and on the others; what they say is added up', async (t) => {
  const { sink, control, says, lastAsk, ran, revocations } = start(t)
  sink.state('up')
  for (const id of ['n2', 'n3', 'n4']) says(id, { t: 'hello' })
  const revoked = control.revoke({ user: 5 })
  t.match(ran, [{ do: 'revoke', filter: { user: '5' }, at: Number }])
  t.ok(revocations.has({ sub: '5' }))
  const { id, body } = lastAsk('command')
  t.strictSame(body, ran[0])
  says('n2', { t: 'answer', id, value: 3 })
  says('n3', { t: 'answer', id, value: 'many' })
  says('n4', { t: 'answer', id, error: 'unknown command' })
  t.strictSame(await revoked, { sockets: 4, missing: ['n4'] })
})

t.test('who fails is named in a warning', async (t) => {
  const { sink, control, says, lastAsk, warnings } = start(t)
  sink.state('up')
  says('n2', { t: 'hello' })
  const done = control.kickOut({ socketId: 's' }, 'room', undefined)
  says('n2', { t: 'answer', id: lastAsk('command').id, error: 'no' })
  await done
  t.match(warnings, [/kickOut.*n2 \(no\)/])
})

t.test('commands and queries of others are answered, when they are some', async (t) => {
  const { sink, says, sent, ran, revocations } = start(t)
  sink.state('up')
  says('n2', { t: 'hello' })
  revocations.add({ user: 'ann' })
  const ask = async (kind: string, body: unknown): Promise<any> => {
    says('n2', { t: 'ask', id: 7, kind, body })
    await tick()
    return sent.findLast(({ message }) => message.t === 'answer')!.message
  }
  t.match(await ask('command', { do: 'disconnect', filter: {}, code: 4999 }), { id: 7, value: 1 })
  t.match(await ask('command', { do: 'other' }), { error: 'unknown command' })
  t.equal(ran.length, 1)
  t.match(await ask('query', { revocations: { after: 0 } }), { value: { entries: [{ user: 'ann' }], next: null, life: 86_400 } })
  t.match(await ask('query', {}), { error: 'unknown query' })
})

t.test('who joins asks for the revocations in force; who was cut off for those since, and tells its own', async (t) => {
  const { sink, says, lastAsk, learned, revocations, sent } = start(t)
  sink.state('up')
  says('n2', { t: 'hello' })
  t.strictSame(lastAsk('query').body, { revocations: { after: 0 } }, 'all of them')
  says('n2', { t: 'answer', id: lastAsk('query').id, value: { entries: [{ user: 'ann', at: 5 }], next: null, life: 100_000 } })
  await tick()
  t.strictSame([learned, revocations.longestLife], [[{ user: 'ann', at: 5 }], 100_000])
  sink.state('down', new Error('cut'))
  revocations.add({ user: 'bob' })
  sent.length = 0
  sink.state('up')
  await tick()
  t.match(lastAsk('query').body.revocations, { after: 0, within: Number })
  t.ok(lastAsk('query').body.revocations.within >= 120_000, 'and a little more: the loss may have gone unnoticed')
  t.match(lastAsk('command').body, { do: 'remember', entries: [{ user: 'bob' }] })
})

t.test('statistics: sums, but of delays the worst', async (t) => {
  const { sink, control, says, lastAsk } = start(t)
  sink.state('up')
  says('n2', { t: 'hello' })
  const stats = control.stats()
  says('n2', { t: 'answer', id: lastAsk('stats').id, value: { clients: 3, eventLoopDelay: { mean: 5, p99: 1, max: 1 } } })
  t.match((await stats).total, { clients: 5, eventLoopDelay: { mean: 5, p99: 2, max: 3 } })
  t.strictSame(control.nodes, ['n1', 'n2'])
})
