// Whatever is kept for a connection is counted, by about what it takes, from when it is kept until the connection ends: a limit
// sees only what is counted. How much may be kept is in kept-memory.ts.
import { setImmediate as turn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { ScServer, ScServerSocket } from '../../lib/index.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'

/** Each way keeps so many texts. */
const times = 3
/** Bytes of a backlog that has no room for publications of this size, and room for three as the last of their channels. */
const backlog = { limit: 1_000_000, size: 100_000 }

interface At { client: RawClient, socket: ScServerSocket, sc: ScServer, size: number }

interface Way {
  /** Something is kept already that does not count for the way. */
  before? (at: At): Promise<unknown>
  keep (at: At): unknown
  /** Characters of each text. */
  size?: number
  /** How many times it is in memory. */
  copies?: number
}

let lastCid = 1_000
/** Each character takes two bytes, in memory and on the wire. */
const text = (size: number, i: number): string => `${i}`.padEnd(size, 'ā')
const each = (make: (i: number) => unknown): void => { for (let i = 0; i < times; i++) make(i) }
const calls = (event: string): Way => ({ keep: ({ client, size }) => each((i) => client.send({ event, data: text(size, i), cid: ++lastCid })) })
/** The first value is what the loop is busy with, the others wait for it. */
const loop = (kind: string, make: (data: string) => unknown, copies = 1): Way => ({
  before: ({ client }) => client.call('loops', kind),
  keep: ({ client, size }) => each((i) => client.send(JSON.stringify(make(text(size, i))))),
  copies
})
const subscribe = async (client: RawClient, channels: string[]): Promise<void> => { for (const channel of channels) await client.call('#subscribe', { channel }) }
const channels = (name: string): string[] => Array.from({ length: times }, (_, i) => `${name}/${i}`)

/** Other claims may allow less than those before: what they allowed is checked again. */
function relogin (socket: ScServerSocket): void {
  for (const sub of ['ann', 'bob']) socket.setAuthToken({ sub })
}

/** The client reads no more, and what the operating system takes it has taken. */
async function congest ({ client, socket }: At): Promise<void> {
  client.ws.pause()
  for (let before = -1; socket.bufferedAmount < backlog.limit - backlog.size / 2 || socket.bufferedAmount !== before;) {
    before = socket.bufferedAmount
    if (before < backlog.limit - backlog.size / 2) socket.emit('fill', 'x'.repeat(backlog.size / 4))
    for (let i = 0; i < 10; i++) await turn()
  }
}

const ways: Record<string, Way> = {
  'calls of listeners that never answer': calls('never answers'),
  'calls of asynchronous listeners': calls('never settles'),
  'events of asynchronous listeners': { keep: ({ client, size }) => each((i) => client.send({ event: 'never settles', data: text(size, i) })) },
  'declared events': calls('declared'),
  'declared events that wait for hooks': calls('declared/hooked'),
  'events that wait for hooks': calls('hooked'),
  'publishes that wait for hooks': { keep: ({ client, size }) => each((i) => client.send({ event: '#publish', data: { channel: `slow/${i}`, data: text(size, i) }, cid: ++lastCid })) },
  'publishes behind each other': { keep: ({ client, size }) => each((i) => client.send({ event: '#publish', data: { channel: 'slow/1', data: text(size, i) }, cid: ++lastCid })) },
  'subscriptions that wait for hooks': { size: 5_000, keep: ({ client, size }) => each((i) => client.send({ event: '#subscribe', data: { channel: `slow/${i}`, data: text(size, i) }, cid: ++lastCid })) },
  'data of subscriptions': { size: 5_000, keep: ({ client, size }) => each((i) => client.send({ event: '#subscribe', data: { channel: `guarded/${i}`, data: text(size, i) }, cid: ++lastCid })) },
  'a loop over events': loop('events', (data) => ({ event: 'stream', data })),
  'a loop over calls': loop('events', (data) => ({ event: 'stream', data, cid: ++lastCid })),
  'a loop over messages': loop('messages', (data) => ({ event: 'stream', data })),
  'a loop over raw messages': loop('messages', (data) => data, 2),
  'answers that are not read': { before: congest, size: backlog.size, keep: ({ client, size }) => each(() => client.send({ event: 'large', data: size, cid: ++lastCid })) },
  'events of the server that are not read': { before: congest, size: backlog.size, keep: ({ socket, size }) => each((i) => socket.emit('news', text(size, i))) },
  'publications that are not read': {
    async before (at) {
      await subscribe(at.client, channels('news'))
      await congest(at)
    },
    size: 5_000,
    keep: ({ sc, size }) => each((i) => sc.exchange.transmitPublish(`news/${i}`, text(size, i)))
  },
  'the last publications of channels': {
    async before (at) {
      await subscribe(at.client, channels('latest'))
      await congest(at)
    },
    size: backlog.size / 2,
    // The older ones are not kept.
    keep: ({ sc, size }) => { for (let n = 0; n < 3; n++) each((i) => sc.exchange.transmitPublish(`latest/${i}`, text(size, i))) }
  },
  'publications that wait for hooks': {
    before: ({ client }) => subscribe(client, channels('out')),
    keep: ({ sc, size }) => each((i) => sc.exchange.transmitPublish(`out/${i}`, text(size, i)))
  },
  'publications that are withheld': {
    async before ({ client, socket }) {
      await subscribe(client, channels('withheld'))
      relogin(socket)
    },
    keep: ({ sc, size }) => each((i) => sc.exchange.transmitPublish(`withheld/${i}`, text(size, i)))
  },
  'the last publications of channels that are withheld': {
    async before ({ client, socket }) {
      await subscribe(client, channels('withheld/latest'))
      relogin(socket)
    },
    keep: ({ sc, size }) => { for (let n = 0; n < 3; n++) each((i) => sc.exchange.transmitPublish(`withheld/latest/${i}`, text(size, i))) }
  },
  'the last publications of channels that are withheld later': {
    async before (at) {
      await subscribe(at.client, channels('withheld/latest'))
      await congest(at)
    },
    size: backlog.size / 2,
    keep ({ sc, size, socket }) {
      each((i) => sc.exchange.transmitPublish(`withheld/latest/${i}`, text(size, i)))
      relogin(socket)
    }
  }
}

/** What is not done before the connection is gone, as a hook that waits for a database. */
const stuck = (): Promise<void> => new Promise(() => {})

function declare (app: FastifyInstance): void {
  app.scEvent('declared', {}, stuck)
  app.scEvent('declared/hooked', { preHandler: stuck as never }, () => {})
  app.scChannel('latest/:id', { slowConsumerPolicy: 'latest' })
  app.scChannel('withheld/latest/:id', { slowConsumerPolicy: 'latest' })
  app.scHook('emit', ({ event }) => event === 'hooked' ? stuck() : undefined)
  app.scHook('publishIn', ({ channel }) => channel.startsWith('slow/') ? stuck() : undefined)
  app.scHook('subscribe', ({ channel, revalidation }) => channel.startsWith('slow/') || (revalidation && channel.startsWith('withheld/')) ? stuck() : undefined)
  app.register(async (scope) => {
    scope.scChannel('out/:id', {})
    scope.scHook('publishOut', stuck)
  })
}

function listen (socket: ScServerSocket): void {
  socket.on('large', (size, res) => res(null, text(size as number, 0)))
  socket.on('never answers', () => {})
  socket.on('never settles', stuck)
  socket.on('loops', (kind, res) => {
    const streams = kind === 'events' ? [socket.receiver('stream'), socket.procedure('stream')] : [socket.listener('message'), socket.listener('raw')]
    for (const stream of streams) (async () => { for await (const value of stream) await stuck().then(() => value) })()
    res()
  })
}

for (const [name, { before, keep, size = 20_000, copies = 1 }] of Object.entries(ways)) {
  t.test(name, { timeout: 30_000 }, async (t) => {
    const { sc, port, nextSocket } = await serve(t, { maxBufferedBytes: backlog.limit, closeTimeout: 100, hookTimeout: 0, handlerTimeout: 0 }, declare)
    const connecting = nextSocket()
    const client = await RawClient.connect(t, port)
    const at: At = { client, socket: await connecting, sc, size }
    listen(at.socket)
    await before?.(at)
    await turn()
    const start = sc.stats().heldBytes
    await keep(at)
    const kept = (): number => sc.stats().heldBytes - start
    const bytes = times * size * 2 * copies
    await until(() => `${bytes} bytes to be counted, not ${kept()}`, () => kept() >= bytes * 0.9)
    await turn()
    t.ok(kept() >= bytes * 0.9 && kept() <= bytes * 1.1, `${kept()} bytes are counted for ${bytes}`)
    t.equal(at.socket.state, 'open')
    client.ws.terminate()
    await until('the end of the connection', () => sc.clientsCount === 0)
    t.equal(sc.stats().heldBytes, 0, 'nothing is counted afterwards')
  })
}
