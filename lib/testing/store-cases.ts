import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BrokerStore } from '../../types/broker.js'
import type { SuiteNode } from './suite-node.js'
import type { BrokerCase, SuiteTools } from './suite-types.js'

const ttl = 60_000

/** The rules of `store`. A broker without it passes them. */
export function storeCases ({ withNodes, until, outage }: Pick<SuiteTools, 'withNodes' | 'until' | 'outage'>): BrokerCase[] {
  const withStores = (count: number, run: (stores: BrokerStore[], nodes: SuiteNode[]) => Promise<void>) => () => withNodes(count, async (nodes) => {
    if (nodes.some((node) => node.broker.store === undefined)) return
    await run(nodes.map((node) => node.broker.store!), nodes)
  })

  const cases: BrokerCase[] = [
    {
      name: 'store: a key has one value on all nodes, until it is replaced or removed',
      run: withStores(2, async (stores) => {
        const [one, other] = [stores[0]!, stores.at(-1)!]
        assert.equal(await one.add('a', 'first', ttl), null)
        assert.equal(await one.add('a', 'second', ttl), 'first')
        assert.equal(await other.add('a', 'third', ttl), 'first')
        assert.equal(await other.add('b', 'other', ttl), null, 'expected keys to be apart')
        assert.equal(await other.replace('a', 'second', 'fourth', ttl), false, 'expected a value that the key does not have to be told')
        assert.equal(await other.replace('a', 'first', 'fourth', ttl), true)
        assert.equal(await one.add('a', 'fifth', ttl), 'fourth')
        assert.equal(await one.replace('c', 'none', 'some', ttl), false, 'expected nothing to be replaced where there is nothing')
        assert.equal(await one.add('c', 'some', ttl), null)
        assert.equal(await one.replace('a', 'first', null, ttl), false)
        assert.equal(await one.replace('a', 'fourth', null, ttl), true)
        assert.equal(await other.add('a', 'sixth', ttl), null, 'expected a removed key to be free')
        assert.equal(await one.add('b', 'x', ttl), 'other')
      })
    },
    {
      name: 'store: of many calls at the same time one stores its value',
      run: withStores(3, async (stores) => {
        for (let round = 0; round < 20; round++) {
          const calls = stores.flatMap((store, n) => Array.from({ length: 20 }, (_, i) => ({ store, value: `${n}:${i}` })))
          const found = await Promise.all(calls.map(({ store, value }) => store.add(`k${round}`, value, ttl)))
          const winners = calls.filter((_call, i) => found[i] === null)
          assert.equal(winners.length, 1, 'expected one call to store its value')
          const winner = winners[0]!.value
          assert.deepEqual(new Set(found.filter((value) => value !== null)), new Set([winner]), 'expected the others to be told that value')
          const replaced = await Promise.all(calls.map(({ store, value }) => store.replace(`k${round}`, winner, value, ttl)))
          // A value may be replaced by itself, and then by another one.
          assert.ok(replaced.filter(Boolean).length <= 2 && replaced.some(Boolean), 'expected one call to replace the value')
        }
      })
    },
    {
      name: 'store: a value ends with its time, which begins anew when it is replaced',
      run: withStores(1, async ([store]) => {
        assert.equal(await store!.add('short', 'x', 1_000), null)
        assert.equal(await store!.add('longer', 'x', 1_000), null)
        assert.equal(await store!.replace('longer', 'x', 'y', ttl), true)
        await sleep(1_100)
        assert.equal(await store!.replace('short', 'x', 'y', ttl), false)
        assert.equal(await store!.add('short', 'z', ttl), null)
        assert.equal(await store!.add('longer', 'z', ttl), 'y')
      })
    },
    {
      name: 'store: any text is a value, and each of 1,000 keys has its own',
      run: withStores(2, async (stores) => {
        const values = ['x', ' ', '{}', '"é🙂\\n"', '\n\r\n', '-1', '__proto__', 'x'.repeat(131_072), '🙂'.repeat(20_000)]
        for (const [i, value] of values.entries()) {
          assert.equal(await stores[0]!.add(`v${i}`, value, ttl), null)
          assert.equal(await stores.at(-1)!.add(`v${i}`, 'other', ttl), value)
          assert.equal(await stores.at(-1)!.replace(`v${i}`, value, `${i}`, ttl), true)
        }
        const keys = Array.from({ length: 1_000 }, (_, i) => `Key_-${i}`.padEnd(64, 'x'))
        await Promise.all(keys.map((key) => stores[0]!.add(key, key, ttl)))
        assert.deepEqual(await Promise.all(keys.map((key) => stores.at(-1)!.add(key, 'other', ttl))), keys)
      })
    }
  ]
  if (outage === undefined) return cases
  return [...cases, {
    name: 'store: refused while the engine is down, and there again after it',
    run: withStores(1, async ([store], [node]) => {
      assert.equal(await store!.add('a', 'x', ttl), null)
      await outage.down()
      try {
        await until('the state down', () => node!.state === 'down')
        for (const attempt of [() => store!.add('a', 'y', ttl), () => store!.replace('a', 'x', 'y', ttl)]) {
          await assert.rejects(async () => { await attempt() }, { name: 'BrokerError' }, 'expected a BrokerError while the engine is down')
        }
      } finally {
        await outage.up()
      }
      await until('the state up', () => node!.state === 'up', 10_000)
      assert.equal(await store!.add('b', 'x', ttl), null)
      assert.equal(await store!.add('b', 'y', ttl), 'x')
    })
  }]
}
