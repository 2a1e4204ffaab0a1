// Followed channels against a model of an engine that fails at any moment: between two notices, a node delivers consecutive messages of
// the channel, each once, and tells a position recovered only if nothing is missing. HISTORY_SEED, HISTORY_PATH and HISTORY_RUNS
// replay a failure.
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import type { BrokerHistoryPage, BrokerPosition } from '../../../../types/broker.js'
import type { EngineSession, StoredRequest } from '../../../../lib/broker/remote/engine.js'
import { RemoteHistory } from '../../../../lib/broker/remote/history/remote-history.js'
import type { StoredFrame, StoredHistory } from '../../../../lib/broker/remote/history/stored.js'

/** Faults of links and nodes only: a history that is large enough makes all of them good. */
const harmless = new Set(['publish', 'arrive', 'lose', 'repeat', 'answer', 'disconnect', 'connect', 'follow'])
const channel = 'room'

interface Frame extends StoredFrame {
  readonly epoch: string
  readonly messages: readonly string[]
  /** Whether the node can read it: another key may have signed it. */
  readonly isReadable: boolean
}

/** An engine: its messages, and everything that was ever published, in order. */
class Engine {
  epoch = 'e0'
  offset = 0
  check = ''
  frames: Frame[] = []
  #serial = 0
  #epochs = 0
  /** The messages that count: those that the engine lost are not among them. */
  truth: string[] = []
  /** Whether the node can read all frames so far. */
  isReadable = true

  constructor (readonly size: number) {}

