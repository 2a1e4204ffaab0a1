import { randomBytes } from 'node:crypto'
import type { ChainableCommander, Redis } from 'ioredis'
import { idleTime } from '../idle-time.js'
import type { FramePlace, OutboundFrame, StoredRequest } from '../remote/engine.js'
import { indexesOf } from '../remote/history/repeats.js'
import type { StoredFrame, StoredHistory } from '../remote/history/stored.js'
import { publishOnceScript, publishScript, readScript } from './history-scripts.js'
import { Script } from './script.js'
import { keyTag } from './slots.js'

/** Bytes of frames after which a read stops. */
const maxReadBytes = 8 * 1024 * 1024

/** The command that publishes a frame. Sharded Pub/Sub has its own. */
export type FrameCommand = 'publish' | 'spublish'

/** The histories on one connection, which must carry the frames of a channel in order. */
export class ConnectionHistory {
  readonly #client: Redis
  readonly #publish = new Script(publishScript)
  readonly #publishOnce = new Script(publishOnceScript)
  readonly #read = new Script(readScript)

  constructor (client: Redis) {
    this.#client = client
  }

  /** Keeps and publishes a frame. */
  publish<Target extends Redis | ChainableCommander> (target: Target, command: FrameCommand, { topic, text, kept }: OutboundFrame): ReturnType<Target['eval']> {
    const { limits: { size, ttl }, count, check, keys } = kept!
    const names = [...keysOf(topic), topic]
    const args = [newEpoch(), idleTime(ttl), count, check, size, ttl, command, text]
    if (keys === null) return this.#publish.run(target as never, names, args)
    for (const [i, key] of keys.entries()) {
      if (key === '') continue
      names.push(`${keyTag(topic)}:key:${escaped(key)}`)
      args.push(i)
    }
    return this.#publishOnce.run(target as never, names, args)
  }

  async read ({ topic, since, limit, limits: { size, ttl }, whole }: StoredRequest): Promise<StoredHistory> {
    const [epoch, offset] = since === null ? ['', 0] : since === 'oldest' ? ['*', 0] : [since.epoch, since.offset]
    const args = [newEpoch(), idleTime(ttl), epoch, offset, limit, maxReadBytes, whole ? 1 : 0, size, ttl]
    const reply = await this.#read.run(this.#client, keysOf(topic), args) as string[]
    const [now, topEpoch, topOffset, check] = reply as [string, string, string, string]
    const frames: StoredFrame[] = []
    for (let i = 4; i < reply.length; i += 4) {
      const [last, time] = reply[i]!.split('-')
      frames.push({ last: Number(last), time: Number(time), count: Number(reply[i + 1]), check: reply[i + 2]!, text: reply[i + 3]! })
    }
    const top = { epoch: topEpoch, offset: Number(topOffset), check }
    if (since !== null) return { now: Number(now), top, frames }
    const isPart = frames.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0) > maxReadBytes
    return { now: Number(now), top, frames: frames.reverse(), isPart }
  }
}

/** Reads the answer of a script that publishes: which messages do not count because of their keys, and where the others are. */
export function readAnswer (reply: string): { repeats: readonly number[], place: FramePlace | undefined } {
  const [repeats, epoch, first] = reply.split(' ') as [string, string?, string?]
  return { repeats: indexesOf(repeats), place: epoch === undefined ? undefined : { epoch, first: Number(first) } }
}

function keysOf (topic: string): [meta: string, frames: string] {
  const key = keyTag(topic)
  return [`${key}:meta`, `${key}:frames`]
}

/** Without ":" in it, an idempotency key makes no name that ends like one of another channel, such as "room:h:key:x" + ":h:meta". */
function escaped (key: string): string {
  return key.replace(/[%:]/g, encodeURIComponent)
}

function newEpoch (): string {
  return randomBytes(6).toString('base64url')
}
