// The guarantee of recoveries with an engine, while links break and histories vanish: random sequences of a real client that moves
// between nodes. <NAME>_SEED, <NAME>_PATH and <NAME>_RUNS replay a failure; <NAME>_SHRINK=1 shortens it.
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { Test } from 'tap'
import { decodeFrame } from '../../lib/broker/remote/frames.js'
import { recovering } from '../../lib/client/index.js'
import type { Broker } from '../../lib/index.js'
import { generations } from '../helpers/app.js'
import { TcpProxy } from '../helpers/proxy.js'
import { serve } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'
import { contradiction, type Seen } from './seen.js'
import { tally } from './tally.js'

type Command =
  { kind: 'publish', from: number, count: number } |
  { kind: 'cut client' | 'cut link' | 'block' | 'unblock' | 'silence' | 'move' } |
  { kind: 'fault', name: string } |
  { kind: 'wait', ms: number }

/** An engine with histories, and what can be done to it. */
export interface RandomEngine {
  /** The name of the environment variables. */
  readonly name: string
  readonly port: number
  /** Makes the broker of a node. */
  broker (port: number, options: { timeout: number, probeInterval: number, connectTimeout: number, retryDelay: number, maxRetryDelay: number }): Broker
  /** Observes what the engine publishes to a channel: the frames of the nodes. @returns a function that ends it */
  watch (prefix: string, channel: string, frame: (text: string) => void): Promise<() => unknown>
  /** What can happen to the histories. */
  readonly faults: Readonly<Record<string, () => Promise<unknown>>>
}

