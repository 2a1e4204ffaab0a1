import type { BrokerPosition } from '../../types/broker.js'
import type { PublishOutRequest } from '../../types/hooks.js'
import type { SlowConsumerPolicy } from '../../types/options.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import type { Guarded } from '../barrier.js'
import type { Deadlines } from '../deadlines.js'
import { scError } from '../errors.js'
import { runHooks } from '../lifecycle/run.js'
import { promiseOf } from '../promises.js'
import type { MessageSeries, SharedMessage } from '../transport/shared-message.js'

/** Maximum of runs of the hooks for one recipient whose token changes while they run. */
const maxAsked = 3

/** Who gets publications through hooks. */
export interface Recipient {
  /** The socket that hooks see. */
  readonly socket: ScServerSocket
  /** The claims of the socket. When they change while hooks run, the hooks run again. */
  readonly authToken: object | null
  /**
   * Whether a publication is for the subscriber: it is open, it was in the channel when the publication came, and has been since, and
   * did not get it from the history.
   */
  receives (published: Published): boolean
  /** Queues a publication. @returns false when it was dropped, null when it is delivered later */
  deliver (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): boolean | null
}

/** A publication that is about to be delivered. */
export interface Published {
  readonly channel: string
  /** Higher than that of each publication before it, of any channel. */
  readonly serial: number
  /** The position of a new publication on a channel with `recover`; `null` on other channels, and for messages of the history. */
  readonly position: BrokerPosition | null
}

/** The part of a session that the hub and the delivery use. */
export interface Subscriber extends Recipient, Guarded {
  /**
   * Call when messages of a channel up to a position may be missing. Messages from before that are under way are not delivered any more.
   * @returns whether the subscriber has to be told; one that lags behind reads what it misses, which shows by itself what is missing
   */
  lose (channel: string, position: BrokerPosition): boolean
  /**
   * Queues publications that follow each other as one, for the policy `resume`.
   * @returns false when they have to be delivered one by one: without room for all, or when the subscriber lags behind
   */
  deliverSeries (series: MessageSeries, channel: string): boolean
  /**
   * Delivers after the publications of the same channel that wait for hooks; keeps `json` meanwhile.
   * @returns false when too much waits
   */
  deliverInOrder (channel: string, json: string, deliver: () => void | Promise<void>): boolean
  /**
   * Applies `policy` to a publication that cannot be queued because the subscriber is too slow.
   * @returns whether it is delivered later
   */
  overrun (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): boolean
}

/** A publication that is delivered to one subscriber after the other. */
export interface Delivery extends Published {
  /** The message as JSON text; empty for `undefined`. */
  readonly json: string
  readonly resolved: ResolvedChannel
  readonly policy: SlowConsumerPolicy
  /** The encoded message for all recipients that get it unchanged. */
  readonly message: SharedMessage
}

/** The part of the hub that a delivery through hooks uses. */
export interface DeliveryDesk<To extends Recipient = Subscriber> {
  readonly hookDeadlines: Deadlines
  /** Encodes a publication with other data for one recipient. Returns the shared message when the data are the same. */
  personalMessage (delivery: Delivery, data: unknown): SharedMessage
  /** Counts publications as delivered or dropped; `null` counts later. @param messages their number, 1 by default */
  count (delivered: boolean | null, messages?: number): void
  /** Reports a recipient whose claims changed each time that the hooks ran, so that they decided nothing. */
  undecided (subscriber: To, delivery: Delivery): void
  /** Reports a recipient that a hook or the policy left out. */
  leftOut (subscriber: To, channel: string, thrown: unknown): void
}

/**
 * Delivers a publication to one subscriber through its `publishOut` hooks and `deliver` policy. Each recipient gets its own copy
 * of the data; unchanged data are sent as the shared message.
 */
export function deliverThroughHooks (desk: DeliveryDesk, subscriber: Subscriber, delivery: Delivery): void {
  if (!subscriber.receives(delivery)) return
  if (subscriber.deliverInOrder(delivery.channel, delivery.json, () => deliver(desk, subscriber, delivery, 1))) return
  if (!subscriber.overrun(delivery.message, delivery.channel, delivery.policy)) desk.count(false)
}

/** Delivers a publication through hooks at once. Call when the publications of the channel that waited are delivered. */
export function deliverNow<To extends Recipient> (desk: DeliveryDesk<To>, subscriber: To, delivery: Delivery): void | Promise<void> {
  return deliver(desk, subscriber, delivery, 1)
}

/** The request that the hooks of one recipient get. The data are parsed when a hook first reads them, which most do not. */
class OutgoingPublication implements PublishOutRequest<ScServerSocket> {
  useCache?: boolean = false
  readonly #json: string
  #data: unknown
  /** Whether the data were read or replaced. */
  #touched = false

  constructor (readonly socket: ScServerSocket, readonly channel: string, readonly params: Readonly<Record<string, string>>, json: string) {
    this.#json = json
  }

  get data (): unknown {
    if (!this.#touched) {
      try {
        this.#data = this.#json === '' ? undefined : JSON.parse(this.#json)
      } catch {
        // The message of the parser would quote the publication.
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

  /** Whether the data may have changed. */
  get touched (): boolean { return this.#touched }
}

/** Runs the hooks and the policy and sends the result. @param asked how often they were run, this time included */
function deliver<To extends Recipient> (desk: DeliveryDesk<To>, subscriber: To, delivery: Delivery, asked: number): void | Promise<void> {
  const { channel, json, resolved: { route, params } } = delivery
  const { authToken } = subscriber
  if (!subscriber.receives(delivery)) return
  const request = new OutgoingPublication(subscriber.socket, channel, params, json)
  /** Runs after asynchronous hooks: the claims of the subscriber may have changed meanwhile, or it may have left the channel. */
  const decided = (message: SharedMessage | null): void | Promise<void> => {
    if (message === null || !subscriber.receives(delivery)) return
    if (subscriber.authToken === authToken) return send(desk, subscriber, delivery, message)
    if (asked < maxAsked) return deliver(desk, subscriber, delivery, asked + 1)
    desk.undecided(subscriber, delivery)
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

/** Runs the `deliver` policy of the channel. Throwing leaves the recipient out; a returned value replaces the message. */
function policy<To extends Recipient> (desk: DeliveryDesk<To>, delivery: Delivery, request: PublishOutRequest<ScServerSocket>): void | Promise<void> {
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

/**
 * Returns the message that the hooks and the policy made; `null` when the subscriber left. Throws when the data cannot be
 * encoded.
 */
function personalMessage<To extends Recipient> (desk: DeliveryDesk<To>, subscriber: To, delivery: Delivery, request: OutgoingPublication): SharedMessage | null {
  if (!subscriber.receives(delivery)) return null
  // As with all hooks, `undefined` keeps the data.
  return request.useCache === true || !request.touched || request.data === undefined ? delivery.message : desk.personalMessage(delivery, request.data)
}

function send<To extends Recipient> (desk: DeliveryDesk<To>, subscriber: To, delivery: Delivery, message: SharedMessage | null): void {
  // Checked in the turn in which the message is queued: the steps before may have run in other turns.
  if (message === null || !subscriber.receives(delivery)) return
  desk.count(subscriber.deliver(message, delivery.channel, delivery.policy))
}
