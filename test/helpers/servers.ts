import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

/** What the helpers need of a test: to clean up after it, and to leave it out. */
interface Cleanup {
  teardown (fn: () => Promise<void> | void): void
}

/** A real server on a free port of this machine. */
export class TestServer {
  child: ChildProcess

  constructor (readonly port: number, readonly spawnAgain: (port: number) => ChildProcess) {
    this.child = spawnAgain(port)
  }

  /** Waits until the port takes connections. */
  async ready (): Promise<void> {
    for (let attempt = 0; attempt < 500; attempt++) {
      if (this.child.exitCode !== null) throw new Error(`the server ended with exit code ${this.child.exitCode}`)
      if (await answers(this.port)) return
      await sleep(20)
    }
    throw new Error(`nothing took connections on port ${this.port} within 10 s`)
  }

  /** Ends the process at once, as a crash would. */
  async kill (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exit = once(this.child, 'exit')
    this.child.kill('SIGCONT')
    this.child.kill(signal)
    await exit
  }

  /** Starts it again on the same port, empty. */
  async restart (): Promise<void> {
    this.child = this.spawnAgain(this.port)
    await this.ready()
  }

  pause (): void {
    this.child.kill('SIGSTOP')
  }

  resume (): void {
    this.child.kill('SIGCONT')
  }
}

/** A real redis-server, or `null` when the machine has none. Arguments are added to its command line. */
export function startRedis (t: Cleanup, args: string[] = [], port?: number): Promise<TestServer | null> {
  return startServer(t, port, (port) => start('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', '/tmp', ...args]))
}

/** A real nats-server, or `null` when the machine has none. */
export function startNats (t: Cleanup, args: string[] = [], port?: number): Promise<TestServer | null> {
  return startServer(t, port, (port) => start('nats-server', ['--addr', '127.0.0.1', '--port', String(port), ...args]))
}

/** A Redis Cluster of masters that serves all slots, or `null`. */
export async function startRedisCluster (t: Cleanup, masters: number): Promise<TestServer[] | null> {
  const dir = await mkdtemp(join(tmpdir(), 'sc-cluster-'))
  const nodes: TestServer[] = []
  for (let i = 0; i < masters; i++) {
    const node = await startServer(t, undefined, (port) => start('redis-server', [
      '--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir, '--cluster-enabled', 'yes',
      '--cluster-config-file', `${port}.conf`, '--cluster-node-timeout', '2000', '--cluster-port', String(busPort(port))
    ]))
    if (node === null) return null
    nodes.push(node)
  }
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  const clients = nodes.map(({ port }) => new Redis(port, { lazyConnect: true }))
  try {
    await Promise.all(clients.map((client) => client.connect()))
    for (const [i, client] of clients.entries()) {
      await client.cluster('ADDSLOTSRANGE', Math.floor(i * 16_384 / masters), Math.floor((i + 1) * 16_384 / masters) - 1)
      // Configuration epochs that differ from the start save the nodes a quarrel.
      await client.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1)
    }
    for (const client of clients.slice(1)) await client.call('CLUSTER', 'MEET', '127.0.0.1', nodes[0]!.port, busPort(nodes[0]!.port))
    for (const client of clients) {
      for (let i = 0; !/cluster_state:ok[^]*cluster_known_nodes:3/.test(await client.cluster('INFO')); i++) {
        if (i > 500) throw new Error('the cluster did not form within 10 s')
        await sleep(20)
      }
    }
  } finally {
    for (const client of clients) client.disconnect()
  }
  return nodes
}

/** The bus of a cluster node: by default 10,000 above its port, which may be beyond the last one. */
function busPort (port: number): number {
  return port > 40_000 ? port - 10_000 : port + 10_000
}

/** A sentinel that alone decides on a failover, after a second. */
export async function startSentinel (t: Cleanup, name: string, masterPort: number): Promise<TestServer | null> {
  const dir = await mkdtemp(join(tmpdir(), 'sc-sentinel-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  const file = join(dir, 'sentinel.conf')
  await writeFile(file, `sentinel monitor ${name} 127.0.0.1 ${masterPort} 1\nsentinel down-after-milliseconds ${name} 1000\nsentinel failover-timeout ${name} 3000\n`)
  return startServer(t, undefined, (port) => start('redis-server', [file, '--sentinel', '--port', String(port), '--bind', '127.0.0.1', '--dir', dir]))
}

/** A port that was free a moment ago. */
export async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function startServer (t: Cleanup, fixedPort: number | undefined, spawnOn: (port: number) => ChildProcess): Promise<TestServer | null> {
  for (let attempt = 0; ; attempt++) {
    const server = new TestServer(fixedPort ?? await freePort(), spawnOn)
    let failure: NodeJS.ErrnoException | null = null
    server.child.on('error', (err) => { failure = err })
    await Promise.race([once(server.child, 'spawn'), once(server.child, 'error')]).catch(() => {})
    if (failure !== null) {
      if ((failure as NodeJS.ErrnoException).code !== 'ENOENT' || process.env.SC_REQUIRE_SERVERS === '1') throw failure
      return null
    }
    try {
      await server.ready()
    } catch (err) {
      // Somebody else may have taken the port.
      if (attempt < 3 && fixedPort === undefined) continue
      throw err
    }
    t.teardown(() => server.kill())
    return server
  }
}

function start (command: string, args: string[]): ChildProcess {
  return spawn(command, args, { stdio: 'ignore' })
}

function answers (port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => { socket.destroy(); resolve(true) })
    socket.once('error', () => resolve(false))
  })
}
