import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

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
export function startRedis (t: Cleanup, args: string[] = []): Promise<TestServer | null> {
  return startServer(t, (port) => start('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', '/tmp', ...args]))
}

/** A real nats-server, or `null` when the machine has none. */
export function startNats (t: Cleanup, args: string[] = []): Promise<TestServer | null> {
  return startServer(t, (port) => start('nats-server', ['--addr', '127.0.0.1', '--port', String(port), ...args]))
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

async function startServer (t: Cleanup, spawnOn: (port: number) => ChildProcess): Promise<TestServer | null> {
  for (let attempt = 0; ; attempt++) {
    const server = new TestServer(await freePort(), spawnOn)
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
      if (attempt < 3) continue
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
