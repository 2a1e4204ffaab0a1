// The process that hostile clients attack: servers with different options. It reports its state over IPC.
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import { ScRefusal, memoryBroker, type Broker, type ScPluginOptions, type ScStats } from '../../lib/index.js'
import { mistakes } from './mistakes.js'
import { serve, type Served } from './serve.js'

export const serverNames = ['main', 'open', 'deflate', 'impatient', 'full', 'budget', 'slow', 'origin'] as const
export type ServerName = typeof serverNames[number]

/** The state of the process. */
export interface Report {
  uncaught: string[]
  /** Keys that were added to `Object.prototype`. */
  polluted: string[]
  /** Resident memory in bytes; `heap` is the heap in bytes. */
  rss: number
  heap: number
  /** The CPU time so far in microseconds. */
  cpu: number
  /** The servers with a socket count that differs from their map of sockets. */
  miscounted: string[]
  /** The number of subscribe calls to the broker of `open` for a channel that it already delivered. */
  doubleSubscribes: number
  stats: Record<ServerName, ScStats>
  /** Errors that were hidden from clients and logged. */
  logged: string[]
}

export type Question = { ask: 'report' | 'collect' | 'close' | 'stop' } |
  { ask: 'publish', server: ServerName, channel: string, data: unknown, times: number } |
  { ask: 'revoke', user: string } |
  { ask: 'inject', channel: string, text: string }

const uncaught: string[] = []
process.on('uncaughtException', (err) => uncaught.push(`uncaughtException: ${err?.stack ?? String(err)}`))
process.on('unhandledRejection', (err) => uncaught.push(`unhandledRejection: ${err instanceof Error ? err.stack : String(err)}`))

let doubleSubscribes = 0
let stopping = false
let inject: (channel: string, text: string) => void = () => {}

/** Creates a broker that counts the calls of its methods. */
function countingBroker (delay: number): Broker {
  const memory = memoryBroker()
  const subscribed = new Set<string>()
  return {
    name: memory.name,
    shared: false,
    start (sink, node) {
      // Only the broker of `open` has no delay.
      if (delay === 0) inject = (channel, text) => sink.publication(channel, text)
      return memory.start(sink, node)
    },
    async subscribe (channels) {
      for (const channel of channels) {
        if (subscribed.has(channel)) doubleSubscribes++
        subscribed.add(channel)
      }
      if (delay > 0) await sleep(delay)
      if (channels.includes('refused by the broker')) throw new Error('the engine says no')
      await memory.subscribe(channels)
    },
    unsubscribe (channels) {
      for (const channel of channels) subscribed.delete(channel)
      return memory.unsubscribe(channels)
    },
    async publish (channel, data) {
      if (delay > 0) await sleep(delay)
      await memory.publish(channel, data)
    },
    control: (message, toNode) => memory.control(message, toNode),
    stop: () => memory.stop()
  }
}

const logged: string[] = []

const servers = {} as Record<ServerName, Served>

async function start (name: ServerName, options: ScPluginOptions, setUp?: (app: FastifyInstance) => void, fastifyOptions: FastifyServerOptions = {}): Promise<void> {
  const logger = { level: 'error', stream: { write: (line: string) => { logged.push(line) } } }
  servers[name] = await serve(null, options, (app) => {
    app.scEvent('declared echo', {}, async (data: unknown) => data)
    app.scServer.on('connection', (socket) => {
      socket.on('echo', (data: unknown, res) => res(null, data))
      for (const [event, handler] of Object.entries(mistakes)) socket.on(event, handler)
    })
    setUp?.(app)
  }, { ...fastifyOptions, logger })
}

