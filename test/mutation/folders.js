// What is mutated, and which tests have to notice. One row for each folder of `lib/`.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * The tests of a folder are all of the folder of `test/` that has its name, but the slow ones and those that attack another
 * process, and those named here: tests of other folders that are quick, start no process of their own, and are about this one.
 * @type {Record<string, string[]>}
 */
export const folders = {
  protocol: [],
  lifecycle: [],
  exchange: ['test/compat/exchange.test.ts'],
  transport: [],
  handlers: ['test/compat/socket.test.ts'],
  socket: [],
  auth: []
}

/** These wait for seconds, or for processes: too long to run for each mutant. */
const slow = new Set(['test/transport/silent-clients.test.ts'])

/** The files of `lib/` of a folder. */
export function sourcesOf (folder) {
  return filesOf(`lib/${folder}`, '.ts')
}

/**
 * The files of tests of a folder. Those without an application come first, then those without a port: they notice most changes in
 * milliseconds, where the others may wait for what never comes.
 */
export function testsOf (folder) {
  const own = `test/${folder}`
  const files = [...(existsSync(`${root}${own}`) ? filesOf(own, '.test.ts').filter((file) => !slow.has(file) && staysHere(file)) : []), ...folders[folder]]
  return files.map((file) => ({ file, cost: cost(file) })).sort((a, b) => a.cost - b.cost).map(({ file }) => file)
}

function cost (file) {
  const text = readFileSync(`${root}${file}`, 'utf8')
  return /helpers\/(serve|app)\.js/.test(text) ? 2 : /helpers\/jwt-engine\.js/.test(text) ? 1 : 0
}

/** Whether a test runs the code in its own process: the one that is attacked has no mutants. */
function staysHere (file) {
  return !readFileSync(`${root}${file}`, 'utf8').includes('../helpers/attack.js')
}

function filesOf (path, end) {
  return readdirSync(`${root}${path}`).filter((name) => name.endsWith(end)).sort().map((name) => `${path}/${name}`)
}
