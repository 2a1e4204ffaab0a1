// The guarantee of recoveries against a model: a client that is told `recovered: true` has every message of the channel, each once
// and in order; otherwise it is told. One without the codec gets no message twice while it is connected. RECOVERY_SEED, RECOVERY_PATH and RECOVERY_RUNS replay a failure.
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { recovering } from '../../lib/client/index.js'
import type { ScServerSocket } from '../../lib/index.js'
import { type Client, generations } from '../helpers/app.js'
import { serve } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'
import { contradiction, type Seen } from './seen.js'
import { tally } from './tally.js'

const kinds = ['plain', 'few', 'short', 'limited', 'delivered', 'slow', 'guarded', 'large', 'rewound', 'latest'] as const
type Kind = typeof kinds[number]

type Command =
  { kind: 'publish', channel: Kind, from: 'server' | 'client', count: number } |
  { kind: 'subscribe' | 'unsubscribe' | 'kick out', channel: Kind } |
  { kind: 'cut' | 'server cut' | 'back' | 'log in' | 'log out' | 'time' | 'answer' } |
  { kind: 'away', channel: Kind, count: number, long: boolean } |
  { kind: 'turns', count: number }

const channel = fc.constantFrom(...kinds)
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('publish' as const), channel, from: fc.constantFrom('server', 'client'), count: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('subscribe', 'subscribe', 'unsubscribe', 'kick out'), channel }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom('cut', 'cut', 'server cut', 'back', 'back', 'back', 'log in', 'log out', 'time', 'answer', 'answer') }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('away' as const), channel, count: fc.integer({ min: 0, max: 8 }), long: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('turns' as const), count: fc.integer({ min: 1, max: 6 }) }) }
)
const sequence = fc.record({ first: fc.subarray([...kinds], { minLength: 3 }), commands: fc.array(command, { maxLength: 30, size: 'max' }) })

/** Messages that the `deliver` policies leave out. */
const isLeftOut = (n: number): boolean => n % 7 === 0

const all = Number(process.env.RECOVERY_RUNS ?? 100)
const seed = Number(process.env.RECOVERY_SEED ?? Date.now() % 0x7fffffff)
let run = 0

