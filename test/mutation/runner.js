// A test runner for Stryker that keeps one process with everything loaded, and runs only the tests that reach a mutant: a run takes
// some milliseconds. Stryker's own runner for tap starts a process for each mutant and file, which takes more than a second.
import { register } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { PluginKind, declareClassPlugin, commonTokens, tokens } from '@stryker-mutator/api/plugin'
import { DryRunStatus, TestStatus, determineHitLimitReached, toMutantRunResult } from '@stryker-mutator/api/test-runner'
import t, { Test } from 'tap'
import { use } from './current-tap.js'

// The process lives for as long as there are mutants.
t.setTimeout(0)
register('./tap-of-run.js', import.meta.url)

// Tests may have a clock of their own.
const now = performance.now.bind(performance)
const { setTimeout, clearTimeout } = globalThis

/**
 * Milliseconds for a test that waits for what a change keeps from coming. It fails before Stryker's own limit, so that the process
 * can go on: a new one takes longer than most tests.
 */
const patience = 3_000

/** What the instrumented code and Stryker share. */
const shared = globalThis.__stryker__ ??= {}

/** What nobody caught is a failure of what runs. */
let onFault = () => {}
process.on('uncaughtException', (err) => onFault(err))
process.on('unhandledRejection', (err) => onFault(err))

class InProcessRunner {
  static inject = tokens(commonTokens.options)
  #files
  #runs = 0

  constructor ({ tests }) {
    this.#files = tests
  }

  capabilities () {
    return { reloadEnvironment: false }
  }

  async dryRun ({ coverageAnalysis, disableBail }) {
    shared.mutantCoverage = { static: {}, perTest: {} }
    const result = await this.#run({ disableBail })
    return coverageAnalysis === 'off' ? result : { ...result, mutantCoverage: shared.mutantCoverage }
  }

  async mutantRun ({ activeMutant, mutantActivation, hitLimit, testFilter, disableBail }) {
    shared.hitLimit = hitLimit
    shared.hitCount = hitLimit === undefined ? undefined : 0
    const activate = () => { shared.activeMutant = activeMutant.id }
    if (mutantActivation === 'static') activate()
    const result = await this.#run({ disableBail, activate, testFilter, limit: patience })
    return toMutantRunResult(determineHitLimitReached(shared.hitCount, hitLimit) ?? result)
  }

  /** @param activate called when the files are loaded, before their tests run */
  async #run ({ disableBail, activate = () => {}, testFilter, limit }) {
    const run = this.#runs++
    const wanted = testFilter === undefined ? null : new Set(testFilter)
    const results = []
    let failed = false
    const report = (id, fileName, began, failure) => {
      failed ||= failure !== undefined
      results.push({
        id,
        name: id,
        fileName,
        timeSpentMs: now() - began,
        ...failure === undefined ? { status: TestStatus.Success } : { status: TestStatus.Failed, failureMessage: failure }
      })
    }
    for (const file of this.#files) {
      if (failed && !disableBail) break
      if (wanted !== null && ![...wanted].some((id) => id.startsWith(`${file}: `))) continue
      const began = now()
      let fault
      const top = new Test({ name: file })
      top.resume()
      const declared = []
      let loaded
      const ready = new Promise((resolve) => { loaded = resolve })
      use(top, (...args) => {
        const [name] = args
        const body = args.at(-1)
        const options = typeof args[1] === 'object' ? args[1] : {}
        const id = `${file}: ${name}`
        if (options.skip) return
        let began
        const done = top.test(String(name), options, async (t) => {
          await ready
          if ((failed && !disableBail) || (wanted !== null && !wanted.has(id))) return
          began = now()
          onFault = (err) => t.fail(err)
          shared.currentTestId = id
          await inTime(body(t), limit)
        }).then(({ ok, failures }) => {
          if (began !== undefined) report(id, file, began, ok ? undefined : describe(failures))
        })
        declared.push(done)
        return done
      })
      onFault = (err) => { fault ??= `nobody caught ${err?.stack ?? err}` }
      shared.currentTestId = undefined
      try {
        await import(`${pathToFileURL(resolve(file)).href}?run=${run}`)
        activate()
        loaded()
        await Promise.all(declared)
        top.end()
        await top.concluded
      } catch (err) {
        fault ??= err.stack
      }
      onFault = () => {}
      if (fault !== undefined) report(file, file, began, fault)
    }
    return { status: DryRunStatus.Complete, tests: results }
  }
}

/** @param limit milliseconds; none where nothing is changed */
async function inTime (running, limit) {
  if (limit === undefined) return running
  let timer
  const late = new Promise((resolve, reject) => { timer = setTimeout(() => reject(new Error(`took more than ${limit} ms`)), limit) })
  try {
    await Promise.race([running, late])
  } finally {
    clearTimeout(timer)
  }
}

function describe ([failure]) {
  return failure === undefined ? 'failed' : `${failure.fullname}: ${failure.name}`
}

export const strykerValidationSchema = { properties: { tests: { type: 'array', items: { type: 'string' }, description: 'Files of tests.' } } }
export const strykerPlugins = [declareClassPlugin(PluginKind.TestRunner, 'in-process', InProcessRunner)]
