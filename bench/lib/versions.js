import { readFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'

/** The version of a package as it is installed for the benchmarks; of the plugin, with the commit. */
export function versionOf (name) {
  if (name === 'fastify-socketcluster') return packageVersion('../../package.json') + commit()
  return packageVersion(`../node_modules/${name}/package.json`)
}

function packageVersion (path) {
  return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')).version
}

function commit () {
  try {
    return ` (${execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: new URL('..', import.meta.url), stdio: ['ignore', 'pipe', 'ignore'] }).toString().trim()})`
  } catch {
    return '' // not a git checkout
  }
}
