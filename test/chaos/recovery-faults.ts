// The faults of the recovery table. Those of one engine only are in files of their own.
import { setTimeout as sleep } from 'node:timers/promises'
import type { TcpProxy } from '../helpers/proxy.js'
import { until } from '../helpers/waiting.js'
import { NodeProcess } from './node-process.js'
import type { RecoveryScenario } from './recovery.js'
import { natsFaults } from './recovery-nats.js'
import { redisFaults } from './recovery-redis.js'
import { rightsFaults } from './recovery-rights.js'
import type { RecoveryStage } from './recovery-stage.js'
import type { Pace } from './scenario.js'

/** What the faults have in common. */
export type CommonFault = Omit<RecoveryScenario, 'name' | 'setUp'>

/** The rows of the table, at a pace. */
export function recoveryScenarios (pace: Pace): RecoveryScenario[] {
  const { options, outage, pause } = pace
  const isLong = pace.duration > 10_000
  const common: CommonFault = {
    engines: ['redis', 'nats'],
    clients: isLong ? 48 : 16,
    channels: ['room/1'],
    messages: isLong ? 3_000 : 300,
    faultAt: isLong ? 500 : 50,
    rate: isLong ? 500 : 200,
    options,
    reconnects: false
  }
  const nodesGo = { ...common, messages: isLong ? 10_000 : 300, reconnects: true }
  return [
    {
      ...nodesGo,
      name: `kill -9 of the clients' node${isLong ? ', twice' : ''}`,
      async setUp (stage) {
        const nodes = [await stage.node(), ...await Promise.all(Array.from({ length: isLong ? 2 : 1 }, () => stage.process()))]
        const front = await stage.proxy(nodes.at(-1)!.port)
        return {
          ports: [front.port],
          async fault () {
            for (let node = nodes.pop(); node instanceof NodeProcess; node = nodes.pop()) {
              front.target = nodes.at(-1)!.port
              await node.kill()
              await stage.until(stage.published + nodesGo.messages / 4)
            }
          }
        }
      }
    },
    {
      ...nodesGo,
      name: 'rolling restart of three nodes',
      clients: isLong ? 48 : 6,
      async setUp (stage) {
        await stage.node()
        const nodes = await Promise.all([1, 2, 3].map(() => stage.restartable(isLong)))
        const fronts = await Promise.all(nodes.map(({ port }) => stage.proxy(port)))
        return {
          ports: fronts.map(({ port }) => port),
          async fault () {
            for (const [i, front] of fronts.entries()) {
              front.target = nodes[(i + 1) % 3]!.port
              await nodes[i]!.close()
              nodes[i] = await stage.restartable(isLong)
              front.target = nodes[i]!.port
            }
          }
        }
      }
    },
    {
      ...common,
      name: `SIGSTOP of the clients' node for ${pause / 1000} s`,
      async setUp (stage) {
        await stage.node()
        const node = await stage.process()
        return { ports: [node.port], fault: () => node.standStill(pause) }
      }
    },
    ...links(common, pace),
    {
      ...common,
      name: `SIGSTOP of the engine for ${pause / 1000} s`,
      async setUp (stage) {
        const nodes = [await stage.node(), await stage.node()]
        return {
          ports: nodes.map(({ port }) => port),
          async fault () {
            stage.engine.pause()
            await stage.down(...nodes)
            await sleep(pause)
            stage.engine.resume()
            await stage.up(...nodes)
          }
        }
      }
    },
    ...(['redis', 'nats', 'nats, files'] as const).map((engine): RecoveryScenario => ({
      ...common,
      engines: [engine],
      name: `the engine is killed, back ${engine === 'nats, files' ? 'with its files' : 'empty'} after ${outage / 1000} s`,
      channels: ['room/1', 'room/2'],
      async setUp (stage) {
        const nodes = [await stage.node(), await stage.node()]
        return {
          ports: nodes.map(({ port }) => port),
          async fault () {
            for (const client of stage.clients) client.mustBeTold = engine !== 'nats, files'
            await stage.engine.kill()
            await sleep(outage)
            await stage.engine.restart()
            await stage.up(...nodes)
          }
        }
      }
    })),
    ...redisFaults(common),
    ...natsFaults(common, isLong ? ['nats', 'nats, files'] : ['nats']),
    ...rightsFaults(common)
  ]
}

/** Faults of the link between the clients' node and the engine. */
function links (common: CommonFault, { outage, options }: Pace): RecoveryScenario[] {
  const onLink = (name: string, act: (proxy: TcpProxy, down: () => Promise<void>) => Promise<void> | void): RecoveryScenario => ({
    ...common,
    name,
    async setUp (stage) {
      await stage.node()
      const proxy = await stage.proxy(stage.engine.port)
      const node = await stage.node(stage.target(proxy.port))
      return {
        ports: [node.port],
        async fault () {
          const links = (): number => node.sc.stats().broker.reconnects!
          const before = links()
          await act(proxy, () => stage.down(node))
          await until('a new link', () => links() > before)
          await stage.up(node)
        }
      }
    }
  })
  return [
    onLink('the link to the engine is cut', (proxy) => proxy.cut()),
    onLink(`the link to the engine is a black hole for ${outage / 1000} s after it was noticed`, async (proxy, down) => {
      proxy.blackHole()
      await down()
      await sleep(outage)
      proxy.heal()
    }),
    onLink('the link to the engine stands still and goes on, first unnoticed', async (proxy, down) => {
      proxy.blackHole()
      await sleep(options.probeInterval / 4)
      proxy.thaw()
      await sleep(options.probeInterval)
      proxy.blackHole()
      await down()
      await sleep(outage)
      proxy.thaw()
    })
  ]
}

/** Something is done to the engine while half of the clients are away. @param isTold whether those cannot recover then */
export function whileHalfIsAway (common: CommonFault, name: string, isTold: boolean, act: (stage: RecoveryStage) => Promise<unknown>): RecoveryScenario {
  return {
    ...common,
    name,
    async setUp (stage) {
      const nodes = [await stage.node(), await stage.node()]
      return {
        ports: nodes.map(({ port }) => port),
        async fault () {
          const away = stage.part(0, 2)
          for (const one of away) await one.goAway()
          await stage.until(stage.published + 50)
          for (const one of away) one.mustBeTold = isTold
          await act(stage)
          await stage.until(stage.published + 50)
          await Promise.all(away.map((one) => one.comeBack()))
        }
      }
    }
  }
}
