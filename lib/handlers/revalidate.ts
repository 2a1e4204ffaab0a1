import { scError } from '../errors.js'
import { decide } from '../lifecycle/run.js'
import { slices } from '../slices.js'
import type { Session } from '../socket/session.js'
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
  const turn = session.subscriptions.turn
  let at = 0
  const next = (): boolean => {
    // A change that came meanwhile checks all of them again.
    if (session.state !== 'open' || session.subscriptions.turn !== turn) return false
    const channel = guarded[at++]!
    session.queue.run(channel, () => recheck(context, session, channel, turn), undefined)
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
  if (context.host.options.revalidate === false || session.state !== 'open') return []
  return session.subscriptions.withhold((options) => isGuarded(options, context.contracts.channel(options.channel)))
}

/** @param turn of its authorization: what was decided for another one does not count */
function recheck (context: HandlerContext, session: Session, channel: string, turn: number): void | Promise<void> {
  if (session.subscriptions.turn !== turn) return
  const options = session.subscriptions.get(channel)
  if (options === undefined) return
  const resolved = context.contracts.channel(channel)
  /** The server may have taken it away while hooks took their time: one that comes later is another one. */
  const counts = (): boolean => session.subscriptions.turn === turn && session.subscriptions.get(channel) === options
  const lost = (thrown: unknown): void => { if (counts()) lose(context, session, channel, thrown) }
  const allowed = (): void => { if (counts()) session.subscriptions.resume(channel, context.hub.policyOf(resolved)) }
  if (options.waitForAuth === true && session.auth.state !== 'authenticated') {
    lost(scError('SC_ERR_CHANNEL_AUTH', [channel]))
    return
  }
  return decide(() => authorizeSubscription(context, resolved, subscribeRequest(session, options, resolved, undefined, true)), allowed, lost)
}

function lose (context: HandlerContext, session: Session, channel: string, thrown: unknown): void {
  const { shown } = context.monitor.denied(session, { line: 'subscribe', thrown, channel, text: 'subscription lost', warns: false })
  if (context.host.options.revalidate === 'suspend') {
    session.subscriptions.suspend(channel)
    return
  }
  const message = typeof shown === 'string' ? shown : read(shown, 'message')
  session.kickOut(channel, typeof message === 'string' ? message : undefined)
}
