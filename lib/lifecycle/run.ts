import { type Deadlines, Timed } from '../deadlines.js'
import { diagnostics } from '../diagnostics.js'
import { scError } from '../errors.js'
import { promiseOf } from '../promises.js'
import { read } from '../untrusted.js'
import { HookFailure } from './block.js'

/** A hook of any line. */
export type AnyHook = (this: never, request: never) => unknown

/** A hook that is called with an instance as `this`, and a request. */
type HookOf<Instance, Request> = (this: Instance, request: Request) => unknown

/**
 * Runs hooks in order. Nothing is allocated or awaited while hooks return nothing; from the first promise on the rest runs
 * asynchronously.
 * @param list the name of the hook list: a line, or a policy
 * @param deadlines limits each hook that returns a promise; when it elapses the hook fails with a `TimeoutError`
 * @throws HookFailure with what a hook threw; when a hook rejects, the returned promise rejects with a HookFailure
 */
export function runHooks<Instance, Request> (list: string, hooks: ReadonlyArray<HookOf<Instance, Request>>, instance: Instance, request: Request, deadlines: Deadlines): void | Promise<void> {
  const began = hooksBegan()
  let at = 0
  try {
    for (; at < hooks.length; at++) {
      const running = promiseOf(hooks[at]!.call(instance, request))
      if (running !== undefined) return runRest(list, hooks, at, running, instance, request, deadlines, began)
    }
  } catch (thrown) {
    throw hookFailure(list, hooks, at, thrown, began)
  }
}

/**
 * Returns the time when hooks begin, only while somebody subscribes to blocked actions: reading the clock costs as much as a
 * small hook.
 */
export function hooksBegan (): number | undefined {
  return diagnostics.blocked.hasSubscribers ? performance.now() : undefined
}

async function runRest<Instance, Request> (list: string, hooks: ReadonlyArray<HookOf<Instance, Request>>, at: number, first: Promise<unknown>, instance: Instance, request: Request, deadlines: Deadlines, began: number | undefined): Promise<void> {
  let running: Promise<unknown> | undefined = first
  try {
    for (;;) {
      if (running !== undefined) await withDeadline(running, deadlines, () => scError('SC_ERR_HOOK_TIMEOUT', [list, deadlines.duration]))
      if (++at >= hooks.length) return
      running = promiseOf(hooks[at]!.call(instance, request))
    }
  } catch (thrown) {
    throw hookFailure(list, hooks, at, thrown, began)
  }
}

/** Describes which hook failed. @param began time when the first hook was called, if known */
export function hookFailure (list: string, hooks: readonly AnyHook[], at: number, thrown: unknown, began: number | undefined): HookFailure {
  // The name of the function may be of any type.
  const name = read(hooks[at], 'name')
  return new HookFailure(thrown, list, typeof name === 'string' && name !== '' ? name : 'anonymous', at, began === undefined ? undefined : performance.now() - began)
}

/**
 * Continues after hooks: calls `passed`, or `blocked` with what they threw or rejected with. Runs synchronously if the hooks do.
 * Errors of `passed` are not passed to `blocked`.
 * @param ask runs the hooks
 */
export function decide<T> (ask: () => void | Promise<void>, passed: () => T | Promise<T>, blocked: (thrown: unknown) => T): T | Promise<T> {
  let running: void | Promise<void>
  try {
    running = ask()
  } catch (thrown) {
    return blocked(thrown)
  }
  return running === undefined ? passed() : running.then(passed, blocked)
}

class Wait extends Timed {
  constructor (readonly makeError: () => Error, readonly fault: (err: unknown) => void) {
    super()
  }

  expire (): void {
    this.fault(this.makeError())
  }
}

/** Returns a promise that settles like the given one, or rejects with `makeError()` when the deadline elapses. */
export function withDeadline<T> (promise: Promise<T>, deadlines: Deadlines, makeError: () => Error): Promise<T> {
  if (deadlines.duration === 0) return promise
  return new Promise((resolve, reject) => {
    const wait = new Wait(makeError, reject)
    deadlines.add(wait)
    promise.then((value) => {
      wait.cancel()
      resolve(value)
    }, (err: unknown) => {
      wait.cancel()
      reject(err)
    })
  })
}
