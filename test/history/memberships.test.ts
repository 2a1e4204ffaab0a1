// What was decided for an earlier subscription, or was delivered from the history meanwhile, does not come again. Without the codec
// that drops what comes twice, so that the server alone has to keep to this.
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { ScChannelContract, ScPluginOptions } from '../../lib/index.js'
import { recovering } from '../../lib/client/index.js'
import { generations } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'
import { numbers } from './nodes.js'

/** Decisions that wait until somebody opens the gate. */
class Gate {
  #waiting: Array<() => void> = []
  get waiting (): number { return this.#waiting.length }
  pass (): Promise<void> { return new Promise((resolve) => { this.#waiting.push(resolve) }) }
  open (): void { for (const resolve of this.#waiting.splice(0)) resolve() }
}

const history = { size: 100 }

function start (t: Test, contract: ScChannelContract<any, any, any>, options: ScPluginOptions = {}) {
  return serve(t, { inboundRate: 0, authenticateRate: 0, ...options }, (app) => { app.scChannel('room', contract) })
}

async function later (turns: number): Promise<void> { for (let i = 0; i < turns; i++) await turn() }

/** Takes the numbers of all messages that arrived. */
async function numbersOf (client: RawClient): Promise<number[]> {
  await client.barrier()
  return client.inbox.items.splice(0).filter(({ event }) => event === '#publish').map(({ data }) => data.data)
}

for (const [what, recover, rejoin, expected] of [
  ['last messages', { rewind: 10 }, {}, [1, 2, 3, 4]],
  ['no last messages', true, {}, [4]],
  ['a position', true, { since: true }, [2, 3, 4]],
  ['the newest message', 'latest', {}, [3, 4]]
] as const) {
  t.test(`a client leaves and comes back for ${what} while hooks decide about messages`, async (t) => {
    const gate = new Gate()
    let asked = 0
    const { port, sc } = await start(t, { history, recover, slowConsumerPolicy: 'drop', deliver: async () => { if (++asked > 1) await gate.pass() } })
    const client = await RawClient.connect(t, port)
    await client.call('#subscribe', { channel: 'room' })
    await sc.exchange.publish('room', 1)
    const { pos } = await client.event('#publish')
    for (const n of [2, 3]) await sc.exchange.publish('room', n)
    await until('a decision', () => gate.waiting === 1)
    await client.call('#unsubscribe', 'room')
    await client.call('#subscribe', { channel: 'room', ...('since' in rejoin ? { since: pos } : {}) })
    await sc.exchange.publish('room', 4)
    await until('all decisions', async () => {
      gate.open()
      await later(3)
      return client.inbox.items.some(({ event, data }) => event === '#publish' && data.data === 4)
    })
    t.strictSame(await numbersOf(client), expected)
  })
}

t.test('a client leaves a channel without history and comes back while hooks decide: what was published before does not come', async (t) => {
  const gate = new Gate()
  const { port, sc } = await start(t, { deliver: () => gate.pass() })
  const client = await RawClient.connect(t, port)
  await client.call('#subscribe', { channel: 'room' })
  for (const n of [1, 2]) await sc.exchange.publish('room', n)
  await until('a decision', () => gate.waiting === 1)
  await client.call('#unsubscribe', 'room')
  await client.call('#subscribe', { channel: 'room' })
  await sc.exchange.publish('room', 3)
  await until('all decisions', async () => {
    gate.open()
    await later(3)
    return client.inbox.items.some(({ event, data }) => event === '#publish' && data.data === 3)
  })
  t.strictSame(await numbersOf(client), [3])
})

t.test('recovered messages of a subscription that ended while hooks decided do not come in the next one', async (t) => {
  const gate = new Gate()
  const { port, sc } = await start(t, { history, recover: { rewind: 10 }, deliver: () => gate.pass() })
  for (const n of [1, 2, 3]) await sc.exchange.publish('room', n)
  const client = await RawClient.connect(t, port)
  await client.call('#subscribe', { channel: 'room' })
  await until('a decision', () => gate.waiting === 1)
  await client.call('#unsubscribe', 'room')
  await client.call('#subscribe', { channel: 'room', rewind: 1 })
  await until('all decisions', async () => {
    gate.open()
    await later(3)
    return client.inbox.items.some(({ event, data }) => event === '#publish' && data.data === 3)
  })
  await later(5)
  gate.open()
  t.strictSame(await numbersOf(client), [3])
})

t.test('a client that subscribes again to a channel that it is in, and is kicked out while hooks decide, is out', async (t) => {
  const gate = new Gate()
  let asked = 0
  const { port, sc, nextSocket } = await start(t, { history, recover: true, subscribe: () => ++asked > 1 ? gate.pass() : undefined })
  const connection = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await connection
  await client.call('#subscribe', { channel: 'room' })
  client.send({ event: '#subscribe', data: { channel: 'room' }, cid: 100 })
  await until('a decision', () => gate.waiting === 1)
  await socket.kickOut('room', 'closed')
  t.match(await client.answer(100), { error: { code: 'SC_ERR_KICKED_OUT' } })
  t.match(await client.event('#kickOut'), { data: { channel: 'room', message: 'closed' } })
  gate.open()
  await later(3)
  await sc.exchange.publish('room', 1)
  t.strictSame([await numbersOf(client), socket.isSubscribed('room')], [[], false])
})

for (const [generation, connect] of generations) {
  for (const codecEngine of [undefined, recovering()]) {
    t.test(`client ${generation}${codecEngine === undefined ? '' : ' that recovers'} leaves and comes back: each message of the last ones comes once`, async (t) => {
      const gate = new Gate()
      const { port, sc } = await start(t, { history, recover: { rewind: 10 }, deliver: () => gate.pass() })
      const client = await connect(t, { port }, codecEngine === undefined ? {} : { codecEngine })
      await client.subscribe('room')
      for (const n of [1, 2, 3]) await sc.exchange.publish('room', n)
      await until('a decision', () => gate.waiting === 1)
      client.unsubscribe('room')
      await client.subscribe('room')
      await sc.exchange.publish('room', 4)
      const got: number[] = []
      const opening = setInterval(() => gate.open(), 1)
      t.teardown(() => clearInterval(opening))
      while (got.at(-1) !== 4) got.push(await client.next('room'))
      t.strictSame(got, [1, 2, 3, 4])
    })
  }
}

for (const [what, revalidate] of [['suspended', 'suspend'], ['checked again', 'kick']] as const) {
  for (const [kind, deliver] of [
    ['slow hooks', async () => { await later(2) }],
    ['hooks that answer at once', () => {}],
    ['hooks that answer at once, after more than a slice of the event loop', () => { for (const from = performance.now(); performance.now() - from < 5;) { /* Busy. */ } }],
    ['hooks of which some answer at once', ({ data }: any) => data % 3 === 0 ? later(2) : undefined]
  ] as const) {
    t.test(`a subscription goes on that was ${what}, ${kind}: what is published meanwhile comes once`, async (t) => {
      const gate = new Gate()
      let decides = false
      const { port, sc, nextSocket } = await start(t, {
        history,
        recover: true,
        deliver,
        subscribe: async ({ socket }: any) => {
          if (decides) await gate.pass()
          if (socket.authToken?.role !== 'member') throw new Error('members only')
        }
      }, { revalidate })
      const connection = nextSocket()
      const client = await RawClient.connect(t, port)
      const others = await Promise.all([1, 2, 3].map(() => RawClient.connect(t, port)))
      const socket = await connection
      socket.setAuthToken({ role: 'member' })
      await client.call('#subscribe', { channel: 'room' })
      for (const other of others) await other.call('#subscribe', { channel: 'room' })
      await sc.exchange.publish('room', 1)
      await client.event('#publish')
      if (revalidate === 'suspend') {
        socket.setAuthToken({ role: 'guest' })
        await until('the suspension', () => sc.stats().blocked === 4)
      }
      decides = true
      socket.setAuthToken({ role: 'member' })
      await until('a decision', () => gate.waiting === 1)
      for (let n = 2; n <= 12; n++) sc.exchange.publish('room', n)
      gate.open()
      for (let n = 13; n <= 24; n++) {
        sc.exchange.publish('room', n)
        if (n % 2 === 0) await turn()
      }
      await until('the last message', () => client.inbox.items.some(({ event, data }) => event === '#publish' && data.data === 24))
      t.strictSame(await numbersOf(client), numbers(2, 24))
    })
  }
}
