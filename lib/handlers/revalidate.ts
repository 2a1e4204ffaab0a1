import { scError } from '../errors.js'
import { toBlock } from '../lifecycle/block.js'
import { logHidden, writeLine } from '../log.js'
import { presentError } from '../protocol/wire-errors.js'
import { slices } from '../slices.js'
import type { ServerSocket } from '../socket/socket.js'
import { Withheld } from '../socket/withheld.js'
import { read } from '../untrusted.js'
import type { HandlerContext } from './context.js'
import { authorizeSubscription, isGuarded, subscribeRequest } from './subscribe.js'

/**
 * Checks every subscription of a socket again because its authorization changed. While a hook takes its time the messages of
 * the channel are held back. What is no longer allowed is taken away, or suspended: withheld until a later check allows it.
 * A thousand subscriptions are checked in slices, so that one socket does not hold up the others.
 */
export function revalidate (context: HandlerContext, socket: ServerSocket): void {
  const guarded = withhold(context, socket)
  const turn = socket.authorizations
  let at = 0
  const next = (): boolean => {
    // A change that came meanwhile checks all of them again.
    if (socket.state !== 'open' || socket.authorizations !== turn) return false
    const channel = guarded[at++]!
    socket.lanes.run(channel, () => recheck(context, socket, channel, turn), undefined)
    return at < guarded.length
  }
  if (guarded.length > 0) slices.run(socket, next)
}

/**
 * Holds back what comes on channels that anybody has a say in: the socket's authorization changed. Checks under way are of no
 * use any more; `revalidate` must follow.
 * @returns the channels
 */
export function withhold (context: HandlerContext, socket: ServerSocket): string[] {
  const guarded: string[] = []
  if (context.host.options.revalidate === false || socket.state !== 'open') return guarded
  socket.authorizations++
  for (const options of socket.subscribed.values()) {
    const { channel } = options
    if (!isGuarded(options, context.contracts.channel(channel))) continue
    // Nothing may leave that is no longer allowed.
    if (socket.withheld?.has(channel) !== true) (socket.withheld ??= new Withheld(socket.port)).keep(channel)
    guarded.push(channel)
  }
  return guarded
}

/** @param turn of its authorization: what was decided for another one does not count */
function recheck (context: HandlerContext, socket: ServerSocket, channel: string, turn: number): void | Promise<void> {
  if (socket.authorizations !== turn) return
  const options = socket.subscribed.get(channel)
  if (socket.state !== 'open' || options === undefined) {
    socket.withheld?.take(channel)
    return
  }
  const lost = (thrown: unknown): void => { if (socket.authorizations === turn) lose(context, socket, channel, thrown) }
  const allowed = (): void => { if (socket.authorizations === turn) resume(context, socket, channel) }
  if (options.waitForAuth === true && socket.authState !== 'authenticated') {
    lost(scError('SC_ERR_CHANNEL_AUTH', [channel]))
    return
  }
  const resolved = context.contracts.channel(channel)
  try {
    const running = authorizeSubscription(context, resolved, subscribeRequest(socket, options, resolved, undefined, true))
    if (running !== undefined) return running.then(allowed, lost)
  } catch (thrown) {
    lost(thrown)
    return
  }
  allowed()
}

/** Still, or again, allowed: what was held back meanwhile goes out. */
function resume (context: HandlerContext, socket: ServerSocket, channel: string): void {
  const { withheld } = socket
  if (withheld === null) return
  const kept = withheld.take(channel)
  if (withheld.isEmpty) socket.withheld = null
  const policy = context.hub.policyOf(context.contracts.channel(channel))
  for (const message of kept) socket.deliver(message, channel, policy)
}

function lose (context: HandlerContext, socket: ServerSocket, channel: string, thrown: unknown): void {
  const { error, origin } = toBlock('subscribe', thrown)
  const shown = presentError(error, origin)
  if (shown === undefined) logHidden(socket.log, error, { line: 'subscribe', channel })
  else writeLine(socket.log, 'info', 'subscription lost', { channel, err: error })
  if (context.host.options.revalidate === 'suspend') {
    (socket.withheld ??= new Withheld(socket.port)).suspend(channel)
    return
  }
  const message = typeof shown === 'string' ? shown : read(shown, 'message')
  socket.kickOut(channel, typeof message === 'string' ? message : undefined)
}
