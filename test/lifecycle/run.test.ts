import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import t, { type Test } from 'tap'
import { Deadlines } from '../../lib/deadlines.js'
import { HookFailure } from '../../lib/lifecycle/block.js'
import { decide, hookFailure, hooksBegan, runHooks, withDeadline } from '../../lib/lifecycle/run.js'
import { Clock } from '../helpers/clock.js'

const none = new Deadlines(0)
const error = new Error('no')
/** A HookFailure is none of the errors that `rejects` knows. */
const failure = (fields: object): any => fields
const run = (hooks: unknown[], deadlines = none, instance: unknown = undefined, request: unknown = undefined) => runHooks('emit', hooks as Array<(this: unknown, request: unknown) => unknown>, instance, request, deadlines)

/** Somebody listens to what is blocked, until the test ends. */
function listen (t: Test): void {
  const listener = (): void => {}
  subscribe('sc:action:blocked', listener)
  t.teardown(() => { unsubscribe('sc:action:blocked', listener) })
}

t.test('hooks run in order, on the instance and with the request; no promise is made while none of them makes one', async (t) => {
  const did: unknown[] = []
  const hook = (name: string) => function (this: unknown, request: unknown) { did.push([name, this, request]); return name }
  const [instance, request] = [{}, {}]
  t.equal(run([hook('a'), hook('b')], none, instance, request), undefined)
  t.same(did, [['a', instance, request], ['b', instance, request]])
  t.equal(did.every((row: any) => row[1] === instance && row[2] === request), true)
  t.equal(run([]), undefined)
})

t.test('from the first promise on each waits for the one before', async (t) => {
  const did: unknown[] = []
  const [instance, request] = [{}, {}]
  const later = (name: string) => async function (this: unknown, given: unknown) { did.push(`${name} begins`); await new Promise(setImmediate); did.push(name, this === instance, given === request) }
  const running = run([() => { did.push('a') }, later('b'), () => { did.push('c') }, later('d'), function (this: unknown, given: unknown) { did.push('e', this === instance, given === request) }], none, instance, request)
  t.same(did, ['a', 'b begins'])
  await running
  t.same(did, ['a', 'b begins', 'b', true, true, 'c', 'd begins', 'd', true, true, 'e', true, true])
})

t.test('the first that throws ends it, and which one it was is known', async (t) => {
  const last = (): void => { t.fail('it ran') }
  const fail = (hooks: unknown[]): unknown => { try { run(hooks); t.fail('they passed') } catch (err) { return err } }
  const second = fail([() => {}, function mine () { throw error }, last])
  t.ok(second instanceof HookFailure)
  t.same(second, { thrown: error, list: 'emit', hook: 'mine', index: 1, duration: undefined })
  t.match(fail([() => { throw error }]), { hook: 'anonymous', index: 0 })
  for (const name of ['', 7]) t.match(fail([Object.defineProperty(() => { throw error }, 'name', { value: name })]), { hook: 'anonymous' }, 'a name that is no text')
})

t.test('so does the first that rejects, or that throws after others have waited', async (t) => {
  const last = (): void => { t.fail('it ran') }
  await t.rejects(run([async function first () { throw error }, last]) as Promise<void>, failure({ thrown: error, list: 'emit', hook: 'first', index: 0 }))
  await t.rejects(run([() => {}, async () => {}, async function third () { throw error }, last]) as Promise<void>, failure({ thrown: error, hook: 'third', index: 2 }))
  await t.rejects(run([async () => {}, function second () { throw error }, last]) as Promise<void>, failure({ thrown: error, hook: 'second', index: 1 }))
})

t.test('how long they took is known while somebody listens', async (t) => {
  const clock = new Clock(t)
  t.equal(hooksBegan(), undefined)
  listen(t)
  t.equal(hooksBegan(), clock.now)
  t.match(hookFailure('emit', [function mine () {}], 0, error, clock.now - 7), { thrown: error, list: 'emit', hook: 'mine', index: 0, duration: 7 })
  t.throws(() => run([() => { clock.now += 3; throw error }]), failure({ duration: 3 }))
  await t.rejects(run([async () => { clock.now += 4 }, () => { throw error }]) as Promise<void>, failure({ duration: 4 }))
})

t.test('a hook that takes too long fails; each has the whole time', async (t) => {
  const clock = new Clock(t)
  const deadlines = new Deadlines(100)
  const slow = (milliseconds: number) => async () => { await new Promise<void>((resolve) => setTimeout(resolve, milliseconds)) }
  const passed = run([slow(90), () => {}, slow(90)], deadlines) as Promise<void>
  await clock.advance(300)
  await t.resolves(passed)
  const late = run([() => {}, function forEver () { return new Promise(() => {}) }], deadlines) as Promise<void>
  const failed = late.catch((err: unknown) => err)
  await clock.advance(1_000)
  t.match(await failed, { hook: 'forEver', index: 1, thrown: { name: 'TimeoutError', code: 'SC_ERR_HOOK_TIMEOUT', message: 'A emit hook took longer than 100 ms; see the option hookTimeout' } })
})

t.test('what has a deadline keeps its value or its failure, and is late no more', async (t) => {
  const clock = new Clock(t)
  const promise = Promise.resolve(1)
  t.equal(withDeadline(promise, none, () => error), promise, 'without a limit it is the promise itself')
  const deadlines = new Deadlines(100)
  let made = 0
  const makeError = (): Error => new Error(`late ${++made}`)
  t.equal(await withDeadline(promise, deadlines, makeError), 1)
  await t.rejects(withDeadline(Promise.reject(error), deadlines, makeError), error)
  await clock.advance(1_000)
  t.equal(made, 0)
  const late = withDeadline(new Promise(() => {}), deadlines, () => error).catch((err: unknown) => err)
  await clock.advance(1_000)
  t.equal(await late, error)
})

t.test('what was decided goes on at once where it was decided at once', async (t) => {
  const blocked = (thrown: unknown): unknown => ['blocked', thrown]
  t.equal(decide<unknown>(() => {}, () => 'passed', blocked), 'passed')
  t.same(decide<unknown>(() => { throw error }, () => 'passed', blocked), ['blocked', error])
  t.equal(await decide<unknown>(async () => {}, () => 'passed', blocked), 'passed')
  t.same(await decide<unknown>(async () => { throw error }, () => 'passed', blocked), ['blocked', error])
  t.throws(() => decide<unknown>(() => {}, () => { throw error }, blocked), error, 'what comes after is not theirs')
  await t.rejects(decide<unknown>(async () => {}, () => { throw error }, blocked) as Promise<unknown>, error)
})
