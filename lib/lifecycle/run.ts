import { type Deadlines, Timed } from '../deadlines.js'
import { diagnostics } from '../diagnostics.js'
import { scError } from '../errors.js'
import { promiseOf } from '../promises.js'
import { read } from '../untrusted.js'
import { HookFailure } from './block.js'

/** A hook of whatever line. */
export type AnyHook = (this: never, request: never) => unknown

/** A hook that is called for an instance with a request. */
type HookOf<Instance, Request> = (this: Instance, request: Request) => unknown

/**
 * Runs hooks in order. Nothing is allocated and nothing awaited as long as they return nothing; from the first promise on
 * the rest runs asynchronously.
 *
 * @param list what they are called together: a line, or a policy
 * @param deadlines limits each hook that returns a promise; over it comes a `TimeoutError`
 * @throws HookFailure with what a hook threw; what one rejects with is a rejection with a HookFailure
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

/** When hooks begin, while somebody listens to what is blocked: a look at the clock costs as much as a small hook. */
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

/** @param began when the first of the hooks was asked, if somebody wants to know */
export function hookFailure (list: string, hooks: readonly AnyHook[], at: number, thrown: unknown, began: number | undefined): HookFailure {
  // An application may have given its function any name, even one that is no text.
  const name = read(hooks[at], 'name')
  return new HookFailure(thrown, list, typeof name === 'string' && name !== '' ? name : 'anonymous', at, began === undefined ? undefined : performance.now() - began)
}

/**
 * Goes on with what hooks decided: `passed`, or `blocked` with what they threw or rejected with. At once if they decide at once.
 * What `passed` throws is not theirs, and comes out.
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

/** The promise, or its failure once the time is over. */
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
