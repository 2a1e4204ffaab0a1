// npm run bench:cost: what one connection can make the server spend within the defaults, by kind of message.
// Prints tables in Markdown and writes them into docs/robustness.md, between its markers. COST_ONLY=event,binary measures only those kinds and writes nothing.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { deflateRawSync } from 'node:zlib'
import type { ScServerSocket } from '../../lib/index.js'
import { NetClient, frame } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

/** What must hold. */
const marks = { core: 25, stall: 5, held: 1_048_576 }
/** Milliseconds for which a connection sends as much as it may. */
const duration = 3_000
/** Connections whose memory is compared with that of as many idle ones. */
const holders = 8

interface Usage { cpu: number, bytes: number, messages: number, heap: number }

async function beServer (): Promise<void> {
  const options = { plain: {}, deflate: { perMessageDeflate: true }, full: { maxConnections: 1 } }[process.env.COST_SERVER!]
  const { sc, port, warnings } = await serve(null, options, (app) => {
    const never = (): Promise<void> => new Promise(() => {})
    app.scHook('emit', ({ event }) => event === 'waits' ? never() : undefined)
    app.scHook('subscribe', ({ channel }) => channel.startsWith('slow/') ? never() : undefined)
    app.scChannel('latest/:id', { slowConsumerPolicy: 'latest' })
    app.scEvent('echo', {}, (data) => data)
  })
  sc.on('connection', (socket: ScServerSocket) => {
    socket.on('event', () => {})
    // Nobody takes what comes.
    socket.receiver('stream')[Symbol.asyncIterator]()
  })
  process.on('disconnect', () => process.exit())
  process.on('message', async (command: string) => {
    warnings.length = 0
    if (command === 'collect') {
      for (let i = 0; i < 3; i++) {
        globalThis.gc!()
        await sleep(20)
      }
    } else if (command.startsWith('publish ')) {
      const [, count, channels, size] = command.split(' ').map(Number) as [number, number, number, number]
      for (let n = 0; n < count; n++) for (let c = 0; c < channels; c++) sc.exchange.transmitPublish(`latest/${c}`, 'x'.repeat(size))
    }
    const { user, system } = process.cpuUsage()
    const { heapUsed, external } = process.memoryUsage()
    const { inboundBytes, inboundMessages } = sc.stats()
    process.send!({ cpu: user + system, bytes: inboundBytes, messages: inboundMessages, heap: heapUsed + external } satisfies Usage)
  })
  process.send!(port)
}

class Server {
  readonly child: ChildProcess
  port = 0

  constructor (kind: string) {
    this.child = fork(fileURLToPath(import.meta.url), { execArgv: [...process.execArgv, '--expose-gc'], env: { ...process.env, COST_SERVER: kind } })
  }

  async ready (): Promise<this> {
    [this.port] = await once(this.child, 'message') as [number]
    return this
  }

  async ask (command = 'usage'): Promise<Usage> {
    const answer = once(this.child, 'message')
    this.child.send(command)
    return (await answer)[0] as Usage
  }
}

interface Kind {
  name: string
  /** What is sent again and again: one message. */
  message: (n: number) => Buffer
  /** Messages a second that are within the rate; more of them is tried with `fast`. */
  perSecond?: number
  deflate?: boolean
}

