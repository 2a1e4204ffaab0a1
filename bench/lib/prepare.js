import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Installs the rivals if that was not done yet, and builds the plugin if it changed since it was built. */
export async function prepare () {
  if (!existsSync(`${root}bench/node_modules`)) npm('ci', '--prefix', 'bench')
  const built = `${root}dist/lib/index.js`
  const changed = Math.max(...['lib', 'types'].flatMap(sources).map((path) => statSync(path).mtimeMs))
  if (!existsSync(built) || statSync(built).mtimeMs < changed) npm('run', 'build')
}

function sources (folder) {
  return readdirSync(root + folder, { recursive: true }).filter((path) => path.endsWith('.ts')).map((path) => `${root}${folder}/${path}`)
}

function npm (...args) {
  const { status } = spawnSync('npm', args, { cwd: root, stdio: ['ignore', process.stderr, process.stderr] })
  if (status !== 0) throw new Error(`npm ${args.join(' ')} failed with exit code ${status}`)
}
