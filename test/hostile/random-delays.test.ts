import jwt from 'jsonwebtoken'
import t from 'tap'
import { memoryBroker, type AuthEngine, type Broker, type ScServerSocket } from '../../lib/index.js'
import { sessionOf } from '../../lib/socket/socket.js'
import { RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'

// A delay at every await: hooks, auth engine, broker, handlers; drawn from a seed, many schedules.
// RACES_SEED and RACES_RUNS replay: schedule number n of a run has the seed RACES_SEED + n.

/** Numbers from 0 to 1 that a seed determines (mulberry32). */
function random (seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

const runs = Number(process.env.RACES_RUNS ?? 1_000)
const firstSeed = Number(process.env.RACES_SEED ?? Date.now() % 1_000_000_000)
/** How many schedules are under way at once, each in channels of its own. */
const concurrency = 16

/** The delays of one schedule. They are found by the name that its channels and tokens begin with. */
const schedules = new Map<string, () => number>()
let delays = 0

/** Waits for some turns of the event loop, or none; now and then fails where that is allowed. */
async function delay (of: string | undefined, mayFail = false): Promise<void> {
  const draw = schedules.get(of?.split('/')[0] ?? '')
  if (draw === undefined) return
  const drawn = draw()
  for (let turns = Math.floor(drawn * 7); turns > 0; turns--) {
    delays++
    await new Promise((resolve) => setImmediate(resolve))
  }
  if (mayFail && drawn > 0.93) throw new Error('failed by the schedule')
}

/** The channels that the engine behind the broker delivers. */
const held = new Set<string>()

function delayedBroker (): Broker {
  const memory = memoryBroker()
  return {
    name: 'delayed',
    // Not really, but only brokers between processes may take their time.
    shared: true,
    start: (sink, node) => memory.start(sink, node),
    async subscribe (channels) {
      await delay(channels[0], true)
      for (const channel of channels) held.add(channel)
      await memory.subscribe(channels)
    },
    async unsubscribe (channels) {
      await delay(channels[0])
      for (const channel of channels) held.delete(channel)
      await memory.unsubscribe(channels)
    },
    async publish (channel, data) {
      await delay(channel, true)
      await memory.publish(channel, data)
    },
    control: (message, toNode) => memory.control(message, toNode),
    stop: () => memory.stop()
  }
}

const auth: AuthEngine = {
  async verifyToken (signed: string) {
    const claims = jwt.verify(signed, authKey) as { sub: string }
    await delay(claims.sub, true)
    return claims
  },
  async signToken (claims: { sub?: string }) {
    await delay(claims.sub)
    return jwt.sign(claims, authKey)
  }
} as AuthEngine

const { port, sc } = await serve(t, { inboundRate: 0, authenticateRate: 0, maxConnections: 0, maxPendingHandshakes: 0, broker: delayedBroker(), authEngine: auth }, (app) => {
  app.scHook('handshakeSC', ({ socket }) => delay(socket.request.url?.split('?')[1]))
  app.scHook('authenticate', ({ authToken }) => delay(authToken.sub, true))
  app.scHook('subscribe', async ({ socket, channel }) => {
    await delay(channel, true)
    if (channel.endsWith('/private') && socket.authState !== 'authenticated') throw new Error('log in first')
  })
  app.scHook('publishIn', ({ channel }) => delay(channel, true))
  app.scHook('publishOut', ({ channel }) => delay(channel))
  app.scHook('emit', ({ data }) => delay((data as { of?: string } | null)?.of, true))
})
const sockets = new Map<string, ScServerSocket>()
sc.on('handshake', (socket) => {
  sockets.set(socket.id, socket)
  socket.on('work', async (data: { of: string }) => {
    await delay(data.of, true)
    return 'done'
  })
})
/** By socket and channel: what the events say. */
const balance = new Map<string, number>()
function count (socket: ScServerSocket, channel: string, by: 1 | -1): void {
  const key = `${socket.id} ${channel}`
  const sum = (balance.get(key) ?? 0) + by
  if (sum === 0) balance.delete(key)
  else balance.set(key, sum)
}
sc.on('subscription', (socket, channel) => count(socket, channel, 1))
sc.on('unsubscription', (socket, channel) => count(socket, channel, -1))

/** A client's own view, from what it is told in the order in which it is told. */
class Player {
  readonly subscribed = new Set<string>()
  readonly received: Array<{ channel: string, data: any }> = []
  readonly #calls = new Map<unknown, { event: string, channel?: string }>()
  readonly #answered = new Set<unknown>()
  #cid = 1_000
  problem: string | null = null

  constructor (readonly client: RawClient, readonly socket: ScServerSocket) {
    client.inbox.items.length = 0
    const { inbox } = client
    const push = inbox.push.bind(inbox)
    inbox.push = (packet: any) => {
      this.#read(packet)
      push(packet)
    }
  }

  send (event: string, data: unknown, channel?: string): number {
    const cid = ++this.#cid
    this.#calls.set(cid, { event, channel })
    this.client.send({ event, data, cid })
    return cid
  }

  get unanswered (): number {
    return this.#calls.size - this.#answered.size
  }

  #read (packet: any): void {
    if (packet.event === '#publish') {
      if (!this.subscribed.has(packet.data.channel)) this.problem ??= `a message on ${packet.data.channel}, which it is not in`
      this.received.push(packet.data)
    } else if (packet.event === '#kickOut') {
      this.subscribed.delete(packet.data.channel)
    } else if (packet.rid !== undefined && this.#calls.has(packet.rid)) {
      if (this.#answered.has(packet.rid)) this.problem ??= `two answers to call ${packet.rid}`
      this.#answered.add(packet.rid)
      const { event, channel } = this.#calls.get(packet.rid)!
      if (packet.error !== undefined) return
      if (event === '#subscribe') this.subscribed.add(channel!)
      if (event === '#unsubscribe') this.subscribed.delete(channel!)
    }
  }
}

async function schedule (seed: number): Promise<void> {
  const name = `s${seed}`
  const draw = random(seed)
  const pick = <T>(from: readonly T[]): T => from[Math.floor(draw() * from.length)]!
  schedules.set(name, random(seed ^ 0x5bd1e995))
  const names = ['one', 'two', 'private'].map((channel) => `${name}/${channel}`)
  const token = jwt.sign({ sub: `${name}/user` }, authKey)
  const players: Player[] = []
  const closing: Array<Promise<unknown>> = []
  const failed: string[] = []
  try {
    await Promise.all(Array.from({ length: 3 }, async () => {
      const client = await RawClient.open(null, port, { path: `/socketcluster/?${name}`, version: pick([1, 2]) })
      if (draw() < 0.15) {
        // Ends somewhere in the handshake.
        client.send({ event: '#handshake', data: { authToken: token }, cid: 1 })
        for (let turns = Math.floor(draw() * 12); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
        client.ws.terminate()
        closing.push(client.closed)
        return
      }
      const { id } = await client.handshake(draw() < 0.5 ? token : undefined)
      players.push(new Player(client, sockets.get(id)!))
    }))

    for (let step = 0; step < 14 && players.length > 0; step++) {
      const player = pick(players)
      const channel = pick(names)
      const dice = draw()
      if (dice < 0.3) player.send('#subscribe', { channel }, channel)
      else if (dice < 0.5) player.send('#unsubscribe', channel, channel)
      else if (dice < 0.7) player.send('#publish', { channel, data: { step } }, channel)
      else if (dice < 0.76) player.send('#authenticate', token)
      else if (dice < 0.8) player.client.send({ event: '#removeAuthToken' })
      else if (dice < 0.84) player.socket.kickOut(channel)
      else if (dice < 0.87) player.socket.setAuthToken({ sub: `${name}/user` }).catch(() => {})
      else if (dice < 0.9) player.socket.deauthenticate()
      else if (dice < 0.96) player.send('work', { of: name })
      else {
        players.splice(players.indexOf(player), 1)
        const how = draw()
        if (how < 0.4) player.client.ws.terminate()
        else if (how < 0.7) player.client.ws.close()
        else player.socket.disconnect(4100)
        closing.push(player.client.closed.then(() => { if (player.problem !== null) failed.push(player.problem) }))
      }
      if (draw() < 0.4) for (let turns = Math.floor(draw() * 8); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
    }

    // Those who are still there: all their calls are answered, and they are where they think they are.
    for (const player of players) await until(() => `answers to ${player.unanswered} calls`, () => player.unanswered === 0)
    // What wants no answer has been read too.
    for (const player of players) await player.client.barrier()
    // Checks of subscriptions that began with the last change of a token are not answered to anybody.
    await Promise.all(players.map((player) => until('a quiet socket', () => sessionOf(player.socket).activity.isQuiet)))
    for (const player of players) await player.client.barrier()
    for (const player of players) {
      const { socket, subscribed } = player
      const there = socket.subscriptions().sort().join()
      if (there !== [...subscribed].sort().join()) failed.push(`the client is in ${[...subscribed].sort().join()}, the server says ${there}`)
      if (socket.authState !== 'authenticated' && socket.isSubscribed(names[2]!)) failed.push('it is in a private channel without a token')
    }
    schedules.set(name, () => 0)
    for (const channel of names) await sc.exchange.publish(channel, { final: channel })
    const final = (player: Player, channel: string): number => player.received.filter((message) => message.data?.final === channel).length
    for (const player of players) await until('a message on each subscription', () => [...player.subscribed].every((channel) => final(player, channel) > 0))
    for (const player of players) {
      await player.client.barrier()
      for (const channel of names) {
        if (final(player, channel) !== (player.subscribed.has(channel) ? 1 : 0)) failed.push(`${final(player, channel)} of one message on ${channel}`)
      }
      if (player.problem !== null) failed.push(player.problem)
    }
    for (const player of players) {
      player.client.ws.close()
      closing.push(player.client.closed)
    }
    await Promise.all(closing)
  } finally {
    schedules.delete(name)
    for (const player of players) player.client.ws.terminate()
  }
  if (failed.length > 0) throw new Error(failed.join('; '))
}

t.test(`${runs} schedules, the first with seed ${firstSeed}`, { timeout: runs > 1_000 ? 0 : 220_000 }, async (t) => {
  const start = Date.now()
  let next = 0
  let passed = 0
  await Promise.all(Array.from({ length: Math.min(concurrency, runs) }, async () => {
    while (next < runs) {
      const seed = firstSeed + next++
      try {
        await schedule(seed)
        passed++
      } catch (err) {
        t.fail(`RACES_SEED=${seed} RACES_RUNS=1: ${(err as Error).message}`)
      }
    }
  }))
  t.equal(passed, runs, `${runs} schedules with ${delays} delays in ${Date.now() - start} ms`)
  await until('all clients to leave', () => sc.stats().clients + sc.stats().pendingClients === 0)
  t.match(sc.stats(), { clients: 0, pendingClients: 0, channels: 0, subscriptions: 0, bufferedBytes: 0 }, 'the maps are empty')
  await until(() => `the broker to let go of ${[...held].join()}`, () => held.size === 0)
  t.pass('the broker delivers nothing')
  t.same([...balance], [], 'every subscription has had its end')
})
