import type { ResolvedChannel } from '../../types/routes.js'
import { scError } from '../errors.js'
import { decide } from '../lifecycle/run.js'
import { slices } from '../slices.js'
import type { Session } from '../socket/session.js'
import { read } from '../untrusted.js'
import { authorizeSubscription, isGuarded, subscribeRequest } from './authorization.js'
import type { HandlerContext } from './context.js'
import { rightsAfterCheck } from './history-rights.js'
import { concernsPresence } from './subscribe.js'

/**
 * Checks every guarded subscription of a socket again because its authorization changed. Messages of a channel are withheld while
 * its hooks run. A subscription that is no longer allowed is removed, or suspended: its messages are dropped until a later check
 * allows it. Many subscriptions are checked in slices, so that one socket does not delay the others.
 */
export function revalidate (context: HandlerContext, session: Session): void {
  const guarded = withhold(context, session)
  const turn = session.subscriptions.turn
  let at = 0
  const next = (): boolean => {
    // A newer change of the authorization checks all subscriptions again.
    if (session.state !== 'open' || session.subscriptions.turn !== turn) return false
    const channel = guarded[at++]!
    session.queue.run(channel, () => recheck(context, session, channel, turn), undefined)
    return at < guarded.length
  }
  if (guarded.length > 0) slices.run(session, next)
}

/**
 * Withholds messages of all guarded channels because the authorization of the socket changed. Checks under way become stale;
 * `revalidate` must follow.
 * @returns the guarded channels
 */
export function withhold (context: HandlerContext, session: Session): string[] {
  if (context.host.options.revalidate === false || session.state !== 'open') return []
  return session.subscriptions.withhold((options) => isGuarded(options, context.contracts.channel(options.channel)))
}

/** Checks one subscription again. @param turn the turn of the check; a decision of an older turn is ignored */
function recheck (context: HandlerContext, session: Session, channel: string, turn: number): void | Promise<void> {
  if (session.subscriptions.turn !== turn) return
  const options = session.subscriptions.get(channel)
  if (options === undefined) return
  const resolved = context.contracts.channel(channel)
  /**
   * Whether the decision still applies: the server may have removed the subscription meanwhile, and a new one is checked by
   * itself.
   */
  const counts = (): boolean => session.subscriptions.turn === turn && session.subscriptions.get(channel) === options
  const lost = (thrown: unknown): void => { if (counts()) lose(context, session, channel, resolved, thrown) }
  const request = subscribeRequest(session, options, resolved, undefined, true)
  const allowed = (): void => {
    if (!counts()) return
    if (options.rights !== undefined) {
      try {
        options.rights = rightsAfterCheck(request, options.rights, session.subscriptions.isSuspended(channel), context.hub.lastOf(channel))
      } catch (err) {
        lost(err)
        return
      }
    }
    session.subscriptions.resume(channel, context.hub.policyOf(resolved))
    if (concernsPresence(resolved)) context.presence.resumed(session, channel, resolved)
  }
  if (options.waitForAuth === true && session.auth.state !== 'authenticated') {
    lost(scError('SC_ERR_CHANNEL_AUTH', [channel]))
    return
  }
  return decide(() => authorizeSubscription(context, resolved, request), allowed, lost)
}

function lose (context: HandlerContext, session: Session, channel: string, resolved: ResolvedChannel, thrown: unknown): void {
  const { shown } = context.monitor.denied(session, { line: 'subscribe', thrown, channel, text: 'subscription lost', warns: false })
  if (context.host.options.revalidate === 'suspend') {
    session.subscriptions.suspend(channel)
    if (concernsPresence(resolved)) context.presence.suspended(session, channel, resolved)
    return
  }
  const message = typeof shown === 'string' ? shown : read(shown, 'message')
  session.kickOut(channel, typeof message === 'string' ? message : undefined)
}
