import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

/** The part of a test that these helpers use: it registers clean-up functions. */
interface Cleanup {
  teardown (fn: () => Promise<void> | void): void
}

/** A real server process on a free port of this machine. */
export class TestServer {
  child: ChildProcess

  constructor (readonly port: number, readonly spawnAgain: (port: number) => ChildProcess) {
    this.child = spawnAgain(port)
  }

  /** Waits until the port accepts connections. */
  async ready (): Promise<void> {
    for (let attempt = 0; attempt < 500; attempt++) {
      if (this.child.exitCode !== null) throw new Error(`the server ended with exit code ${this.child.exitCode}`)
      if (await answers(this.port)) return
      await sleep(20)
    }
    throw new Error(`nothing took connections on port ${this.port} within 10 s`)
  }

  /** Kills the process, like a crash. */
  async kill (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exit = once(this.child, 'exit')
    this.child.kill('SIGCONT')
    this.child.kill(signal)
    await exit
  }

  /** Restarts the server on the same port, without data. */
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

/** Starts a real redis-server; `null` if it is not installed. `args` are added to its command line. */
export function startRedis (t: Cleanup, args: string[] = [], port?: number): Promise<TestServer | null> {
  return startServer(t, port, (port) => start('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', '/tmp', ...args]))
}

/** The nats-server in use: the one that NATS_SERVER names, or the one on the PATH. */
const natsServer = process.env.NATS_SERVER ?? 'nats-server'

/** Starts a real nats-server; `null` if it is not installed. */
export function startNats (t: Cleanup, args: string[] = [], port?: number): Promise<TestServer | null> {
  return startServer(t, port, (port) => start(natsServer, ['--addr', '127.0.0.1', '--port', String(port), ...args]))
}

/** Starts a real nats-server with JetStream and a folder of its own; `null` if it is not installed. */
export async function startJetStream (t: Cleanup, args: string[] = []): Promise<TestServer | null> {
  const dir = await mkdtemp(join(tmpdir(), 'sc-jetstream-'))
  const server = await startNats(t, ['-js', '-sd', dir, ...args])
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  return server
}

/** Starts a NATS cluster with JetStream, whose servers are named s0, s1, …; `null` if nats-server is not installed. */
export async function startJetStreamCluster (t: Cleanup, count: number): Promise<TestServer[] | null> {
  const routes: number[] = []
  while (routes.length < count) routes.push(await freePort())
  const servers: TestServer[] = []
  for (const [i, route] of routes.entries()) {
    const server = await startJetStream(t, ['-n', `s${i}`, '--cluster_name', 'test', '--cluster', `nats://127.0.0.1:${route}`, '--routes', routes.map((other) => `nats://127.0.0.1:${other}`).join()])
    if (server === null) return null
    servers.push(server)
  }
  return servers
}

/** Starts a Redis Cluster of masters that serves all slots; `null` if redis-server is not installed. */
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
      // Different configuration epochs from the start avoid conflicts between the nodes.
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

/** Returns the bus port of a cluster node. The default, 10,000 above the node's port, may exceed the highest port. */
function busPort (port: number): number {
  return port > 40_000 ? port - 10_000 : port + 10_000
}

/** Starts a sentinel that decides on a failover alone, after one second. */
export async function startSentinel (t: Cleanup, name: string, masterPort: number): Promise<TestServer | null> {
  const dir = await mkdtemp(join(tmpdir(), 'sc-sentinel-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  const file = join(dir, 'sentinel.conf')
  await writeFile(file, `sentinel monitor ${name} 127.0.0.1 ${masterPort} 1\nsentinel down-after-milliseconds ${name} 1000\nsentinel failover-timeout ${name} 3000\n`)
  return startServer(t, undefined, (port) => start('redis-server', [file, '--sentinel', '--port', String(port), '--bind', '127.0.0.1', '--dir', dir]))
}

/** Starts a real nginx before HTTP servers of this machine, with its defaults for proxies; `null` if it is not installed. */
export async function startNginx (t: Cleanup, upstream: readonly number[]): Promise<TestServer | null> {
  const dir = await mkdtemp(join(tmpdir(), 'sc-nginx-'))
  const server = await startServer(t, undefined, (port) => {
    const file = join(dir, `${port}.conf`)
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${join(dir, name)};`).join(' ')
    writeFileSync(file, `pid ${join(dir, 'pid')}; error_log stderr; daemon off; events {} http { access_log off; ${temporary}
upstream nodes { ${upstream.map((each) => `server 127.0.0.1:${each};`).join(' ')} }
server { listen 127.0.0.1:${port}; location / { proxy_pass http://nodes; } } }`)
    return spawn('nginx', ['-e', 'stderr', '-c', file], { stdio: 'ignore', env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/usr/local/sbin` } })
  })
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  return server
}

/** Returns a port that was free a moment ago. */
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
      // Another process may have taken the port.
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