for (const [revalidate, hasCodec, runs] of [['kick', true, all], ['suspend', true, all], ['kick', false, Math.ceil(all / 2)], ['suspend', false, Math.ceil(all / 2)]] as const) {
  t.test(`${runs} random sequences, with revalidate '${revalidate}', ${hasCodec ? '' : 'without the codec, '}seed ${seed}`, { timeout: runs > 100 ? 0 : 60_000 }, async (t) => {
    const sockets: ScServerSocket[] = []
    const later = async (turns: number): Promise<void> => { for (let i = 0; i < turns; i++) await turn() }
    /** By channel: the numbers in the order in which the broker delivered them. */
    const orders = new Map<string, number[]>()
    let serial = 0
    const { port, sc } = await serve(t, { closeTimeout: 500, inboundRate: 0, authenticateRate: 0, revalidate }, (app) => {
      const history = { size: 200, ttl: 3_600_000 }
      const publishes = new Set<number>()
      app.scChannel('plain/:id', { history, recover: true })
      app.scChannel('few/:id', { history: { size: 4 }, recover: true })
      app.scChannel('short/:id', { history: { ttl: 1_000 }, recover: true })
      app.scChannel('limited/:id', { history, recover: { limit: 3 } })
      app.scChannel('large/:id', { history, recover: { bytes: 4_096 } })
      app.scChannel('rewound/:id', { history: { size: 6 }, recover: { limit: 4, rewind: 3 } })
      app.scChannel('latest/:id', { history: { ttl: 1_000 }, recover: 'latest' })
      app.scChannel('delivered/:id', {
        history,
        recover: true,
        deliver ({ channel, data }: any) {
          if (isLeftOut(data)) throw new Error('left out')
          // Longer than a slice of work for many recipients.
          if (data % 13 === 0) for (const from = performance.now(); performance.now() - from < 5;) { /* Busy. */ }
          if (data % 5 !== 0 || publishes.has(data)) return
          publishes.add(data)
          sc.exchange.publish(channel, ++serial)
        }
      })
      app.scChannel('slow/:id', {
        history,
        recover: true,
        subscribe: async () => { await later(3) },
        deliver: async ({ data }: any) => {
          await later(data % 3)
          if (isLeftOut(data)) throw new Error('left out')
        }
      })
      app.scChannel('guarded/:id', {
        history,
        recover: true,
        subscribe: async ({ socket }: any) => {
          await later(1)
          if (socket.authToken === null) throw new Error('log in first')
        }
      })
    })
    const outcomes = tally(t, [sc])
    sc.on('handshake', (socket) => {
      sockets.push(socket)
      socket.on('log in', async () => { await socket.setAuthToken({ sub: 'ada' }) })
      socket.on('answer', async () => { await later(8) })
    })
    // What listeners publish while a message is delivered, and when somebody subscribes.
    const follow = (channel: string) => (data: any): void => {
      const n = typeof data === 'number' ? data : data.n
      orders.get(channel)!.push(n)
      if (n % 11 === 0) sc.exchange.publish(channel, ++serial)
    }
    sc.on('subscription', (_socket, channel) => { if (++serial % 4 === 0) sc.exchange.publish(channel, serial) })
    const { now } = Date
    let offset = 0
    Date.now = () => now() + offset
    t.teardown(() => { Date.now = now })

    async function check ({ first, commands }: { first: Kind[], commands: Command[] }): Promise<void> {
      const id = ++run
      const [, connect] = generations[0]!
      const seen = new Map<string, Seen[]>()
      const nameOf = (kind: Kind): string => `${kind}/${id}`
      for (const kind of kinds) {
        const name = nameOf(kind)
        seen.set(name, [])
        orders.set(name, [])
        sc.exchange.subscribe(name)
        sc.exchange.watch(name, follow(name))
      }
      const cleanups: Array<() => unknown> = []
      let client: Client | undefined
      try {
        client = await connect({ teardown: (cleanup: () => unknown) => { cleanups.push(cleanup) } }, { port }, { ...(hasCodec ? { codecEngine: recovering() } : {}), ackTimeout: 3_000 })
        const { raw } = client
        const note = (name: string, event: Seen): void => { seen.get(name)!.push(event) }
        raw.on(hasCodec ? 'recovery' : '#recovery', ({ channel, recovered }: any) => note(channel, { what: 'recovery', recovered }))
        raw.on('subscribe', (name: string) => note(name, { what: 'subscribed' }))
        for (const event of ['kickOut', 'subscribeFail']) raw.on(event, (_reason: unknown, name: string) => note(name, { what: 'left' }))
        // Without the codec it begins anew.
        raw.on('disconnect', () => { for (const name of seen.keys()) note(name, { what: hasCodec ? 'disconnected' : 'left' }) })
        for (const name of seen.keys()) raw.channel(name).watch((data: any) => note(name, { what: 'message', n: typeof data === 'number' ? data : data.n }))
        const back = async (): Promise<void> => {
          if (raw.state === 'closed') raw.connect()
          await until('a connection', () => raw.state !== 'connecting')
        }
        const publish = (kind: Kind, from: 'server' | 'client', count: number): void => {
          for (let i = 0; i < count; i++) {
            const n = ++serial
            const data = kind === 'large' ? { n, text: 'x'.repeat(1_000) } : n
            if (from === 'server') sc.exchange.publish(nameOf(kind), data)
            else if (raw.state === 'open') raw.publish(nameOf(kind), data, () => {})
          }
        }
        for (const kind of first) raw.subscribe(nameOf(kind))
        for (const command of commands) {
          const isOpen = raw.state === 'open'
          switch (command.kind) {
            case 'publish': publish(command.channel, command.from, command.count); break
            case 'subscribe':
              // Client 14 never again asks for a channel that it asked for while its connection was closing.
              if (!isOpen || raw.transport.socket.readyState === 1) raw.subscribe(nameOf(command.channel))
              break
            case 'unsubscribe':
              note(nameOf(command.channel), { what: 'left' })
              raw.unsubscribe(nameOf(command.channel))
              break
            case 'kick out': sockets.at(-1)!.kickOut(nameOf(command.channel)); break
            case 'cut': if (isOpen) raw.transport.socket.terminate(); break
            case 'server cut': sockets.at(-1)!.disconnect(4100); break
            case 'back': await back(); break
            case 'away':
              raw.transport?.socket.terminate()
              publish(command.channel, 'server', command.count)
              if (command.long) {
                await until('the end of the connection', () => raw.state === 'closed')
                offset += 1_000
              }
              await back()
              break
            case 'log in': if (isOpen) raw.emit('log in', null, () => {}); break
            case 'log out': if (isOpen) raw.deauthenticate(); break
            case 'time': offset += 700; break
            case 'answer': if (isOpen) await new Promise<void>((resolve) => raw.emit('answer', null, () => resolve())); break
            case 'turns': await later(command.count); break
          }
        }
        // All that is under way comes to an end; then the last message must come.
        await later(4)
        await back()
        const answer = (): Promise<void> => new Promise((resolve) => raw.emit('answer', null, () => resolve()))
        await answer()
        await until('answers to all subscriptions', () => kinds.every((kind) => raw.channel(nameOf(kind)).state !== 'pending'))
        await answer()
        const ends = kinds.map((kind) => {
          while (isLeftOut(serial + 1)) serial++
          // A policy or listener may publish more at once.
          const end = serial + 1
          publish(kind, 'server', 1)
          return end
        })
        for (const [at, kind] of kinds.entries()) {
          const name = nameOf(kind)
          // The server may have suspended it.
          const mayBeSuspended = kind === 'guarded' && revalidate === 'suspend'
          if (!mayBeSuspended && raw.isSubscribed(name) && sockets.at(-1)!.isSubscribed(name)) await until(() => `the last message on ${name}: ${JSON.stringify(seen.get(name))}`, () => seen.get(name)!.some((event) => event.what === 'message' && event.n === ends[at]))
          const hasPolicy = kind === 'delivered' || kind === 'slow'
          const wrong = contradiction(seen.get(name)!, orders.get(name)!.filter((n) => !hasPolicy || !isLeftOut(n)), !mayBeSuspended && kind !== 'latest', kind === 'rewound' || kind === 'latest')
          if (wrong !== undefined) throw new Error(`${name}: ${wrong}; it saw ${JSON.stringify(seen.get(name))} of ${orders.get(name)!.join()}`)
        }
        for (const events of seen.values()) for (const event of events) if (event.what === 'recovery') counts[event.recovered ? 'recovered' : 'told']++
      } finally {
        await client?.close()
        for (const cleanup of cleanups) await cleanup()
        for (const kind of kinds) sc.exchange.destroyChannel(nameOf(kind))
        sockets.length = 0
      }
    }

    const counts = { recovered: 0, told: 0 }
    const start = now()
    const result = await fc.check(fc.asyncProperty(sequence, check), { seed, numRuns: runs, path: process.env.RECOVERY_PATH, interruptAfterTimeLimit: runs > 100 ? undefined : 50_000, markInterruptAsFailure: true })
    if (result.failed) {
      t.fail(`RECOVERY_SEED=${seed} RECOVERY_PATH=${String(result.counterexamplePath)}`, { error: String((result.errorInstance as Error | null)?.message), sequence: JSON.stringify(result.counterexample) })
    } else {
      t.ok(!hasCodec || (counts.recovered > 0 && counts.told > 0), `${JSON.stringify(counts)} in ${now() - start} ms`)
      const { told, counted } = outcomes()
      t.strictSame(told, counted, 'diagnostics and statistics say the same')
    }
  })
}
