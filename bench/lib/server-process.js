import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { pinned, serverCore } from './cores.js'

const child = fileURLToPath(new URL('server-child.js', import.meta.url))
const bootTimeout = 30_000

/** A server in a process of its own, on a core of its own. */
export class ServerProcess {
  #child
  #waiting = new Map()
  #lastId = 0

  /**
   * @param {string} name a file of `servers/`
   * @param {{ tls?: { key: string, cert: string }, deflate?: boolean, redis?: number, nats?: number }} options the last two are ports of engines between processes
   */
  static async start (name, options = {}) {
    const server = new ServerProcess()
    await server.#boot(name, options)
    return server
  }

  async #boot (name, options) {
    const [command, args] = pinned(serverCore, process.execPath, ['--expose-gc', child, JSON.stringify({ name, options })])
    this.#child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: { ...process.env, NODE_ENV: 'production' } })
    const [hello] = await once(this.#child, 'message', { signal: AbortSignal.any([AbortSignal.timeout(bootTimeout), this.#exit()]) })
    Object.assign(this, hello)
    this.tls = options.tls !== undefined
    this.deflate = options.deflate === true
    this.#child.on('message', ({ id, result, error }) => {
      const { resolve, reject } = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (error === undefined) resolve(result)
      else reject(new Error(error))
    })
  }

  /** Aborts when the server ends before it was told to. */
  #exit () {
    const controller = new AbortController()
    this.#child.once('exit', (code, signal) => {
      const err = new Error(`the server ended by itself, with ${signal ?? `code ${code}`}`)
      controller.abort(err)
      for (const { reject } of this.#waiting.values()) reject(err)
      this.#waiting.clear()
    })
    return controller.signal
  }

  /** Runs a command of `server-child.js`. */
  ask (command, args) {
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#child.send({ id, command, args })
    })
  }

  async stop () {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#waiting.clear()
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }
}
