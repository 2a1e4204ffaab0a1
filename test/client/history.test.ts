// The typed client and the past of a channel: what the server remembers, and whether a client that came back has everything.
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { type CallbackSocket, defineChannels, recovering, type StreamSocket, typedClient } from '../../lib/client/index.js'
import { type Client, type Connect, generations } from '../helpers/app.js'
import { Inbox } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'

const channels = defineChannels({ 'room/:id': { message: Type.Object({ n: Type.Integer() }), history: { size: 5 }, recover: true } })
interface Contract { channels: typeof channels }

function start (t: Test) {
  return serve(t, {}, (app) => { app.scChannel('room/:id', channels['room/:id']) })
}

async function open (t: Test, connect: Connect, port: number, options: object = { codecEngine: recovering() }) {
  const client = await connect(t, { port }, { ...options })
  const typed = typedClient<Contract>(client.raw as StreamSocket | CallbackSocket)
  const recoveries = new Inbox<any>()
  client.on('recovery', (event) => recoveries.push(event))
  return { client, typed, recovery: () => recoveries.take(() => true, 'recovery') }
}

async function cut (client: Client): Promise<void> {
  client.raw.transport.socket.terminate()
  await until('the end of the connection', () => client.state === 'closed')
}

for (const [generation, connect] of generations) {
  t.test(`client ${generation} reads the history of a channel with typed messages`, async (t) => {
    const { port, sc } = await start(t)
    const { typed } = await open(t, connect, port)
    const room = typed.subscribe('room/:id', { id: '7' })
    const empty = await room.history()
    t.same([empty.messages, empty.gap], [[], null], 'without waiting for the subscription')
    for (let n = 1; n <= 4; n++) await sc.exchange.publish('room/7', { n })
    const newest = await room.history({ limit: 2, reverse: true })
    t.same(newest.messages.map(({ data }) => data.n), [4, 3])
    t.ok(newest.messages[0]!.time >= newest.messages[1]!.time)
    t.equal(newest.position, newest.messages[0]!.position)
    const first = await room.history({ since: empty.position, limit: 3 })
    t.same([first.messages.map(({ data }) => data.n), first.gap], [[1, 2, 3], 'limit'])
    const rest = await room.history({ since: first.position })
    t.same([rest.messages.map(({ data }) => data.n), rest.gap], [[4], null])
    await t.rejects(room.history({ limit: 301 }), { name: 'InvalidArgumentsError', message: '#history expects a limit from 1 to 300, got 301' })
    await t.rejects(typed.channel('room/:id', { id: '8' }).history(), { name: 'InvalidActionError', code: 'SC_ERR_HISTORY_SUBSCRIPTION' })
  })

  t.test(`client ${generation} knows whether it recovered`, async (t) => {
    const { port, sc } = await start(t)
    const { client, typed, recovery } = await open(t, connect, port)
    const room = typed.subscribe('room/:id', { id: '7' })
    await room.subscribed()
    t.equal(room.recovered, null, 'nothing was missed before')
    for (const [missed, recovered] of [[2, true], [6, false], [0, true]] as const) {
      await cut(client)
      for (let n = 1; n <= missed; n++) await sc.exchange.publish('room/7', { n })
      client.reconnect()
      t.match(await recovery(), { recovered })
      t.equal(room.recovered, recovered)
      t.equal(typed.channel('room/:id', { id: '7' }).recovered, recovered)
      t.equal(typed.channel('room/:id', { id: '8' }).recovered, null)
    }
    room.unsubscribe()
    t.equal(room.recovered, null)
  })

  t.test(`client ${generation} asks for the last messages with its subscription`, async (t) => {
    const { port, sc } = await start(t)
    for (let n = 1; n <= 4; n++) await sc.exchange.publish('room/7', { n })
    const { client, typed, recovery } = await open(t, connect, port)
    const seen: number[] = []
    const room = typed.subscribe('room/:id', { id: '7' }, { rewind: 3 })
    room.watch(({ n }) => seen.push(n))
    await until('the last messages', () => seen.length === 3)
    t.same(seen, [2, 3, 4])
    t.equal(room.recovered, null, 'nothing was missed')
    await cut(client)
    await sc.exchange.publish('room/7', { n: 5 })
    client.reconnect()
    t.match(await recovery(), { recovered: true, count: 1 })
    await sc.exchange.publish('room/7', { n: 6 })
    await until('the new message', () => seen.length === 5)
    t.same(seen, [2, 3, 4, 5, 6], 'what it has does not come again')
    const other = typed.subscribe('room/:id', { id: '8' }, { rewind: 301 })
    await t.rejects(other.subscribed(), { name: 'InvalidActionError', message: '#subscribe expects rewind to be an integer from 0 to 300, got 301' })
  })

  t.test(`client ${generation} with a channelPrefix`, async (t) => {
    const { port, sc } = await start(t)
    const { client, typed, recovery } = await open(t, connect, port, { codecEngine: recovering(), channelPrefix: 'room/' })
    const room = typedClient<{ channels: { ':id': typeof channels['room/:id'] } }>(typed.socket).subscribe(':id', { id: '7' })
    await room.subscribed()
    await sc.exchange.publish('room/7', { n: 1 })
    t.same((await room.history()).messages.map(({ data }) => data.n), [1])
    await cut(client)
    client.reconnect()
    await recovery()
    t.equal(room.recovered, true)
  })

  t.test(`client ${generation} without the codec`, async (t) => {
    const { port, sc } = await start(t)
    const { client, typed } = await open(t, connect, port, {})
    t.throws(() => typed.subscribe('room/:id', { id: '7' }, { rewind: 1 }), { name: 'InvalidArgumentsError', message: /create\(\{ codecEngine: recovering\(\) \}\)/ })
    const room = typed.subscribe('room/:id', { id: '7' })
    await room.subscribed()
    await sc.exchange.publish('room/7', { n: 1 })
    t.same((await room.history()).messages.map(({ data }) => data.n), [1], 'can read')
    await cut(client)
    client.reconnect()
    await client.nextEvent('connect')
    await until('the subscription', () => room.state === 'subscribed')
    t.equal(room.recovered, null, 'and does not know what it missed')
  })
}
