// Everything that a connection can make the server keep, one after the other, against a server with the defaults: how much it is at
// most, and that it is let go when the connection ends.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { RawClient } from '../helpers/raw.js'
import type { Memory, Question } from './kept-memory-server.js'
import { bestOf } from '../helpers/waiting.js'

/** Connections that do it at once, so that what one takes is seen among what the process does anyway. */
const connections = 4
/** Bytes that one may take. */
const mark = 1_048_576
/** Bytes that the process may take for its own: code that is compiled for the first time, buffers of the system. */
const noise = 2_500_000

/** Data of about 60 KB on the wire that take their memory in different ways. */
const shapes: Record<string, () => unknown> = {
  text: () => 'x'.repeat(60_000),
  'text of two bytes a character': () => 'x'.repeat(60_000) + '\u0100',
  'empty objects': () => Array.from({ length: 9_900 }, () => ({})),
  keys: () => Object.fromEntries(Array.from({ length: 900 }, (_, i) => [`key ${i}`, i])),
  'small text': () => 'x'.repeat(1_000)
}

interface Way {
  /** What makes the server keep it. */
  attack (client: RawClient, shape: () => unknown, ask: Ask): Promise<unknown> | void
  /** What is done once, for all connections, when they are ready. */
  then? (ask: Ask): Promise<unknown>
  /** Whether the client's data matter. */
  shapeless?: boolean
}

type Ask = (question: Question) => Promise<unknown>

let lastCid = 1_000
/** As many messages as may come at once, and bytes that are more than may be kept. */
const burst = { messages: 195, bytes: 3_000_000 }

function flood (client: RawClient, make: (i: number) => object): void {
  for (let i = 0, bytes = 0; i < burst.messages && bytes < burst.bytes; i++) {
    const text = JSON.stringify(make(i))
    bytes += text.length
    client.send(text)
  }
}

/** Whose loops over a stream take one value and are busy with it for ever. */
async function looped (client: RawClient, kind: 'stream' | 'message', make: (i: number) => object): Promise<void> {
  await client.call('loops', kind)
  flood(client, make)
}

const call = (event: string, shape: () => unknown): object => ({ event, data: shape(), cid: ++lastCid })
/** The ways by part. Each part has a test file of its own, `kept-memory-of-<part>.test.ts`, so that they run beside each other. */
const parts = {
  calls: {
    'calls of handlers that never answer': { attack: (client, shape) => flood(client, () => call('never answers', shape)) },
    'calls of asynchronous handlers': { attack: (client, shape) => flood(client, () => call('never settles', shape)) },
    'events of asynchronous handlers': { attack: (client, shape) => flood(client, () => ({ event: 'never settles', data: shape() })) },
    'declared events': { attack: (client, shape) => flood(client, () => call('declared', shape)) },
    'declared events that wait for hooks': { attack: (client, shape) => flood(client, () => call('declared/hooked', shape)) },
    'events that wait for hooks': { attack: (client, shape) => flood(client, () => call('hooked', shape)) },
    'packets in arrays': { attack: (client, shape) => { for (let i = 0; i < 3; i++) client.send(Array.from({ length: 60 }, (_, n) => n === 59 ? { event: 'never answers', data: shape(), cid: ++lastCid } : { event: 'echo', cid: ++lastCid })) } },
    'calls of nobody': { attack: (client, shape) => flood(client, () => call('nobody', shape)) }
  },
  channels: {
    'publishes that wait for hooks': { attack: (client, shape) => flood(client, (i) => call('#publish', () => ({ channel: `slow/${i}`, data: shape() }))) },
    'publishes behind each other': { attack: (client, shape) => flood(client, () => call('#publish', () => ({ channel: 'slow/1', data: shape() }))) },
    'subscriptions that wait for hooks': { attack: (client, shape) => flood(client, (i) => call('#subscribe', () => ({ channel: `slow/${i}`, data: shape() }))) },
    'data of subscriptions': { attack: (client, shape) => flood(client, (i) => call('#subscribe', () => ({ channel: `guarded/${i}`, data: shape() }))) },
    'options of subscriptions': { attack: (client, shape) => flood(client, (i) => call('#subscribe', () => ({ channel: `free/${i}`, waitForAuth: shape(), batch: shape() }))) },
    'names of channels': { attack: (client) => flood(client, (i) => call('#subscribe', () => `${i}${'x'.repeat(250)}`)), shapeless: true },
    ...Object.fromEntries(['news', 'latest', 'drop', 'out', 'out/disconnect', 'withheld'].map((name) => [`publications: ${name}`, {
      async attack (client: RawClient) {
        for (let at = 0; at < 100; at += 50) {
          client.send(Array.from({ length: 50 }, (_, i) => ({ event: '#subscribe', data: { channel: `${name}/${at + i}` }, cid: ++lastCid })))
          await client.answer(lastCid)
        }
      },
      async then (ask: Ask) {
        if (name === 'withheld') await ask({ ask: 'revalidate' })
        await ask({ ask: 'publish', channels: Array.from({ length: 100 }, (_, i) => `${name}/${i}`), size: 50_000, times: 4 })
      },
      shapeless: true
    }]))
  },
  readers: {
    'a loop over events': { attack: (client, shape) => looped(client, 'stream', () => ({ event: 'stream', data: shape() })) },
    'a loop over calls': { attack: (client, shape) => looped(client, 'stream', () => call('stream', shape)) },
    'a loop over messages': { attack: (client, shape) => looped(client, 'message', () => ({ event: 'stream', data: shape() })) },
    'a loop over raw messages': { attack: (client, shape) => looped(client, 'message', () => [1, shape()]) },
    'answers that are not read': {
      attack (client, shape) {
        client.ws.pause()
        flood(client, () => call('echo', shape))
      }
    },
    'large answers to small calls of one turn': {
      attack (client) {
        client.ws.pause()
        client.send(Array.from({ length: 60 }, () => call('large', () => 1)))
      },
      shapeless: true
    },
    'events of the server that are not read': {
      attack: (client) => client.ws.pause(),
      then: (ask) => ask({ ask: 'emit', size: 50_000, times: 200 }),
      shapeless: true
    }
  }
} satisfies Record<string, Record<string, Way>>

