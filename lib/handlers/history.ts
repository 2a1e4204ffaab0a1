import type { BrokerPosition, MaybePromise } from '../../types/broker.js'
import type { ScHistoryGap } from '../../types/history.js'
import type { EventPacket } from '../../types/protocol.js'
import type { ResolvedChannel } from '../../types/routes.js'
import { allowedOf } from '../broker/history-from.js'
import { parsePosition } from '../broker/position.js'
import { scError } from '../errors.js'
import { type HistoryQuery, checkedQuery } from '../exchange/history.js'
import { type Page, upTo } from '../exchange/pages.js'
import { withDeadline } from '../lifecycle/run.js'
import { channelNameError, isChannelName } from '../protocol/names.js'
import type { Session } from '../socket/session.js'
import type { KeptSubscription } from '../socket/subscriptions.js'
import { deliveryBytes } from '../socket/waiting-deliveries.js'
import type { HandlerContext, PacketHandler } from './context.js'
import { fail, refuseInvalid } from './error-answers.js'
import { HistoryAnswer } from './history-answer.js'
import { queryLimits } from './history-query.js'
import { HistoryReader } from './history-reader.js'
import { recoveryDelay } from './recovery.js'

/** No channel has this name: the reads of a socket follow each other. */
const queueName = '\u0000history'

/** How often the hooks run again because the authorization of the socket changed meanwhile. */
const maxAttempts = 3

/** `#history`: a client reads messages of a channel with `recover` that it is subscribed to. */
export const handleHistory: PacketHandler = (context, session, packet) => {
  if (session.state !== 'open') {
    refuseInvalid(context, session, packet.cid, scError('SC_ERR_EVENT_NOT_ALLOWED', [packet.event]))
    return
  }
  const { channel, since, limit, reverse } = (packet.data ?? {}) as Record<string, unknown>
  const { maxChannelNameLength } = context.host.options
  if (!isChannelName(channel, maxChannelNameLength)) {
    refuseInvalid(context, session, packet.cid, channelNameError(channel, maxChannelNameLength, '#history'))
    return
  }
  let query: HistoryQuery
  try {
    // From a client, `null` counts as absent.
    query = checkedQuery({ since: since ?? undefined, limit: limit ?? undefined, reverse: reverse ?? undefined }, '#history', queryLimits)
  } catch (err) {
    refuseInvalid(context, session, packet.cid, err as Error)
    return
  }
  const call = new HistoryCall(context, session, packet, channel, query)
  // Not behind a subscription that waits for the broker.
  if (!call.isUp()) return
  // After what the client did on the channel before, and after its other reads.
  session.queue.run(channel, () => session.queue.run(queueName, () => call.run(), packet.data), packet.data)
}

/** One read of a client. */
class HistoryCall {
  readonly #context: HandlerContext
  readonly #session: Session
  readonly #packet: EventPacket
  readonly #channel: string
  readonly #query: HistoryQuery
  readonly #resolved: ResolvedChannel
  /** The subscription of the client when the read began. */
  #subscription: KeptSubscription | undefined

  constructor (context: HandlerContext, session: Session, packet: EventPacket, channel: string, query: HistoryQuery) {
    this.#context = context
    this.#session = session
    this.#packet = packet
    this.#channel = channel
    this.#query = query
    this.#resolved = context.contracts.channel(channel)
  }

  /** Whether the broker is up; if not, the client is told. */
  isUp (): boolean {
    try {
      this.#context.pages.checkUp()
      return true
    } catch (err) {
      this.#failed(err)
      return false
    }
  }