/** Runs random sequences. */
export async function randomSequences (t: Test, { name, port, broker, watch, faults }: RandomEngine): Promise<void> {
  const setting = (of: string): string | undefined => process.env[`${name}_${of}`]
  const runs = Number(setting('RUNS') ?? 40)
  const seed = Number(setting('SEED') ?? Date.now() % 0x7fffffff)
  t.comment(`${runs} random sequences, ${name}_SEED=${seed}`)
  const command: fc.Arbitrary<Command> = fc.oneof(
    { weight: 10, arbitrary: fc.record({ kind: fc.constant('publish' as const), from: fc.nat(2), count: fc.integer({ min: 1, max: 6 }) }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom('cut client' as const, 'cut link' as const, 'move' as const, 'block' as const, 'unblock' as const) }) },
    { weight: 1, arbitrary: fc.constantFrom<Command>({ kind: 'silence' }, ...Object.keys(faults).map((name) => ({ kind: 'fault' as const, name }))) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 40 }) }) }
  )
  const link = await new TcpProxy(port).listen()
  t.teardown(() => link.close())
  const start = (port: number) => serve(t, {
    broker: broker(port, { timeout: 400, probeInterval: 300, connectTimeout: 5_000, retryDelay: 5, maxRetryDelay: 50 }),
    brokerPrefix: 'random',
    inboundRate: 0
  }, (app) => { app.scChannel('room/:id', { history: { size: 50, ttl: 60_000 }, recover: true }) })
  // The first node reaches the engine over the link, the others directly.
  const nodes = [await start(link.port), await start(port), await start(port)]
  for (const { sc } of nodes) sc.on('connection', (socket) => { socket.on('answer', (_data: unknown, respond: () => void) => respond()) })
  const outcomes = tally(t, nodes.map(({ sc }) => sc))
  const front = await new TcpProxy(nodes[0]!.port).listen()
  t.teardown(() => front.close())
  let order: number[] = []
  const counts = { recovered: 0, told: 0, repairs: 0 }
  let run = 0
  let serial = 0

  async function check (commands: readonly Command[]): Promise<void> {
    const channel = `room/${++run}`
    order = []
    const stopWatching = await watch('random', channel, (text) => { order.push(...decodeFrame(text)!.messages.map(Number)) })
    const seen: Seen[] = []
    const cleanups: Array<() => unknown> = []
    front.target = nodes[run % 2]!.port
    try {
      const { raw } = await generations[0]![1]({ teardown: (cleanup: () => unknown) => { cleanups.push(cleanup) } }, { port: front.port }, { codecEngine: recovering(), ackTimeout: 8_000, autoReconnect: true, autoReconnectOptions: { initialDelay: 5, randomness: 10, maxDelay: 30 } })
      raw.on('recovery', ({ recovered }: { recovered: boolean }) => seen.push({ what: 'recovery', recovered }))
      raw.on('subscribe', () => seen.push({ what: 'subscribed' }))
      raw.on('disconnect', () => seen.push({ what: 'disconnected' }))
      raw.channel(channel).watch((n: number) => seen.push({ what: 'message', n }))
      raw.subscribe(channel)
      await until('the subscription', () => raw.isSubscribed(channel))
      for (const command of commands) {
        switch (command.kind) {
          case 'publish': for (let i = 0; i < command.count; i++) nodes[command.from]!.sc.exchange.publish(channel, ++serial).catch(() => {}); break
          case 'cut client': front.cut(); break
          case 'move':
            front.target = front.target === nodes[0]!.port ? nodes[1]!.port : nodes[0]!.port
            front.cut()
            break
          case 'cut link': link.cut(); break
          case 'block': link.block(); break
          case 'unblock': link.unblock(); break
          case 'silence':
            link.blackHole()
            await until('the loss of the link', () => nodes[0]!.sc.stats().broker.state === 'down')
            link.heal()
            break
          case 'fault': await faults[command.name]!(); break
          case 'wait': await sleep(command.ms); break
        }
      }
      link.unblock()
      await until('all nodes', () => nodes.every(({ sc }) => sc.stats().broker.state === 'up'))
      // A connection that was cut looks open for a moment.
      await until('an answer', () => new Promise<boolean>((resolve) => raw.emit('answer', null, (err: unknown) => resolve(err === null || err === undefined))))
      await until('the subscription', () => raw.isSubscribed(channel))
      // A link that was cut looks up for a moment. What is published then may be lost, with a notice: the next message must come.
      let last = 0
      let notices = -1
      await until(() => `the last message: ${JSON.stringify(seen)} of ${order.join()}`, async () => {
        const now = seen.filter((event) => event.what === 'recovery' && !event.recovered).length
        if (now !== notices) {
          notices = now
          last = ++serial
          // The histories may be gone at the first attempt.
          await until('an accepted message', () => nodes[2]!.sc.exchange.publish(channel, last).then(() => true, () => false))
        }
        return seen.some((event) => event.what === 'message' && event.n === last)
      })
      const wrong = contradiction(seen, order, true)
      if (wrong !== undefined) throw new Error(`${wrong}; it saw ${JSON.stringify(seen)} of ${order.join()}`)
      for (const event of seen) if (event.what === 'recovery') counts[event.recovered ? 'recovered' : 'told']++
    } finally {
      link.unblock()
      for (const cleanup of cleanups) await cleanup()
      await stopWatching()
    }
  }

  const result = await fc.check(fc.asyncProperty(fc.array(command, { maxLength: 25, size: 'max' }), check), { seed, numRuns: runs, path: setting('PATH'), interruptAfterTimeLimit: runs > 40 ? undefined : 25_000, endOnFailure: setting('SHRINK') === undefined })
  counts.repairs = nodes[0]!.sc.stats().broker.historyRepairs!
  if (result.failed) t.fail(`${name}_SEED=${seed} ${name}_PATH=${String(result.counterexamplePath)}`, { error: String((result.errorInstance as Error | null)?.message), sequence: JSON.stringify(result.counterexample) })
  else t.ok(counts.recovered > 0 && counts.repairs > 0, JSON.stringify(counts))
  const { told, counted } = outcomes()
  t.strictSame(told, counted, 'diagnostics and statistics say the same')
}
