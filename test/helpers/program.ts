import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

interface Cleanup {
  teardown (fn: () => Promise<void> | void): void
}

/** A started program, and the line of its output that the start waited for. */
export interface Program {
  line: RegExpMatchArray
  /** Asks the program to exit. @returns its exit code */
  stop (): Promise<number | null>
}

/** Starts a Node.js program and waits for a matching line of its output. If it exits before, the error contains its output. */
export async function startProgram (t: Cleanup, args: string[], fits: RegExp, env: NodeJS.ProcessEnv = {}): Promise<Program> {
  // The program must not use the test's loader and coverage.
  const { NODE_OPTIONS, NODE_V8_COVERAGE, TAP, ...rest } = process.env
  const child = spawn(process.execPath, args, { env: { ...rest, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const exit = once(child, 'exit')
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await exit
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => { said += chunk.toString() })
  for await (const text of createInterface({ input: child.stdout })) {
    said += `${text}\n`
    const line = text.match(fits)
    if (line === null) continue
    child.stdout.resume()
    return {
      line,
      async stop () {
        child.kill('SIGTERM')
        return (await exit)[0] as number | null
      }
    }
  }
  throw new Error(`${args.join(' ')} ended before a line came that fits ${fits}: ${said}`)
}
