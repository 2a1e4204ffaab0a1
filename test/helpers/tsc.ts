import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const typesDir = fileURLToPath(new URL('../types', import.meta.url))
export const require = createRequire(import.meta.url)

export interface Run {
  code: number
  output: string
}

/** Runs the TypeScript compiler of an installed release. */
export function tsc (release: string, args: string[]): Promise<Run> {
  const compiler = join(dirname(require.resolve(`${release}/package.json`)), 'bin/tsc')
  // `env -u`: the test runner adds its hooks to the options of every child process, and the newer compiler does not start with
  // them.
  return new Promise((resolve) => {
    execFile('env', ['-u', 'NODE_OPTIONS', process.execPath, compiler, '--noEmit', ...args], { cwd: typesDir, maxBuffer: 1 << 24 }, (err, stdout, stderr) => {
      resolve({ code: err === null ? 0 : Number(err.code), output: stdout + stderr })
    })
  })
}
