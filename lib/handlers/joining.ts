import type { MaybePromise } from '../../types/broker.js'
import type { CallId } from '../../types/protocol.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { SubscriptionOptions } from '../../types/server.js'
import type { HistoryRights } from '../broker/history-from.js'
import { scError } from '../errors.js'
import type { Found } from '../exchange/preparation.js'
import type { PendingSubscription } from '../socket/pending-subscriptions.js'
import type { Session } from '../socket/session.js'
import { authorizeSubscription, isGuarded, subscribeRequest } from './authorization.js'
import type { BrokerWait } from './broker-waits.js'
import type { HandlerContext } from './context.js'
import { rightsOf } from './history-rights.js'
import { type HistoryRequest, refusalOf } from './recovery.js'

/** How often hooks are asked again before a subscription begins, because the authorization of the socket changed meanwhile. */
const maxAskedAgain = 2

/** A subscription that is being processed. */
export interface Joining extends PendingSubscription {
  readonly cid: CallId | undefined
  readonly options: SubscriptionOptions
  /** The position of the last message that the client has. */
  readonly since: string | undefined
  /** The number of last messages that the client wants, not checked. */
  readonly rewind: unknown
  /** What the client may have of the history of a channel with `recover`. */
  rights: HistoryRights
  /** What it asks for of that history; null on other channels. */
  request: HistoryRequest | null
  /** What was found in it; null if nothing can be read. */
  found: Found | null
  /** The turn of the session's subscriptions when the hooks were called. */
  turn: number
  /** How often they were asked again. */
  askedAgain: number
  /** The wait for the broker; null while it does not wait. */
  wait: BrokerWait | null
  /** Whether it was refused before it was decided. */
  isOver: boolean
}

/** Why a subscription does not begin: what hooks threw when they were asked again, or a limit that it exceeds. */
export class Refused {
  constructor (readonly reason: unknown, readonly isLimit = false) {}
}

/** Asks hooks and the policy, and notes what they decided. Throws or rejects with the block. */
export function authorize (context: HandlerContext, session: Session, joining: Joining, resolved: ResolvedChannel, expired: Error | undefined): MaybePromise<void> {
  const { options, since } = joining
  const { recover } = resolved.route
  const request = subscribeRequest(session, options, resolved, expired, false)
  if (recover !== null) Object.assign(request, { since, recover: true })
  joining.turn = session.subscriptions.turn
  const passed = (): void => {
    if (joining.isOver) return
    // The data that a hook assigned are stored too.
    if (request.data !== undefined) options.data = request.data
    if (recover === null) return
    joining.rights = rightsOf(request, null)
    joining.request = historyRequest(session, joining, recover.rewind)
  }
  const running = authorizeSubscription(context, resolved, request)
  if (running !== undefined) return running.then(passed)
  passed()
}

/**
 * Asks hooks and the policy again, because the authorization of the socket changed before the subscription began. When it changes
 * each time, the subscription begins withheld and is checked like others.
 * @returns whether they passed it; `undefined` when they need not be asked
 */
export function authorizeAgain (context: HandlerContext, session: Session, joining: Joining, resolved: ResolvedChannel): true | undefined | Promise<void> {
  const { options } = joining
  if (joining.turn === session.subscriptions.turn || joining.askedAgain === maxAskedAgain || !isGuarded(options, resolved)) return
  joining.askedAgain++
  try {
    if (options.waitForAuth === true && session.auth.state !== 'authenticated') throw scError('SC_ERR_CHANNEL_AUTH', [options.channel])
    const running = authorize(context, session, joining, resolved, undefined)
    if (running === undefined) return true
    return running.catch((thrown: unknown) => { throw new Refused(thrown) })
  } catch (thrown) {
    throw new Refused(thrown)
  }
}

/** What a client asks for of the history. Takes one of its recoveries if something has to be read. @param declared the channel's `rewind` */
function historyRequest (session: Session, { since, rewind, rights }: Joining, declared: number): HistoryRequest {
  const wanted = rewind as number | null | undefined ?? declared
  const isReading = since !== undefined || wanted !== 0
  return { since, rewind: wanted, refusal: isReading ? refusalOf(session, rights !== 'none') : null, from: rights === 'none' ? null : rights }
}
