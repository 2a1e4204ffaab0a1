import type { Alarms } from './alarms.js'
import { isDifferences, isStates, maxAsked, type PresenceQuery, type UserEntry } from './messages.js'

/** Milliseconds before a node that did not answer is asked again. */
const retryAfter = 2_000
/** Questions in a row that a node may leave unanswered. After that it is asked again only with the next check. */
const maxFailures = 3
/** Maximum number of pieces of an answer about one channel. */
const maxPieces = 1_000

/** The part of presence that peers use. */
export interface PeersPort {
  readonly alarms: Alarms
  query (node: string, body: PresenceQuery): Promise<unknown>
  /** Whether a node is alive and can be reached. */
  reaches (node: string): boolean
  asked (node: string, channel: string): void
  /** A node told of the users of another one that is gone. @param silence milliseconds since that was last heard */
  inherited (channel: string, gone: string, silence: number, users: readonly UserEntry[]): void
  learned (node: string, channel: string, version: number, users: readonly UserEntry[]): void
  unanswered (node: string, channel: string): void
}

/** What is to be asked of one node. */
interface Peer {
  readonly channels: Set<string>
  busy: boolean
  failures: number
}

/** The questions to other nodes: who is at that node, channel by channel. Channels that are asked for in a turn go together. */
export class Peers {
  readonly #port: PeersPort
  readonly #peers = new Map<string, Peer>()

  constructor (port: PeersPort) {
    this.#port = port
  }

  /** Asks a node for its users of a channel. The answer goes to the port. */
  ask (node: string, channel: string): void {
    let peer = this.#peers.get(node)
    if (peer === undefined) this.#peers.set(node, peer = { channels: new Set(), busy: false, failures: 0 })
    peer.channels.add(channel)
    if (!peer.busy) this.#run(node, peer)
  }

  /**
   * Asks a node which of these channels changed without this node having heard of it, and then for their users.
   * @param known the name, the known version and the known number of users of each channel
   */
  async check (node: string, known: ReadonlyArray<[channel: string, version: number, users: number]>): Promise<void> {
    for (let at = 0; at < known.length; at += maxAsked) {
      const part = known.slice(at, at + maxAsked)
      const answer = await this.#port.query(node, { presence: { check: part } })
      if (!isDifferences(answer)) throw new Error(`node ${node} answered with something else than numbers`)
      for (const index of answer) if (part[index] !== undefined) this.ask(node, part[index][0])
    }
  }

  /** Call when a node is gone: nothing is asked of it any more. */
  forget (node: string): void {
    const peer = this.#peers.get(node)
    if (peer === undefined) return
    this.#peers.delete(node)
    for (const channel of peer.channels) this.#port.unanswered(node, channel)
    peer.channels.clear()
  }

  async #run (node: string, peer: Peer): Promise<void> {
    peer.busy = true
    await Promise.resolve()
    while (peer.channels.size !== 0) {
      const batch = [...peer.channels].slice(0, maxAsked)
      for (const channel of batch) peer.channels.delete(channel)
      if (this.#port.reaches(node) && await this.#askFor(node, batch)) {
        peer.failures = 0
        continue
      }
      for (const channel of batch) this.#port.unanswered(node, channel)
      if (++peer.failures >= maxFailures || !this.#port.reaches(node)) break
      for (const channel of batch) peer.channels.add(channel)
      this.#port.alarms.in(retryAfter, () => { if (this.#peers.get(node) === peer) this.#run(node, peer) })
      return
    }
    peer.busy = false
    this.forget(node)
  }

  /** Asks for channels until all of them are answered. @returns whether the node answered */
  async #askFor (node: string, channels: readonly string[]): Promise<boolean> {
    for (const channel of channels) this.#port.asked(node, channel)
    let left = channels
    let after = 0
    let first = 0
    let users: UserEntry[] = []
    for (let pieces = 0; left.length !== 0; pieces++) {
      if (pieces > maxPieces + channels.length) return false
      let answer: unknown
      try {
        answer = await this.#port.query(node, { presence: { state: [...left], after } })
      } catch {
        return false
      }
      if (!isStates(answer) || answer.parts.length > left.length) return false
      const { parts, away = [] } = answer
      // First: who waits for the last answer is shown all of it.
      for (const [index, gone, silence, entries] of away) if (left[index] !== undefined) this.#port.inherited(left[index], gone, silence, entries)
      for (const [i, [version, entries]] of parts.entries()) {
        // The rest of a channel that did not fit into the answer before.
        if (i !== 0 || after === 0) {
          first = version
          users = []
        }
        users = users.concat(entries)
        if (i < parts.length - 1 || answer.after === null) this.#port.learned(node, left[i]!, first, users)
      }
      left = left.slice(answer.after === null ? parts.length : parts.length - 1)
      after = answer.after ?? 0
    }
    return true
  }
}
