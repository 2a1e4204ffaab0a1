// Mutation testing: small changes are made to the code, one at a time, and at least one test has to fail with each.
//
//   npm run test:mutation                          all folders
//   npm run test:mutation -- socket exchange       some of them
//   npm run test:mutation -- lib/socket/calls.ts   some files, by the tests of their folder
//
// `MUTATION_CONCURRENCY` is how many processes run at once, 2 if it is not set. `MUTATION_STATIC=1` also changes what is evaluated only
// when a file is loaded, such as tables of texts, which takes twice as long. Of each folder the survivors are printed, and
// everything is in `.mutation/<folder>.json`.
import { readFileSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { Stryker } from '@stryker-mutator/core'
import { folders, root, sourcesOf, testsOf } from './folders.js'

/** The score that each folder must have, in percent. */
const least = 85

process.chdir(root)
const wanted = process.argv.slice(2)
/** What to mutate, by folder. */
const jobs = new Map()
for (const name of wanted.length === 0 ? Object.keys(folders) : wanted) {
  const [, folder, file] = /^(?:lib\/)?(\w+)\/?(.*)$/.exec(name) ?? []
  if (folders[folder] === undefined) throw new Error(`Expected one of ${Object.keys(folders).join(', ')} or a file of it, got ${name}`)
  const sources = file === '' ? sourcesOf(folder) : [`lib/${folder}/${file}`]
  jobs.set(folder, [...jobs.get(folder) ?? [], ...sources])
}

const rows = []
for (const [folder, sources] of jobs) {
  const results = await new Stryker({
    mutate: sources,
    tests: testsOf(folder),
    plugins: [`${root}test/mutation/runner.js`],
    testRunner: 'in-process',
    testRunnerNodeArgs: ['--import=@tapjs/typescript/import'],
    coverageAnalysis: 'perTest',
    // What is evaluated only when a file is loaded (tables, texts) needs a process for each mutant.
    ignoreStatic: process.env.MUTATION_STATIC !== '1',
    concurrency: Number(process.env.MUTATION_CONCURRENCY ?? 2),
    // What a mutant leaves behind is gone with its process.
    maxTestRunnerReuse: 200,
    timeoutMS: 5_000,
    ignorePatterns: ['/*', '!/lib', '!/types', '!/test', '!/package.json', '!/tsconfig*.json'],
    disableTypeChecks: false,
    checkers: [],
    allowConsoleColors: process.stdout.isTTY === true,
    allowEmpty: true,
    jsonReporter: { fileName: `.mutation/${folder}.json` },
    reporters: ['json'],
    tempDirName: '.mutation/tmp',
    cleanTempDir: 'always',
    logLevel: 'warn'
  }).runMutationTest()
  for (const mutant of results) if (mutant.status === 'Survived' || mutant.status === 'NoCoverage') console.log(lineOf(mutant))
  rows.push(rowOf(folder, results))
}
console.table(Object.fromEntries(rows.map(({ folder, ...row }) => [folder, row])))
writeFileSync('.mutation/scores.json', JSON.stringify(rows, null, 2))
if (rows.some(({ score }) => score < least)) {
  console.error(`Expected a score of at least ${least} for each`)
  process.exitCode = 1
}

/** Where a mutant is, and what it changes. */
function lineOf ({ fileName, location: { start, end }, replacement, status }) {
  const file = relative(root, fileName)
  const lines = readFileSync(file, 'utf8').split('\n').slice(start.line - 1, end.line)
  lines[lines.length - 1] = lines.at(-1).slice(0, end.column - 1)
  lines[0] = lines[0].slice(start.column - 1)
  const [before, after] = [lines.join('\n'), replacement].map((text) => text.replace(/\s+/g, ' '))
  return `${status === 'Survived' ? 'survived' : 'untested'} ${file}:${start.line}:${start.column} ${before.length > 120 ? `${before.slice(0, 117)}...` : before} -> ${after}`
}

/** What does not compile, or is left out by a comment, counts for nothing. */
function rowOf (folder, results) {
  const count = (...states) => results.filter(({ status }) => states.includes(status)).length
  const killed = count('Killed')
  const timeout = count('Timeout')
  const survived = count('Survived')
  const untested = count('NoCoverage')
  const mutants = killed + timeout + survived + untested
  return { folder, mutants, killed, timeout, survived, untested, score: Math.floor((killed + timeout) / mutants * 10_000) / 100 }
}
