import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** What a node used so far. */
export interface Usage {
  /** Microseconds of CPU. */
  readonly cpu: number
  /** Bytes in use, garbage left out. */
  readonly memory: number
}

/** A node that closes its server before it ends. */
export interface RestartedNode {
  readonly port: number
  close (): Promise<unknown>
}

/** A node in a process of its own. */
export class NodeProcess {
  readonly #child: ChildProcess
  port = 0

  private constructor (child: ChildProcess) {
    this.#child = child
  }

  /**
   * @param file a program of this folder, which sends its port
   * @param args for the program, as JSON
   */
  static async start (file: string, args: object): Promise<NodeProcess> {
    const node = new NodeProcess(fork(fileURLToPath(new URL(file, import.meta.url)), [JSON.stringify(args)], { execArgv: [...process.execArgv, '--expose-gc'] }))
    // It compiles its files first, which takes a busy machine a while.
    const [hello] = await once(node.#child, 'message', { signal: AbortSignal.timeout(180_000) }) as [{ port: number }]
    node.port = hello.port
    return node
  }

  /** Asks the program what it used; not all of them answer. */
  async usage (): Promise<Usage> {
    const answer = once(this.#child, 'message', { signal: AbortSignal.timeout(60_000) })
    this.#child.send('usage')
    return (await answer)[0] as Usage
  }

  /** Stops it for a while, as a virtual machine that is moved. */
  async standStill (milliseconds: number): Promise<void> {
    this.#child.kill('SIGSTOP')
    try {
      await sleep(milliseconds)
    } finally {
      this.#child.kill('SIGCONT')
    }
  }

  /** Ends it at once, as kill -9. */
  kill (): Promise<void> {
    return this.#end(() => this.#child.kill('SIGKILL'))
  }

  /** Lets it close its server first. */
  close (): Promise<void> {
    return this.#end(() => this.#child.send('close'))
  }

  async #end (act: () => void): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exit = once(this.#child, 'exit')
    act()
    await exit
  }
}
