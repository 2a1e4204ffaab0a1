import { scError } from '../errors.js'
import { toBlock } from '../lifecycle/block.js'
import { logHidden, writeLine } from '../log.js'
import { presentError } from '../protocol/wire-errors.js'
import { slices } from '../slices.js'
import type { Session } from '../socket/session.js'
import { Withheld } from '../socket/withheld.js'
import { read } from '../untrusted.js'
import type { HandlerContext } from './context.js'
import { authorizeSubscription, isGuarded, subscribeRequest } from './subscribe.js'

/**
 * Checks every subscription of a socket again because its authorization changed. While a hook takes its time the messages of
 * the channel are held back. What is no longer allowed is taken away, or suspended: withheld until a later check allows it.
 * A thousand subscriptions are checked in slices, so that one socket does not hold up the others.
 */
export function revalidate (context: HandlerContext, session: Session): void {
  const guarded = withhold(context, session)
  const turn = session.authorizations
  let at = 0
  const next = (): boolean => {
    // A change that came meanwhile checks all of them again.
    if (session.state !== 'open' || session.authorizations !== turn) return false
    const channel = guarded[at++]!
    session.lanes.run(channel, () => recheck(context, session, channel, turn), undefined)
    return at < guarded.length
  }
  if (guarded.length > 0) slices.run(session, next)
}

/**
 * Holds back what comes on channels that anybody has a say in: the socket's authorization changed. Checks under way are of no
 * use any more; `revalidate` must follow.
 * @returns the channels
 */
export function withhold (context: HandlerContext, session: Session): string[] {
  const guarded: string[] = []
  if (context.host.options.revalidate === false || session.state !== 'open') return guarded
  session.authorizations++
  for (const options of session.subscribed.values()) {
    const { channel } = options
    if (!isGuarded(options, context.contracts.channel(channel))) continue
    // Nothing may leave that is no longer allowed.
    if (session.withheld?.has(channel) !== true) (session.withheld ??= new Withheld(session.port)).keep(channel)
    guarded.push(channel)
  }
  return guarded
}

/** @param turn of its authorization: what was decided for another one does not count */
function recheck (context: HandlerContext, session: Session, channel: string, turn: number): void | Promise<void> {
  if (session.authorizations !== turn) return
  const options = session.subscribed.get(channel)
  if (session.state !== 'open' || options === undefined) {
    session.withheld?.take(channel)
    return
  }
  const lost = (thrown: unknown): void => { if (session.authorizations === turn) lose(context, session, channel, thrown) }
  const allowed = (): void => { if (session.authorizations === turn) resume(context, session, channel) }
  if (options.waitForAuth === true && session.authState !== 'authenticated') {
    lost(scError('SC_ERR_CHANNEL_AUTH', [channel]))
    return
  }
  const resolved = context.contracts.channel(channel)
  try {
    const running = authorizeSubscription(context, resolved, subscribeRequest(session, options, resolved, undefined, true))
    if (running !== undefined) return running.then(allowed, lost)
  } catch (thrown) {
    lost(thrown)
    return
  }
  allowed()
}

/** Still, or again, allowed: what was held back meanwhile goes out. */
function resume (context: HandlerContext, session: Session, channel: string): void {
  const { withheld } = session
  if (withheld === null) return
  const kept = withheld.take(channel)
  if (withheld.isEmpty) session.withheld = null
  const policy = context.hub.policyOf(context.contracts.channel(channel))
  for (const message of kept) session.deliver(message, channel, policy)
}

function lose (context: HandlerContext, session: Session, channel: string, thrown: unknown): void {
  const { error, origin } = toBlock('subscribe', thrown)
  const shown = presentError(error, origin)
  if (shown === undefined) logHidden(session.log, error, { line: 'subscribe', channel })
  else writeLine(session.log, 'info', 'subscription lost', { channel, err: error })
  if (context.host.options.revalidate === 'suspend') {
    (session.withheld ??= new Withheld(session.port)).suspend(channel)
    return
  }
  const message = typeof shown === 'string' ? shown : read(shown, 'message')
  session.kickOut(channel, typeof message === 'string' ? message : undefined)
}
