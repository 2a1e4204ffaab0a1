import type { BrokerState, MaybePromise } from '../../types/broker.js'
import type { ScPresence, ScPresenceStats, ScSocketPresence } from '../../types/presence.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import { companionBase, companionOf } from '../contracts/presence.js'
import { scError } from '../errors.js'
import { ifRejects } from '../promises.js'
import type { SharedMessage } from '../transport/shared-message.js'
import { Alarms } from './alarms.js'
import { Announcer } from './announcer.js'
import { answerPresence } from './answers.js'
import { memberOf } from './client-messages.js'
import { isPresenceQuery } from './messages.js'
import { type Change, OwnChannel, type OwnChannelPort } from './own-channel.js'
import { dataOf, dataText, keyOf } from './present-user.js'
import { topicOf } from './topics.js'
import { Views, type ViewsPort } from './views.js'

/** Milliseconds for which a user stays when its page was left or loaded anew. */
const reloadDelay = 3_000

/** The part of a session that presence uses. */
export interface PresentSession {
  readonly socket: ScServerSocket
  readonly subscriptions: {
    readonly names: string[]
    has (channel: string): boolean
    isWithheld (channel: string): boolean
  }
}

/** The part of the server that presence uses. */
export interface PresencePort<Session> extends Omit<ViewsPort, 'alarms' | 'own' | 'link'> {
  readonly link: ViewsPort['link'] & { publish (topic: string, data: string): MaybePromise<void> }
  resolve (channel: string): ResolvedChannel
  /** Sends a message to one subscriber of a companion. */
  deliver (session: Session, companion: string, message: SharedMessage): void
  /** Reports an error. @param session the socket for which code of the application ran */
  warn (err: unknown, session?: Session): void
}

/** Who is in the channels that are declared with presence: users, not sockets. */
export class Presence<Session extends PresentSession> {
  readonly #port: PresencePort<Session>
  readonly #alarms: Alarms
  readonly #views: Views
  readonly #announcer: Announcer
  readonly #own = new Map<string, OwnChannel>()
  readonly #ownPort: OwnChannelPort
  /** Channels in which a socket does not want to be present, though it is subscribed. */
  readonly #hidden = new WeakMap<Session, Set<string>>()
  /** Companions of which a socket did not get all messages, because they were suspended. */
  readonly #outdated = new WeakMap<Session, Set<string>>()
  /** Sockets whose token changed in this turn. */
  readonly #changed = new Set<Session>()
  /** The socket that leaves its channels because its connection ended, and the close code. */
  #closing: { readonly session: Session, readonly code: number } | null = null
  #draining = false
  readonly #counts = { joins: 0, leaves: 0 }

