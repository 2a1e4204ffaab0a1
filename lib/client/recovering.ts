import type { ScClientCodec, ScRecoveryEvent } from '../../types/client.js'
import type { UserData } from '../../types/user-data.js'
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
  return new RecoveringCodec(codec)
}

/** The codec that `recovering()` returns. The typed client finds it in its socket. */
export class RecoveringCodec implements ScClientCodec {
  readonly #codec: ScClientCodec
  readonly #positions = new Positions()

  constructor (codec: ScClientCodec) {
    this.#codec = codec
  }

  encode (object: unknown): UserData {
    const positions = this.#positions
    return this.#codec.encode(Array.isArray(object) ? object.map((packet) => positions.outgoing(packet)) : positions.outgoing(object))
  }

  decode (message: UserData): unknown {
    const object = this.#codec.decode(message)
    const packets = (Array.isArray(object) ? object : [object]).flatMap((packet) => this.#positions.incoming(packet))
    return packets.length === 1 && !Array.isArray(object) ? packets[0] : packets
  }

  /** Whether the last subscription of a channel again brought all missed messages; `null` before the first one. */
  recovered (channel: string): boolean | null { return this.#positions.recovered.get(channel) ?? null }

  /** Asks for the last messages of a channel with each subscription that follows, or no more with `undefined`. */
  rewind (channel: string, count: number | undefined): void {
    if (count === undefined) this.#positions.rewinds.delete(channel)
    else this.#positions.rewinds.set(channel, count)
  }
}

/** The positions of the last messages that a client received, by channel. */
class Positions {
  /** Whether the last subscription again brought all missed messages. */
  readonly recovered = new Map<string, boolean>()
  /** How many of the last messages a subscription asks for. */
  readonly rewinds = new Map<string, number>()
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
        const rewind = this.rewinds.get(channel)
        if (since === undefined && rewind === undefined) break
        const wishes = { ...(since === undefined ? {} : { since }), ...(rewind === undefined ? {} : { rewind }) }
        return { ...packet as Packet, data: { ...(typeof data === 'string' ? { channel } : data as object), ...wishes } }
      }
      case '#unsubscribe': {
        const channel = channelOf(data)
        this.#leave(channel)
        if (channel !== undefined) this.rewinds.delete(channel)
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
      this.recovered.set(channel, false)
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
    this.recovered.set(channel, recovered)
    const recovery: ScRecoveryEvent = { channel, recovered, count: count ?? 0, ...(reason === undefined ? {} : { reason }) }
    return [packet, { event: 'recovery', data: recovery }]
  }

  #leave (channel: string | undefined): void {
    if (channel === undefined) return
    this.#last.delete(channel)
    this.recovered.delete(channel)
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