async function startServer (test: Tap.Test): Promise<{ port: number, ask: Ask, memory: Measure }> {
  const child: ChildProcess = fork(fileURLToPath(new URL('kept-memory-server.ts', import.meta.url)), { execArgv: [...process.execArgv, '--expose-gc'] })
  test.teardown(() => { child.kill() })
  const [port] = await once(child, 'message') as [number]
  const ask: Ask = async (question) => {
    const answer = once(child, 'message')
    child.send(question)
    return (await answer)[0] as unknown
  }
  return { port, ask, memory: (collect) => ask({ ask: 'memory', collect }) as Promise<Memory> }
}

type Measure = (collect: boolean) => Promise<Memory>

/** Milliseconds between two looks, and how many must see the same: whoever reads no faster than a rate has pauses. */
const look = { every: 60, same: 5 }

/** Waits until the server has nothing more to read. Pongs have no bytes. */
async function settled (memory: Measure, done: (now: Memory) => boolean): Promise<void> {
  for (let before = -1, same = 0, i = 0; i < 1_000; i++) {
    const now = await memory(false)
    same = now.inboundBytes === before && done(now) ? same + 1 : 0
    if (same === look.same) break
    before = now.inboundBytes
    await sleep(look.every)
  }
}

declare namespace Tap { type Test = typeof t }

const firstWay: Way = Object.values(parts.calls)[0]!

/** All shapes for the first way; for others, which take the same paths, the two that take most beside their bytes on the wire. */
function shapesOf (way: Way): Array<[string, () => unknown]> {
  if (way.shapeless === true) return [['', () => '']]
  const all = Object.entries(shapes)
  return way === firstWay ? all : all.slice(1, 3)
}

/** The tests of one part of the ways. */
export function keptMemory (part: keyof typeof parts): void {
  t.setTimeout(460_000)

  t.test(`what ${part} can make the server keep`, { timeout: 460_000 }, async (t) => {
    const { port, ask, memory } = await startServer(t as Tap.Test)
    let idle = await memory(true)
    for (const [name, way] of Object.entries<Way>(parts[part])) {
      for (const [shapeName, shape] of shapesOf(way)) {
        const title = `${name}${shapeName === '' ? '' : `: ${shapeName}`}`
        const clients = await Promise.all(Array.from({ length: connections }, () => RawClient.connect(t as Tap.Test, port)))
        await Promise.all(clients.map(async (client) => { await way.attack(client, shape, ask) }))
        if (way.then !== undefined) {
          for (const client of clients) client.ws.pause()
          await way.then(ask)
        }
        await settled(memory, () => true)
        // What is not collected yet, and what is only compiled, is not kept: it is gone, or known, at another look.
        const full = await bestOf(4, () => memory(true), ({ bytes }) => (bytes - idle.bytes - noise) / connections < mark)
        const each = (full.bytes - idle.bytes - noise) / connections
        t.ok(each < mark, `${title}: ${Math.round((full.bytes - idle.bytes) / connections / 1024)} KiB each are kept, ${Math.round(full.heldBytes / connections / 1024)} KiB are counted, ${full.connections} of ${connections} are still there`)
        for (const client of clients) client.ws.terminate()
        await settled(memory, (now) => now.connections === 0)
        const after = await bestOf(4, () => memory(true), ({ bytes }) => bytes - idle.bytes < noise)
        t.equal(after.heldBytes, 0, `${title}: nothing is counted afterwards`)
        t.ok(after.bytes - idle.bytes < noise, `${title}: ${Math.round((after.bytes - idle.bytes) / 1024)} KiB stay afterwards`)
        idle = after
      }
    }
  })

  t.test('every part has a test file', async (t) => {
    for (const name of Object.keys(parts)) {
      t.match(await readFile(new URL(`kept-memory-of-${name}.test.ts`, import.meta.url), 'utf8'), `keptMemory('${name}')`)
    }
  })
}
