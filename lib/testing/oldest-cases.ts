import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BrokerHistoryLimits, BrokerHistoryPage, BrokerPosition } from '../../types/broker.js'
import type { SuiteNode } from './suite-node.js'
import type { BrokerCase } from './suite-types.js'

/** What the cases of histories share. */
interface OldestTools {
  readonly withHistory: (count: number, run: (nodes: SuiteNode[]) => Promise<void>) => () => Promise<void>
  readonly read: (node: SuiteNode, channel: string, since: BrokerPosition | 'oldest' | null, limit: number, limits: BrokerHistoryLimits) => Promise<BrokerHistoryPage>
  readonly texts: (page: Pick<BrokerHistoryPage, 'entries'>) => string[]
  readonly numbers: (from: number, to: number) => string[]
}

/** The rules for reading a history from its oldest message on. */
export function oldestCases ({ withHistory, read, texts, numbers }: OldestTools): BrokerCase[] {
  return [
    {
      name: 'history: returns the oldest messages that are kept, from which one reads on',
      run: withHistory(2, async (nodes) => {
        const [writer, reader] = [nodes[0]!, nodes.at(-1)!]
        const own = { size: 50, ttl: 60_000 }
        const empty = await read(reader, 'a', 'oldest', 10, own)
        assert.deepEqual([empty.top.offset, texts(empty), empty.gap], [0, [], null])
        for (const [count, from] of [[1, 1], [49, 1], [51, 2], [300, 251]] as const) {
          const channel = `kept ${count}`
          // Several at once, so that frames have several of them.
          await Promise.all(numbers(1, count).map((text) => writer.broker.history!.publish(channel, text, own)))
          const all: string[] = []
          for (let page = await read(reader, channel, 'oldest', 7, own); page.entries.length !== 0; page = await read(reader, channel, page.entries.at(-1)!.position, 7, own)) {
            assert.ok(page.entries.length <= 7)
            assert.equal(page.gap, null)
            all.push(...texts(page))
          }
          assert.deepEqual(all, numbers(from, count))
        }
      })
    },
    {
      name: 'history: the oldest messages are those that have not expired, however many have',
      run: withHistory(1, async ([node]) => {
        const own = { size: 1_000, ttl: 500 }
        for (const [expired, kept] of [[300, 5], [300, 0], [1, 1]] as const) {
          const channel = `${expired} ${kept}`
          for (let n = 1; n <= expired; n++) await node!.broker.history!.publish(channel, String(n), own)
          await sleep(550)
          for (const text of numbers(expired + 1, expired + kept)) await node!.broker.history!.publish(channel, text, own)
          assert.deepEqual(texts(await read(node!, channel, 'oldest', 3, own)), numbers(expired + 1, expired + Math.min(3, kept)))
        }
      })
    }
  ]
}
