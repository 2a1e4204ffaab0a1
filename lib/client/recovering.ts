import type { ScClientCodec, ScRecoveryEvent } from '../../types/client.js'
import { jsonCodec } from './json-codec.js'

/** The fields of a packet that this file reads. */
interface Packet {
  readonly event?: unknown
  readonly data?: unknown
  readonly cid?: unknown
  readonly rid?: unknown
  readonly pos?: unknown
  readonly error?: unknown
}

/**
 * Creates a codec that lets socketcluster-client receive the messages that it missed while it was disconnected, on channels that
 * the server declares with `recover`. Each client needs its own codec.
 *
 * The codec adds the position of the last received message to each subscription, and drops duplicate messages. After the
 * subscription the client receives the event `recovery` with `{ channel, recovered, count, reason }`.
 *
 * ```ts
 * const client = create({ port: 8000, codecEngine: recovering() })
 * for await (const { channel, recovered } of client.receiver('recovery')) if (!recovered) reload(channel)
 * ```
 *
 * @param codec encodes and decodes the packets. Default: JSON in the format of the clients
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

/** The positions of the last messages that a client received, by channel. */
class Positions {
  readonly #last = new Map<string, string>()
  /** Channels that the client left: messages that were under way are not noted, because the client drops them. */
  readonly #left = new Set<string>()
  /** The channels of unanswered subscriptions, by call id. */
  readonly #subscribing = new Map<unknown, string>()

  /** Processes a packet to send: adds the last position to a subscription. */
  outgoing (packet: unknown): unknown {
    const { event, data, cid } = fieldsOf(packet)
    switch (event) {
      case '#handshake':
        // Calls of an earlier connection are never answered, and nothing of it is under way.
        this.#subscribing.clear()
        this.#left.clear()
        break
      case '#subscribe': {
        const channel = channelOf(data)
        if (channel === undefined) break
        this.#subscribing.set(cid, channel)
        const since = this.#last.get(channel)
        if (since !== undefined) return { ...packet as Packet, data: { ...(typeof data === 'string' ? { channel } : data as object), since } }
        break
      }
      case '#unsubscribe': {
        const channel = channelOf(data)
        this.#leave(channel)
        // What the server still answers to earlier subscriptions concerns nobody.
        for (const [cid, subscribing] of this.#subscribing) if (subscribing === channel) this.#subscribing.delete(cid)
        break
      }
    }
    return packet
  }

  /** Processes a received packet. @returns the packets for the client; none for a duplicate message */
  incoming (packet: unknown): unknown[] {
    const { event, data, rid, pos, error } = fieldsOf(packet)
    if (event === '#publish') {
      const channel = channelOf(data)
      if (channel === undefined || typeof pos !== 'string' || this.#left.has(channel)) return [packet]
      if (isOld(pos, this.#last.get(channel))) return []
      this.#last.set(channel, pos)
      return [packet]
    }
    if (event === '#recovery') {
      // The server could not get messages for this channel.
      const channel = channelOf(data)
      if (channel === undefined) return [packet]
      const { pos: from, reason } = data as { pos?: unknown, reason?: ScRecoveryEvent['reason'] }
      if (typeof from === 'string' && !this.#left.has(channel)) this.#last.set(channel, from)
      return [{ event: 'recovery', data: { channel, recovered: false, count: 0, ...(reason === undefined ? {} : { reason }) } satisfies ScRecoveryEvent }]
    }
    if (event === '#kickOut') {
      this.#leave(channelOf(data))
      return [packet]
    }
    const channel = rid === undefined ? undefined : this.#subscribing.get(rid)
    if (channel === undefined) return [packet]
    this.#subscribing.delete(rid)
    if (error !== undefined && error !== null) return [packet]
    this.#left.delete(channel)
    const { pos: from, recovered, count, reason } = fieldsOf(data) as Partial<ScRecoveryEvent> & { pos?: unknown }
    if (typeof from === 'string') this.#last.set(channel, from)
    if (recovered === undefined) return [packet]
    const recovery: ScRecoveryEvent = { channel, recovered, count: count ?? 0, ...(reason === undefined ? {} : { reason }) }
    return [packet, { event: 'recovery', data: recovery }]
  }

  #leave (channel: string | undefined): void {
    if (channel === undefined) return
    this.#last.delete(channel)
    this.#left.add(channel)
  }
}

function fieldsOf (value: unknown): Packet {
  return typeof value === 'object' && value !== null ? value : {}
}

/** Returns the channel of a packet's data, which is the name itself or an object with options. */
function channelOf (data: unknown): string | undefined {
  const channel = typeof data === 'string' ? data : (fieldsOf(data) as { channel?: unknown }).channel
  return typeof channel === 'string' ? channel : undefined
}

/** Whether a message is not newer than the last one. The format of positions is `<epoch>.<offset>.<check>`. */
function isOld (position: string, last: string | undefined): boolean {
  if (last === undefined) return false
  const [epoch, offset] = position.split('.')
  const [lastEpoch, lastOffset] = last.split('.')
  return epoch === lastEpoch && Number(offset) <= Number(lastOffset)
}
