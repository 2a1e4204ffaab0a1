import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
// @ts-expect-error a script of the project, without types
import { coverageFailures, wanted } from './coverage.js'

const dir = mkdtempSync(join(tmpdir(), 'sc-coverage-'))
t.teardown(() => rmSync(dir, { recursive: true }))
const file = join(dir, 'coverage-summary.json')

function failuresOf (statements: number | string, branches: number | string): string[] {
  writeFileSync(file, JSON.stringify({ total: { statements: { pct: statements }, branches: { pct: branches } } }))
  return coverageFailures(file)
}

t.test('coverage may not fall below what is wanted, and it is said which', async (t) => {
  t.ok(wanted.statements >= 98 && wanted.branches >= 95)
  t.same(failuresOf(wanted.statements, wanted.branches), [])
  t.match(failuresOf(wanted.statements - 0.01, 100), [/97\.99 % of the statements are run by tests, expected at least 98 %/])
  t.match(failuresOf(100, wanted.branches - 0.01), [/of the branches/])
  t.equal(failuresOf(0, 0).length, 2)
  t.equal(failuresOf('Unknown', 'Unknown').length, 2, 'nothing was covered')
})

t.test('a summary counts for one run', async (t) => {
  failuresOf(100, 100)
  t.notOk(existsSync(file))
  t.match(coverageFailures(file), [/no summary/])
})
