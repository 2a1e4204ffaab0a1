import type { SubscribeRequest } from '../../types/hooks.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { ScServerSocket, SubscriptionOptions } from '../../types/server.js'
import { companionBase } from '../contracts/presence.js'
import { runHooks } from '../lifecycle/run.js'
import type { Session } from '../socket/session.js'
import type { HandlerContext } from './context.js'

/** Whether `waitForAuth`, a hook or a policy decides about the subscription, now and when it is checked again. */
export function isGuarded (options: SubscriptionOptions, resolved: ResolvedChannel): boolean {
  const { route } = resolved
  return options.waitForAuth === true || route.hooks.subscribe.length !== 0 || route.subscribe !== null
}

/** Creates the request that `subscribe` hooks and policies get. */
export function subscribeRequest (session: Session, options: SubscriptionOptions, resolved: ResolvedChannel, expired: Error | undefined, revalidation: boolean): SubscribeRequest<ScServerSocket> {
  const { waitForAuth, data } = options
  // Rules by name hold for a companion as for the channel that it is about.
  const channel = resolved.route.isCompanion ? companionBase(options.channel)! : options.channel
  const request = { socket: session.socket, channel, waitForAuth, data, authTokenExpiredError: expired, revalidation, params: resolved.params }
  return resolved.route.isCompanion ? { ...request, presence: true } : request
}

/** Runs the `subscribe` hooks and the policy of a channel. Throws or rejects with the block. */
export function authorizeSubscription (context: HandlerContext, resolved: ResolvedChannel, request: SubscribeRequest<ScServerSocket>): void | Promise<void> {
  const { route } = resolved
  const running = runHooks('subscribe', route.hooks.subscribe, route.instance, request, context.deadlines.hooks)
  if (route.subscribe === null) return running
  const policy = route.subscribe
  const ask = (): void | Promise<void> => runHooks('subscribe policy', [policy], route.instance, request, context.deadlines.hooks)
  if (running === undefined) return ask()
  return running.then(ask)
}