  publish (count: number, isReadable = true): Frame {
    const messages = Array.from({ length: count }, () => String(++this.#serial))
    this.isReadable &&= isReadable
    this.offset += count
    this.check = `c${this.#serial}`
    const frame = { epoch: this.epoch, last: this.offset, count, check: this.check, time: Date.now(), text: isReadable ? JSON.stringify(messages) : 'unreadable', messages, isReadable }
    this.frames = [...this.frames.filter(({ last }) => last >= this.offset - this.size), frame]
    this.truth.push(...messages)
    return frame
  }

  /** Begins a new epoch: the position was deleted. */
  forget (): void {
    this.epoch = `e${++this.#epochs}`
    this.offset = 0
    this.check = ''
    this.frames = []
  }

  read ({ since, limit, whole }: StoredRequest): StoredHistory {
    const { epoch, offset, check } = this
    const top = { epoch, offset, check }
    const now = Date.now()
    if (since === null) {
      let from = this.frames.length
      for (let left = limit; left > 0 && from > 0;) left -= this.frames[--from]!.count
      return { top, now, frames: this.frames.slice(from) }
    }
    if (since === 'oldest') return { top, now, frames: [...this.frames] }
    const count = offset - since.offset
    const none = since.epoch !== epoch || count < 1 || (whole && count > limit)
    return { top, now, frames: none ? [] : this.frames.filter(({ last }) => last >= since.offset) }
  }

  /** A copy, as a replica has it. */
  copy (): Pick<Engine, 'epoch' | 'offset' | 'check' | 'frames' | 'truth'> {
    const { epoch, offset, check, frames, truth } = this
    return { epoch, offset, check, frames: [...frames], truth: [...truth] }
  }
}

type Event = { data: string, position: BrokerPosition } | 'gap'

/** A node, and a link to the engine that delivers frames and answers later. */
class Node {
  readonly events: Event[] = []
  readonly history: RemoteHistory
  session: EngineSession | null = null
  /** Frames on their way. */
  incoming: Frame[] = []
  /** Answers on their way. */
  answers: Array<() => void> = []
  /** The number of reads that the engine will refuse. */
  refusals = 0

  constructor (readonly engine: Engine) {
    const node = this
    this.history = new RemoteHistory({
      get session () { return node.session },
      sink: {
        publication: (_channel, data, _known, position) => { node.events.push({ data, position: position! }) },
        gap: () => { node.events.push('gap') }
      },
      topicOf: (name) => name,
      publish: () => Promise.resolve(),
      append: () => Promise.resolve(null),
      open: (_topic, text) => text === 'unreadable' ? null : { messages: JSON.parse(text) as string[], trusted: true },
      dropped: () => {},
      downError: () => Object.assign(new Error('down'), { code: 'SC_ERR_BROKER_DOWN' })
    })
    this.connect()
  }

  get delivered (): Array<Exclude<Event, 'gap'>> { return this.events.filter((event) => event !== 'gap') }

  connect (): void {
    if (this.session !== null) return
    this.session = {
      readHistory: (request: StoredRequest) => new Promise<StoredHistory>((resolve, reject) => {
        // The engine reads when the request arrives, and its answer takes a while: both are steps of their own.
        this.answers.push(() => {
          if (this.refusals > 0) {
            this.refusals--
            this.answers.push(() => { reject(new Error('refused')) })
            return
          }
          const result = this.engine.read(request)
          this.answers.push(() => { resolve(result) })
        })
      })
    } as unknown as EngineSession
    this.history.up()
  }

  disconnect (): void {
    if (this.session === null) return
    this.session = null
    this.incoming = []
    this.answers = []
    this.history.gone(Object.assign(new Error('down'), { code: 'SC_ERR_BROKER_DOWN' }))
  }

  arrive (count: number): void {
    for (const { epoch, last, count: length, check, time, messages, isReadable } of this.incoming.splice(0, count)) {
      this.history.receive(channel, { epoch, first: last - length + 1, check, time, frame: '' }, isReadable ? messages : null, isReadable)
    }
  }

  async answer (): Promise<void> {
    this.answers.shift()?.()
    await turn()
  }

  /** Delivers everything that is under way. */
  async rest (): Promise<void> {
    for (let i = 0; this.incoming.length + this.answers.length > 0; i++) {
      if (i > 2_000) throw new Error('the node does not come to rest')
      this.arrive(Infinity)
      await this.answer()
    }
    await turn()
  }
}

type Command =
  { kind: 'publish' | 'publish unreadable' | 'arrive', count: number } | { kind: 'lose' | 'repeat', at: number } |
  { kind: 'answer' | 'disconnect' | 'connect' | 'forget' | 'delete frames' | 'refuse' | 'copy' | 'fail over' } |
  { kind: 'follow', back: number, limit: number, isElsewhere: boolean }

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('publish' as const), count: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('arrive' as const), count: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 8, arbitrary: fc.constant({ kind: 'answer' as const }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('follow' as const), back: fc.integer({ min: 0, max: 24 }), limit: fc.integer({ min: 1, max: 15 }), isElsewhere: fc.boolean() }) },
  { weight: 4, arbitrary: fc.constantFrom<Command>({ kind: 'disconnect' }, { kind: 'connect' }, { kind: 'connect' }, { kind: 'copy' }, { kind: 'fail over' }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('lose' as const, 'repeat' as const), at: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.constantFrom<Command>({ kind: 'forget' }, { kind: 'delete frames' }, { kind: 'refuse' }, { kind: 'publish unreadable', count: 1 }, { kind: 'publish unreadable', count: 3 }) }
)

/** Checks the deliveries of a node, given all messages that count, in order. @returns what is wrong, if anything */
function contradiction (events: readonly Event[], truth: readonly string[], lost: ReadonlySet<string>): string | undefined {
  let last = -1
  let isChained = false
  const seen = new Set<string>()
  for (const event of events) {
    if (event === 'gap') {
      isChained = false
      continue
    }
    if (seen.has(event.data)) return `${event.data} came twice`
    seen.add(event.data)
    const at = truth.indexOf(event.data)
    if (at === -1) {
      if (!lost.has(event.data)) return `${event.data} was never published`
      // The engine lost it afterwards. A notice must come before the next message that counts.
      isChained = true
      last = Infinity
      continue
    }
    if (isChained && last === Infinity) return `${event.data} came after lost messages without a notice`
    if (isChained && at !== last + 1) return `${event.data} came after ${truth[last]} without ${truth.slice(last + 1, at).join()}`
    if (last !== Infinity && at <= last) return `${event.data} came too late`
    last = at
    isChained = true
  }
}

const runs = Number(process.env.HISTORY_RUNS ?? 1_000)
const seed = Number(process.env.HISTORY_SEED ?? Date.now() % 0x7fffffff)

