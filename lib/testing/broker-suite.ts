import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { hostileChannelNames } from './hostile-names.js'
import { historyCases } from './history-cases.js'
import { storeCases } from './store-cases.js'
import { SuiteNode } from './suite-node.js'
import type { BrokerCase, BrokerSuiteOptions } from './suite-types.js'

/**
 * Returns the rules of a broker as test cases. Run them for your own broker to verify that the server can rely on it.
 *
 * @example
 * for (const { name, run } of brokerSuite({ create: () => myBroker() })) test(name, run)
 */
export function brokerSuite (options: BrokerSuiteOptions): BrokerCase[] {
  const patience = options.patience ?? 5000

  const until = async (what: string, met: () => boolean, within = patience): Promise<void> => {
    const end = performance.now() + within
    while (!met()) {
      if (performance.now() > end) assert.fail(`expected ${what} within ${within} ms`)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }

  /** Runs a case with started nodes (one if the broker is not shared), and always stops them. */
  const withNodes = async (count: number, run: (nodes: SuiteNode[], prefix: string) => Promise<void>): Promise<void> => {
    const prefix = `t${randomBytes(6).toString('hex')}`
    const nodes: SuiteNode[] = []
    try {
      for (let i = 0; i < count; i++) {
        const broker = await options.create()
        if (i > 0 && !broker.shared) break
        const node = new SuiteNode(broker, `n${i}-${randomBytes(3).toString('hex')}`)
        nodes.push(node)
        await node.start(prefix)
      }
      await run(nodes, prefix)
    } finally {
      await Promise.all(nodes.filter((node) => !node.stopped).map((node) => node.stop()))
    }
  }

  /** Waits until all earlier publications on a channel have arrived: publishes a marker, which must not overtake them. */
  const arrived = async (nodes: SuiteNode[], channel: string): Promise<void> => {
    const mark = `"${randomBytes(6).toString('hex')}"`
    await nodes[0]!.broker.publish(channel, mark)
    for (const node of nodes) {
      await until(`a publication on ${channel}`, () => node.publications.some(([name, data]) => name === channel && data === mark))
      node.publications.splice(node.publications.findIndex(([, data]) => data === mark), 1)
    }
  }

  const refused = async (attempt: () => unknown, what: string): Promise<void> => {
    const from = performance.now()
    await assert.rejects(async () => { await attempt() }, { name: 'BrokerError' }, `expected ${what} to reject with a BrokerError`)
    assert.ok(performance.now() - from < 50, `expected ${what} to be refused at once`)
  }

  const cases: BrokerCase[] = [
    {
      name: 'is up when start has settled',
      run: () => withNodes(1, async ([node]) => {
        await until('the state up', () => node!.state === 'up')
        assert.deepEqual(node!.events, ['up'])
      })
    },
    {
      name: 'delivers what was published to every subscribed node, the publisher too, and nothing else',
      run: () => withNodes(3, async (nodes) => {
        for (const node of nodes) await node.broker.subscribe(['a', 'end'])
        const last = nodes.at(-1)!
        await last.broker.publish('a', '{"n":1}')
        await last.broker.publish('b', '{"n":2}')
        await last.broker.publish('a', '')
        await arrived(nodes, 'a')
        for (const node of nodes) assert.deepEqual(node.publications, [['a', '{"n":1}'], ['a', '']])
      })
    },
    {
      name: 'delivers from the moment a subscribe has settled',
      run: () => withNodes(2, async (nodes) => {
        const [subscriber, publisher] = [nodes[0]!, nodes.at(-1)!]
        for (let i = 0; i < 50; i++) {
          await subscriber.broker.subscribe([`c${i}`])
          await publisher.broker.publish(`c${i}`, `${i}`)
        }
        await until('50 publications', () => subscriber.publications.length === 50)
      })
    },
    {
      name: 'subscribing again is harmless; unsubscribing ends delivery, also of what was never subscribed',
      run: () => withNodes(2, async (nodes) => {
        const [subscriber, publisher] = [nodes[0]!, nodes.at(-1)!]
        await subscriber.broker.subscribe(['a', 'end'])
        await subscriber.broker.subscribe(['a'])
        await publisher.broker.publish('a', '1')
        await until('a publication', () => subscriber.publications.length > 0)
        await subscriber.broker.unsubscribe(['a', 'never'])
        await subscriber.broker.unsubscribe(['a'])
        await publisher.broker.publish('a', '2')
        await arrived([subscriber], 'end')
        assert.deepEqual(subscriber.publications, [['a', '1']])
        await subscriber.broker.subscribe(['a'])
        await publisher.broker.publish('a', '3')
        await until('a publication after subscribing again', () => subscriber.publications.length === 2)
        assert.deepEqual(subscriber.of('a'), ['1', '3'])
      })
    },
    {
      name: 'the order of each publisher on all nodes, and one order of a channel if the broker says so',
      run: () => withNodes(2, async (nodes) => {
        for (const node of nodes) await node.broker.subscribe(['a', 'b'])
        const count = 2000
        const publishes: unknown[] = []
        for (let i = 0; i < count; i++) {
          for (const [n, node] of nodes.entries()) publishes.push(node.broker.publish('a', `${n}:${i}`), node.broker.publish('b', `${n}:${i}`))
          if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
        }
        await Promise.all(publishes)
        for (const node of nodes) await until('every publication', () => node.publications.length === count * 2 * nodes.length)
        for (const channel of ['a', 'b']) {
          for (const node of nodes) {
            const got = node.of(channel)
            if (node.broker.order === 'channel') assert.deepEqual(got, nodes[0]!.of(channel), 'expected one order on every node')
            for (const n of nodes.keys()) {
              const own = got.filter((data) => data.startsWith(`${n}:`)).map((data) => Number(data.slice(2)))
              assert.deepEqual(own, Array.from({ length: count }, (_, i) => i), 'expected the order of the publisher')
            }
          }
        }
      })
    },
    {
      name: 'a publish made while a publication is delivered comes after it, everywhere',
      run: () => withNodes(2, async (nodes) => {
        for (const node of nodes) await node.broker.subscribe(['a'])
        const first = nodes[0]!
        first.onPublication = (_channel, data) => {
          const n = Number(data)
          if (n < 20) Promise.resolve(first.broker.publish('a', `${n + 1}`)).catch(() => {})
        }
        await first.broker.publish('a', '0')
        for (const node of nodes) {
          await until('21 publications', () => node.publications.length === 21)
          assert.deepEqual(node.of('a'), Array.from({ length: 21 }, (_, i) => `${i}`))
        }
      })
    },
    {
      name: 'carries any text: large, multi-byte, with line breaks, many in one tick',
      run: () => withNodes(2, async (nodes) => {
        const [subscriber, publisher] = [nodes[0]!, nodes.at(-1)!]
        await subscriber.broker.subscribe(['a'])
        const texts = ['"é🙂名\\u0000"', '"\n\r\n1,2,3\n"', `"${'x'.repeat(300 * 1024)}"`, `"${'é'.repeat(60_000)}"`, '', '0', ...Array.from({ length: 500 }, (_, i) => `${i}`), ...Array.from({ length: 6 }, () => `"${'y'.repeat(60_000)}"`)]
        await Promise.all(texts.map((text) => publisher.broker.publish('a', text)))
        await until('every text', () => subscriber.publications.length === texts.length)
        assert.deepEqual(subscriber.of('a'), texts)
      })
    },
    {
      name: 'hostile channel names are plain names, each its own',
      run: () => withNodes(2, async (nodes) => {
        const [subscriber, publisher] = [nodes[0]!, nodes.at(-1)!]
        await subscriber.broker.subscribe([...hostileChannelNames, 'end'])
        for (const [i, name] of hostileChannelNames.entries()) await publisher.broker.publish(name, `${i}`)
        await until('one publication of each', () => subscriber.publications.length >= hostileChannelNames.length)
        await arrived([subscriber], 'end')
        assert.deepEqual(subscriber.publications.sort((a, b) => Number(a[1]) - Number(b[1])), hostileChannelNames.map((name, i) => [name, `${i}`]))
      })
    },
    {
      name: 'keeps applications with different prefixes apart',
      run: () => withNodes(1, async ([node]) => {
        const other = new SuiteNode(await options.create(), 'other')
        if (!other.broker.shared) return
        await other.start(`t${randomBytes(6).toString('hex')}`)
        try {
          await other.broker.subscribe(['a'])
          await node!.broker.subscribe(['a'])
          await node!.broker.publish('a', '1')
          await node!.broker.control('x')
          await arrived([other], 'a')
          assert.deepEqual([other.publications, other.controls], [[], []])
        } finally {
          await other.stop()
        }
      })
    },
    {
      name: 'control messages reach the other nodes, or the one that is meant, never the sender',
      run: () => withNodes(3, async (nodes) => {
        const [a, b, c] = nodes
        await a!.broker.control('to all é')
        await a!.broker.control('to itself', a!.id)
        if (b === undefined || c === undefined) {
          assert.deepEqual(a!.controls, [])
          return
        }
        await a!.broker.control('to b', b.id)
        await b.broker.control('back', a!.id)
        await until('the control messages', () => a!.controls.length === 1 && b.controls.length === 2 && c.controls.length === 1)
        assert.deepEqual([a!.controls, b.controls.sort(), c.controls], [[['back', b.id]], [['to all é', a!.id], ['to b', a!.id]].sort(), [['to all é', a!.id]]])
      })
    },
    {
      name: 'thousands of channels in one call',
      run: () => withNodes(2, async (nodes) => {
        const [subscriber, publisher] = [nodes[0]!, nodes.at(-1)!]
        const names = Array.from({ length: 3000 }, (_, i) => `room/${i}`)
        await subscriber.broker.subscribe(names)
        await subscriber.broker.unsubscribe(names.slice(0, 1500))
        await Promise.all(names.map((name) => publisher.broker.publish(name, '1')))
        await until('1,500 publications', () => subscriber.publications.length >= 1500)
        await subscriber.broker.subscribe(['end'])
        await arrived([subscriber], 'end')
        assert.deepEqual(new Set(subscriber.publications.map(([name]) => name)), new Set(names.slice(1500)))
        assert.equal(subscriber.publications.length, 1500)
      })
    },
    {
      name: 'serves one server',
      run: () => withNodes(1, async ([node], prefix) => {
        await assert.rejects(async () => { await new SuiteNode(node!.broker, 'again').start(prefix) }, { name: 'BrokerError' })
      })
    },
    {
      name: 'nothing reaches the sink after stop, and stopping twice is harmless',
      run: () => withNodes(2, async (nodes) => {
        for (const node of nodes) await node.broker.subscribe(['a'])
        const [stopped, other] = [nodes[0]!, nodes.at(-1)!]
        await stopped.stop()
        await stopped.broker.stop()
        const before = [stopped.publications.length, stopped.events.length]
        if (other !== stopped) {
          await other.broker.publish('a', '1')
          await other.broker.control('x')
          await until('the publication elsewhere', () => other.publications.length === 1)
        }
        assert.deepEqual([stopped.publications.length, stopped.events.length], before)
      })
    }
  ]

  const { outage } = options
  const all = [...cases, ...historyCases({ withNodes, until, outage }), ...storeCases({ withNodes, until, outage })]
  if (outage === undefined) return all
  return [...all, {
    name: 'an outage: told at once, everything refused at once, all subscribed again, then a gap, no duplicate',
    run: () => withNodes(2, async (nodes) => {
      const names = Array.from({ length: 700 }, (_, i) => `c${i}`)
      for (const node of nodes) await node.broker.subscribe(names)
      await outage.down()
      try {
        for (const node of nodes) await until('the state down', () => node.state === 'down')
        for (const node of nodes) {
          await refused(() => node.broker.publish('c1', '"lost"'), 'a publish while down')
          await refused(() => node.broker.subscribe(['late']), 'a subscribe while down')
          await refused(() => node.broker.control('lost'), 'a control message while down')
        }
        await nodes[0]!.broker.unsubscribe(['c0'])
      } finally {
        await outage.up()
      }
      for (const node of nodes) await until('the state up and a gap', () => node.events.length >= 4, patience * 2)
      for (const node of nodes) assert.deepEqual(node.events, ['up', 'down', 'up', 'gap *'])
      for (const name of names) await nodes.at(-1)!.broker.publish(name, `"${name}"`)
      await until('one publication of each channel', () => nodes.every((node, i) => node.publications.length >= names.length - (i === 0 ? 1 : 0)))
      await arrived(nodes, 'c1')
      for (const [i, node] of nodes.entries()) assert.deepEqual(node.publications.map(([name]) => name).sort(), names.slice(i === 0 ? 1 : 0).sort())
    })
  }]
}
