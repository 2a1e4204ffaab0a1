// All tests on a fresh machine, with nothing left out: `npm ci && npm run verify`.
// It makes sure of the programs that tests need beyond Node.js, then runs `npm test`. Its exit code is that of the tests.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readTotals } from './totals.js'

/** What the tests start, by Debian's package: any of its commands will do. */
const needed = [
  { name: 'chromium', commands: [process.env.SC_CHROMIUM ?? 'chromium', 'chromium-browser', 'google-chrome'] },
  { name: 'redis-server', commands: ['redis-server'] },
  { name: 'nats-server', commands: ['nats-server'] },
  { name: 'curl', commands: ['curl'] }
]

const root = fileURLToPath(new URL('..', import.meta.url))
// Servers of packages are there, though not in everybody's PATH.
process.env.PATH += `${delimiter}/usr/sbin${delimiter}/usr/local/sbin`

let missing = needed.filter((program) => find(program) === undefined)
if (missing.length > 0 && process.getuid?.() === 0 && find({ commands: ['apt-get'] }) !== undefined) {
  console.log(`installing ${names(missing)} with apt-get`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  run('apt-get', ['update', '-qq'], env)
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing.map(({ name }) => name)], env)
  missing = missing.filter((program) => find(program) === undefined)
}
if (missing.length > 0) {
  console.error(`The tests also need ${names(missing)}. On Debian or Ubuntu, as root: apt-get install ${missing.map(({ name }) => name).join(' ')}`)
  console.error('A Chromium that is somewhere else is named by SC_CHROMIUM. "npm test" leaves out the tests of what is not there.')
  process.exit(1)
}

const dir = mkdtempSync(join(tmpdir(), 'sc-verify-'))
const output = join(dir, 'results.tap')
const started = Date.now()
const exitCode = run('npm', ['test'], {
  ...process.env,
  SC_REQUIRE_SERVERS: '1',
  SC_CHROMIUM: find(needed[0]),
  // A terminal shows how far it is; elsewhere, only what failed.
  TAP_REPORTER: process.stdout.isTTY ? 'terse' : 'min',
  TAP_OUTPUT_FILE: output
})
const results = readTotals(output)
rmSync(dir, { recursive: true, force: true })
process.exitCode = summarize(exitCode, results)

function summarize (exitCode, results) {
  console.log(`\n"npm test" took ${Math.round((Date.now() - started) / 1_000)} s and ended with exit code ${exitCode}`)
  if (results === null) {
    console.log('It stopped before the tests had run')
    return exitCode || 1
  }
  const { pass, fail, skip, todo, skipped, failed } = results
  if (todo > 0) console.log(`${todo} marked as todo`)
  for (const line of skipped) console.log(`skipped: ${line}`)
  if (skip > 0) console.log(`${skip} skipped, though everything they need is there`)
  for (const line of failed) console.log(`failed: ${line}`)
  console.log(`${pass} passed, ${fail} failed`)
  return exitCode !== 0 ? exitCode : fail + skip === 0 ? 0 : 1
}

/** The path of the first of a program's commands that can be run. */
function find ({ commands }) {
  for (const command of commands) {
    const paths = command.includes('/') ? [command] : process.env.PATH.split(delimiter).map((dir) => join(dir, command))
    const path = paths.find(isExecutable)
    if (path !== undefined) return path
  }
}

function isExecutable (path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function names (programs) {
  return programs.map(({ name }) => name).join(', ')
}

/** Runs a command in the open; gives its exit code, 1 when a signal or its absence ended it. */
function run (command, args, env) {
  const { status } = spawnSync(command, args, { cwd: root, env, stdio: 'inherit' })
  return status ?? 1
}
