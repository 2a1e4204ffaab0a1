import type { PublishOutRequest } from '../../types/hooks.js'
import type { ScServerSocket } from '../../types/server.js'
import type { Delivery, Subscriber } from '../exchange/hub.js'
import { toBlock } from '../lifecycle/block.js'
import { runHooks } from '../lifecycle/run.js'
import { writeLine } from '../log.js'
import { promiseOf } from '../promises.js'
import { ServerSocket } from '../socket/socket.js'
import type { HandlerContext } from './context.js'

/** How many publications may wait for the hooks of one recipient. */
const maxPendingDeliveries = 1_024

/**
 * A publication on its way to one socket whose `publishOut` hooks or `deliver` policy have a say in it. Each recipient has
 * a copy of its own; one that is left as it was goes out as the shared message.
 */
export function deliverThroughHooks (context: HandlerContext, subscriber: Subscriber, delivery: Delivery): void {
  const socket = subscriber as ServerSocket
  // Slow hooks must not let a later message overtake an earlier one.
  const { deliveryLanes } = socket
  if (deliveryLanes.pending >= maxPendingDeliveries) {
    context.hub.dropped++
    context.overrun(socket, context.hub.policyOf(delivery.resolved))
    return
  }
  deliveryLanes.run(delivery.channel, () => deliver(context, socket, delivery))
}

function deliver (context: HandlerContext, socket: ServerSocket, delivery: Delivery): void | Promise<void> {
  const { channel, json, resolved } = delivery
  if (socket.state !== 'open' || !socket.subscribed.has(channel)) return
  const { route, params } = resolved
  const request: PublishOutRequest<ScServerSocket> = { socket, channel, data: json === '' ? undefined : JSON.parse(json), useCache: false, params }
  const blocked = (thrown: unknown): void => {
    context.counters.blocked++
    const block = toBlock('publishOut', thrown)
    if (!block.silent && context.host.options.middlewareEmitWarnings) socket.host.fire('warning', block.error)
    writeLine(socket.log, 'debug', 'publication blocked', { line: 'publishOut', channel, err: block.error })
  }
  const passed = (): void => send(context, socket, delivery, request)
  try {
    const running = runHooks('publishOut', route.hooks.publishOut, route.instance, request, context.deadlines.hooks)
    if (running !== undefined) return running.then(() => policy(context, delivery, request)).then(passed).catch(blocked)
    const deciding = policy(context, delivery, request)
    if (deciding !== undefined) return deciding.then(passed).catch(blocked)
    passed()
  } catch (err) {
    blocked(err)
  }
}

/** The channel's own say: throwing leaves this recipient out, a returned value replaces the message. */
function policy (context: HandlerContext, delivery: Delivery, request: PublishOutRequest<ScServerSocket>): void | Promise<void> {
  const { route } = delivery.resolved
  if (route.deliver === null) return
  const decide = route.deliver
  return runHooks('deliver policy', [function (this: unknown, policyRequest) {
    const result = decide.call(route.instance, policyRequest)
    const running = promiseOf(result)
    if (running !== undefined) return running.then((data) => { if (data !== undefined) request.data = data })
    if (result !== undefined) request.data = result
  }], route.instance, request, context.deadlines.hooks)
}

function send (context: HandlerContext, socket: ServerSocket, delivery: Delivery, request: PublishOutRequest<ScServerSocket>): void {
  if (socket.state !== 'open' || !socket.subscribed.has(delivery.channel)) return
  // As on every line, `undefined` keeps what was there.
  const own = request.useCache === true || request.data === undefined ? delivery.message : context.hub.personalMessage(delivery, request.data)
  const { hub } = context
  if (socket.deliver(own, delivery.channel, hub.policyOf(delivery.resolved))) hub.deliveries++
  else hub.dropped++
}
