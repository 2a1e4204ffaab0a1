import type { Redis } from 'ioredis'
import type { EngineSession, EngineStore, OutboundFrame, SessionEvents, StoredRequest } from '../remote/engine.js'
import type { StoredHistory } from '../remote/history/stored.js'
import { ConnectionHistory, type FrameCommand } from './history.js'
import { withRights } from './rights.js'
import { connect, publishFrames, tellLoss, toldStore } from './session.js'
import { readSlots, slotOf, type MasterAddress, type SlotMap } from './slots.js'
import { ConnectionStore } from './store.js'

/** Milliseconds between two checks of the slots. The channels of a moved slot receive nothing until the next check. */
const slotsCheckInterval = 5000

/** How a cluster session connects. */
export interface ClusterSource {
  /** Nodes to ask for the other nodes. */
  seeds (): MasterAddress[]
  /** Creates a client for one node, not yet connected. */
  make (address: MasterAddress): Redis
  /** Converts a node's address to the one that is reachable from here. */
  translate (address: MasterAddress): MasterAddress
}

interface Shard {
  readonly publisher: Redis
  readonly subscriber: Redis
  readonly history: ConnectionHistory
  readonly store: EngineStore
}

const spublish: FrameCommand = 'spublish'

/** Finds the masters of the cluster and opens two connections to each, as with a single server. */
export async function openClusterSession (source: ClusterSource, events: SessionEvents): Promise<EngineSession> {
  const slots = await findSlots(source)
  const shards: Shard[] = slots.masters.map((address) => {
    const publisher = source.make(address)
    return { publisher, subscriber: source.make(address), history: new ConnectionHistory(publisher), store: new ConnectionStore(publisher) }
  })
  const session = new ClusterSession(shards, slots, source, events)
  const connections = shards.flatMap(({ publisher, subscriber }) => {
    subscriber.on('smessage', (topic: string, text: string) => events.message(topic, text))
    return [connect(publisher, events), connect(subscriber, events)]
  })
  try {
    await Promise.all(connections)
  } catch (err) {
    session.close()
    throw err
  }
  return session
}

/** Reads the slot map from the first node that answers. */
async function findSlots (source: ClusterSource): Promise<SlotMap> {
  let failure: unknown = new Error('no node of the cluster is known')
  for (const seed of source.seeds()) {
    const client = source.make(seed)
    try {
      await connect(client, { message () {}, lost () {} })
      return readSlots(await client.cluster('SLOTS'), seed, source.translate)
    } catch (err) {
      failure = withRights(err as Error)
    } finally {
      client.disconnect()
    }
  }
  throw failure
}

class ClusterSession implements EngineSession {
  readonly #shards: Shard[]
  readonly #slots: SlotMap
  readonly #events: SessionEvents
  readonly #check: NodeJS.Timeout
  readonly store: EngineStore

  constructor (shards: Shard[], slots: SlotMap, source: ClusterSource, events: SessionEvents) {
    this.#shards = shards
    this.#slots = slots
    this.#events = events
    this.store = toldStore((topic) => this.#shard(slotOf(topic)).store, events)
    this.#check = setInterval(() => {
      // A node that does not answer is detected by the probes.
      findSlots(source).then((now) => {
        if (now.fingerprint !== slots.fingerprint) events.lost(new Error('slots of the cluster moved'))
      }, () => {})
    }, slotsCheckInterval)
    this.#check.unref()
  }

  subscribe (topics: readonly string[]): Promise<unknown> {
    return Promise.all([...bySlot(topics)].map(([slot, names]) => this.#shard(slot).subscriber.ssubscribe(...names).catch((err: Error) => tellLoss(err, this.#events))))
  }

  unsubscribe (topics: readonly string[]): Promise<unknown> {
    return Promise.all([...bySlot(topics)].map(([slot, names]) => this.#shard(slot).subscriber.sunsubscribe(...names).catch((err: Error) => { throw withRights(err) })))
  }

  publish (frames: readonly OutboundFrame[]): void {
    const byShard = new Map<Shard, OutboundFrame[]>()
    for (const frame of frames) {
      const shard = this.#shard(slotOf(frame.topic))
      const list = byShard.get(shard)
      if (list === undefined) byShard.set(shard, [frame])
      else list.push(frame)
    }
    for (const [shard, list] of byShard) publishFrames(shard.publisher, shard.history, spublish, list, this.#events)
  }

  readHistory (request: StoredRequest): Promise<StoredHistory> {
    return this.#shard(slotOf(request.topic)).history.read(request).catch((err: Error) => tellLoss(err, this.#events))
  }

  close (): void {
    clearInterval(this.#check)
    for (const { publisher, subscriber } of this.#shards) {
      publisher.disconnect()
      subscriber.disconnect()
    }
  }

  #shard (slot: number): Shard {
    return this.#shards[this.#slots.owner[slot]!]!
  }
}

/** Groups topics by slot, because one command may only name topics of one slot. */
function bySlot (topics: readonly string[]): Map<number, string[]> {
  const slots = new Map<number, string[]>()
  for (const topic of topics) {
    const slot = slotOf(topic)
    const list = slots.get(slot)
    if (list === undefined) slots.set(slot, [topic])
    else list.push(topic)
  }
  return slots
}
