import type { SubscriptionOptions } from '../../types/server.js'
import { toBlock } from '../lifecycle/block.js'
import { isPublicError } from '../protocol/wire-errors.js'
import type { ServerSocket } from '../socket/socket.js'
import type { HandlerContext } from './context.js'
import { authorizeSubscription, subscribeRequest } from './subscribe.js'

/** Checks every subscription of a socket again and kicks it out of those it may no longer have. */
export function revalidate (context: HandlerContext, socket: ServerSocket): void {
  if (!context.host.options.revalidate || socket.state !== 'open') return
  for (const options of [...socket.subscribed.values()]) {
    socket.lanes.run(options.channel, () => recheck(context, socket, options))
  }
}

function recheck (context: HandlerContext, socket: ServerSocket, options: SubscriptionOptions): void | Promise<void> {
  const { channel } = options
  if (socket.state !== 'open' || !socket.subscribed.has(channel)) return
  if (options.waitForAuth === true && socket.authState !== 'authenticated') {
    socket.kickOut(channel, 'The channel needs an authenticated socket')
    return
  }
  const resolved = context.contracts.channel(channel)
  const lost = (thrown: unknown): void => {
    const { error } = toBlock('subscribe', thrown)
    socket.log.info({ channel, err: error }, 'subscription lost')
    const message = typeof error === 'string' ? error : isPublicError(error, 'deliberate') ? (error as { message?: string } | null)?.message : undefined
    socket.kickOut(channel, message)
  }
  try {
    return authorizeSubscription(context, resolved, subscribeRequest(socket, options, resolved, undefined, true))?.catch(lost)
  } catch (thrown) {
    lost(thrown)
  }
}
