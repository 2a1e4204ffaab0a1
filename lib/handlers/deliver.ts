import type { PublishOutRequest } from '../../types/hooks.js'
import type { ScServerSocket } from '../../types/server.js'
import type { Delivery, Subscriber } from '../exchange/hub.js'
import { scError } from '../errors.js'
import { runHooks } from '../lifecycle/run.js'
import { promiseOf } from '../promises.js'
import type { Session } from '../socket/session.js'
import type { SharedMessage } from '../transport/frames.js'
import type { HandlerContext } from './context.js'

/** How often the hooks are asked again because the recipient's claims changed while they decided. */
const maxAsked = 3

/**
 * A publication on its way to one socket whose `publishOut` hooks or `deliver` policy have a say in it. Each recipient has
 * a copy of its own; one that is left as it was goes out as the shared message.
 */
export function deliverThroughHooks (context: HandlerContext, subscriber: Subscriber, delivery: Delivery): void {
  const session = subscriber as Session
  if (session.subscriptions.deliverInOrder(delivery.channel, delivery.json, () => deliver(context, session, delivery, 1))) return
  context.hub.dropped++
  context.host.overrun(session, context.hub.policyOf(delivery.resolved))
}

/** What the hooks of one recipient see. Most of them never look at the data, so it is parsed when one does. */
class OutgoingPublication implements PublishOutRequest<ScServerSocket> {
  useCache?: boolean = false
  readonly #json: string
  #data: unknown
  /** Somebody looked at the data or replaced it. */
  #touched = false

  constructor (readonly socket: ScServerSocket, readonly channel: string, readonly params: Readonly<Record<string, string>>, json: string) {
    this.#json = json
  }

  get data (): any {
    if (!this.#touched) {
      try {
        this.#data = this.#json === '' ? undefined : JSON.parse(this.#json)
      } catch {
        // The parser's own text would quote what was published.
        throw scError('SC_ERR_MESSAGE', [`A publication on "${this.channel}" is no JSON`])
      }
      this.#touched = true
    }
    return this.#data
  }

  set data (data: unknown) {
    this.#data = data
    this.#touched = true
  }

  /** Whether it may be another message now. */
  get touched (): boolean { return this.#touched }
}

/** @param asked how often, with this time */
function deliver (context: HandlerContext, session: Session, delivery: Delivery, asked: number): void | Promise<void> {
  const { channel, json, resolved } = delivery
  const { authToken } = session
  if (session.state !== 'open' || !session.subscriptions.has(channel)) return
  const { route, params } = resolved
  const request = new OutgoingPublication(session.socket, channel, params, json)
  const blocked = (thrown: unknown): void => {
    // Leaving out recipients is what these hooks are for, and there are many.
    context.monitor.denied(session, { line: 'publishOut', thrown, channel, level: 'debug', text: 'publication blocked' })
  }
  const passed = (message: SharedMessage | null): void => { if (message !== null) send(context, session, delivery, message) }
  /** After hooks that took their time: who they said yes to may be somebody else by now, or gone from the channel. */
  const decided = (message: SharedMessage | null): void | Promise<void> => {
    if (message === null || (session.authToken === authToken && session.subscriptions.has(channel))) return passed(message)
    if (asked < maxAsked) return deliver(context, session, delivery, asked + 1)
    context.hub.dropped++
  }
  const stopped = (thrown: unknown): null => {
    blocked(thrown)
    return null
  }
  const personal = (): SharedMessage | null => personalMessage(context, session, delivery, request)
  let message: SharedMessage | null
  try {
    const running = runHooks('publishOut', route.hooks.publishOut, route.instance, request, context.deadlines.hooks)
    if (running !== undefined) return running.then(() => policy(context, delivery, request)).then(personal).catch(stopped).then(decided)
    const deciding = policy(context, delivery, request)
    if (deciding !== undefined) return deciding.then(personal).catch(stopped).then(decided)
    message = personal()
  } catch (err) {
    message = stopped(err)
  }
  passed(message)
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

/** What the hooks and the policy made of a publication; `null` when the recipient is gone. Throws what cannot be encoded. */
function personalMessage (context: HandlerContext, session: Session, delivery: Delivery, request: OutgoingPublication): SharedMessage | null {
  if (session.state !== 'open' || !session.subscriptions.has(delivery.channel)) return null
  // As on every line, `undefined` keeps what was there.
  return request.useCache === true || !request.touched || request.data === undefined ? delivery.message : context.hub.personalMessage(delivery, request.data)
}

function send (context: HandlerContext, session: Session, delivery: Delivery, own: SharedMessage): void {
  // Looked at in the turn in which it is queued: each step before may have been another.
  if (session.state !== 'open' || !session.subscriptions.has(delivery.channel)) return
  const { hub } = context
  if (session.deliver(own, delivery.channel, hub.policyOf(delivery.resolved))) hub.deliveries++
  else hub.dropped++
}