const packet = (value: unknown): Buffer => frame(JSON.stringify(value))
/** As many keys as are allowed, all of them new to the parser. */
const keys = (n: number, count: number): Record<string, number> => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${n.toString(36)}${i.toString(36)}`, 1]))
const deflated = (text: string): Buffer => {
  const bytes = deflateRawSync(text, { finishFlush: 2 })
  return frame(bytes.subarray(0, bytes.length - 4), { rsv: 4 })
}
const fragments = Buffer.concat(Array.from({ length: 256 }, (_, i) => frame('x'.repeat(200), { opcode: i === 0 ? 1 : 0, fin: i === 255 })))
const deep = `${'['.repeat(28)}1${']'.repeat(28)}`

const kinds: Kind[] = [
  { name: 'event, small', message: (n) => packet({ event: 'event', data: n }) },
  { name: 'event, 64 KB of text', message: () => packet({ event: 'event', data: 'x'.repeat(65_000) }) },
  { name: 'call that nobody handles', message: (n) => packet({ event: 'nobody', data: 'x'.repeat(65_000), cid: n }) },
  { name: 'call, answered with its data', message: (n) => packet({ event: 'echo', data: 'x'.repeat(65_000), cid: n }) },
  { name: 'publish', message: (n) => packet({ event: '#publish', data: { channel: 'room', data: 'x'.repeat(65_000) }, cid: n }) },
  { name: 'publish with many keys', message: (n) => packet({ event: '#publish', data: { channel: 'room', data: keys(n, 1_950) }, cid: n }) },
  { name: 'subscribe with data', message: (n) => packet({ event: '#subscribe', data: { channel: `room/${n}`, data: 'x'.repeat(15_000) }, cid: n }) },
  { name: '#authenticate, bad token', perSecond: 1, message: (n) => packet({ event: '#authenticate', data: 'x'.repeat(8_000), cid: n }) },
  { name: 'answer that nobody waits for, a big error', message: (n) => packet({ rid: n, error: keys(n, 1_950) }) },
  { name: 'deep', message: () => frame(`{"event":"event","data":[${Array.from({ length: 350 }, () => deep).join(',')}]}`.slice(0, 65_000)) },
  { name: 'wide', message: () => packet({ event: 'event', data: Array.from({ length: 9_900 }, () => 1.5) }) },
  { name: 'many different keys', message: (n) => packet({ event: 'event', data: keys(n, 1_950) }) },
  { name: 'too many different keys, between others', message: (n) => n % 2 === 0 ? packet({ event: 'event' }) : packet({ event: 'event', data: keys(n, 6_000) }) },
  { name: 'array of 64 events', perSecond: 1.5, message: () => packet(Array.from({ length: 64 }, () => ({ event: 'event', data: 'x'.repeat(900) }))) },
  { name: 'text that is no packet', message: () => frame('x'.repeat(65_000)) },
  { name: 'binary', message: () => frame(Buffer.alloc(65_000, 1), { opcode: 2 }) },
  { name: '256 fragments', message: () => fragments },
  { name: 'ping of the websocket', message: () => frame('x'.repeat(125), { opcode: 9 }) },
  { name: 'pong of the websocket', message: () => frame('x'.repeat(125), { opcode: 10 }) },
  { name: 'pong', message: () => frame('') },
  { name: 'compressed text', deflate: true, message: () => deflated(JSON.stringify({ event: 'event', data: 'x'.repeat(65_000) })) },
  { name: 'compressed, many different keys', deflate: true, message: (n) => deflated(JSON.stringify({ event: 'event', data: keys(n, 1_950) })) }
]

async function open (server: Server, deflate = false): Promise<NetClient> {
  const client = await NetClient.open(null, server.port, { headers: deflate ? ['Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover'] : [] })
  client.packet({ event: '#handshake', data: {}, cid: 1 })
  await client.frames.take(({ opcode }) => opcode === 1, 'the handshake')
  client.socket.removeAllListeners('data')
  client.socket.resume()
  return client
}

/** Sends at a rate, and no faster than the server reads. */
async function pour (client: NetClient, { message }: Kind, perSecond: number): Promise<void> {
  const start = performance.now()
  for (let n = 2; ; n++) {
    const wait = start + (n - 2) * 1_000 / perSecond - performance.now()
    if (wait > 1) await sleep(wait)
    if (performance.now() - start > duration || client.socket.destroyed) return
    if (!client.socket.write(message(n))) await Promise.race([once(client.socket, 'drain').catch(() => {}), client.closed, sleep(duration)])
  }
}

async function beClient (): Promise<void> {
  const only = process.env.COST_ONLY?.split(',')
  const rows: string[][] = []
  const missed: string[] = []
  const plain = await new Server('plain').ready()
  const deflate = await new Server('deflate').ready()
  // What a server spends that has nothing to do, the measuring itself included.
  await plain.ask()
  const { cpu: from } = await plain.ask()
  await sleep(duration)
  const idle = ((await plain.ask()).cpu - from) / duration
  for (const kind of kinds) {
    if (only?.some((part) => kind.name.includes(part)) === false) continue
    const server = kind.deflate === true ? deflate : plain
    // The compilers have seen such messages before anything is measured.
    const measure = async (perSecond: number): Promise<{ core: number, used: Usage, before: Usage }> => {
      const client = await open(server, kind.deflate)
      await server.ask('collect')
      const before = await server.ask()
      const start = performance.now()
      await pour(client, kind, perSecond)
      const used = await server.ask()
      const took = performance.now() - start
      used.cpu = Math.max(before.cpu, used.cpu - idle * took)
      const core = (used.cpu - before.cpu) / took / 10
      client.socket.destroy()
      return { core, used, before }
    }
    const { perSecond = 99 } = kind
    await measure(perSecond)
    const within = await measure(perSecond)
    const flood = await measure(1e6)
    const bytes = within.used.bytes - within.before.bytes
    const messages = within.used.messages - within.before.messages
    const core = Math.max(within.core, flood.core)
    // One alone: by its CPU and not by a clock, since the machine has other things to do as well.
    const client = await open(server, kind.deflate)
    const cpuOf = async (act: (n: number) => void): Promise<number> => {
      const used: number[] = []
      for (let n = 0; n < 10; n++) {
        await server.ask('collect')
        const { cpu } = await server.ask()
        act(n)
        await sleep(60)
        used.push((await server.ask()).cpu - cpu)
      }
      return used.sort((a, b) => a - b)[4]! / 1_000
    }
    const stall = Math.max(0, await cpuOf((n) => { client.socket.write(kind.message(1_000_000 + n)) }) - await cpuOf(() => {}))
    client.socket.destroy()
    const perByte = bytes > 0 ? (within.used.cpu - within.before.cpu) * 1_000 / bytes : NaN
    if (core > marks.core) missed.push(`${kind.name}: ${core.toFixed(0)} % of a core`)
    // What inflates is not the event loop.
    if (stall > marks.stall && kind.deflate !== true) missed.push(`${kind.name}: ${stall.toFixed(1)} ms`)
    rows.push([kind.name, messages === 0 ? '–' : perByte < 1_000 ? perByte.toFixed(perByte < 10 ? 1 : 0) : `(${((within.used.cpu - within.before.cpu) / Math.max(1, messages)).toFixed(0)} µs each)`,
      stall.toFixed(1), within.core.toFixed(1), flood.core.toFixed(1)])
    console.error(rows.at(-1)!.join(' | '))
  }
  if (only === undefined || only.includes('upgrade')) {
    const full = await new Server('full').ready()
    await open(full)
    for (const [name, server] of [['upgrade attempts', plain], ['upgrade attempts that are refused', full]] as const) {
      const before = await server.ask()
      const start = performance.now()
      let attempts = 0
      while (performance.now() - start < duration) {
        const socket = connect({ port: server.port, host: '127.0.0.1' })
        socket.on('error', () => {})
        socket.write(['GET /socketcluster/ HTTP/1.1', 'Host: 127.0.0.1', 'Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13', '', ''].join('\r\n'))
        await once(socket, 'data').catch(() => {})
        socket.destroy()
        attempts++
      }
      const used = await server.ask()
      rows.push([name, `(${((used.cpu - before.cpu) / attempts).toFixed(0)} µs each)`, '–', '–', '–'])
    }
    full.child.disconnect()
  }
  const memory = only === undefined || only.includes('memory') ? await measureMemory(plain, missed) : []
  const table = [
    '| Message | CPU per byte, ns | CPU of the largest one, ms | % of a core, within the rate | % of a core, as fast as it can |', '|---|---|---|---|---|',
    ...rows.map((row) => `| ${row.join(' | ')} |`), '',
    '| What one connection holds beyond its idle memory | KiB |', '|---|---|', ...memory.map((row) => `| ${row.join(' | ')} |`)
  ].join('\n')
  console.log(table)
  plain.child.disconnect()
  deflate.child.disconnect()
  if (only === undefined) {
    const file = fileURLToPath(new URL('../../docs/robustness.md', import.meta.url))
    const [before, , after] = (await readFile(file, 'utf8')).split(/<!-- \/?cost -->/) as [string, string, string]
    await writeFile(file, `${before}<!-- cost -->\n${table}\n<!-- /cost -->${after}`)
  }
  for (const miss of missed) console.error(`missed: ${miss}`)
  if (missed.length > 0) process.exitCode = 1
}

/** What connections hold that do all they can within the limits, compared with idle ones. */
async function measureMemory (server: Server, missed: string[]): Promise<string[][]> {
  const big = 'x'.repeat(60_000)
  const hold: Array<[name: string, (client: NetClient) => Promise<void> | void, after?: string]> = [
    ['nothing', () => {}],
    ['answers that it does not read', async (client) => {
      client.socket.pause()
      for (let n = 2; n < 100; n++) client.socket.write(packet({ event: 'echo', data: big, cid: n }))
      await sleep(duration * 2)
    }],
    ['data of subscriptions', async (client) => {
      for (let n = 2; n < 160; n++) client.packet({ event: '#subscribe', data: { channel: `data/${n}`, data: 'x'.repeat(16_000), waitForAuth: 'x'.repeat(40_000), batch: { x: 'x'.repeat(8_000) } }, cid: n })
      await sleep(duration * 3)
    }],
    ['actions that wait for hooks', async (client) => {
      for (let n = 2; n < 150; n++) client.packet({ event: 'waits', data: big, cid: n })
      await sleep(1_500)
    }],
    ['a stream that nobody reads', async (client) => {
      for (let n = 2; n < 150; n++) client.packet({ event: 'stream', data: big })
      await sleep(duration * 2)
    }],
    ['latest publications of 100 channels that it does not read', async (client) => {
      for (let n = 0; n < 100; n++) client.packet({ event: '#subscribe', data: { channel: `latest/${n}` }, cid: n })
      await sleep(1_000)
      client.socket.pause()
    }, 'publish 10 100 60000']
  ]
  const rows: string[][] = []
  let idle = 0
  for (const [name, act, after] of hold) {
    await server.ask('collect')
    const before = (await server.ask('collect')).heap
    const clients = await Promise.all(Array.from({ length: holders }, () => open(server)))
    await Promise.all(clients.map(act))
    if (after !== undefined) {
      // The operating system takes megabytes before the server has to keep any.
      for (let i = 0; i < 4; i++) {
        await server.ask(after)
        await sleep(500)
      }
    }
    const held = ((await server.ask('collect')).heap - before) / holders
    for (const client of clients) client.socket.destroy()
    await sleep(500)
    if (name === 'nothing') {
      idle = held
      continue
    }
    const beyond = Math.max(0, held - idle)
    if (beyond > marks.held) missed.push(`${name}: ${Math.round(beyond / 1_024)} KiB`)
    rows.push([name, Math.round(beyond / 1_024).toString()])
    console.error(rows.at(-1)!.join(' | '))
  }
  return rows
}

if (process.env.COST_SERVER !== undefined) await beServer()
else await beClient()
