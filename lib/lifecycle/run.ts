import { type Deadlines, Timed } from '../deadlines.js'
import { scError } from '../errors.js'
import { promiseOf } from '../promises.js'

type AnyHook = (this: any, request: any) => unknown

/**
 * Runs hooks in order. Nothing is allocated and nothing awaited as long as they return nothing; from the first promise on
 * the rest runs asynchronously. What a hook throws or rejects with comes out unchanged.
 *
 * @param deadlines limits each hook that returns a promise; over it comes a `TimeoutError`
 */
export function runHooks (line: string, hooks: readonly AnyHook[], instance: unknown, request: unknown, deadlines: Deadlines): void | Promise<void> {
  for (let i = 0; i < hooks.length; i++) {
    const running = promiseOf(hooks[i]!.call(instance, request))
    if (running !== undefined) return runRest(line, hooks, i, running, instance, request, deadlines)
  }
}

async function runRest (line: string, hooks: readonly AnyHook[], started: number, first: Promise<unknown>, instance: unknown, request: unknown, deadlines: Deadlines): Promise<void> {
  await withDeadline(first, deadlines, () => scError('SC_ERR_HOOK_TIMEOUT', [line, deadlines.duration]))
  for (let i = started + 1; i < hooks.length; i++) {
    const running = promiseOf(hooks[i]!.call(instance, request))
    if (running !== undefined) await withDeadline(running, deadlines, () => scError('SC_ERR_HOOK_TIMEOUT', [line, deadlines.duration]))
  }
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
