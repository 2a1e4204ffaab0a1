import type { Msg, MsgHdrs, NatsConnection, Subscription } from '@nats-io/transport-node'

/** Receives an answer; returns whether more answers follow. Called with an error when the request could not be sent. */
type Receiver = (answer: Msg | Error) => boolean

/** The status of an answer without a message. */
export const status = { noMessage: 404, endOfBatch: 204, noResponders: 503 } as const

/**
 * Requests to JetStream over one inbox. The client's own `request` starts a timer and creates an error for each request, which
 * costs more than the request itself. There is no time limit here: who waits is told when the session is lost.
 */
export class Requests {
  readonly #connection: NatsConnection
  readonly #inbox: string
  readonly #waiting = new Map<string, Receiver>()
  readonly #subscription: Subscription
  #count = 0
  #isClosed = false

  /** @param refused called when the server does not allow the inbox */
  constructor (connection: NatsConnection, inbox: string, refused: (err: Error) => void) {
    this.#connection = connection
    this.#inbox = inbox
    this.#subscription = connection.subscribe(`${inbox}.*`, {
      callback: (err, answer) => {
        if (err === null) this.#received(answer)
        else refused(err)
      }
    })
  }

  /** Sends a request. `receive` is called for each answer until it returns `false`, or once with an error. */
  send (subject: string, data: string, receive: Receiver, headers?: MsgHdrs): void {
    if (this.#isClosed) {
      receive(new Error('the connection was closed'))
      return
    }
    const token = String(this.#count++)
    this.#waiting.set(token, receive)
    try {
      this.#connection.publish(subject, data, { reply: `${this.#inbox}.${token}`, headers })
    } catch (err) {
      // The message is larger than the server allows, or the connection was just closed.
      this.#waiting.delete(token)
      receive(err as Error)
    }
  }

  /** Sends a request with one answer. */
  ask (subject: string, data: string, headers?: MsgHdrs): Promise<Msg> {
    return new Promise((resolve, reject) => {
      this.send(subject, data, (answer) => {
        if (answer instanceof Error) reject(answer)
        else resolve(answer)
        return false
      }, headers)
    })
  }

  close (): void {
    this.#isClosed = true
    this.#waiting.clear()
    this.#subscription.unsubscribe()
  }

  #received (answer: Msg): void {
    const token = answer.subject.slice(this.#inbox.length + 1)
    const receive = this.#waiting.get(token)
    if (receive?.(answer) === false) this.#waiting.delete(token)
  }
}

/** The text of a message. `Buffer` decodes short text faster than the client's decoder. */
export function textOf ({ data }: Msg): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString()
}

/** The status of an answer without a message; 0 for any other answer. */
export function statusOf (answer: Msg): number {
  return answer.data.length === 0 ? answer.headers?.code ?? 0 : 0
}
