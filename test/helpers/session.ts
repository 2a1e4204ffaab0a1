import { Deadlines } from '../../lib/deadlines.js'
import { jsonCodec } from '../../lib/protocol/codec.js'
import { createSession } from '../../lib/socket/socket.js'
import type { Session } from '../../lib/socket/session.js'

const defaults = {
  protocolVersion: 'auto',
  inboundQueue: 0,
  inboundQueueBytes: 0,
  strictHandshake: true,
  pubSubBatchDuration: null,
  hookTimeout: 100,
  handlerTimeout: 100,
  pingTimeout: 100,
  inboundRate: 0,
  inboundBurst: 10,
  inboundByteRate: 0,
  inboundByteBurst: 1_000,
  maxPayload: 1_000,
  socketChannelLimit: 0,
  maxDepth: 10,
  maxNodes: 100,
  maxKeys: 50,
  maxBatchItems: 1_000,
  maxEventNameLength: 20
}

/** Creates a session and its socket without a server and a connection, and records its calls to them in order. */
export function lonelySession (options: Record<string, unknown> = {}, { open = true, codec = jsonCodec, request = {} }: { open?: boolean, codec?: typeof jsonCodec, request?: object } = {}) {
  const log: unknown[] = []
  const sent: any[] = []
  const faults: unknown[] = []
  const warnings: any[] = []
  const connection = {
    bufferedBytes: 0,
    queuedMessages: 0,
    compressed: false,
    holdings: { total: 0, add (bytes: number) { this.total += bytes } },
    send (data: unknown) { sent.push(data) },
    publish (message: { data: unknown }, channel: string, policy: string) { log.push(['publish', channel, message.data, policy]); return true },
    takeLatest: () => undefined,
    hold () {},
    release () {},
    hasRoom: () => true,
    close (code: number, reason: string) { log.push(['connection closed', code, reason]) },
    terminate () { log.push('terminated') },
    pause () { log.push('pause') },
    resume () { log.push('resume') }
  }
  const host = {
    server: { name: 'the server' },
    exchange: { name: 'the exchange' },
    hub: { serial: 0, leave (channel: string) { log.push(`hub leave ${channel}`) } },
    codec,
    plainJson: codec === jsonCodec,
    options: { ...defaults, ...options },
    ackDeadlines: new Deadlines(0),
    fire (event: string, socket: unknown, ...args: unknown[]) { log.push([event, socket === session.socket, ...args]) },
    warn (err: unknown, _log: unknown, kind?: string) { warnings.push(err); if (kind !== undefined) log.push(`warning of kind ${kind}`) },
    hears: () => true,
    fault (_session: unknown, err: unknown) { faults.push(err) },
    setAuthToken: async (_session: Session, claims: object, signOptions: object): Promise<Error | null> => { log.push(['set token', claims, signOptions]); return null },
    tokenChanged () {},
    withhold () {},
    revalidate () { log.push('revalidate') },
    overrun (_session: unknown, policy: string) { log.push(`overrun ${policy}`) },
    release (_session: unknown, code: number) { log.push(`released with ${code}`) }
  }
  const children: object[] = []
  const fastifyRequest = {
    ip: '192.0.2.1',
    log: { child (fields: object) { children.push(fields); return { fields } } },
    raw: { headers: {}, socket: { remoteFamily: 'IPv4', remotePort: 4321 } },
    ...request
  }
  const session: Session = createSession('an id', host as never, connection as never, fastifyRequest as never)
  if (open) session.opened()
  return {
    session,
    socket: session.socket,
    connection,
    host,
    request: fastifyRequest,
    log,
    sent,
    faults,
    warnings,
    children,
    take: () => log.splice(0),
    /** Returns the packets sent since the last call. */
    packets: () => sent.splice(0).map((data) => JSON.parse(String(data)))
  }
}
