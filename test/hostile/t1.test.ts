import { fork, type ChildProcess } from 'node:child_process'
import { createHmac, generateKeyPairSync } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { deflateRawSync } from 'node:zlib'
import jwt from 'jsonwebtoken'
import t from 'tap'
import type { ScStats } from '../../lib/index.js'
import { type Cleanup, NetClient, RawClient, type RawOptions, closeFrame, frame } from '../helpers/raw.js'
import { authKey, mistakeNames, type Question, type Report, type ServerName } from './server.js'
import { Stopwatch } from '../helpers/stopwatch.js'
import { bestOf, closed, until } from '../helpers/waiting.js'

// Hostile input against a process of its own: after each row it must be alive, unpolluted, and count right.

type Version = 1 | 2

/** How long a fresh client may take to shake hands and get an echo; five times as long on a machine that is busy with other tests, not counting when this process could not run. */
const aliveWithin = 200
const tolerance = 5

/** The attacked process. */
class Attacked {
  readonly child: ChildProcess
  ports!: Record<ServerName, number>
  #lastId = 0

  constructor () {
    this.child = fork(fileURLToPath(new URL('server.ts', import.meta.url)), { execArgv: [...process.execArgv, '--expose-gc'], env: { ...process.env, HOSTILE_SERVER: '1' } })
  }

  async started (): Promise<void> {
    const [message] = await once(this.child, 'message')
    this.ports = message.ports
  }

  ask (question: Question): Promise<any> {
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      const onMessage = (message: any): void => {
        if (message.id !== id) return
        this.child.off('message', onMessage)
        if (message.error === undefined) resolve(message.result)
        else reject(new Error(message.error))
      }
      this.child.on('message', onMessage)
      this.child.send({ ...question, id })
    })
  }

  report (): Promise<Report> {
    return this.ask({ ask: 'report' })
  }

  async stats (server: ServerName): Promise<ScStats> {
    return (await this.report()).stats[server]
  }

  /** Megabytes of memory over what there was; what the system and the collector are late with is waited for. */
  grownBy (before: number, limit: number): Promise<number> {
    return bestOf(5, async () => ((await this.ask({ ask: 'collect' })).rss - before) / 1024 / 1024, (grown) => grown < limit)
  }
}

const attacked = new Attacked()
t.teardown(() => attacked.child.kill('SIGKILL'))
await attacked.started()

interface Row {
  id: string
  what: string
  /** Versions the row is run in; both unless it makes no difference. */
  versions?: Version[]
  run (t: Tap.Test, client: Clients): Promise<void>
}

declare namespace Tap {
  type Test = Cleanup & typeof t
}

/** Makes clients of one version. */
class Clients {
  constructor (readonly t: Cleanup, readonly version: Version) {}

  open (server: ServerName = 'main', options: RawOptions = {}): Promise<RawClient> {
    return RawClient.open(this.t, attacked.ports[server], { version: this.version, ...options })
  }

  /** A client whose version the server knows. */
  async connect (server: ServerName = 'main', options: RawOptions & { authToken?: unknown } = {}): Promise<RawClient> {
    const client = await RawClient.connect(this.t, attacked.ports[server], { version: this.version, ...options })
    client.send(this.version === 1 ? '#2' : '')
    return client
  }

  net (server: ServerName = 'main'): Promise<NetClient> {
    return NetClient.open(this.t, attacked.ports[server])
  }

  netConnect (server: ServerName = 'main'): Promise<NetClient> {
    return NetClient.connect(this.t, attacked.ports[server])
  }
}

const publish = (channel: string, data: unknown = 1): object => ({ event: '#publish', data: { channel, data } })
const handshake = { event: '#handshake', data: {}, cid: 1 }
const inherited = [...new Set([...Object.getOwnPropertyNames(Object.prototype), ...Object.getOwnPropertyNames(EventEmitter.prototype), 'prototype', 'then', 'newListener'])]
const local = ['subscribe', 'unsubscribe', 'connect', 'disconnect', 'connectAbort', 'close', 'message', 'error', 'authStateChange', 'authTokenSigned', 'authenticate', 'deauthenticate', 'badAuthToken', 'raw']
const secrets = /hunter2|\/srv|db\.internal|app\.js|node:internal|\.ts:\d/

/** Sends what is hostile in front of a handshake: whatever comes, the connection is closed with 4009 and nothing has an effect. */
async function before (t: Tap.Test, clients: Clients, messages: unknown[]): Promise<void> {
  const { publishes, connects } = await attacked.stats('main')
  for (const message of messages) {
    const client = await clients.open()
    client.send(message)
    client.send(handshake)
    client.send([handshake, publish('early')])
    t.equal((await client.closed).code, 4009, JSON.stringify(message).slice(0, 60))
    t.same(client.inbox.items.filter((packet) => packet.event !== '#disconnect'), [])
    // All of it in one segment.
    const raw = await clients.net()
    raw.socket.write(Buffer.concat([message, handshake, publish('early')].map((message) => frame(typeof message === 'string' ? message : JSON.stringify(message)))))
    t.equal((await raw.closeFrame()).code, 4009)
    raw.socket.destroy()
  }
  const after = await attacked.stats('main')
  t.same([after.publishes, after.connects], [publishes, connects], 'no effect')
}

/** Sends messages, each of which may end its connection. @returns how it ended, or the answer to the call `x` */
async function outcome (clients: Clients, server: ServerName, message: string | Buffer): Promise<any> {
  const client = await clients.connect(server)
  client.ws.send(message, () => {})
  const result = await client.answer('x').catch(() => client.closed)
  client.ws.terminate()
  return result
}

