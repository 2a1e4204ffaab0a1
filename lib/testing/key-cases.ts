import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BrokerHistoryLimits, BrokerHistoryPage, BrokerPosition } from '../../types/broker.js'
import type { SuiteNode } from './suite-node.js'
import type { BrokerCase, SuiteTools } from './suite-types.js'

const limits = { size: 100, ttl: 60_000 }

/** What the cases of histories share. */
interface KeyTools extends Pick<SuiteTools, 'until'> {
  withKeys (count: number, run: (nodes: SuiteNode[]) => Promise<void>): () => Promise<void>
  read (node: SuiteNode, channel: string, since?: BrokerPosition | null, limit?: number, own?: BrokerHistoryLimits): Promise<BrokerHistoryPage>
  texts (page: Pick<BrokerHistoryPage, 'entries'>): string[]
  numbers (from: number, to: number): string[]
}

/** The rules of `publishOnce`. A broker without it passes them. */
export function keyCases ({ withKeys, until, read, texts, numbers }: KeyTools): BrokerCase[] {
  const once = async (node: SuiteNode, channel: string, data: string, key: string, own = limits): Promise<boolean> => await node.broker.history!.publishOnce!(channel, data, own, key)

  return [
    {
      name: 'keys: a message is published once for its key, on any node, and a repeat is told',
      run: withKeys(2, async (nodes) => {
        const [one, other] = [nodes[0]!, nodes.at(-1)!]
        await one.broker.subscribe(['a'])
        assert.equal(await once(one, 'a', '1', 'k1'), true)
        assert.equal(await once(one, 'a', '2', 'k1'), false)
        assert.equal(await once(other, 'a', '3', 'k1'), false)
        assert.equal(await once(other, 'a', '4', 'k2'), true)
        assert.equal(await once(other, 'b', '5', 'k1'), true, 'expected each channel to have its own keys')
        await one.broker.history!.publish('a', '6', limits)
        await until('the publications', () => one.of('a').includes('6'))
        assert.deepEqual(one.of('a'), ['1', '4', '6'])
        const { entries } = await read(one, 'a')
        assert.deepEqual(entries.map(({ data, position }) => [data, position.offset]), [['1', 1], ['4', 2], ['6', 3]], 'expected no position for a repeat')
        assert.deepEqual(one.positioned, entries.map(({ data, position }) => ({ channel: 'a', data, position })))
      })
    },
    {
      name: 'keys: of many attempts at the same time one is published, among messages without keys, in order',
      run: withKeys(2, async (nodes) => {
        const own = { size: 10_000, ttl: 60_000 }
        for (const node of nodes) await node.broker.subscribe(['a'])
        const answers: Array<Promise<boolean>> = []
        const plain: unknown[] = []
        for (let n = 1; n <= 300; n++) {
          for (const [i, node] of nodes.entries()) {
            answers.push(once(node, 'a', `"${n}"`, `key ${n}`, own), once(node, 'a', `"${n}"`, `key ${n}`, own))
            plain.push(node.broker.history!.publish('a', `"${i}:${n}"`, own))
          }
          if (n % 40 === 0) await new Promise((resolve) => setImmediate(resolve))
        }
        assert.equal((await Promise.all(answers)).filter(Boolean).length, 300)
        await Promise.all(plain)
        const count = 300 + 300 * nodes.length
        for (const node of nodes) await until('every publication', () => node.positioned.length === count)
        const { entries } = await read(nodes[0]!, 'a', null, 10_000, own)
        assert.deepEqual(entries.map(({ position }) => position.offset), Array.from({ length: count }, (_, i) => i + 1))
        for (const node of nodes) assert.deepEqual(node.positioned, entries.map(({ data, position }) => ({ channel: 'a', data, position })))
        for (const i of nodes.keys()) {
          const own = texts({ entries }).filter((text) => text.startsWith(`"${i}:`))
          assert.deepEqual(own, numbers(1, 300).map((n) => `"${i}:${n}"`), 'expected the order of the calls')
        }
        assert.deepEqual(texts({ entries }).filter((text) => !text.includes(':')).sort(), numbers(1, 300).map((n) => `"${n}"`).sort())
      })
    },
    {
      name: 'keys: a key outlives its message in the history, and ends with the ttl',
      run: withKeys(1, async ([node]) => {
        const own = { size: 2, ttl: 500 }
        assert.equal(await once(node!, 'a', '1', 'k', own), true)
        const from = performance.now()
        for (const text of ['2', '3', '4']) await node!.broker.history!.publish('a', text, own)
        const answer = await once(node!, 'a', '5', 'k', own)
        // On a busy machine the ttl may be over already.
        if (performance.now() - from < own.ttl) assert.equal(answer, false)
        await sleep(own.ttl + 100)
        assert.equal(await once(node!, 'a', '6', 'k', own), true)
        assert.equal((await read(node!, 'a', null, 100, own)).entries.at(-1)!.data, '6')
      })
    },
    {
      name: 'keys: append gives the position of a message, and none to a repeat',
      run: withKeys(2, async (nodes) => {
        if (nodes.some((node) => node.broker.history!.append === undefined)) return
        const append = (node: SuiteNode, data: string, key?: string) => node.broker.history!.append!('a', data, limits, key)
        const kept = new Map<string, BrokerPosition>()
        for (let n = 0; n < 60; n++) {
          const calls = nodes.flatMap((node, i) => [undefined, `k${n}`, `k${n}`, `own ${i}:${n}`].map((key, k) => ({ node, data: `"${n}:${i}:${k}"`, key })))
          const positions = await Promise.all(calls.map(({ node, data, key }) => append(node, data, key)))
          for (const [i, { data }] of calls.entries()) if (positions[i] !== null) kept.set(data, positions[i]!)
          assert.equal(calls.filter(({ key }, i) => key === `k${n}` && positions[i] !== null).length, 1, 'expected one position for the messages of a key')
          assert.ok(calls.every(({ key }, i) => key === `k${n}` || positions[i] !== null), 'expected a position for each other message')
        }
        const { entries } = await read(nodes[0]!, 'a', null, 1_000, { size: 1_000, ttl: limits.ttl })
        for (const { data, position } of entries) assert.deepEqual(kept.get(data), position)
        assert.ok(entries.length >= limits.size)
      })
    },
    {
      name: 'keys: any text is a key of its own',
      run: withKeys(1, async ([node]) => {
        const keys = ['k', 'K', ' k', '{k}', '}k{', '__proto__', 'é', '🙂', '*', '\n', '\u0000', '-0 sc1 m', ':', '%3A', 'a:b', 'a%3Ab', 'x'.repeat(128)]
        const publishAll = (): Promise<boolean[]> => Promise.all(keys.map((key, i) => once(node!, 'a', String(i), key)))
        assert.deepEqual(await publishAll(), keys.map(() => true))
        assert.deepEqual(await publishAll(), keys.map(() => false))
        assert.deepEqual(texts(await read(node!, 'a')), keys.map((_key, i) => String(i)))
      })
    },
    {
      name: 'keys: a key of one channel touches no other channel, whatever both are called',
      run: withKeys(1, async ([node]) => {
        for (const channel of ['a', 'a{x}', '{x}', 'a}']) {
          const other = `${channel}:h:key:b`
          assert.equal(await once(node!, other, '1', 'k'), true)
          for (const key of ['b:h:meta', 'b:h:frames', 'b:h:key:k']) assert.equal(await once(node!, channel, `"${key}"`, key), true)
          assert.equal(await once(node!, other, '2', 'k'), false)
          assert.deepEqual(texts(await read(node!, other)), ['1'])
        }
      })
    }
  ]
}
