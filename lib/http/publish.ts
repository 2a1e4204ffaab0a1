import { createHash } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import type { ScAppendOptions } from '../../types/exchange.js'
import type { ScServer } from '../../types/server.js'
import { scError } from '../errors.js'
import { findingError, inspect } from '../protocol/inspect.js'
import { read } from '../untrusted.js'
import type { ErrorBody } from './error-response.js'
import { operationError } from './operation-errors.js'
import type { Asked } from './operation-schemas.js'

/** Maximum length of the message of an error for one of several channels: even 100 of them can be kept for a key. */
const maxMessageLength = 200

/** What a channel has no history for, or its broker does not offer. */
const unsupported = new Set<unknown>(['SC_ERR_NO_HISTORY', 'SC_ERR_NO_KEYS', 'SC_ERR_NO_POSITIONS'])

/** What came of a publish to one channel. */
export interface PublishResult {
  readonly channel: string
  /** The position of the message, on a channel with history. */
  readonly position?: string
  readonly error?: ErrorBody
}

/** A key that makes a publish safe to repeat, and the milliseconds for which its answer is kept. */
interface IdempotentPublish {
  readonly key: string
  readonly ttl: number
}

/** Returns the channels of a body. @throws InvalidArgumentsError unless it has either `channel` or `channels` */
export function channelsOf ({ channel, channels }: Asked['publish']): readonly string[] {
  if ((channel === undefined) === (channels === undefined)) throw scError('SC_ERR_ARGUMENT', ['publish', 'either channel or channels', channel === undefined ? 'neither' : 'both'])
  return channels ?? [channel!]
}

/**
 * Publishes a message to the channels of a request. An error is thrown for one channel, and stands in the result for several.
 * @param idempotency `null` for a request without a key
 * @returns the results, and whether they are those of an earlier request
 */
export async function publishAll (scServer: ScServer, { channel, data, ...body }: Asked['publish'], idempotency: IdempotentPublish | null, log: FastifyBaseLogger): Promise<{ results: PublishResult[], replayed: boolean }> {
  const channels = channelsOf({ channel, data, ...body })
  checkMessage(data, scServer)
  const once = idempotency === null ? null : { ...idempotency, fingerprint: JSON.stringify([channel, body.channels, data]) }
  let ran = false
  const work = async (): Promise<Outcome[]> => {
    ran = true
    if (channel !== undefined) return [await publish(scServer, channel, data, once)]
    const outcomes = await Promise.all(channels.map(async (name): Promise<Outcome> => {
      try {
        return await publish(scServer, name, data, once)
      } catch (err) {
        return { error: itemError(operationError(err, log).body) }
      }
    }))
    // Nothing was published, so nothing is kept, and a repeat tries again.
    if (outcomes.every(({ error }) => error !== undefined)) throw new AllFailed(outcomes)
    return outcomes
  }
  // The names are left out of what is kept: a repeat has them too.
  const outcomes = await (once === null ? work() : scServer.cluster.runOnce(once.key, work, { fingerprint: once.fingerprint, ttl: once.ttl }))
    .catch((err: unknown) => {
      if (err instanceof AllFailed) return err.outcomes
      throw err
    })
  return { results: channels.map((name, i) => ({ channel: name, ...outcomes[i] })), replayed: !ran }
}

type Outcome = Omit<PublishResult, 'channel'>

/** All publishes of a request failed. */
class AllFailed extends Error {
  constructor (readonly outcomes: Outcome[]) {
    super('all publishes failed')
  }
}

/** The error of one of several channels: short, so that those of all channels can be kept. */
function itemError ({ statusCode, error, message, name, code, errorId }: ErrorBody): ErrorBody {
  return { statusCode, error, message: message.slice(0, maxMessageLength), name, ...(code === undefined ? {} : { code }), ...(errorId === undefined ? {} : { errorId }) }
}

/** @param once the key of the request, and what it is used for */
async function publish ({ exchange }: ScServer, channel: string, data: unknown, once: { readonly key: string, readonly fingerprint: string } | null): Promise<Outcome> {
  // With a callback the error is no warning of the server as well.
  const told = (): void => {}
  const append = async (options: ScAppendOptions): Promise<Outcome> => {
    const position = await exchange.append(channel, data, options)
    return position === null ? {} : { position }
  }
  const plain = async (options: ScAppendOptions): Promise<Outcome> => {
    await exchange.publish(channel, data, options, told)
    return {}
  }
  const attempts = [() => append({}), () => plain({})]
  if (once !== null) {
    // Where the broker looks at keys when it publishes, a repeat is published once even if this process dies before it has answered.
    const idempotencyKey = `http ${createHash('sha256').update(JSON.stringify([once.key, once.fingerprint])).digest('base64url')}`
    attempts.unshift(() => append({ idempotencyKey }), () => plain({ idempotencyKey }))
  }
  const last = attempts.pop()!
  for (const attempt of attempts) {
    try {
      return await attempt()
    } catch (err) {
      // What the channel or the broker does not support is refused before anything is published.
      if (!unsupported.has(read(err, 'code'))) throw err
    }
  }
  return await last()
}

/** A message has the limits of those that clients send. @throws InvalidMessageError */
function checkMessage (data: unknown, { options: { maxDepth, maxNodes } }: ScServer): void {
  const finding = inspect(data, maxDepth || Infinity, maxNodes || Infinity)
  if (finding !== null) throw findingError(finding, maxDepth, maxNodes)
}