for (const [name, size, isHarmless] of [['any faults', 12, false], ['faults of links and nodes, which nobody notices', 10_000, true]] as const) {
  t.test(`${runs} sequences of ${name}, seed ${seed}`, { timeout: 0 }, async (t) => {
    const limits = { size, ttl: 3_600_000 }
    const counts = { recovered: 0, newest: 0, trimmed: 0, unknown: 0, limit: 0, refused: 0, notices: 0, repairs: 0, reads: 0 }

    async function check (commands: readonly Command[]): Promise<void> {
      const engine = new Engine(size)
      const node = new Node(engine)
      let replica = engine.copy()
      /** Messages that were delivered, but that a failover lost. */
      const lost = new Set<string>()
      const follows: Array<Promise<void>> = []
      /** Positions that clients have. */
      const known: BrokerPosition[] = []
      /** Positions of clients that come from another node, which may have been faster. */
      const elsewhere: BrokerPosition[] = []

      async function follow (since: BrokerPosition | null, limit: number): Promise<void> {
        for (let i = 0; ; i++) {
          if (i > 100) throw new Error('follow does not come to an end')
          const page = node.history.follow(channel, since, limit, limits)
          if (!(page instanceof Promise)) {
            judge(page, since, limit)
            return
          }
          try {
            await page
          } catch (err) {
            if ((err as Error).message === 'refused') counts.refused++
            else if ((err as { code?: string }).code !== 'SC_ERR_BROKER_DOWN') throw err
            return
          }
        }
      }

      function judge (page: BrokerHistoryPage, since: BrokerPosition | null, limit: number): void {
        known.push(page.top)
        const { delivered } = node
        const after = (position: BrokerPosition): number => delivered.findLastIndex(({ position: { epoch, offset, check } }) => epoch === position.epoch && offset === position.offset && check === position.check)
        if (page.gap !== null) {
          counts[page.gap]++
          if (isHarmless && page.gap !== 'limit') throw new Error(`${page.gap}, but nothing is missing`)
          if (page.entries.length !== 0) throw new Error('expected no messages with a gap')
          // What is here, complete and within the limits must be returned.
          const at = since === null ? -1 : after(since)
          const count = delivered.length - 1 - at
          const gapAfter = node.events.lastIndexOf('gap') > node.events.lastIndexOf(delivered[at]!)
          const isUpToDate = page.top.epoch === since?.epoch && (page.top.offset === since.offset || engine.isReadable)
          if (at !== -1 && count === 0 && !gapAfter && isUpToDate) throw new Error(`${page.gap} for the position of the last message`)
          return
        }
        counts.recovered++
        if (page.entries.length > limit) throw new Error('more than the limit')
        if (since === null) {
          counts.newest += page.entries.length
          const { offset } = page.top
          const offsets = page.entries.map(({ position }) => position.offset)
          // Frames on their way may keep a node from joining what it reads to what it has.
          const count = isHarmless && node.incoming.length === 0 ? Math.min(limit, offset) : offsets.length
          const expected = Array.from({ length: count }, (_, i) => offset - count + 1 + i)
          if (JSON.stringify(offsets) !== JSON.stringify(expected)) throw new Error(`the newest ${limit} are ${offsets.join()} instead of ${expected.join()}`)
          return
        }
        // All messages that the engine gave offsets after the position, without a hole.
        const offsets = page.entries.map(({ position }) => position.offset)
        const expected = Array.from({ length: page.top.offset - since.offset }, (_, i) => since.offset + 1 + i)
        if (JSON.stringify(offsets) !== JSON.stringify(expected)) throw new Error(`recovered ${offsets.join()} instead of ${expected.join()}`)
        const [first] = page.entries
        if (first === undefined) return
        const from = engine.truth.indexOf(first.data)
        const texts = page.entries.map(({ data }) => data)
        // A lost tail is only known when the engine is asked; until then the node delivers what it has.
        if (from !== -1 && texts.every((text) => !lost.has(text)) && JSON.stringify(engine.truth.slice(from, from + texts.length)) !== JSON.stringify(texts)) throw new Error(`recovered ${texts.join()}, which is not a part of ${engine.truth.join()}`)
        // The client's own last message precedes them.
        const own = delivered[after(since)]
        if (own !== undefined && from > 0 && !lost.has(own.data) && engine.truth[from - 1] !== own.data) throw new Error(`recovered ${first.data} after ${own.data}, but ${engine.truth[from - 1]} precedes it`)
      }

      let isJoined = false
      /** Joins, as the first subscriber of a channel: what arrived before concerns nobody. */
      async function join (): Promise<void> {
        for (;;) {
          const page = node.history.follow(channel, null, 10, limits)
          if (!(page instanceof Promise)) break
          try {
            await page
          } catch (err) {
            // A refused read does not keep anybody from the channel.
            if ((err as Error).message === 'refused') break
            return
          }
        }
        if (!isJoined) node.events.length = 0
        isJoined = true
      }

      follows.push(join())
      for (const command of commands) {
        switch (command.kind) {
          case 'publish':
          case 'publish unreadable': {
            const frame = engine.publish(command.count, command.kind === 'publish')
            elsewhere.push({ epoch: frame.epoch, offset: frame.last, check: frame.check })
            if (node.session !== null) node.incoming.push(frame)
            break
          }
          case 'arrive': node.arrive(command.count); break
            // A frame that cannot be read is dropped. The next one of its epoch shows it.
          case 'lose': {
            const frame = node.incoming[command.at]
            if (frame !== undefined && frame.epoch === node.incoming[command.at + 1]?.epoch) node.incoming.splice(command.at, 1)
            break
          }
          case 'repeat': if (node.incoming[command.at] !== undefined) node.incoming.splice(command.at, 0, node.incoming[command.at]!); break
          case 'answer': await node.answer(); break
          case 'disconnect': node.disconnect(); break
          case 'connect':
            if (node.session !== null) break
            node.connect()
            if (!isJoined) follows.push(join())
            break
          case 'forget': engine.forget(); break
          case 'delete frames': engine.frames = []; break
          case 'refuse': node.refusals++; break
          case 'copy': replica = engine.copy(); break
          case 'fail over': {
          // All connections to the old master end.
            node.disconnect()
            for (const data of engine.truth.slice(replica.truth.length)) lost.add(data)
            Object.assign(engine, replica)
            replica = engine.copy()
            break
          }
          case 'follow': {
            const positions = command.isElsewhere ? elsewhere : node.delivered.map(({ position }) => position)
            const position = command.back >= 20 ? null : positions.at(-1 - command.back) ?? known[0] ?? null
            const followed = follow(position, command.limit)
            // Its failure is reported at the end.
            followed.catch(() => {})
            follows.push(followed)
            break
          }
        }
      }
      node.connect()
      if (!isJoined) follows.push(join())
      await node.rest()
      const frame = engine.publish(1)
      node.incoming.push(frame)
      await node.rest()
      await Promise.all(follows)
      const wrong = contradiction(node.events, engine.truth, lost)
      if (wrong !== undefined) throw new Error(`${wrong}: ${JSON.stringify(node.events.map((event) => event === 'gap' ? event : event.data))} of ${engine.truth.join()}; lost ${[...lost].join()}`)
      if (node.delivered.at(-1)?.data !== frame.messages[0]) throw new Error('the last message did not come')
      if (isHarmless && node.events.includes('gap')) throw new Error('a notice, but nothing is missing')
      const isFollowed = node.history.follow(channel, node.delivered.at(-1)!.position, 10, limits)
      if (isFollowed instanceof Promise) {
        isFollowed.catch(() => {})
        await node.rest()
      }
      counts.notices += node.events.filter((event) => event === 'gap').length
      counts.repairs += node.history.repairs
      counts.reads += node.history.reads
    }

    const result = await fc.check(fc.asyncProperty(fc.array(isHarmless ? command.filter(({ kind }) => harmless.has(kind)) : command, { maxLength: 60, size: 'max' }), check), { seed, numRuns: runs, path: process.env.HISTORY_PATH, endOnFailure: process.env.HISTORY_PATH !== undefined })
    if (result.failed) {
      t.fail(`HISTORY_SEED=${seed} HISTORY_PATH=${String(result.counterexamplePath)}`, { error: String((result.errorInstance as Error | null)?.stack), sequence: JSON.stringify(result.counterexample) })
    } else {
      const { trimmed, unknown, refused, notices, ...others } = counts
      t.ok(Object.values(isHarmless ? others : counts).every((count) => count > 0), JSON.stringify(counts))
    }
  })
}
