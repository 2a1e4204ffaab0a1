import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { Test } from 'tap'
import { createJwtEngine } from '../../lib/auth/engine.js'
import { dispatch } from '../../lib/handlers/index.js'
import { type ScPluginOptions } from '../../lib/index.js'
import { resolveOptions } from '../../lib/options.js'
import { ServerCore } from '../../lib/server/core.js'
import type { Session } from '../../lib/socket/session.js'
import { createSession } from '../../lib/socket/socket.js'
import type { Connection } from '../../lib/transport/connection.js'
import type { SharedMessage } from '../../lib/transport/shared-message.js'
import { Holdings } from '../../lib/transport/holdings.js'
import type { CallId } from '../../types/protocol.js'
import { ManualBroker } from '../broker/manual-broker.js'
import { authKey } from '../helpers/serve.js'

/** A connection that takes everything, and keeps the packets. */
class Sink implements Connection {
  readonly transport = 'websocket'
  open = true
  readonly compressed = false
  readonly closed = new Promise<void>(() => {})
  readonly bufferedBytes = 0
  readonly queuedMessages = 0
  readonly holdings = new Holdings(0, () => {})
  readonly packets: any[] = []
  /** How it was closed. */
  end: { code: number, reason: string } | 'terminated' | null = null

  hasRoom (): boolean { return true }
  hold (): void {}
  release (): void {}
  recount (): void {}
  awaitRoom (): void {}
  takeLatest (): undefined {}
  pause (): void {}
  resume (): void {}
  send (data: string | Buffer): void { this.packets.push(JSON.parse(data.toString())) }
  close (code: number, reason: string): void { this.end ??= { code, reason } }
  terminate (): void { this.end ??= 'terminated' }

  publish (message: SharedMessage): boolean {
    this.send(message.data)
    return true
  }
}

/** One client, whose packets go to the handlers at once, and which keeps what it is told. */
export class Peer {
  readonly session: Session
  /** Events of its socket: its own, and those of the server. */
  readonly events: any[] = []
  readonly #core: ServerCore
  readonly #connection = new Sink()
  #lastCid = 0

  constructor (core: ServerCore, fastify: FastifyInstance, id: string, request: object = {}) {
    this.#core = core
    this.session = createSession(id, core.host, this.#connection, { ip: '203.0.113.1', log: fastify.log, ...request } as FastifyRequest)
    core.connections.clients.addPending(this.session)
    core.connections.admission.connected(this.session.remoteAddress)
  }

  get socket (): Session['socket'] { return this.session.socket }
  /** What it was told and has not looked at yet. */
  get told (): any[] { return this.#connection.packets.splice(0) }
  get closed (): Sink['end'] { return this.#connection.end }

  /** Says something. @returns what the next packets wait for */
  say (event: string, data?: unknown, cid?: CallId): void | Promise<void> {
    return dispatch(this.#core.host.context, this.session, { kind: 'event', event, data, cid }, this.#core.tokens.dropExpired(this.session))
  }

  /** Calls, and gives what it is told when the handlers have done all that they can do now: its answer is the packet with the id `rid`. */
  async call (event: string, data?: unknown): Promise<any> {
    const rid = ++this.#lastCid
    await this.say(event, data, rid)
    for (let turns = 0; turns < 20; turns++) {
      const at = this.#connection.packets.findIndex((packet) => packet.rid === rid)
      if (at !== -1) return this.#connection.packets.splice(at, 1)[0]
      await turn()
    }
    throw new Error(`no answer to ${event}; there is ${JSON.stringify(this.told)}`)
  }

  /** Keeps what these events of the socket give. */
  hear (...events: string[]): this {
    for (const event of events) this.socket.on(event, (...args: unknown[]) => { this.events.push([event, ...args]) })
    return this
  }
}

/** What is declared before the server is ready. */
export interface Declaring {
  readonly fastify: FastifyInstance
  hook (line: string, hook: (request: any) => unknown): void
  event (name: string, contract: object, handler: (data: any, context: any) => unknown): void
  channel (pattern: string, contract: object): void
}

/** Everything of a server but its connections. */
export async function setUp (t: Test, options: ScPluginOptions = {}, declare: (declaring: Declaring) => void = () => {}) {
  const fastify = Fastify()
  const resolved = resolveOptions({ authKey, ...options }, '').options
  const engine = await createJwtEngine(fastify, resolved)
  const core = new ServerCore(fastify, resolved, resolved.authEngine ?? engine)
  const { root } = core.scopes
  declare({
    fastify,
    hook: (line, hook) => { root.add(line as never, hook as never) },
    event: (name, contract, handler) => { core.contracts.declareEvent(root, fastify, name, contract, handler as never) },
    channel: (pattern, contract) => { core.contracts.declareChannel(root, fastify, pattern, contract) }
  })
  await fastify.ready()
  await core.start(engine.resolve())
  t.teardown(async () => {
    core.deadlines.clear()
    core.link.stop()
    await fastify.close()
  })
  const warnings: any[] = []
  core.events.emitter.on('warning', (err: unknown) => { warnings.push(err) })
  let made = 0
  /** A connection whose handshake is to come. */
  const connect = (request?: object): Peer => new Peer(core, fastify, `socket ${++made}`, request)
  /** A client that has shaken hands. */
  const enter = async (request?: object): Promise<Peer> => {
    const peer = connect(request)
    await peer.call('#handshake', {})
    return peer
  }
  return { core, fastify, warnings, connect, enter, context: core.host.context }
}

/** The same on a broker that answers when the test says so. */
export async function setUpManual (t: Test, options: ScPluginOptions = {}, declare?: (declaring: Declaring) => void) {
  const broker = new ManualBroker()
  const set = await setUp(t, { ...options, broker }, declare)
  broker.sink.state('up')
  /** The engine's word for what was asked last. */
  const answer = async (err?: Error): Promise<void> => {
    await turn()
    await turn()
    broker.calls.findLast(({ call }) => call !== 'control')!.answer(err)
    await turn()
  }
  return { ...set, broker, answer }
}

/** The event loop goes on once: whatever waited for promises only has gone on. */
export function turn (): Promise<void> {
  return new Promise((resolve) => { setImmediate(resolve) })
}

/** Something that waits until it is told how to go on. */
export function gate () {
  let open!: () => void
  let fail!: (err: unknown) => void
  const opened = new Promise<void>((resolve, reject) => { open = resolve; fail = reject })
  return { opened, open, fail }
}
