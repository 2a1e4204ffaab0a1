import { EventEmitter } from 'node:events'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import type { ResolvedOptions } from '../../types/options.js'
import { DeadlineSets, Timed } from '../../lib/deadlines.js'
import { defaultOptions } from '../../lib/index.js'
import { Connections } from '../../lib/server/connections.js'
import { Events } from '../../lib/server/events.js'
import { Monitor } from '../../lib/server/monitor.js'
import type { Session } from '../../lib/socket/session.js'
import type { Holdings } from '../../lib/transport/holdings.js'
import { Clock } from '../helpers/clock.js'

const silent = { isLevelEnabled: () => false } as unknown as FastifyBaseLogger

/** What is made of a websocket, and what was done to it. */
class FakeSession {
  state = 'connecting'
  lastSeen = performance.now()
  readonly did: unknown[] = []
  readonly id: string
  readonly log = silent
  readonly socket = { fake: true }
  readonly fastifyRequest: FastifyRequest
  readonly remoteAddress: string
  readonly subscriptions = { size: 2 }
  heldBytes = 0
  heartbeatSlot = -1
  bufferedAmount = 7
  closing = false
  readonly activity = { isQuiet: true }
  readonly handshake: Timed
  release: (() => void) = () => {}
  closed: Promise<void> = new Promise((resolve) => { this.release = resolve })
  readonly connection = { recount () {}, bufferedBytes: 0, closed: this.closed }

  constructor (id: string, request: FastifyRequest, readonly connections: () => Connections) {
    this.id = id
    this.fastifyRequest = request
    this.remoteAddress = request.ip
    const expire = (): void => this.disconnect(4005)
    const fault = (err: unknown): void => this.fault(err)
    this.handshake = new class extends Timed { expire = expire; fault = fault }()
  }

  opened (): void { this.state = 'open'; this.handshake.cancel() }
  ping (): void { this.did.push('ping') }
  pingTimedOut (): void { this.end(4001) }
  fireLocal (event: string): void { this.did.push(event) }
  disconnect (code: number): void { this.end(code) }
  terminate (): void { this.end(1006) }
  fault (err: unknown): void { this.connections().fault(this as unknown as Session, err) }

  end (code: number): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.did.push(code)
    this.handshake.cancel()
    this.connections().release(this as unknown as Session, code)
    this.connections().gone(this as unknown as Session)
    this.release()
  }
}

function setUp (t: Test, options: Partial<ResolvedOptions> = {}) {
  const clock = new Clock(t)
  const all = { ...defaultOptions, maxTotalBufferedBytes: 0, ...options } as ResolvedOptions
  const emitter = new EventEmitter()
  const events = new Events(emitter, (err) => { throw err })
  const monitor = new Monitor(silent, events, all)
  const deadlines = new DeadlineSets(all)
  const sessions: FakeSession[] = []
  let holdings!: Holdings
  const connections: Connections = new Connections(all, deadlines.handshakes, monitor, events, (_ws, request, held) => {
    holdings = held
    const session = new FakeSession(`socket ${sessions.length}`, request, () => connections)
    sessions.push(session)
    return session as unknown as Session
  })
  const refused: number[] = []
  const accept = (ip = '203.0.113.1'): FakeSession | undefined => {
    const before = sessions.length
    connections.accept({ close: (code) => { refused.push(code) } }, { ip, log: silent } as FastifyRequest)
    return sessions[before]
  }
  const open = (session: FakeSession): void => connections.opened(session as unknown as Session, { id: session.id, pingTimeout: 1, isAuthenticated: false })
  t.teardown(() => connections.drain())
  return { clock, connections, monitor, emitter, accept, open, refused, holdings: () => holdings }
}

t.test('a connection is pending, then open, then gone, and each is told once', async (t) => {
  const { connections, monitor, emitter, accept, open } = setUp(t)
  const told: string[] = []
  for (const event of ['handshake', 'connection']) emitter.on(event, () => { told.push(event) })
  const session = accept()!
  t.match(connections.gauges(), { clients: 0, pendingClients: 1, subscriptions: 2, bufferedBytes: 7 })
  open(session)
  t.match(connections.gauges(), { clients: 1, pendingClients: 0 })
  t.same(told, ['handshake', 'connection'])
  session.end(1000)
  t.match(connections.gauges(), { clients: 0, pendingClients: 0 })
  t.equal(monitor.counters.connects, 1)
  t.same([...monitor.closes], [[1000, 1]])
  t.equal(connections.admission.size, 0, 'nothing is kept of its address')
})