function forged (header: object, payload: object, sign: (text: string) => string): string {
  const text = [header, payload].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  return `${text}.${sign(text)}`
}

const hmac = (key: string, hash = 'sha256') => (text: string): string => createHmac(hash, key).update(text).digest('base64url')

const rows: Row[] = [
  {
    id: 'H1',
    what: 'no JSON, scalars and empty arrays before the handshake',
    run: (t, clients) => before(t, clients, ['text', '', '#1', '#2', '42', 'null', 'true', '"text"', '[]', '{', '{}', '[[]]', '\u0000', Buffer.from([0, 255])].filter((message) => typeof message === 'string'))
  },
  {
    id: 'H2',
    what: 'events and arrays before the handshake',
    run: (t, clients) => before(t, clients, [{ event: 'echo', cid: 1 }, publish('early'), { event: '#subscribe', data: 'a', cid: 2 }, { event: '#authenticate', data: 'x', cid: 1 }, { event: '#disconnect', data: { code: 4100 } },
      [handshake], [handshake, publish('early')], [publish('early')], { rid: 1 }, { event: ['#handshake'], data: {}, cid: 1 }, { event: '#Handshake', cid: 1 }])
  },
  {
    id: 'H3',
    what: 'an array whose first item fails',
    async run (t, clients) {
      const { publishes } = await attacked.stats('main')
      for (const first of [{ event: '#disconnect', data: { code: 4100 } }, { event: '#disconnect' }]) {
        const client = await clients.connect()
        client.send([first, publish('after'), { event: '#subscribe', data: 'after', cid: 'x' }, { event: 'echo', cid: 'y' }])
        await client.closed
        t.same(client.inbox.items.filter((packet) => packet.rid !== undefined), [])
      }
      t.equal((await attacked.stats('main')).publishes, publishes)
      const client = await clients.connect()
      client.send([5, null, 'text', [], [[{ event: 'echo', cid: 'nested' }]], { event: 7 }, { event: 'echo', data: 'good', cid: 'good' }])
      t.equal((await client.answer('good')).data, 'good', 'a bad item does not hide a good one')
      t.same(client.inbox.items.filter((packet) => packet.rid === 'nested'), [], 'arrays in arrays are no packets')
    }
  },
  {
    id: 'H4',
    what: 'a second handshake',
    async run (t, clients) {
      const client = await clients.connect()
      const before = await attacked.stats('main')
      for (let i = 0; i < 20; i++) t.match(await client.call('#handshake', i % 2 === 0 ? {} : { authToken: jwt.sign({}, authKey) }), { error: { name: 'InvalidActionError' } })
      const after = await attacked.stats('main')
      t.same([after.clients, after.pendingClients, after.connects], [before.clients, before.pendingClients, before.connects])
      // While the first one waits for its hook.
      const racing = await clients.open('slow')
      for (let cid = 1; cid <= 20; cid++) racing.send({ event: '#handshake', data: {}, cid })
      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => racing.answer(i + 1)))
      t.same(answers.map((answer) => 'error' in answer), [false, ...Array(19).fill(true)])
    }
  },
  {
    id: 'H5',
    what: 'event names of a wrong type or length',
    async run (t, clients) {
      const client = await clients.connect()
      const { invalid } = await attacked.stats('main')
      const names: unknown[] = [0, 1, true, false, {}, [], ['echo'], { toString: 'echo' }, '', 'x'.repeat(129), 'x'.repeat(60_000)]
      for (const event of names) {
        client.send({ event })
        client.send({ event, cid: 'x' })
        t.match(await client.answer('x'), { error: { name: 'InvalidMessageError' } }, JSON.stringify(event).slice(0, 40))
      }
      t.equal((await attacked.stats('main')).invalid, invalid + 2 * names.length, 'counted')
      client.send({ event: 'x'.repeat(1_000_000) })
      t.equal((await client.closed).code, 1009)
    }
  },
  {
    id: 'H6',
    what: 'names of objects, emitters and the socket itself as events',
    async run (t, clients) {
      const client = await clients.connect('open')
      for (const event of [...inherited, ...local, ...local.map((name) => `_${name}`)]) {
        client.send({ event, data: 1 })
        t.match(await client.call(event, { code: 1 }), { error: { name: 'InvalidActionError' } }, event)
      }
      t.equal((await client.call('echo', 1)).data, 1)
    }
  },
  {
    id: 'H7',
    what: 'reserved names that no client may send',
    async run (t, clients) {
      const client = await clients.connect()
      for (const event of ['#', '##', '#x', '#setAuthToken', '#kickOut', '#__proto__', '#constructor', '#Subscribe', '#publish ']) {
        client.send({ event, data: { channel: 'a' } })
        t.match(await client.call(event, { channel: 'a', token: 'x' }), { error: { name: 'InvalidActionError' } }, event)
      }
    }
  },
  {
    id: 'H8',
    what: '#disconnect with any code and reason',
    async run (t, clients) {
      for (const code of [1, 999, 1005, 1006, 1e9, -1, 0.5, 'text', {}, [], null, undefined]) {
        const client = await clients.connect()
        client.send({ event: '#disconnect', data: { code, data: '🔑'.repeat(2_500) } })
        const closed = await client.closed
        t.equal(closed.code, 1000, String(code))
        t.ok(closed.reason.length > 50 && Buffer.byteLength(closed.reason) <= 123)
      }
    }
  },
  {
    id: 'H9',
    what: 'call ids of any kind',
    async run (t, clients) {
      const client = await clients.connect()
      for (const cid of ['text', 'x'.repeat(32), '', '__proto__', 'constructor', -1, 0, Number.MAX_SAFE_INTEGER]) {
        client.send({ event: 'echo', data: 'a', cid })
        t.same(await client.answer(cid), { rid: cid, data: 'a' })
      }
      for (const cid of [{}, [], [1], true, false, 0.5, 1e308, 2 ** 53, 'x'.repeat(33), { toString: 1 }]) client.send({ event: 'echo', cid })
      client.send('{"event":"echo","cid":-0.0}')
      client.send('{"event":"echo","cid":1e999}')
      await client.barrier()
      t.same(client.inbox.items.filter((packet) => packet.rid !== 0), [], 'others are ignored')
    }
  },
  {
    id: 'H10',
    what: '200,000 answers that nobody waits for',
    versions: [2],
    async run (t, clients) {
      const client = await clients.connect('open')
      const ids = [...inherited, 1, 2, 0, -1, 'x']
      const { cpu } = await attacked.report()
      const total = 200_000
      for (let sent = 0; sent < total; sent += 50) client.send(Array.from({ length: 50 }, (_, i) => ({ rid: ids[(sent + i) % ids.length], data: 1 })))
      await client.barrier()
      const each = ((await attacked.report()).cpu - cpu) / total
      t.comment(`${each.toFixed(2)} µs each`)
      t.ok(each < 5 * tolerance)
    }
  },
  {
    id: 'H11',
    what: 'channel names',
    async run (t, clients) {
      const client = await clients.connect('open')
      const wrong: unknown[] = [{}, [], ['a'], 5, true, null, '', 'x'.repeat(256), 'é'.repeat(128), 'x'.repeat(1_000_000), '\ud800', 'a\udc00b', 'a\u0000', 'a\r\nb', '\u007f', { toString: 'a' }]
      for (const channel of wrong) {
        for (const [event, data] of [['#subscribe', { channel }], ['#unsubscribe', { channel }], ['#publish', { channel, data: 1 }], ['#subscribe', channel], ['#unsubscribe', channel]] as const) {
          if (data === channel && typeof channel === 'object' && channel !== null) continue
          t.match(await client.call(event, data), { error: { name: 'InvalidActionError' } }, `${event} ${JSON.stringify(channel).slice(0, 40)}`)
        }
      }
      const plain = ['__proto__', 'constructor', 'a.*', '>', '*', '$SYS.x', 'a/b', ' ', 'x'.repeat(255), 'é'.repeat(127), '🔑', '{a}', '%s', '#x']
      for (const channel of plain) t.notOk('error' in await client.call('#subscribe', { channel }), channel.slice(0, 20))
      for (const channel of ['a.b', 'SYS.x', 'a.c.d']) await client.call('#publish', { channel, data: 'for nobody' })
      t.same(client.inbox.items, [], 'nothing is a wildcard')
      for (const channel of plain) {
        client.send(publish(channel, channel))
        t.equal(await client.publication(channel), channel)
      }
    }
  },
  {
    id: 'H12',
    what: 'unsubscribing from what is not subscribed',
    async run (t, clients) {
      const client = await clients.connect()
      await client.call('#subscribe', 'one')
      for (const channel of ['two', '__proto__', 'constructor', 'one ']) t.match(await client.call('#unsubscribe', channel), { error: { name: 'InvalidActionError' } })
      await client.call('#unsubscribe', 'one')
      for (let i = 0; i < 5; i++) t.match(await client.call('#unsubscribe', 'one'), { error: { name: 'InvalidActionError' } })
    }
  },
  {
    id: 'H13',
    what: 'keys that could reach a prototype',
    async run (t, clients) {
      for (const data of ['{"__proto__":{"polluted":1}}', '{"a":[{"__proto__":1}]}', '{"constructor":{"prototype":{"polluted":1}}}', '[{"a":{"__proto__":null}}]']) {
        for (const message of [`{"event":"echo","data":${data},"cid":"x"}`, `{"event":"#publish","data":{"channel":"a","data":${data}},"cid":"x"}`]) {
          t.match(await outcome(clients, 'main', message), { error: { name: 'InvalidMessageError' } }, message)
        }
      }
      t.match(await outcome(clients, 'main', '{"event":"echo","data":{"constructor":1,"prototype":{}},"cid":"x"}'), { data: { constructor: 1 } }, 'plain keys of these names are data')
      const client = await clients.connect()
      for (let i = 0; i < 3; i++) client.send('{"__proto__":1}')
      t.equal((await client.closed).code, 4400, 'three in a row')
    }
  },
  {
    id: 'H14',
    what: 'deep and many-valued messages',
    async run (t, clients) {
      const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
      const objects = (depth: number): string => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth)
      for (const [server, data] of [['main', nested(33)], ['main', nested(1_000)], ['main', objects(5_000)], ['open', nested(200_000)], ['open', objects(100_000)], ['main', `[${'0,'.repeat(20_000)}0]`],
        ['main', `[${'{},'.repeat(15_000)}{}]`]] as Array<[ServerName, string]>) {
        t.match(await outcome(clients, server, `{"event":"echo","data":${data},"cid":"x"}`), { error: { name: 'InvalidMessageError' } }, data.slice(0, 20))
      }
      t.match(await outcome(clients, 'main', `{"event":"echo","data":${nested(30)},"cid":"x"}`), { data: [] }, 'depth that is allowed')
      const client = await clients.connect('open')
      await client.barrier()
      const before = (await attacked.report()).cpu
      const filler = `[${'{},'.repeat(9_000)}{}]`
      for (let i = 0; i < 50; i++) client.send(`{"event":"nobody","data":${filler}}`)
      await client.barrier()
      const each = ((await attacked.report()).cpu - before) / 50 / 1_000
      t.comment(`${each.toFixed(2)} ms for the worst message that is allowed`)
      t.ok(each < 5 * tolerance)
    }
  },
  {
    id: 'H15',
    what: 'messages that are too long, in too many pieces, or never end',
    versions: [2],
    async run (t, clients) {
      const shell = '{"event":"echo","data":"","cid":"x"}'
      const exact = shell.replace('""', `"${'x'.repeat(65_536 - shell.length)}"`)
      t.match(await outcome(clients, 'main', exact), { rid: 'x' }, 'exactly the limit')
      t.match(await outcome(clients, 'main', exact + ' '), { code: 1009 })
      const pieces = await clients.netConnect()
      pieces.socket.write(Buffer.concat([frame('{', { fin: false }), ...Array.from({ length: 256 }, () => frame(' '.repeat(255), { opcode: 0, fin: false })), frame('}', { opcode: 0 })]))
      t.equal((await pieces.closeFrame()).code, 1008)
      for (const length of [2n ** 63n, 2n ** 63n - 1n, 2n ** 53n, 65_537n]) {
        const liar = await clients.netConnect()
        liar.socket.write(frame('x', { length }))
        t.equal((await liar.closeFrame()).code, 1009, String(length))
      }
      const unfinished = await clients.netConnect('impatient')
      unfinished.socket.write(frame('{"event":', { fin: false }))
      t.equal((await unfinished.closeFrame()).code, 4001)
    }
  },
  {
    id: 'H16',
    what: 'violations of RFC 6455',
    versions: [2],
    async run (t, clients) {
      const text = '{"event":"echo"}'
      const cases: Array<[string, Buffer, number]> = [
        ['unmasked', frame(text, { masked: false }), 1002],
        ['RSV1', frame(text, { rsv: 4 }), 1002],
        ['RSV2', frame(text, { rsv: 2 }), 1002],
        ['RSV3', frame(text, { rsv: 1 }), 1002],
        ['bad UTF-8', frame(Buffer.from([0xc3, 0x28])), 1007],
        ['UTF-8 of a surrogate', frame(Buffer.from([0xed, 0xa0, 0x80])), 1007],
        ['oversize ping', frame('x'.repeat(126), { opcode: 9 }), 1002],
        ['ping in pieces', frame('x', { opcode: 9, fin: false }), 1002],
        ['opcode 3', frame(text, { opcode: 3 }), 1002],
        ['opcode 11', frame(text, { opcode: 11 }), 1002],
        ['stray continuation', frame(text, { opcode: 0 }), 1002],
        ['a message inside a message', Buffer.concat([frame('a', { fin: false }), frame('b')]), 1002],
        ['close code 1005', closeFrame(1005), 1002],
        ['close code 999', closeFrame(999), 1002],
        ['close code 5000', closeFrame(5000), 1002],
        ['a close of one byte', frame('x', { opcode: 8 }), 1002],
        ['a close reason of bad UTF-8', frame(Buffer.from([3, 232, 0xff]), { opcode: 8 }), 1007]
      ]
      for (const [name, bytes, code] of cases) {
        const client = await clients.netConnect()
        client.socket.write(bytes)
        client.packet({ event: '#publish', data: { channel: 'x' }, cid: 'after' })
        t.equal((await client.closeFrame()).code, code, name)
        t.notOk(client.frames.items.some(({ payload }) => payload.includes('after')))
        client.socket.destroy()
      }
      // A length that says less than what follows: the rest is read as the next frame.
      const client = await clients.netConnect()
      client.socket.write(frame('x'.repeat(200), { length: 5n }))
      await client.closed
      const rude = await clients.netConnect()
      rude.socket.resetAndDestroy()
      // Control frames in numbers.
      const pinging = await clients.netConnect()
      pinging.socket.write(Buffer.concat(Array.from({ length: 5_000 }, () => frame('p', { opcode: 9 }))))
      pinging.socket.write(Buffer.concat(Array.from({ length: 5_000 }, () => frame('p', { opcode: 10 }))))
      await sleep(50)
      pinging.socket.destroy()
    }
  },
  {
    id: 'H17',
    what: 'a compression bomb',
    versions: [2],
    async run (t, clients) {
      const bomb = deflateRawSync(Buffer.alloc(50 * 1024 * 1024, 0x20), { level: 9 })
      t.ok(bomb.length < 60_000)
      const { rss } = await attacked.ask({ ask: 'collect' })
      const plain = await clients.netConnect()
      plain.socket.write(frame(bomb, { rsv: 4 }))
      t.equal((await plain.closeFrame()).code, 1002, 'without compression')
      for (let i = 0; i < 5; i++) {
        const client = await clients.connect('deflate', { perMessageDeflate: true })
        ;(client.ws as any)._socket.write(frame(bomb, { rsv: 4 }))
        t.equal((await client.closed).code, 1009, 'with compression')
      }
      const grown = await attacked.grownBy(rss, 20)
      t.comment(`${grown.toFixed(1)} MB more memory after 250 MB of bombs`)
      t.ok(grown < 20)
    }
  },
  {
    id: 'H18',
    what: 'clients that take their time',
    versions: [2],
    async run (t, clients) {
      const port = attacked.ports.impatient
      // The limits of this server are 1.5 s at most, those of servers that set none 10 s at least.
      const gone = async (what: string, run: () => Promise<unknown>): Promise<void> => {
        const watch = new Stopwatch()
        await run()
        const took = watch.stop()
        t.ok(took < 8_000, `${what}: freed after ${took.toFixed()} ms`)
      }
      const tcp = async (drip: (socket: ReturnType<typeof connect>) => void): Promise<unknown> => {
        const socket = connect(port, '127.0.0.1')
        t.teardown(() => socket.destroy())
        socket.on('error', () => {})
        await once(socket, 'connect')
        drip(socket)
        // Closed by the server; what it says is read, so that the end is noticed.
        socket.resume()
        return closed(socket)
      }
      const every = (ms: number, write: () => void): void => {
        const timer = setInterval(write, ms)
        t.teardown(() => clearInterval(timer))
      }
      await Promise.all([
        gone('TCP only', () => tcp(() => {})),
        gone('a header now and then', () => tcp((socket) => {
          socket.write('GET /socketcluster/ HTTP/1.1\r\nHost: x\r\n')
          every(50, () => socket.writable && socket.write('X-A: b\r\n'))
        })),
        gone('an upgrade, then silence', async () => (await clients.open('impatient')).closed),
        gone('a handshake, then silence', async () => (await clients.connect('impatient', { version: null })).closed),
        gone('a byte now and then', async () => {
          const client = await clients.netConnect('impatient')
          const bytes = frame('x'.repeat(60_000))
          let at = 0
          every(20, () => client.socket.writable && client.socket.write(bytes.subarray(at, ++at)))
          return client.closed
        })
      ])
    }
  },
  {
    id: 'H19',
    what: 'half-open connections, and peers that ignore close frames',
    versions: [2],
    async run (t, clients) {
      const noticed = new Stopwatch()
      const deaf = await clients.netConnect('impatient')
      t.equal((await deaf.closeFrame()).code, 4001)
      t.ok(noticed.wall >= 1_450 && noticed.stop() < 8_000, `closed after ${noticed.wall.toFixed()} ms`)
      const dropped = new Stopwatch()
      await deaf.closed
      t.ok(dropped.stop() < 8_000, `dropped ${dropped.wall.toFixed()} ms later`)
      const paused = await clients.netConnect('impatient')
      paused.socket.pause()
      await until('nobody to be left', async () => (await attacked.stats('impatient')).clients === 0)
    }
  },
  {
    id: 'H20',
    what: 'paused subscribers under a publish storm',
    versions: [2],
    async run (t, clients) {
      const healthy = await clients.connect('budget')
      await healthy.call('#subscribe', 'storm')
      const before: Report = await attacked.ask({ ask: 'collect' })
      const paused = await Promise.all(Array.from({ length: 100 }, async () => {
        const client = await clients.netConnect('budget')
        client.packet({ event: '#subscribe', data: 'storm', cid: 2 })
        await client.packetFrame((packet) => packet.rid === 2)
        client.socket.pause()
        return client
      }))
      // As fast as the healthy one reads: it shares a processor with the attackers.
      for (let chunk = 0; chunk < 100; chunk++) {
        await attacked.ask({ ask: 'publish', server: 'budget', channel: 'storm', data: 'x'.repeat(8_000), times: 10 })
        for (let i = 0; i < 10; i++) await healthy.publication('storm')
      }
      await until('each to be ended at its budget', async () => (await attacked.stats('budget')).clients <= 1)
      const stats = await attacked.stats('budget')
      t.equal(stats.clients, 1, 'the healthy one got everything')
      t.ok(stats.slowConsumers >= 100)
      for (const client of paused) client.socket.destroy()
      const grown = await attacked.grownBy(before.rss, 150)
      t.comment(`${grown.toFixed(0)} MB more memory`)
      t.ok(grown < 150)
    }
  },
  {
    id: 'H21',
    what: 'floods and churn of subscriptions',
    async run (t, clients) {
      const client = await clients.connect('open')
      const flood = 20_000
      let answered = 0
      let accepted = 0
      for (let i = 0; i < flood; i += 50) {
        client.send(Array.from({ length: 50 }, (_, j) => ({ event: '#subscribe', data: `flood ${i + j}`, cid: `s${i + j}` })))
        // One that reads no answers would be ended by its own backlog.
        if (i % 1_000 !== 950) continue
        const last = await client.answer(`s${i + 49}`)
        t.match(last, { error: { name: 'InvalidActionError', message: /socketChannelLimit/ } })
        const answers = client.inbox.items.splice(0)
        answered += answers.length + 1
        accepted += answers.filter((packet) => !('error' in packet)).length
      }
      t.equal(answered, flood, 'each is answered')
      t.equal(accepted, 50)
      const others = await Promise.all(Array.from({ length: 4 }, () => clients.connect('open')))
      for (let i = 0; i < 500; i++) {
        for (const other of others) other.send([{ event: '#subscribe', data: 'churn' }, { event: '#unsubscribe', data: 'churn' }, { event: '#subscribe', data: 'churn' }])
      }
      await Promise.all(others.map((other) => other.barrier()))
      const report = await attacked.report()
      t.equal(report.doubleSubscribes, 0, 'the broker sees at most one subscribe per channel')
      for (const other of others) other.send(publish('churn', 'all'))
      await Promise.all(others.map((other) => other.publication('churn')))
    }
  },
  {
    id: 'H22',
    what: 'ten times the rate, and arrays that are too long',
    async run (t, clients) {
      const client = await clients.connect()
      for (let cid = 1_000; cid < 1_500; cid++) client.send({ event: 'echo', cid })
      const limited = await client.inbox.take((packet) => packet.error?.name === 'RateLimitError', 'a RateLimitError')
      t.ok(limited.error.retryAfter > 0, `retryAfter ${limited.error.retryAfter} ms`)
      const timer = setInterval(() => { for (let i = 0; i < 10 && client.ws.readyState === 1; i++) client.send({ event: 'echo' }) }, 10)
      t.equal((await client.closed).code, 4429)
      clearInterval(timer)
      const { publishes } = await attacked.stats('main')
      const other = await clients.connect()
      other.send(Array(1_300).fill({ event: '#publish', data: { channel: 'm' } }))
      t.equal((await other.closed).code, 4413)
      t.equal((await attacked.stats('main')).publishes, publishes, 'none of them counts')
      const authenticating = await clients.connect()
      for (let i = 0; i < 10; i++) authenticating.send({ event: '#authenticate', data: 'bad', cid: 100 + i })
      t.equal((await authenticating.closed).code, 4429, '#authenticate has a limit of its own')
    }
  },
  {
    id: 'H23',
    what: 'floods of connections',
    versions: [2],
    async run (t, clients) {
      const served = await Promise.all([clients.connect('full'), clients.connect('full')])
      const outcomes = await Promise.all(Array.from({ length: 200 }, () => clients.open('full').then(() => 'open', (err: Error) => err.message)))
      const accepted = outcomes.filter((outcome) => outcome === 'open').length
      t.ok(accepted > 0 && accepted <= 10, `${accepted} of 200 were let in, and wait for their handshakes`)
      t.ok(outcomes.every((outcome) => outcome === 'open' || /503/.test(outcome)), 'the others got 503')
      for (const client of served) t.equal((await client.call('echo', 'served')).data, 'served')
      await until('the idle ones to be gone after handshakeTimeout', async () => (await attacked.stats('full')).pendingClients === 0)
      const open: RawClient[] = []
      for (let i = 0; i < 23; i++) open.push(await clients.connect('full'))
      await t.rejects(clients.open('full'), /503/, 'maxConnectionsPerIp')
      const freed = Promise.all(open.splice(0, 10).map((client) => client.close()))
      await freed
      t.equal((await (await clients.connect('full')).call('echo', 1)).data, 1, 'there is room again')
      const socket = connect(attacked.ports.full, '127.0.0.1')
      t.teardown(() => socket.destroy())
      for (const client of [...open, ...served]) client.ws.terminate()
    }
  },
  {
    id: 'H24',
    what: 'tokens',
    async run (t, clients) {
      const now = Math.floor(Date.now() / 1000)
      const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048, publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } })
      const cases: Array<[string, unknown, string]> = [
        ['none', forged({ alg: 'none', typ: 'JWT' }, { sub: 'eve' }, () => ''), 'AuthTokenInvalidError'],
        ['None', forged({ alg: 'None', typ: 'JWT' }, { sub: 'eve' }, () => ''), 'AuthTokenInvalidError'],
        ['none, signed', forged({ alg: 'none' }, { sub: 'eve' }, hmac(authKey)), 'AuthTokenInvalidError'],
        ['an algorithm that is not allowed', forged({ alg: 'HS512' }, { sub: 'eve' }, hmac(authKey, 'sha512')), 'AuthTokenInvalidError'],
        ['RS256', jwt.sign({ sub: 'eve' }, privateKey, { algorithm: 'RS256' }), 'AuthTokenInvalidError'],
        ['a public key as the secret', jwt.sign({ sub: 'eve' }, publicKey.slice(0, 60), { algorithm: 'HS256' }), 'AuthTokenInvalidError'],
        ['another key', jwt.sign({ sub: 'eve' }, 'another key'), 'AuthTokenInvalidError'],
        ['the empty key', forged({ alg: 'HS256' }, { sub: 'eve' }, hmac('')), 'AuthTokenInvalidError'],
        ['expired', jwt.sign({ sub: 'eve', exp: now - 1 }, authKey), 'AuthTokenExpiredError'],
        ['not active yet', jwt.sign({ sub: 'eve', nbf: now + 100 }, authKey), 'AuthTokenNotBeforeError'],
        ['exp as text', forged({ alg: 'HS256' }, { sub: 'eve', exp: 'never' }, hmac(authKey)), 'AuthTokenInvalidError'],
        ['crit', forged({ alg: 'HS256', crit: ['b64'], b64: false }, { sub: 'eve' }, hmac(authKey)), 'AuthTokenInvalidError'],
        ['a payload that is no object', `${Buffer.from('{"alg":"HS256"}').toString('base64url')}.${Buffer.from('[1]').toString('base64url')}.x`, 'AuthTokenInvalidError'],
        ['dots', '...', 'AuthTokenInvalidError'],
        ['two parts', 'a.b', 'AuthTokenInvalidError'],
        ['not base64', '!.!.!', 'AuthTokenInvalidError'],
        ['30 KB', jwt.sign({ sub: 'eve', pad: 'x'.repeat(30_000) }, authKey), 'AuthTokenInvalidError'],
        ['a number', 5, 'InvalidArgumentsError'],
        ['an object', { toString: 'x' }, 'InvalidArgumentsError'],
        ['an array', [jwt.sign({ sub: 'eve' }, authKey)], 'InvalidArgumentsError'],
        ['true', true, 'InvalidArgumentsError']
      ]
      for (const [name, token, error] of cases) {
        const client = await clients.open()
        const status = await client.handshake(token)
        t.equal(status.isAuthenticated, false, name)
        // SocketCluster has no name of its own for a token of the wrong type.
        t.match(status.authError.name, error === 'InvalidArgumentsError' ? /Invalid|AuthTokenError/ : error, `${name}: ${String(status.authError.name)}`)
        client.ws.terminate()
      }
      const client = await clients.connect()
      for (const [name, token, error] of cases.slice(0, 3)) {
        t.match(await client.call('#authenticate', token), { error: { name: error } }, name)
      }
      t.match(await client.call('#subscribe', 'private/eve'), { error: { message: 'not yours' } })
      // These are well signed: arrays are legal claims.
      const legal = await clients.open()
      t.match(await legal.handshake(jwt.sign({ sub: 'ann', aud: ['a', 'b'] }, authKey)), { isAuthenticated: true })
      const client1 = await clients.connect()
      client1.send({ event: '#authenticate', data: 'x'.repeat(1_000_000) })
      t.equal((await client1.closed).code, 1009)
    }
  },
  {
    id: 'H25',
    what: 'tokens that end while private messages flow',
    async run (t, clients) {
      for (const how of ['expired', 'revoked'] as const) {
        const user = `${how}${clients.version}`
        const end = Math.ceil(Date.now() / 1000) + 1
        const client = await clients.connect('main', { authToken: jwt.sign(how === 'expired' ? { sub: user, exp: end } : { sub: user }, authKey) })
        t.notOk('error' in await client.call('#subscribe', `private/${user}`))
        await client.call('#subscribe', 'public')
        const log: string[] = []
        client.ws.on('message', (data) => {
          const text = data.toString()
          if (text.includes('#kickOut')) log.push('kick-out')
          else if (text.includes('#publish')) log.push(text.includes('private/') ? 'private' : 'public')
        })
        const timer = setInterval(() => {
          for (const channel of [`private/${user}`, 'public']) attacked.ask({ ask: 'publish', server: 'main', channel, data: 1, times: 1 })
        }, 25)
        t.teardown(() => clearInterval(timer))
        await until('messages to flow', () => log.includes('private'))
        const watch = new Stopwatch()
        const from = how === 'expired' ? Math.max(0, end * 1000 - Date.now()) : 0
        if (how === 'revoked') t.equal(await attacked.ask({ ask: 'revoke', user }), 1)
        t.match((await client.event('#kickOut')).data, { channel: `private/${user}` })
        // Pings come every 8 s.
        t.ok(watch.stop() - from < 4_000, `${how}: noticed ${(watch.wall - from).toFixed()} ms after, by itself`)
        const kicked = log.indexOf('kick-out')
        await until('ten public messages after it', () => log.slice(kicked).filter((kind) => kind === 'public').length >= 10)
        clearInterval(timer)
        t.notOk(log.slice(kicked).includes('private'), 'no private message after it')
        if (how === 'revoked') {
          const back = await clients.open()
          t.match(await back.handshake(jwt.sign({ sub: user, iat: Math.floor(Date.now() / 1000) - 10 }, authKey)), { isAuthenticated: false }, 'the old token does not count again')
        }
      }
    }
  },
  {
    id: 'H26',
    what: 'origins',
    versions: [2],
    async run (t, clients) {
      for (const origin of [undefined, 'https://good.example', 'HTTPS://GOOD.EXAMPLE', 'https://good.example:443']) {
        await clients.open('origin', origin === undefined ? {} : { origin })
      }
      for (const origin of ['null', 'https://good.example:444', 'http://good.example', 'https://good.example.evil.org', 'https://evilgood.example', 'https://good.exampl', 'https://x.good.example', 'https://good.example@evil.org',
        'https://user:pass@good.example', 'https://evil.org/?https://good.example', 'good.example', '*', 'file://', 'javascript:alert(1)', 'https://good.example/path', 'https://good.example#x', `https://${'x'.repeat(5_000)}`, '://', 'https://[::1']) {
        await t.rejects(clients.open('origin', { origin }), /403/, origin.slice(0, 40))
      }
    }
  },
  {
    id: 'H27',
    what: 'handlers and hooks that misbehave in every way',
    async run (t, clients) {
      const client = await clients.connect('slow')
      const late = new Set(['never settles', 'never answers'])
      await Promise.all(mistakeNames.map(async (mistake) => {
        const handled = await client.call(mistake)
        if (late.has(mistake)) t.match(handled, { error: { name: 'TimeoutError' } }, `a handler that ${mistake}`)
        else if (/after answering|twice/.test(mistake)) t.match(handled, { data: 'first' })
        else t.ok('error' in handled, `a handler that ${mistake}: ${JSON.stringify(handled).slice(0, 120)}`)
        t.notMatch(JSON.stringify(handled), secrets)
      }))
      const bad = ['throws', 'rejects', 'rejects with nothing', 'throws a text', 'throws null', 'throws a circle', 'throws an object', 'throws a system error', 'never settles']
      await Promise.all(bad.map(async (mistake) => {
        for (const [event, data] of [['echo', { mistake }], ['#subscribe', { channel: `m ${mistake}`, data: { mistake } }], ['#publish', { channel: `m ${mistake}`, data: { mistake } }], ['declared', undefined]] as const) {
          const answer = await client.call(event, event === 'declared' ? { mistake } : data)
          t.ok('error' in answer, `${event}, a hook that ${mistake}: ${JSON.stringify(answer).slice(0, 120)}`)
          if (mistake === 'never settles') t.match(answer.error, { name: 'TimeoutError' })
        }
      }))
      t.equal((await client.call('echo', 'alive')).data, 'alive', 'the socket lives')
    }
  },
  {
    id: 'H28',
    what: 'connections that end during every wait',
    async run (t, clients) {
      const actions = [
        { event: '#subscribe', data: { channel: 'ghost' } }, { event: '#subscribe', data: 'refused by the broker' }, { event: '#unsubscribe', data: 'ghost' },
        publish('ghost'), { event: '#authenticate', data: jwt.sign({ sub: 'ann' }, authKey) }, { event: 'echo', data: 1 }, { event: 'declared', data: { mistake: 'never settles' } }
      ]
      await Promise.all(Array.from({ length: 60 }, async (_, i) => {
        const client = await clients.open('slow')
        client.send({ event: '#handshake', data: { authToken: jwt.sign({ sub: 'ann' }, authKey) }, cid: 1 })
        // Ends 0 to 20 ms after, while hooks and broker take 4 ms each.
        if (i % 4 !== 0) {
          await client.answer(1)
          client.send(actions.map((action, j) => ({ ...action, cid: j + 10 })))
        }
        await sleep(i % 21)
        if (i % 3 === 0) client.ws.terminate()
        else if (i % 3 === 1) client.ws.close()
        else client.send({ event: '#disconnect', data: { code: 4100 } })
        await client.closed
      }))
      await until('no ghost', async () => {
        const { channels, subscriptions, clients, pendingClients } = await attacked.stats('slow')
        return channels + subscriptions + clients + pendingClients === 0
      })
    }
  },
  {
    id: 'H29',
    what: 'errors that hold secrets, circles, and no errors at all',
    async run (t, clients) {
      const client = await clients.connect()
      await attacked.report()
      for (const mistake of ['throws', 'rejects', 'throws a system error', 'throws a text', 'throws an object', 'rejects with nothing', 'throws null']) {
        const { error } = await client.call(mistake)
        t.match(error, { message: 'Internal error', id: /^[\da-f-]{36}$/ }, mistake)
        const { logged } = await attacked.report()
        t.ok(logged.some((line) => line.includes(error.id)), 'the log has it under the same id')
        if (/throws$|rejects$/.test(mistake)) t.match(logged.find((line) => line.includes(error.id)), /hunter2/)
      }
      t.match((await client.call('throws a circle')).error, { name: 'Error', message: 'Internal error' })
      t.match((await client.call('fails with a circle')).error, { message: 'circular' })
    }
  },
  {
    id: 'H30',
    what: 'broken publications from the broker',
    versions: [2],
    async run (t, clients) {
      const client = await clients.connect('open')
      await client.call('#subscribe', 'injected')
      for (const text of ['', '1', 'null', '"text"', '[]']) {
        await attacked.ask({ ask: 'inject', channel: 'injected', text })
        t.same(await client.publication('injected'), text === '' ? undefined : JSON.parse(text))
      }
      for (const channel of ['nobody is there', '__proto__', '']) await attacked.ask({ ask: 'inject', channel, text: '{}' })
      await client.barrier()
      t.same(client.inbox.items, [])
    }
  }
]