  run (): MaybePromise<void> {
    const channel = this.#channel
    const session = this.#session
    const { hub } = this.#context
    if (session.state !== 'open') return
    this.#subscription = session.subscriptions.get(channel)
    const refusal = this.#refusal() ?? this.#rateExceeded()
    if (refusal !== undefined) return this.#refuse(refusal)
    if (!hub.isHooked(this.#resolved)) return this.#read(null, 1)
    // After the publications that wait for hooks. Later ones wait for this.
    if (!session.deliverInOrder(channel, '', () => this.#read(hub.lastOf(channel), 1))) this.#refuse(this.#noRoom())
  }

  /** Why the client may not read the channel now. */
  #refusal (): Error | undefined {
    const channel = this.#channel
    const { subscriptions } = this.#session
    if (this.#resolved.error !== undefined) return this.#resolved.error
    if (this.#resolved.route.recover === null) return scError('SC_ERR_NO_RECOVER', [channel])
    if (this.#subscription === undefined || subscriptions.get(channel) !== this.#subscription) return scError('SC_ERR_HISTORY_SUBSCRIPTION', [channel])
    if (subscriptions.isWithheld(channel)) return scError('SC_ERR_HISTORY_WITHHELD', [channel])
  }

  #rateExceeded (): Error | undefined {
    const retryAfter = recoveryDelay(this.#session)
    return retryAfter === 0 ? undefined : scError('SC_ERR_HISTORY_RATE', [retryAfter], { retryAfter })
  }

  /** The bytes of the answer. Characters of answers count three times until they are written. */
  get #maxBytes (): number {
    const { maxBufferedBytes } = this.#context.host.options
    const { bytes } = this.#resolved.route.recover!
    return maxBufferedBytes === 0 ? bytes : Math.min(bytes, Math.floor(maxBufferedBytes / 3))
  }

  #noRoom (): Error {
    return scError('SC_ERR_HISTORY_ROOM', [this.#channel])
  }

  /**
   * @param last the last message that the client gets before the answer; `null` for all that are delivered until then
   * @param gap why the messages after the position that the client sent are not read, but the newest ones
   */
  #read (last: BrokerPosition | null, attempt: number, gap: ScHistoryGap | null = null): MaybePromise<void> {
    if (this.#session.state !== 'open') return
    const { since, limit } = this.#query
    const channel = this.#channel
    const position = since === undefined || gap !== null ? null : parsePosition(since)
    const reason = since !== undefined && position === null ? gap ?? 'unknown' : null
    try {
      const running = this.#context.pages.read(channel, position, limit, this.#resolved.route.history!, (page) => this.#use({ ...page, gap: reason ?? page.gap }, last, attempt))
      if (running !== undefined) return running.catch((err: unknown) => this.#failed(err))
    } catch (err) {
      this.#failed(err)
    }
  }

  #use (page: Page, last: BrokerPosition | null, attempt: number): MaybePromise<void> {
    const { since } = this.#query
    const channel = this.#channel
    if (this.#session.state !== 'open') return
    const refusal = this.#refusal()
    if (refusal !== undefined) return this.#refuse(refusal)
    const lag = this.#session.subscriptions.lagOf(channel)
    // What a slow client gets later is not in the answer.
    const end = lag === undefined ? last : lag.position
    if (end === null && lag !== undefined) return this.#refuse(this.#noRoom())
    const { top, entries: read, gap } = end === null ? page : upTo(end, page)
    const entries = allowedOf(read, this.#subscription!.rights)
    if (since !== undefined && (gap === null || gap === 'limit') && entries.length < read.length) return this.#read(last, attempt, 'refused')
    const makeAnswer = (): HistoryAnswer => new HistoryAnswer(this.#maxBytes, since !== undefined && (gap === null || gap === 'limit'))
    const answer = makeAnswer()
    for (const entry of entries) if (!answer.add(entry)) break
    const send = (answer: HistoryAnswer): void => this.#send(answer, top, gap)
    if (!this.#context.hub.isHooked(this.#resolved)) return send(answer)
    return this.#throughHooks(answer, makeAnswer(), send, last, attempt)
  }

  /** Reads messages like their recipient. All of them together have the time of one hook. */
  async #throughHooks ({ messages, isCut }: HistoryAnswer, answer: HistoryAnswer, send: (answer: HistoryAnswer) => void, last: BrokerPosition | null, attempt: number): Promise<void> {
    const channel = this.#channel
    const { authToken, connection, subscriptions } = this.#session
    const { hub, deadlines: { hooks } } = this.#context
    const bytes = messages.reduce((sum, { data }) => sum + deliveryBytes(data.length), 0)
    if (!connection.hasRoom(bytes)) return this.#refuse(this.#noRoom())
    const { turn } = subscriptions
    const reader = new HistoryReader(this.#session, hub, this.#resolved, channel)
    connection.hold(bytes)
    try {
      await withDeadline(reader.read(messages, answer), hooks, () => scError('SC_ERR_HISTORY_TIMEOUT', [channel, hooks.duration]))
    } finally {
      reader.end()
      connection.release(bytes)
    }
    if (this.#session.state !== 'open') return
    const refusal = this.#refusal()
    if (refusal !== undefined) return this.#refuse(refusal)
    answer.isCut ||= isCut
    // The hooks may have decided by other claims than those of now.
    if (turn === subscriptions.turn && authToken === this.#session.authToken) return send(answer)
    if (attempt === maxAttempts) return this.#refuse(scError('SC_ERR_HISTORY_WITHHELD', [channel]))
    return await this.#read(last, attempt + 1)
  }

  #send (answer: HistoryAnswer, top: BrokerPosition, gap: ScHistoryGap | null): void {
    const { since, reverse } = this.#query
    if (!this.#session.connection.hasRoom(answer.bytes)) return this.#refuse(this.#noRoom())
    if (this.#packet.cid !== undefined) this.#session.outbound.jsonAck(this.#packet.cid, answer.text(top, gap, since, reverse))
  }

  #refuse (error: Error): void {
    refuseInvalid(this.#context, this.#session, this.#packet.cid, error)
  }

  #failed (err: unknown): void {
    if (this.#session.state === 'open') fail(this.#context, this.#session, this.#packet.cid, err, 'thrown')
  }
}