t.test('a handshake that takes too long ends the connection; one that was made does not', async (t) => {
  const { clock, accept, open } = setUp(t, { handshakeTimeout: 1_000, pingTimeoutDisabled: true })
  const late = accept()!
  const inTime = accept()!
  await clock.advance(999)
  open(inTime)
  t.equal(late.state, 'connecting')
  await clock.advance(10_000)
  t.same(late.did, [4005])
  t.equal(inTime.state, 'open')
})

t.test('who is silent is pinged, then ended', async (t) => {
  const { clock, accept, open } = setUp(t, { pingInterval: 1_000, pingTimeout: 3_000 })
  const session = accept()!
  open(session)
  await clock.advance(1_100)
  t.ok(session.did.includes('ping'))
  await clock.advance(5_000)
  t.equal(session.did.at(-1), 4001)
})

t.test('limits are looked at again after the upgrade; what is refused there counts as refused', async (t) => {
  const { connections, monitor, accept, refused } = setUp(t, { maxConnectionsPerIp: 2 })
  const first = accept()!
  accept()
  t.equal(accept(), undefined)
  t.same(refused, [1013])
  t.equal(monitor.counters.refusedConnections, 1)
  t.ok(accept('203.0.113.2'))
  first.end(1000)
  t.ok(accept())
  t.equal(connections.clients.pendingCount, 3)
})

t.test('of an address that crowds the others out, the oldest that has not shaken hands goes', async (t) => {
  const { accept } = setUp(t, { maxPendingHandshakes: 3 })
  const [oldest, ...others] = [accept()!, accept()!, accept()!]
  t.ok(accept('203.0.113.2'))
  t.same(oldest!.did, [1013])
  t.ok(others.every(({ state }) => state === 'connecting'))
})

t.test('whoever holds most makes room, and is told of as a slow consumer', async (t) => {
  const { monitor, accept, open, emitter, holdings } = setUp(t, { maxTotalBufferedBytes: 1_000 })
  const [small, large] = [accept()!, accept()!]
  open(small)
  open(large)
  const slow: unknown[] = []
  emitter.on('slowConsumer', (_socket, info) => { slow.push(info) })
  small.heldBytes = 100
  large.heldBytes = 950
  large.terminate = function () { holdings().add(-950); FakeSession.prototype.terminate.call(this) }
  holdings().add(1_050)
  t.same([small.state, large.state], ['open', 'closed'])
  t.same(slow, [{ bufferedBytes: 950, policy: 'disconnect' }])
  t.equal(monitor.counters.slowConsumers, 1)
})

t.test('a closed socket whose client does not read what waits for it makes room before those that are open', async (t) => {
  const { connections, accept, open, emitter, holdings } = setUp(t, { maxTotalBufferedBytes: 1_000 })
  const [small, closed] = [accept()!, accept()!]
  open(small)
  open(closed)
  emitter.on('slowConsumer', () => { t.fail('nobody is told of a slow socket that is closed') })
  closed.state = 'closed'
  connections.release(closed as unknown as Session, 4001)
  small.heldBytes = 100
  closed.heldBytes = 950
  closed.terminate = function () { holdings().add(-950); this.did.push('terminated') }
  holdings().add(1_050)
  t.strictSame([small.state, closed.did.at(-1)], ['open', 'terminated'])
  connections.gone(closed as unknown as Session)
  closed.did.length = 0
  small.end(1000)
  holdings().add(1_000)
  t.strictSame(closed.did, [], 'one that is gone is forgotten')
})

t.test('a fault ends its socket with 1011, whatever ending it throws', async (t) => {
  const { connections, monitor, accept } = setUp(t)
  const session = accept()!
  session.fault(new Error('x'))
  t.same(session.did, [1011])
  const worse = accept()!
  worse.end = () => { throw new Error('y') }
  let terminated = 0
  worse.terminate = () => { terminated++ }
  connections.fault(worse as unknown as Session, new Error('x'))
  t.equal(terminated, 1)
  t.equal(monitor.counters.faults, 2)
  Reflect.deleteProperty(worse, 'end')
  Reflect.deleteProperty(worse, 'terminate')
})

t.test('a server that closes accepts nobody, and waits for all', async (t) => {
  const { connections, accept, open, refused } = setUp(t)
  const session = accept()!
  open(session)
  const drained = connections.drain()
  t.equal(accept(), undefined)
  t.same(refused, [defaultOptions.closeCode])
  await drained
  t.equal(session.state, 'closed')
  t.match(connections.gauges(), { clients: 0, pendingClients: 0 })
})
