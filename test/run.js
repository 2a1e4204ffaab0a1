// The last step of `npm test`: tap, and after a run of all tests a look at their coverage. With arguments, as in
// `npm test -- test/wire/frames.test.ts`, it is tap with these arguments: a part of the tests covers a part of the code.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { coverageFailures } from './coverage.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const args = process.argv.slice(2)
const all = args.length === 0
// Both: without the second there is nothing to judge, without the first nothing to read.
if (all) args.push('--coverage-report=text', '--coverage-report=json-summary')
const { status } = spawnSync(process.execPath, ['node_modules/tap/dist/esm/run.mjs', ...args], { cwd: root, stdio: 'inherit' })
const failures = all ? coverageFailures(`${root}.tap/report/coverage-summary.json`) : []
for (const failure of failures) console.log(`failed: ${failure}`)
process.exitCode = status || (failures.length > 0 ? 1 : status ?? 1)