const only = process.env.HOSTILE_ONLY?.split(',')
const times: string[] = []

for (const row of rows) {
  if (only !== undefined && !only.includes(row.id)) continue
  for (const version of row.versions ?? [1, 2] as const) {
    t.test(`${row.id}: ${row.what} (version ${version})`, async (t) => {
      const start = Date.now()
      await row.run(t as never, new Clients(t, version))
      const took = Date.now() - start

      // Alive: a fresh client shakes hands and gets an echo.
      const watch = new Stopwatch()
      const fresh = await RawClient.connect(t, attacked.ports.main, { version })
      t.same((await fresh.call('echo', row.id)).data, row.id)
      const alive = watch.stop()
      t.ok(alive < aliveWithin * tolerance, `alive within ${alive.toFixed()} ms`)
      times.push(`${row.id} v${version}: ${took} ms, alive within ${alive.toFixed()} ms`)
      await fresh.close()

      const report = await attacked.report()
      t.same(report.uncaught, [], 'nothing was thrown out of the library')
      t.same(report.polluted, [], 'Object.prototype is as it was')
      t.same(report.miscounted, [], 'counts are the sizes of the maps')
      t.equal(attacked.child.exitCode, null, 'the process runs')
    })
  }
}

t.test('afterwards', async (t) => {
  t.comment(times.join('\n'))
  const report: Report = await attacked.ask({ ask: 'close' })
  t.same(report.uncaught, [])
  t.same(report.miscounted, [])
  for (const [name, stats] of Object.entries(report.stats)) {
    t.match(stats, { clients: 0, pendingClients: 0, channels: 0, subscriptions: 0, bufferedBytes: 0 }, `the maps of ${name} are empty`)
  }
  const exit = once(attacked.child, 'exit')
  attacked.ask({ ask: 'stop' }).catch(() => {})
  t.same(await exit, [0, null], 'and the process ends by itself')
})
