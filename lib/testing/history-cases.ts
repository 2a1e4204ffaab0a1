import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BrokerHistoryPage, BrokerPosition } from '../../types/broker.js'
import { hostileChannelNames } from './hostile-names.js'
import { keyCases } from './key-cases.js'
import { oldestCases } from './oldest-cases.js'
import type { SuiteNode } from './suite-node.js'
import type { BrokerCase, SuiteTools } from './suite-types.js'

const limits = { size: 100, ttl: 60_000 }

/** The rules for brokers with `history`. A broker without it passes them. */
export function historyCases ({ withNodes, until, outage }: SuiteTools): BrokerCase[] {
  /** Runs a case if the broker keeps histories. */
  const withHistory = (count: number, run: (nodes: SuiteNode[]) => Promise<void>) => (): Promise<void> => withNodes(count, async (nodes) => {
    if (nodes[0]!.broker.history !== undefined) await run(nodes)
  })
  /** Runs a case if the broker follows channels. */
  const withFollow = (count: number, run: (nodes: SuiteNode[]) => Promise<void>) => withHistory(count, async (nodes) => {
    if (nodes[0]!.broker.history!.follow !== undefined) await run(nodes)
  })

  /** Runs a case if the broker knows keys. */
  const withKeys = (count: number, run: (nodes: SuiteNode[]) => Promise<void>) => withHistory(count, async (nodes) => {
    if (nodes[0]!.broker.history!.publishOnce !== undefined) await run(nodes)
  })

  const publish = async (node: SuiteNode, channel: string, from: number, to: number, own = limits): Promise<void> => {
    for (let n = from; n <= to; n++) await node.broker.history!.publish(channel, String(n), own)
  }
  const read = async (node: SuiteNode, channel: string, since: BrokerPosition | 'oldest' | null = null, limit = 1_000, own = limits): Promise<BrokerHistoryPage> => node.broker.history!.read(channel, since, limit, own)
  const texts = ({ entries }: Pick<BrokerHistoryPage, 'entries'>): string[] => entries.map(({ data }) => data)
  const numbers = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, i) => String(from + i))

  const cases: BrokerCase[] = [
    {
      name: 'history: keeps messages without subscribers, and returns those after a position',
      run: withHistory(2, async (nodes) => {
        const [writer, reader] = [nodes[0]!, nodes.at(-1)!]
        await publish(writer, 'a', 1, 10)
        const page = await read(reader, 'a')
        assert.deepEqual([texts(page), page.gap], [numbers(1, 10), null])
        assert.deepEqual(page.entries.at(-1)!.position, page.top)
        assert.ok(page.entries.every(({ time }) => Math.abs(time - Date.now()) < 60_000), 'expected the times of the publications in milliseconds')
        for (const [i, { position }] of page.entries.entries()) {
          const rest = await read(reader, 'a', position)
          assert.deepEqual([texts(rest), rest.gap, rest.top], [numbers(i + 2, 10), null, page.top])
        }
        assert.deepEqual(texts(await read(reader, 'a', page.entries[1]!.position, 3)), ['3', '4', '5'])
        assert.deepEqual(texts(await read(reader, 'a', null, 3)), ['8', '9', '10'])
      })
    },
    {
      name: 'history: the size is exact; what is older is told, with the newest messages',
      run: withHistory(1, async ([node]) => {
        const own = { size: 5, ttl: 60_000 }
        const positions: BrokerPosition[] = []
        for (let n = 1; n <= 12; n++) {
          await publish(node!, 'a', n, n, own)
          positions.push((await read(node!, 'a', null, 1, own)).top)
        }
        assert.deepEqual(texts(await read(node!, 'a', null, 100, own)), numbers(8, 12))
        const complete = await read(node!, 'a', positions[6]!, 100, own)
        assert.deepEqual([texts(complete), complete.gap], [numbers(8, 12), null])
        const trimmed = await read(node!, 'a', positions[5]!, 3, own)
        assert.deepEqual([texts(trimmed), trimmed.gap], [numbers(10, 12), 'trimmed'])
      })
    },
    {
      name: 'history: messages are kept for the ttl, the position longer',
      run: withHistory(1, async ([node]) => {
        const own = { size: 100, ttl: 300 }
        await publish(node!, 'a', 1, 2, own)
        const first = await read(node!, 'a', null, 100, own)
        assert.deepEqual(texts(first), ['1', '2'])
        await sleep(350)
        const later = await read(node!, 'a', null, 100, own)
        assert.deepEqual([texts(later), later.top], [[], first.top])
        assert.equal((await read(node!, 'a', first.entries[0]!.position, 100, own)).gap, 'trimmed')
        assert.equal((await read(node!, 'a', first.top, 100, own)).gap, null)
      })
    },
    {
      name: 'history: a ttl may be as long as a number can be',
      run: withHistory(1, async ([node]) => {
        const own = { size: 100, ttl: Number.MAX_SAFE_INTEGER }
        await publish(node!, 'a', 1, 3, own)
        const page = await read(node!, 'a', null, 100, own)
        assert.deepEqual(texts(page), numbers(1, 3))
        const rest = await read(node!, 'a', page.entries[0]!.position, 100, own)
        assert.deepEqual([texts(rest), rest.gap], [numbers(2, 3), null])
      })
    },
    {
      name: 'history: a position that is not one of the channel is unknown',
      run: withHistory(1, async ([node]) => {
        await publish(node!, 'a', 1, 3)
        await publish(node!, 'b', 1, 3)
        const { top } = await read(node!, 'a')
        for (const wrong of [(await read(node!, 'b')).top, { ...top, epoch: 'another' }, { ...top, check: 'other' }, { ...top, offset: top.offset + 1 }]) {
          const page = await read(node!, 'a', wrong, 2)
          assert.deepEqual([texts(page), page.gap], [['2', '3'], 'unknown'], JSON.stringify(wrong))
        }
      })
    },
    {
      name: 'history: a channel without messages has a position, which its first messages follow',
      run: withHistory(1, async ([node]) => {
        const empty = await read(node!, 'a')
        assert.deepEqual([empty.top.offset, texts(empty), empty.gap], [0, [], null])
        await publish(node!, 'a', 1, 3)
        const page = await read(node!, 'a', empty.top)
        assert.deepEqual([texts(page), page.gap], [['1', '2', '3'], null])
      })
    },
    {
      name: 'history: subscribers get each message with the position that it has in the history, from several publishers in one order',
      run: withHistory(2, async (nodes) => {
        for (const node of nodes) await node.broker.subscribe(['a'])
        const publishes: unknown[] = []
        const own = { size: 10_000, ttl: 60_000 }
        for (let n = 1; n <= 500; n++) {
          for (const [i, node] of nodes.entries()) publishes.push(node.broker.history!.publish('a', `"${i}:${n}"`, own))
          if (n % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
        }
        await Promise.all(publishes)
        const count = 500 * nodes.length
        for (const node of nodes) await until('every publication', () => node.positioned.length === count)
        const { entries } = await read(nodes[0]!, 'a', null, 10_000, own)
        const kept = entries.map(({ data, position }) => ({ channel: 'a', data, position }))
        for (const node of nodes) assert.deepEqual(node.positioned, kept)
        assert.deepEqual(entries.map(({ position }) => position.offset), Array.from({ length: count }, (_, i) => i + 1))
      })
    },
    {
      name: 'history: append gives each message its position, whoever publishes at the same time',
      run: withHistory(2, async (nodes) => {
        if (nodes.some((node) => node.broker.history!.append === undefined)) return
        const own = { size: 10_000, ttl: limits.ttl }
        const given = new Map<string, BrokerPosition | null>()
        for (let n = 0; n < 40; n++) {
          await Promise.all(nodes.flatMap((node, i) => Array.from({ length: 20 }, async (_, k) => {
            const data = `"${n}:${i}:${k}"`
            if (k % 3 === 0) await node.broker.history!.publish('a', data, own)
            else given.set(data, await node.broker.history!.append!('a', data, own))
          })))
        }
        const { entries } = await read(nodes[0]!, 'a', null, 10_000, own)
        const appended = entries.filter(({ data }) => given.has(data))
        assert.equal(appended.length, given.size)
        for (const { data, position } of appended) assert.deepEqual(given.get(data), position)
      })
    },
    {
      name: 'history: any text and any channel name',
      run: withHistory(2, async (nodes) => {
        const [writer, reader] = [nodes[0]!, nodes.at(-1)!]
        const messages = ['', '"é🙂名\\u0000"', '"\\n1,2,3"', `"${'x'.repeat(300 * 1024)}"`, `"${'é'.repeat(60_000)}"`, '{"a":[1,null]}']
        await Promise.all(messages.map((text) => writer.broker.history!.publish('texts', text, limits)))
        assert.deepEqual(texts(await read(reader, 'texts')), messages)
        await Promise.all(hostileChannelNames.map((name, i) => writer.broker.history!.publish(name, String(i), limits)))
        for (const [i, name] of hostileChannelNames.entries()) assert.deepEqual(texts(await read(reader, name)), [String(i)], name)
      })
    },
    {
      name: 'history: follow answers in one turn what the sink received, while others publish',
      run: withFollow(2, async (nodes) => {
        const [follower, publisher] = [nodes[0]!, nodes.at(-1)!]
        await follower.broker.subscribe(['a'])
        const begin = await follower.follow('a', null, 10, limits)
        assert.deepEqual([begin.entries, begin.gap], [[], null])
        const publishing = (async () => {
          for (let n = 1; n <= 400; n++) {
            const published = publisher.broker.history!.publish('a', String(n), limits)
            if (n % 3 === 0) await published
          }
          await publisher.broker.history!.publish('a', '"end"', limits)
        })()
        while (follower.positioned.at(-1)?.data !== '"end"') {
          await new Promise((resolve) => setImmediate(resolve))
          const missed = Math.floor(Math.random() * 50)
          const since = follower.positioned.at(-1 - missed)?.position ?? begin.top
          const page = await follower.follow('a', since, 100, limits)
          const last = follower.positioned.at(-1)
          assert.deepEqual(page.top, last?.position ?? begin.top, 'expected the position of the last publication')
          const after = follower.positioned.filter(({ position }) => position.offset > since.offset)
          if (after.length <= 100) assert.deepEqual([texts(page), page.gap], [after.map(({ data }) => data), null])
        }
        await publishing
      })
    },
    {
      name: 'history: follow reads what was published before, and tells what it cannot return',
      run: withFollow(2, async (nodes) => {
        const [follower, publisher] = [nodes[0]!, nodes.at(-1)!]
        const own = { size: 20, ttl: 60_000 }
        const { top: empty } = await read(publisher, 'a', null, 1, own)
        await publish(publisher, 'a', 1, 30, own)
        const kept = await read(publisher, 'a', null, 100, own)
        await follower.broker.subscribe(['a'])
        const page = await follower.follow('a', kept.entries[4]!.position, 15, own)
        assert.deepEqual([texts(page), page.gap], [numbers(16, 30), null])
        const answer = async (since: BrokerPosition, limit = 15): Promise<unknown> => (await follower.follow('a', since, limit, own)).gap
        assert.equal(await answer(kept.entries[3]!.position), 'limit')
        assert.equal(await answer(kept.entries[0]!.position, 100), null)
        assert.equal(await answer(empty, 100), 'trimmed')
        for (const wrong of [{ ...kept.top, epoch: 'another' }, { ...kept.top, check: 'other' }, { ...kept.top, offset: kept.top.offset + 1 }, { ...kept.entries[6]!.position, check: 'other' }]) {
          assert.equal(await answer(wrong, 100), 'unknown', JSON.stringify(wrong))
        }
      })
    },
    {
      name: 'history: follow returns the newest messages, as many as are asked for and kept',
      run: withFollow(2, async (nodes) => {
        const [follower, publisher] = [nodes[0]!, nodes.at(-1)!]
        const own = { size: 20, ttl: 1_000 }
        await follower.broker.subscribe(['a'])
        const newest = async (limit: number): Promise<string[]> => {
          const page = await follower.follow('a', null, limit, own)
          assert.equal(page.gap, null)
          if (page.entries.length !== 0) assert.deepEqual(page.entries.at(-1)!.position, page.top)
          return texts(page)
        }
        assert.deepEqual(await newest(5), [])
        await publish(publisher, 'b', 1, 30, own)
        await follower.broker.subscribe(['b'])
        const [before] = await Promise.all([1, 3, 100].map((limit) => follower.follow('b', null, limit, own)))
        assert.deepEqual(texts(before!), ['30'])
        await publish(publisher, 'a', 1, 30, own)
        await until('the publications', () => follower.positioned.length >= 30)
        for (const [limit, from] of [[0, 31], [1, 30], [5, 26], [20, 11], [21, 11], [100, 11]] as const) assert.deepEqual(await newest(limit), numbers(from, 30), `${limit} messages`)
        const { entries } = await follower.follow('b', null, 100, own)
        assert.deepEqual([entries.map(({ data }) => data), (await follower.follow('b', null, 0, own)).top], [numbers(11, 30), entries.at(-1)!.position])
        await sleep(1_050)
        assert.deepEqual(await newest(5), [])
        await publish(publisher, 'a', 31, 31, own)
        await until('the publication', () => follower.positioned.at(-1)?.data === '31')
        assert.deepEqual(await newest(5), ['31'])
      })
    },
    {
      name: 'history: many who ask at the same time get what they missed',
      run: withFollow(2, async (nodes) => {
        const [follower, publisher] = [nodes[0]!, nodes.at(-1)!]
        await publish(publisher, 'a', 1, 50)
        const { entries } = await read(publisher, 'a')
        await follower.broker.subscribe(['a'])
        const pages = await Promise.all(entries.map(({ position }) => follower.follow('a', position, 100, limits)))
        for (const [i, page] of pages.entries()) assert.deepEqual([texts(page), page.gap], [numbers(i + 2, 50), null])
      })
    }
  ]
  cases.push(...oldestCases({ withHistory, read, texts, numbers }), ...keyCases({ withKeys, until, read, texts, numbers }))
  if (outage === undefined) return cases
  return [...cases, {
    name: 'history: an engine that comes back empty is told once for each followed channel, with the position that goes on',
    run: withFollow(2, async (nodes) => {
      for (const node of nodes) {
        await node.broker.subscribe(['a', 'b', 'plain'])
        for (const channel of ['a', 'b']) await node.follow(channel, null, 10, limits)
      }
      await publish(nodes[0]!, 'a', 1, 3)
      for (const node of nodes) await until('the publications', () => node.positioned.length === 3)
      const { position } = nodes[0]!.positioned.at(-1)!
      await outage.down()
      try {
        for (const node of nodes) await until('the state down', () => node.state === 'down')
        await assert.rejects(async () => { await nodes[0]!.follow('a', null, 10, limits) }, { name: 'BrokerError' })
        await assert.rejects(async () => { await publish(nodes[0]!, 'a', 4, 4) }, { name: 'BrokerError' })
      } finally {
        await outage.up()
      }
      for (const node of nodes) {
        await until('the gaps of both channels and of all others', () => node.events.filter((event) => event.startsWith('gap')).length === 3, 15_000)
        assert.deepEqual(node.events.slice(2).sort(), ['gap *', 'gap a', 'gap b', 'up'])
      }
      assert.equal((await nodes[0]!.follow('a', position, 10, limits)).gap, 'unknown')
      await publish(nodes.at(-1)!, 'a', 5, 6)
      for (const node of nodes) await until('the publications', () => node.positioned.length === 5)
      const { top } = await nodes[0]!.follow('a', null, 10, limits)
      assert.deepEqual(top, nodes[0]!.positioned.at(-1)!.position)
    })
  }]
}