  constructor (port: PresencePort<Session>) {
    this.#port = port
    const alarms = this.#alarms = new Alarms((err) => port.warn(err))
    const own = (channel: string): OwnChannel | undefined => this.#own.get(channel)
    const { link } = port
    const views: Views = this.#views = new Views({
      alarms,
      link,
      own,
      cluster: port.cluster,
      get codec () { return port.codec },
      encode: (channel, json) => port.encode(companionOf(channel), json),
      send: (channel, json) => port.send(companionOf(channel), json),
      isObserved: (channel) => port.isObserved(companionOf(channel)),
      tell: (change, channel, member) => port.tell(change, channel, member)
    })
    this.#announcer = new Announcer({
      alarms,
      nodeId: link.node.id,
      own,
      // A delta that is lost is missed by those who get the next one, or at their next check.
      publish: (channel, delta) => ifRejects(link.publish(topicOf(channel), JSON.stringify(delta)), () => {})
    })
    this.#ownPort = {
      alarms,
      stamp: (channel, key) => Math.max(Date.now(), 1 + (views.get(channel)?.newest(key)?.stamp ?? this.#own.get(channel)?.users.get(key)?.stamp ?? 0)),
      whenOthersAreKnown: (leave) => views.whenOthersAreKnown(leave),
      changed: (own, key, change) => this.#userChanged(own, key, change)
    }
  }

  #userChanged (own: OwnChannel, key: string, change: Change): void {
    const { channel } = own
    if (change === 'join') this.#counts.joins++
    else if (change === 'leave') this.#counts.leaves++
    if (own.users.size === 0) this.#own.delete(channel)
    this.#views.get(channel)?.touch([key])
    if (this.#port.link.broker.shared) this.#announcer.changed(channel, key)
  }

  // Sockets

  /** Call when a socket subscribed to a channel with presence, or to a companion. */
  subscribed (session: Session, channel: string, resolved: ResolvedChannel): void {
    if (!session.subscriptions.has(channel)) return
    if (resolved.route.isCompanion) this.#showFirst(session, channel)
    else if (!session.subscriptions.isWithheld(channel)) this.#enter(session, channel, resolved)
  }

  #showFirst (session: Session, companion: string): void {
    const view = this.#views.get(companionBase(companion)!)
    if (view !== undefined) this.#port.deliver(session, companion, view.first)
  }

  /** Makes a socket present, or takes it out if it has no user. */
  #enter (session: Session, channel: string, resolved: ResolvedChannel): void {
    if (this.#hidden.get(session)?.has(channel) === true) return
    let key: string | null = null
    let declared = ''
    try {
      key = keyOf(session.socket, channel, resolved)
      if (key !== null) declared = dataOf(session.socket, channel, resolved)
    } catch (err) {
      this.#port.warn(err, session)
      key = null
    }
    if (key === null) {
      this.#own.get(channel)?.exit(session, 0)
      return
    }
    const own = this.#own.get(channel) ?? new OwnChannel(channel, this.#ownPort)
    own.enter(session, key, declared)
    // Set afterwards: when the socket was the only one, and has another user now, the channel was empty for a moment.
    this.#own.set(channel, own)
  }

  /** Call when a socket left a channel with presence. */
  left (session: Session, channel: string, resolved: ResolvedChannel): void {
    this.#hidden.get(session)?.delete(channel)
    const own = this.#own.get(channel)
    if (own === undefined) return
    const closing = this.#closing
    if (closing?.session !== session) own.exit(session, 0)
    // The users of a server that closes are back at another one soon, and its other nodes keep them so long.
    else if (!this.#draining) own.exit(session, delayAfter(closing.code, resolved.route.presence!.leaveDelay))
  }

  /** Runs `leaveAll`, in which a closed socket leaves its channels. */
  closed (session: Session, code: number, leaveAll: () => void): void {
    const before = this.#closing
    this.#closing = { session, code }
    try {
      leaveAll()
    } finally {
      this.#closing = before
    }
  }

  /** Call when the token of a socket changed. Its user may be another one. */
  tokenChanged (session: Session): void {
    // At the end of the turn it is known which channels are withheld until hooks decided.
    if (this.#changed.size === 0) queueMicrotask(() => this.#enterAgain())
    this.#changed.add(session)
  }

  #enterAgain (): void {
    const sessions = [...this.#changed]
    this.#changed.clear()
    for (const session of sessions) {
      for (const channel of session.subscriptions.names) {
        const resolved = this.#port.resolve(channel)
        if (resolved.route.presence !== null && !session.subscriptions.isWithheld(channel)) this.#enter(session, channel, resolved)
      }
    }
  }

  /** Call when a subscription that was checked again is allowed. */
  resumed (session: Session, channel: string, resolved: ResolvedChannel): void {
    if (resolved.route.presence !== null) this.#enter(session, channel, resolved)
    // What changed while it was suspended was not sent.
    else if (this.#outdated.get(session)?.delete(channel) === true) this.#showFirst(session, channel)
  }

  /** Call when a subscription is suspended: it gets nothing until a later check allows it. */
  suspended (session: Session, channel: string, resolved: ResolvedChannel): void {
    const { presence } = resolved.route
    if (presence === null) {
      this.#outdated.set(session, (this.#outdated.get(session) ?? new Set()).add(channel))
      return
    }
    let key: string | null = null
    try {
      key = keyOf(session.socket, channel, resolved)
    } catch {
      // Whoever has no key is gone.
    }
    this.#own.get(channel)?.exit(session, key === null ? 0 : presence.leaveDelay)
  }

  /** Returns the presence of a socket in a channel, for applications. */
  of (session: Session, channel: string): ScSocketPresence {
    return {
      update: (data) => {
        const resolved = this.#port.resolve(channel)
        if (resolved.route.presence === null || !session.subscriptions.has(channel)) throw scError('SC_ERR_NOT_PRESENT', [channel])
        this.update(session, channel, resolved, dataText(data))
      },
      leave: () => {
        if (this.#port.resolve(channel).route.presence === null || !session.subscriptions.has(channel)) return
        const hidden = this.#hidden.get(session) ?? new Set()
        this.#hidden.set(session, hidden.add(channel))
        this.#own.get(channel)?.exit(session, 0)
      }
    }
  }

  /** Sets the data of a socket's user. @throws InvalidActionError if the socket has no user */
  update (session: Session, channel: string, resolved: ResolvedChannel, json: string): void {
    this.#hidden.get(session)?.delete(channel)
    if (this.#own.get(channel)?.keyOf(session) === undefined && !session.subscriptions.isWithheld(channel)) this.#enter(session, channel, resolved)
    const own = this.#own.get(channel)
    const key = own?.keyOf(session)
    if (own === undefined || key === undefined) throw scError('SC_ERR_NOT_PRESENT', [channel])
    own.update(key, json)
  }

  // The server

  /** Reads who is in a channel. Rejects with a BrokerError when that is not known and the engine is down. */
  async read (channel: string): Promise<ScPresence> {
    const { presence } = this.#port.resolve(channel).route
    if (presence === null) throw scError('SC_ERR_NO_PRESENCE', [channel])
    return await this.#views.read(channel, presence, (view) => {
      const members = [...view.users].map(([key, json]) => memberOf(key, json))
      return { members, total: members.length, complete: this.#views.isComplete(channel) }
    })
  }

  /** Call when a companion gets its first subscriber at this node. Settles when it can be shown who is there. */
  hold (companion: string): MaybePromise<void> {
    const channel = companionBase(companion)!
    return this.#views.hold(channel, this.#port.resolve(channel).route.presence!)
  }

  /** Call when a companion lost its last subscriber at this node. */
  release (companion: string): void {
    this.#views.release(companionBase(companion)!)
  }

  stats (): ScPresenceStats {
    const { joins, leaves } = this.#counts
    return { channels: this.#own.size, members: joins - leaves, joins, leaves }
  }

  // Other nodes

  publication (topic: string, text: string): void { this.#views.publication(topic, text) }
  brokerState (state: BrokerState): void { this.#views.brokerState(state) }
  gap (topic: string | null): void { this.#views.gap(topic) }
  nodes (): void { this.#views.nodes() }
  nodeGone (node: string, silence: number): void { this.#views.gone(node, silence) }

  /** Answers a question of another node; `undefined` if it is not one about presence. */
  answer (query: unknown): unknown {
    if (!isPresenceQuery(query)) return undefined
    return answerPresence(query, { announcer: this.#announcer, own: (channel) => this.#own.get(channel), gone: (channel) => this.#views.get(channel)?.goneNodes ?? [] })
  }

  /** Call when the server begins to close: users whose connections end from now on do not leave. */
  drain (): void {
    this.#draining = true
    this.#announcer.flush()
  }

  stop (): void {
    this.#announcer.flush()
    this.#alarms.stop()
  }
}

/** Milliseconds for which a user stays after its last connection was closed with a code. */
function delayAfter (code: number, leaveDelay: number): number {
  // Clients do not come back by themselves after 1000, and after 4500 and higher.
  if (code === 1000 || code >= 4500) return 0
  return code === 1001 ? Math.min(reloadDelay, leaveDelay) : leaveDelay
}
