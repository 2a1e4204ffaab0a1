import { type Deadlines, Timed } from '../deadlines.js'
import { scError } from '../errors.js'
import { isThenable } from '../promises.js'

type AnyHook = (this: any, request: any) => unknown

/**
 * Runs hooks in order. Nothing is allocated and nothing awaited as long as they return nothing; from the first promise on
 * the rest runs asynchronously. What a hook throws or rejects with comes out unchanged.
 *
 * @param deadlines limits each hook that returns a promise; over it comes a `TimeoutError`
 */
export function runHooks (line: string, hooks: readonly AnyHook[], instance: unknown, request: unknown, deadlines: Deadlines): void | Promise<void> {
  for (let i = 0; i < hooks.length; i++) {
    const result = hooks[i]!.call(instance, request)
    if (isThenable(result)) return runRest(line, hooks, i, result, instance, request, deadlines)
  }
}

async function runRest (line: string, hooks: readonly AnyHook[], started: number, first: PromiseLike<unknown>, instance: unknown, request: unknown, deadlines: Deadlines): Promise<void> {
  await withDeadline(first, deadlines, () => scError('SC_ERR_HOOK_TIMEOUT', [line, deadlines.duration]))
  for (let i = started + 1; i < hooks.length; i++) {
    const result = hooks[i]!.call(instance, request)
    if (isThenable(result)) await withDeadline(result, deadlines, () => scError('SC_ERR_HOOK_TIMEOUT', [line, deadlines.duration]))
  }
}

class Wait extends Timed {
  constructor (readonly fail: () => void) {
    super()
  }

  expire (): void {
    this.fail()
  }
}

/** The promise, or its failure once the time is over. */
export function withDeadline<T> (promise: PromiseLike<T>, deadlines: Deadlines, makeError: () => Error): Promise<T> {
  if (deadlines.duration === 0) return Promise.resolve(promise)
  return new Promise((resolve, reject) => {
    const wait = new Wait(() => reject(makeError()))
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