await start('main', {}, (app) => {
  app.scHook('subscribe', ({ socket, channel }) => {
    if (channel.startsWith('private/') && channel !== `private/${String(socket.authToken?.sub)}`) throw new ScRefusal('not yours')
  })
})
await start('open', { inboundRate: 0, maxPayload: 2 * 1024 * 1024, socketChannelLimit: 50, authenticateRate: 0, broker: countingBroker(0) })
await start('deflate', { perMessageDeflate: true })
await start('impatient', { handshakeTimeout: 1_200, pingInterval: 200, pingTimeout: 1_500, closeTimeout: 500 }, undefined, { http: { headersTimeout: 1_200, requestTimeout: 1_500, connectionsCheckingInterval: 100 } } as FastifyServerOptions)
await start('full', { maxConnections: 30, maxPendingHandshakes: 10, maxConnectionsPerIp: 25, handshakeTimeout: 4_000 })
await start('budget', { inboundRate: 0, maxBufferedBytes: 256 * 1024 })
await start('slow', { hookTimeout: 250, handlerTimeout: 250, inboundRate: 0, authenticateRate: 0, broker: countingBroker(4) }, (app) => {
  const wait = async (): Promise<void> => { await sleep(4) }
  for (const line of ['handshakeSC', 'authenticate', 'publishOut'] as const) app.scHook(line, wait)
  const misbehave = ({ data }: { data?: any }): void | Promise<void> => {
    const mistake = data?.mistake as string | undefined
    if (mistake === undefined) return wait()
    // Hooks make the same mistakes as handlers, without an answer.
    return mistakes[mistake]!(undefined, () => {}) as void
  }
  for (const line of ['subscribe', 'publishIn', 'emit'] as const) app.scHook(line, misbehave)
  app.scEvent('declared', {}, ((data: { mistake: string }) => mistakes[data.mistake]!(undefined, () => {})) as never)
})
await start('origin', { origins: 'https://good.example' })

// Exit when the test process is gone. After a request to stop, the process must end by itself.
process.on('disconnect', () => { if (!stopping) process.exit(1) })
process.on('message', (question: Question & { id: number }) => {
  answer(question).then((result) => process.send!({ id: question.id, result }), (err: unknown) => process.send!({ id: question.id, error: String(err) }))
})
process.send!({ ports: Object.fromEntries(Object.entries(servers).map(([name, { port }]) => [name, port])) })

async function answer (question: Question): Promise<unknown> {
  switch (question.ask) {
    case 'report':
      return report()
    case 'collect':
      // The warnings that the helper collected are not memory of the server.
      for (const { warnings } of Object.values(servers)) warnings.length = 0
      globalThis.gc?.()
      return report()
    case 'publish': {
      const { exchange } = servers[question.server].sc
      for (let i = 0; i < question.times; i++) {
        exchange.transmitPublish(question.channel, question.data)
        if (i % 20 === 19) await new Promise((resolve) => setImmediate(resolve))
      }
      return
    }
    case 'revoke':
      return servers.main.sc.revoke({ user: question.user })
    case 'inject':
      inject(question.channel, question.text)
      return
    case 'close':
      await Promise.all(Object.values(servers).map(({ app }) => app.close()))
      return report()
    case 'stop':
      stopping = true
      process.disconnect()
  }
}

function report (): Report {
  const miscounted: string[] = []
  for (const [name, { sc }] of Object.entries(servers)) {
    if (Object.keys(sc.clients).length !== sc.clientsCount) miscounted.push(`${name}: clients`)
    if (Object.keys(sc.pendingClients).length !== sc.pendingClientsCount) miscounted.push(`${name}: pending clients`)
    let subscriptions = 0
    for (const socket of Object.values(sc.clients)) {
      subscriptions += socket.subscriptions().length
      if (Object.keys(socket.channelSubscriptions).length !== socket.channelSubscriptionsCount) miscounted.push(`${name}: ${socket.id}`)
    }
    if (sc.stats().subscriptions !== subscriptions) miscounted.push(`${name}: subscriptions`)
  }
  const { rss, heapUsed } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  return {
    uncaught: uncaught.splice(0),
    polluted: Object.keys(Object.prototype),
    rss,
    heap: heapUsed,
    cpu: user + system,
    miscounted,
    doubleSubscribes,
    stats: Object.fromEntries(Object.entries(servers).map(([name, { sc }]) => [name, sc.stats()])) as Record<ServerName, ScStats>,
    logged: logged.splice(0)
  }
}
