// Attacks a server process with hostile input. After each attack it must be alive, have clean prototypes and correct counters.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { ScStats } from '../../lib/index.js'
import type { Question, Report, ServerName } from './attacked-servers.js'
import { type Cleanup, NetClient, RawClient, type RawOptions } from './raw.js'
import { Stopwatch } from './stopwatch.js'
import { bestOf } from './waiting.js'

type Version = 1 | 2
export type Test = Cleanup & typeof t

/**
 * Milliseconds within which a new client must complete its handshake and get an echo. On a machine that is busy with other tests
 * `tolerance` times as long, without the time in which this process could not run.
 */
const aliveWithin = 200
/** The factor by which operations may be slower than on an idle machine. */
export const tolerance = 5

/** The attacked process with all its servers. */
export class Attacked {
  readonly child: ChildProcess
  ports!: Record<ServerName, number>
  #lastId = 0

  private constructor () {
    this.child = fork(fileURLToPath(new URL('attacked-servers.ts', import.meta.url)), { execArgv: [...process.execArgv, '--expose-gc'] })
  }

  /** Starts the process. Settles when its servers listen. */
  static async start (t: Cleanup): Promise<Attacked> {
    const attacked = new Attacked()
    t.teardown(() => attacked.child.kill('SIGKILL'))
    const [message] = await once(attacked.child, 'message')
    attacked.ports = message.ports
    return attacked
  }

  ask (question: Question): Promise<any> {
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      const onMessage = (message: any): void => {
        if (message.id !== id) return
        this.child.off('message', onMessage)
        if (message.error === undefined) resolve(message.result)
        else reject(new Error(message.error))
      }
      this.child.on('message', onMessage)
      this.child.send({ ...question, id })
    })
  }

  report (): Promise<Report> {
    return this.ask({ ask: 'report' })
  }

  async stats (server: ServerName): Promise<ScStats> {
    return (await this.report()).stats[server]
  }

  /**
   * Resolves with the growth of memory in megabytes, after waiting for the operating system and the garbage collector to release
   * it.
   */
  grownBy (before: number, limit: number): Promise<number> {
    return bestOf(5, async () => ((await this.ask({ ask: 'collect' })).rss - before) / 1024 / 1024, (grown) => grown < limit)
  }
}

/** Creates clients of one protocol version. */
export class Clients {
  constructor (readonly t: Cleanup, readonly attacked: Attacked, readonly version: Version) {}

  open (server: ServerName = 'main', options: RawOptions = {}): Promise<RawClient> {
    return RawClient.open(this.t, this.attacked.ports[server], { version: this.version, ...options })
  }

  /** Connects a client and waits until the server knows its protocol version. */
  async connect (server: ServerName = 'main', options: RawOptions & { authToken?: unknown } = {}): Promise<RawClient> {
    const client = await RawClient.connect(this.t, this.attacked.ports[server], { version: this.version, ...options })
    client.send(this.version === 1 ? '#2' : '')
    return client
  }

  net (server: ServerName = 'main'): Promise<NetClient> {
    return NetClient.open(this.t, this.attacked.ports[server])
  }

  netConnect (server: ServerName = 'main'): Promise<NetClient> {
    return NetClient.connect(this.t, this.attacked.ports[server])
  }
}

export interface Attack {
  what: string
  /** The protocol versions to run the attack with. Default: both. */
  versions?: readonly Version[]
  run (t: Test, clients: Clients): Promise<void>
}

/** Runs attacks as tests, one after the other, and checks at the end that nothing of them is left. */
export function attack (test: typeof t, attacked: Attacked, attacks: Attack[]): void {
  const times: string[] = []

  for (const { what, versions = [1, 2] as const, run } of attacks) {
    for (const version of versions) {
      test.test(`${what} (version ${version})`, async (t) => {
        const start = Date.now()
        await run(t as Test, new Clients(t, attacked, version))
        const took = Date.now() - start

        // The process is alive if a new client completes its handshake and gets an echo.
        let echoed: unknown
        const alive = await bestOf(5, async () => {
          const watch = new Stopwatch()
          const fresh = await RawClient.connect(t, attacked.ports.main, { version })
          echoed = (await fresh.call('echo', what)).data
          const took = watch.stop()
          await fresh.close()
          return took
        }, (took) => took < aliveWithin)
        t.same(echoed, what)
        t.ok(alive < aliveWithin * tolerance, `alive within ${alive.toFixed()} ms`)
        times.push(`${what}, version ${version}: ${took} ms, alive within ${alive.toFixed()} ms`)

        const report = await attacked.report()
        t.same(report.uncaught, [], 'nothing was thrown out of the library')
        t.same(report.polluted, [], 'Object.prototype is as it was')
        t.same(report.miscounted, [], 'counts are the sizes of the maps')
        t.equal(attacked.child.exitCode, null, 'the process runs')
      })
    }
  }

  test.test('after these attacks', async (t) => {
    t.comment(times.join('\n'))
    const report: Report = await attacked.ask({ ask: 'close' })
    t.same(report.uncaught, [])
    t.same(report.miscounted, [])
    for (const [name, stats] of Object.entries(report.stats)) {
      t.match(stats, { clients: 0, pendingClients: 0, channels: 0, subscriptions: 0, bufferedBytes: 0 }, `the maps of ${name} are empty`)
    }
    const exit = once(attacked.child, 'exit')
    attacked.ask({ ask: 'stop' }).catch(() => {})
    t.same(await exit, [0, null], 'and the process ends by itself')
  })
}

export const publish = (channel: string, data: unknown = 1): object => ({ event: '#publish', data: { channel, data } })

/** Sends a message that may end its connection. @returns how the connection ended, or the answer to the call `x` */
export async function outcome (clients: Clients, server: ServerName, message: string | Buffer): Promise<any> {
  const client = await clients.connect(server)
  client.ws.send(message, () => {})
  const result = await client.answer('x').catch(() => client.closed)
  client.ws.terminate()
  return result
}
