import type { ScClientCodec, ScRecoveryEvent } from '../../types/client.js'
import { jsonCodec } from './json-codec.js'

/** The parts of a packet that are read here. */
interface Packet {
  readonly event?: unknown
  readonly data?: unknown
  readonly cid?: unknown
  readonly rid?: unknown
  readonly pos?: unknown
}

/**
 * Makes a codec with which socketcluster-client gets the messages that it missed while it was not connected, on channels that
 * the server declares with `recover`. Each client needs one of its own.
 *
 * With each subscription it sends the position of the last message that it has. Messages that come twice are dropped. Whether
 * nothing is missing comes as the event `recovery` with `{ channel, recovered, count, reason }`.
 *
 * ```ts
 * const client = create({ port: 8000, codecEngine: recovering() })
 * for await (const { channel, recovered } of client.receiver('recovery')) if (!recovered) reload(channel)
 * ```
 *
 * @param codec writes and reads the packets. Default: JSON, as the clients have it
 */
export function recovering (codec: ScClientCodec = jsonCodec): ScClientCodec {
  const positions = new Positions()
  return {
    encode: (object) => codec.encode(Array.isArray(object) ? object.map((packet) => positions.outgoing(packet)) : positions.outgoing(object)),
    decode (message) {
      const object = codec.decode(message)
      const packets = (Array.isArray(object) ? object : [object]).flatMap((packet) => positions.incoming(packet))
      return packets.length === 1 && !Array.isArray(object) ? packets[0] : packets
    }
  }
}

/** What a client knows of its channels: the position of the last message of each. */
class Positions {
  readonly #last = new Map<string, string>()
  /** The channels of subscriptions that are not answered, by call id. */
  readonly #subscribing = new Map<unknown, string>()

  /** A packet that is sent: a subscription says where the client is. */
  outgoing (packet: unknown): unknown {
    const { event, data, cid } = fieldsOf(packet)
    switch (event) {
      case '#handshake':
        // Nothing of an earlier connection is answered any more.
        this.#subscribing.clear()
        break
      case '#subscribe': {
        const channel = channelOf(data)
        if (channel === undefined) break
        this.#subscribing.set(cid, channel)
        const since = this.#last.get(channel)
        if (since !== undefined) return { ...packet as Packet, data: { ...(typeof data === 'string' ? { channel } : data as object), since } }
        break
      }
      case '#unsubscribe':
        this.#forget(channelOf(data))
        break
    }
    return packet
  }

  /** A packet that came. @returns what the client is to see of it: nothing of a message that it has */
  incoming (packet: unknown): unknown[] {
    const { event, data, rid, pos } = fieldsOf(packet)
    if (event === '#publish') {
      const channel = channelOf(data)
      if (channel === undefined || typeof pos !== 'string') return [packet]
      if (isOld(pos, this.#last.get(channel))) return []
      this.#last.set(channel, pos)
      return [packet]
    }
    if (event === '#kickOut') {
      this.#forget(channelOf(data))
      return [packet]
    }
    const channel = rid === undefined ? undefined : this.#subscribing.get(rid)
    if (channel === undefined) return [packet]
    this.#subscribing.delete(rid)
    const { pos: from, recovered, count, reason } = fieldsOf(data) as Partial<ScRecoveryEvent> & { pos?: unknown }
    if (typeof from === 'string') this.#last.set(channel, from)
    if (recovered === undefined) return [packet]
    const recovery: ScRecoveryEvent = { channel, recovered, count: count ?? 0, ...(reason === undefined ? {} : { reason }) }
    return [packet, { event: 'recovery', data: recovery }]
  }

  #forget (channel: string | undefined): void {
    if (channel !== undefined) this.#last.delete(channel)
  }
}

function fieldsOf (value: unknown): Packet {
  return typeof value === 'object' && value !== null ? value : {}
}

/** Packets name their channel by itself, or with options. */
function channelOf (data: unknown): string | undefined {
  const channel = typeof data === 'string' ? data : (fieldsOf(data) as { channel?: unknown }).channel
  return typeof channel === 'string' ? channel : undefined
}

/** Whether a message is not newer than the last one. Positions are `<epoch>.<offset>.<check>`. */
function isOld (position: string, last: string | undefined): boolean {
  if (last === undefined) return false
  const [epoch, offset] = position.split('.')
  const [lastEpoch, lastOffset] = last.split('.')
  return epoch === lastEpoch && Number(offset) <= Number(lastOffset)
}
