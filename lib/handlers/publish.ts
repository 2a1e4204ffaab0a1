import type { ScChannelContext } from '../../types/contracts.js'
import type { EventPacket } from '../../types/protocol.js'
import type { PublishInRequest } from '../../types/hooks.js'
import type { Checked, HookLists, ResolvedChannel } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import { scError } from '../errors.js'
import { decide, runHooks } from '../lifecycle/run.js'
import { channelNameError, isChannelName } from '../protocol/names.js'
import type { Session } from '../socket/session.js'
import type { HandlerContext, PacketHandler } from './context.js'
import { fail, refuseBlocked, refuseInvalid } from './error-answers.js'

/**
 * `#publish`: `publishIn` hooks → message schema → publish policy of the channel → exchange → ack → `#publish` event of the
 * socket.
 */
export const handlePublish: PacketHandler = (context, session, packet, expired) => {
  const { allowClientPublish } = context.host.options
  if (!allowClientPublish) {
    refuseInvalid(context, session, packet.cid, scError('SC_ERR_PUBLISH_DISABLED'))
    return
  }
  if (session.state !== 'open') {
    refuseInvalid(context, session, packet.cid, scError('SC_ERR_EVENT_NOT_ALLOWED', [packet.event]))
    return
  }
  const { channel, data } = (packet.data ?? {}) as { channel?: unknown, data?: unknown }
  if (!isLegalName(context, session, packet, channel)) return
  const run = new PublishRun(context, session, packet, expired, channel, data)
  session.queue.run(channel, () => run.begin(), data)
}

type PublishInHook = HookLists['publishIn'][number]

const noHooks: readonly PublishInHook[] = []

function isLegalName (context: HandlerContext, session: Session, packet: EventPacket, channel: unknown): channel is string {
  const { maxChannelNameLength } = context.host.options
  if (isChannelName(channel, maxChannelNameLength)) return true
  refuseInvalid(context, session, packet.cid, channelNameError(channel, maxChannelNameLength, '#publish'))
  return false
}

/**
 * One publication of a client on its way to the exchange. Each step calls the next one at once, or returns a promise of all
 * remaining steps.
 */
class PublishRun {
  /** The current channel, resolved. */
  resolved!: ResolvedChannel
  ackData: unknown = undefined
  /** The hooks that have already run for the message. */
  ran: readonly PublishInHook[] = noHooks
  /** Whether the publish policy of the channel has run. */
  asked = false

  constructor (
    readonly context: HandlerContext,
    readonly session: Session,
    readonly packet: EventPacket,
    readonly expired: Error | undefined,
    public channel: string,
    public data: unknown
  ) {}

  /**
   * Checks whether the message may be published to the channel that the client named, or to which a hook redirected it. Either
   * way all rules of the channel apply and all hooks of its context run, each once.
   */
  begin (): void | Promise<void> {
    const { context, session, channel, ran } = this
    if (session.state !== 'open') return
    const resolved = this.resolved = context.contracts.channel(channel)
    const { route } = resolved
    const refusal = resolved.error ?? (route.clientPublish ? undefined : scError('SC_ERR_CHANNEL_REFUSED', ['publish to', channel]))
    if (refusal !== undefined) {
      refuseInvalid(context, session, this.packet.cid, refusal)
      return
    }
    const hooks = ran.length === 0 ? route.hooks.publishIn : route.hooks.publishIn.filter((hook) => !ran.includes(hook))
    return hooks.length === 0 ? this.validate() : this.askHooks(hooks)
  }

  askHooks (hooks: readonly PublishInHook[]): void | Promise<void> {
    const { context, session, channel, data, ackData, resolved: { route, params } } = this
    const request: PublishInRequest<ScServerSocket> = { socket: session.socket, channel, data, ackData, authTokenExpiredError: this.expired, params }
    return decide(() => runHooks('publishIn', hooks, route.instance, request, context.deadlines.hooks), () => {
      this.ackData = request.ackData
      if (request.data !== undefined) this.data = request.data
      if (request.channel === channel) return this.validate()
      if (!isLegalName(context, session, this.packet, request.channel)) return
      this.channel = request.channel
      this.ran = [...this.ran, ...hooks]
      return this.begin()
    }, (thrown) => this.blocked(thrown, request.ackData))
  }

  validate (): void | Promise<void> {
    const { validateMessage } = this.resolved.route
    if (validateMessage === null) return this.askPolicy()
    const checked = validateMessage(this.data)
    if (checked instanceof Promise) return checked.then((result) => this.validated(result))
    return this.validated(checked)
  }

  validated (checked: Checked): void | Promise<void> {
    if (checked.error !== undefined) {
      refuseInvalid(this.context, this.session, this.packet.cid, checked.error)
      return
    }
    this.data = checked.value
    return this.askPolicy()
  }

  askPolicy (): void | Promise<void> {
    const { context, session, channel, data, resolved: { route, params } } = this
    const policy = route.publish
    if (policy === null || this.asked) return this.send()
    this.asked = true
    const request: ScChannelContext = { socket: session.socket, channel, params, data }
    return decide(() => runHooks('publish policy', [policy], route.instance, request, context.deadlines.hooks), () => {
      if (request.data === data) return this.send()
      // A message that the policy assigned is not validated yet.
      this.data = request.data
      return this.validate()
    }, (thrown) => this.blocked(thrown, this.ackData))
  }

  blocked (thrown: unknown, ackData: unknown): void {
    refuseBlocked(this.context, this.session, this.packet.cid, { line: 'publishIn', thrown, channel: this.channel }, ackData)
  }

  send (): void | Promise<void> {
    if (this.session.state !== 'open') return
    let published: void | Promise<void>
    try {
      published = this.context.exchange.publishChecked(this.channel, this.data, this.resolved.route.history)
    } catch (err) {
      this.failed(err)
      return
    }
    if (published !== undefined) return published.then(() => this.accepted(), (err: unknown) => this.failed(err))
    this.accepted()
  }

  failed (err: unknown): void {
    fail(this.context, this.session, this.packet.cid, err, 'thrown', undefined, this.ackData)
  }

  accepted (): void {
    const { session, packet, channel, data, ackData } = this
    if (packet.cid !== undefined) session.outbound.ack(packet.cid, ackData)
    if (!session.hasListeners('#publish')) return
    session.fireWire('#publish', { channel, data })
  }
}
