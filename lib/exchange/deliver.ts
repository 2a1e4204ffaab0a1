import type { PublishOutRequest } from '../../types/hooks.js'
import type { SlowConsumerPolicy } from '../../types/options.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import type { Guarded } from '../barrier.js'
import type { Deadlines } from '../deadlines.js'
import { scError } from '../errors.js'
import { runHooks } from '../lifecycle/run.js'
import { promiseOf } from '../promises.js'
import type { SharedMessage } from '../transport/shared-message.js'

/** How often the hooks are asked again because the recipient's claims changed while they decided. */
const maxAsked = 3

/** A session, as a channel sees it. */
export interface Subscriber extends Guarded {
  /** What hooks see of it. */
  readonly socket: ScServerSocket
  /** Who it is. When that changes while hooks take their time, they are asked again. */
  readonly authToken: object | null
  /** Whether publications of a channel are for it: it is open, and in the channel. */
  receives (channel: string): boolean
  /** Queues a publication; false when it was left out. */
  deliver (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): boolean
  /** Delivers after what waits for the hooks of the same channel, which keeps `json`; false when too much waits. */
  deliverInOrder (channel: string, json: string, deliver: () => void | Promise<void>): boolean
  /** It was too slow for what is not even queued. */
  overrun (policy: SlowConsumerPolicy): void
}

/** A publication on its way to one subscriber after the other. */
export interface Delivery {
  readonly channel: string
  /** The message as JSON text, empty for `undefined`. */
  readonly json: string
  /** The text of its position in the channel's history; empty where clients get none. */
  readonly position: string
  readonly resolved: ResolvedChannel
  readonly policy: SlowConsumerPolicy
  /** What all get who get it unchanged. */
  readonly message: SharedMessage
}

/** What a delivery through hooks needs of the hub. */
export interface DeliveryDesk {
  readonly hookDeadlines: Deadlines
  /** A publication with other data, for one recipient; the shared message where the data is the same. */
  personalMessage (delivery: Delivery, data: unknown): SharedMessage
  /** Counts what became of it. */
  count (delivered: boolean): void
  /** Hooks or the policy left a recipient out. */
  leftOut (subscriber: Subscriber, channel: string, thrown: unknown): void
}

/**
 * A publication on its way to one subscriber whose `publishOut` hooks or `deliver` policy have a say in it. Each recipient has
 * a copy of its own; one that is left as it was goes out as the shared message.
 */
export function deliverThroughHooks (desk: DeliveryDesk, subscriber: Subscriber, delivery: Delivery): void {
  if (subscriber.deliverInOrder(delivery.channel, delivery.json, () => deliver(desk, subscriber, delivery, 1))) return
  desk.count(false)
  subscriber.overrun(delivery.policy)
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

  get data (): unknown {
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
function deliver (desk: DeliveryDesk, subscriber: Subscriber, delivery: Delivery, asked: number): void | Promise<void> {
  const { channel, json, resolved: { route, params } } = delivery
  const { authToken } = subscriber
  if (!subscriber.receives(channel)) return
  const request = new OutgoingPublication(subscriber.socket, channel, params, json)
  /** After hooks that took their time: who they said yes to may be somebody else by now, or gone from the channel. */
  const decided = (message: SharedMessage | null): void | Promise<void> => {
    if (message === null || (subscriber.authToken === authToken && subscriber.receives(channel))) return send(desk, subscriber, delivery, message)
    if (asked < maxAsked) return deliver(desk, subscriber, delivery, asked + 1)
    desk.count(false)
  }
  const stopped = (thrown: unknown): null => {
    desk.leftOut(subscriber, channel, thrown)
    return null
  }
  const personal = (): SharedMessage | null => personalMessage(desk, subscriber, delivery, request)
  let message: SharedMessage | null
  try {
    const running = runHooks('publishOut', route.hooks.publishOut, route.instance, request, desk.hookDeadlines)
    if (running !== undefined) return running.then(() => policy(desk, delivery, request)).then(personal).catch(stopped).then(decided)
    const deciding = policy(desk, delivery, request)
    if (deciding !== undefined) return deciding.then(personal).catch(stopped).then(decided)
    message = personal()
  } catch (err) {
    message = stopped(err)
  }
  send(desk, subscriber, delivery, message)
}

/** The channel's own say: throwing leaves this recipient out, a returned value replaces the message. */
function policy (desk: DeliveryDesk, delivery: Delivery, request: PublishOutRequest<ScServerSocket>): void | Promise<void> {
  const { route } = delivery.resolved
  if (route.deliver === null) return
  const decide = route.deliver
  return runHooks('deliver policy', [function (this: unknown, policyRequest) {
    const result = decide.call(route.instance, policyRequest)
    const running = promiseOf(result)
    if (running !== undefined) return running.then((data) => { if (data !== undefined) request.data = data })
    if (result !== undefined) request.data = result
  }], route.instance, request, desk.hookDeadlines)
}

/** What the hooks and the policy made of a publication; `null` when the recipient is gone. Throws what cannot be encoded. */
function personalMessage (desk: DeliveryDesk, subscriber: Subscriber, delivery: Delivery, request: OutgoingPublication): SharedMessage | null {
  if (!subscriber.receives(delivery.channel)) return null
  // As on every line, `undefined` keeps what was there.
  return request.useCache === true || !request.touched || request.data === undefined ? delivery.message : desk.personalMessage(delivery, request.data)
}

function send (desk: DeliveryDesk, subscriber: Subscriber, { channel, policy }: Delivery, message: SharedMessage | null): void {
  // Looked at in the turn in which it is queued: each step before may have been another.
  if (message === null || !subscriber.receives(channel)) return
  desk.count(subscriber.deliver(message, channel, policy))
}
