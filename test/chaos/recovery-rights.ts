// Clients that lose the right to a channel while they are suspended or away.
import jwt from 'jsonwebtoken'
import type { ScServerSocket } from '../../lib/index.js'
import { authKey } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'
import type { RecoveryScenario } from './recovery.js'
import type { RecoveringClient } from './recovery-client.js'
import type { CommonFault } from './recovery-faults.js'

/** Clients whose role is taken away while they are there or away, and whose nodes lose their links meanwhile. */
export function rightsFaults (common: CommonFault): RecoveryScenario[] {
  return [{
    ...common,
    name: 'a role is taken away during a suspension and during an absence',
    async setUp (stage) {
      const former = new Set<unknown>()
      stage.shape = {
        plugin: { revalidate: 'suspend' },
        channel: {
          subscribe ({ socket }) {
            if (socket.authToken?.role !== 'member' || former.has(socket.authToken.sub)) throw new Error('members only')
          }
        }
      }
      stage.token = (index) => jwt.sign({ sub: nameOf(index), role: 'member' }, authKey)
      await stage.node()
      const links = [await stage.proxy(stage.engine.port), await stage.proxy(stage.engine.port)]
      const nodes = await Promise.all(links.map(({ port }) => stage.node(stage.target(port))))
      const indexes = new Map<RecoveringClient, number>()
      const socketOf = (client: RecoveringClient): ScServerSocket => {
        for (const { sc } of nodes) for (const socket of Object.values(sc.clients)) if (socket.authToken?.sub === nameOf(indexes.get(client)!)) return socket
        throw new Error('expected the socket of a client')
      }
      /** Takes the right away. Messages that are on their way, or are published meanwhile, may come or not. */
      const take = async (clients: readonly RecoveringClient[], act: (client: RecoveringClient) => Promise<unknown>): Promise<void> => {
        for (const client of clients) client.surelyUntil = client.reached + 1
        await Promise.all(clients.map(act))
        for (const client of clients) client.forbiddenFrom = stage.published
      }
      const become = (client: RecoveringClient, role: string): Promise<unknown> => socketOf(client).setAuthToken({ sub: nameOf(indexes.get(client)!), role })
      return {
        ports: nodes.map(({ port }) => port),
        async fault () {
          for (const [index, client] of stage.clients.entries()) indexes.set(client, index)
          const [suspended, cut, away, kept] = [stage.part(0, 1), stage.part(1, 2), stage.part(2, 3), stage.part(3, 4)]
          // One part stays connected, and one loses its connections too, and comes back with the role that it has now.
          await take(suspended, (client) => nodes[0]!.sc.revoke({ user: nameOf(indexes.get(client)!) }))
          await take(cut, (client) => become(client, 'guest'))
          await take(away, (client) => client.goAway())
          const waiting = kept.slice(0, kept.length / 2)
          await Promise.all(waiting.map((client) => become(client, 'guest')))
          for (const link of links) link.cut()
          await until('the links', () => nodes.every(({ sc }) => sc.stats().broker.state === 'up'))
          await stage.until(stage.published + 50)
          for (const client of cut) await client.goAway()
          // Those who are away have a token that says what was true.
          for (const client of away) former.add(nameOf(indexes.get(client)!))
          // Who is let in all the same is counted by what it gets.
          await Promise.all([...cut, ...away].map((client, i) => client.comeBack(nodes[i % 2]!.port, true).catch(() => {})))
          // A part gets its role back, and everything.
          await Promise.all(waiting.map((client) => become(client, 'member')))
          for (const link of links) link.cut()
          await stage.until(stage.published + 50)
        }
      }
    }
  }]
}

function nameOf (index: number): string {
  return `user-${index}`
}
