// What happens to histories in NATS only: a stream that is changed, and a cluster whose servers are killed.
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { readKept } from '../../lib/broker/nats/kept-frame.js'
import { startJetStreamCluster, type TestServer } from '../helpers/servers.js'
import type { Served } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'
import type { RecoveryScenario } from './recovery.js'
import { type CommonFault, whileHalfIsAway } from './recovery-faults.js'
import type { HistoryEngine, RecoveryStage } from './recovery-stage.js'

const subject = 'recovery.h.room=2F1'

/** @param storages where the streams of clusters are kept */
export function natsFaults (common: CommonFault, storages: readonly HistoryEngine[]): RecoveryScenario[] {
  const onNats: CommonFault = { ...common, engines: ['nats'] }
  const api = async ({ engine }: RecoveryStage, call: string, data: object = {}): Promise<any> => {
    const connection = await connect({ servers: `127.0.0.1:${engine.port}` })
    try {
      return await ask(connection, call, data)
    } finally {
      await connection.close()
    }
  }
  return [
    whileHalfIsAway(onNats, 'the stream is deleted', true, (stage) => api(stage, 'DELETE')),
    whileHalfIsAway(onNats, 'the stream is purged', true, (stage) => api(stage, 'PURGE')),
    {
      ...onNats,
      name: 'the last 50 acknowledged messages are deleted',
      async setUp (stage) {
        const nodes = [await stage.node(), await stage.node()]
        return {
          ports: nodes.map(({ port }) => port),
          async fault () {
            await stage.pause()
            const last = async (): Promise<{ seq: number, data: string }> => (await api(stage, 'MSG.GET', { last_by_subj: subject })).message
            const before = await last()
            const [away, late] = [stage.part(0, 2), stage.part(2, 3)]
            for (const client of away) await client.goAway()
            await stage.publish(50)
            for (const client of stage.part(2, 4)) client.mustBeTold = true
            for (const client of late) await client.goAway()
            for (let top = await last(); top.seq !== before.seq; top = await last()) await api(stage, 'MSG.DELETE', { seq: top.seq })
            const end = readKept(Buffer.from(before.data, 'base64').toString(), before.seq)!.last
            if (end !== stage.published - 50) throw new Error(`expected ${stage.published - 50} messages to be left, not ${end}`)
            stage.lose(50)
            const other = await stage.node()
            stage.resume()
            await stage.until(stage.published + 100)
            // Those who are away must not miss more than may be recovered.
            await stage.pause()
            await Promise.all([late, away].flatMap((some) => some.map((client, i) => client.comeBack(i % 4 < 2 ? other.port : undefined))))
            stage.resume()
          }
        }
      }
    },
    ...leaders({ ...common, engines: storages })
  ]
}

/** A cluster of three, whose leader of the stream changes under way. */
function leaders (common: CommonFault): RecoveryScenario[] {
  const onCluster = (name: string, act: (cluster: Cluster, stage: RecoveryStage) => Promise<void>): RecoveryScenario => ({
    ...common,
    name: `a cluster of three: ${name}`,
    async setUp (stage) {
      const cluster = await Cluster.start(stage)
      return { ports: cluster.nodes.map(({ port }) => port), fault: () => act(cluster, stage) }
    }
  })
  return [
    onCluster('kill -9 of the leader of the stream, twice', async (cluster, stage) => {
      for (let i = 0; i < 2; i++) {
        const server = cluster.servers[await cluster.leader()]!
        await server.kill()
        await cluster.accepts(stage)
        await server.restart()
      }
    }),
    onCluster('the leader of the stream steps down, ten times', async (cluster, stage) => {
      for (let i = 0; i < 10; i++) {
        await cluster.leader()
        await ask(cluster.connection, 'LEADER.STEPDOWN')
        await cluster.accepts(stage)
      }
    })
  ]
}

class Cluster {
  private constructor (readonly servers: TestServer[], readonly nodes: Served[], readonly connection: NatsConnection) {}

  /** Starts a cluster, and two nodes on it. */
  static async start (stage: RecoveryStage): Promise<Cluster> {
    const cluster = (await startJetStreamCluster(stage.cleanups, 3))!
    const servers = cluster.map(({ port }) => `127.0.0.1:${port}`)
    const target = { nats: { servers, history: { maxBytes: 64 * 1024 * 1024, replicas: 3, storage: stage.storage } } }
    const nodes: Served[] = []
    // The servers elect a leader of the cluster first.
    await until('the cluster', () => stage.node(target).then((one) => nodes.push(one) > 0, () => false), 60_000)
    nodes.push(await stage.node(target))
    const connection = await connect({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 50 })
    stage.cleanups.teardown(() => connection.close())
    return new Cluster(cluster, nodes, connection)
  }

  /** Settles with the index of the leader of the stream, when all servers have everything. */
  async leader (): Promise<number> {
    let leader: string | undefined
    await until('a leader and two servers that have everything', async () => {
      const { cluster } = await ask(this.connection, 'INFO').catch(() => ({}))
      leader = cluster?.leader
      return leader !== undefined && cluster.replicas?.length === 2 && cluster.replicas.every(({ current, offline }: { current: boolean, offline?: boolean }) => current && offline !== true)
    }, 60_000)
    return Number(leader!.slice(1))
  }

  /** Settles when it takes messages. */
  async accepts (stage: RecoveryStage): Promise<void> {
    const { accepted } = stage
    await until('another leader', () => stage.accepted > accepted + 100, 60_000)
  }
}

async function ask (connection: NatsConnection, call: string, data: object = {}): Promise<any> {
  return (await connection.request(`$JS.API.STREAM.${call}.recovery-history`, JSON.stringify(data), { timeout: 5_000 })).json()
}
