import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Runs a shell's line that begins with `curl`, and returns what it prints; `null` if curl is not installed. */
export async function runCurl (line: string): Promise<string | null> {
  try {
    const { stdout } = await run('sh', ['-c', line.replace(/^curl /, 'curl -sS ')])
    return stdout
  } catch (err) {
    // The shell found no such command.
    if ((err as { code?: unknown }).code === 127 && process.env.SC_REQUIRE_SERVERS !== '1') return null
    throw err
  }
}
