import type { EventEmitter } from 'node:events'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'

/** The timeout of all waits, in milliseconds. It is long, because only a defect or a very busy machine uses it up. */
export const patience = 20_000

/**
 * Waits until a condition holds, by polling: for conditions without an event. Rejects if it does not hold within {@link
 * patience}. Use it instead of a `sleep()` that may be too short on a slow machine.
 *
 * @param what the expectation, for the error
 * @param within milliseconds, for what takes its time
 */
export async function until (what: string | (() => string), met: () => boolean | Promise<boolean>, within = patience): Promise<void> {
  for (const from = performance.now(); !await met(); await sleep(5)) {
    if (performance.now() - from > within) throw new Error(`expected ${typeof what === 'string' ? what : what()} within ${within} ms`)
  }
}

/**
 * Waits until a number no longer changes, for "everything that can arrive has arrived". The event loop polls between two reads,
 * even if this process could not run meanwhile, so that waiting data is read.
 *
 * @param looks the number of consecutive reads that must return the same number
 * @param every milliseconds between two reads
 */
export async function atRest (number: () => number | Promise<number>, looks = 5, every = 20): Promise<void> {
  for (let before = NaN, same = 0; same < looks;) {
    await sleep(every)
    await turn()
    await turn()
    const now = await number()
    same = now === before ? same + 1 : 0
    before = now
  }
}

/**
 * Repeats a measurement until a limit holds, and returns the last result. Use it for values that other load on the machine can
 * only make worse: one good attempt shows that the limit can be met, and code that is too slow or too large fails all attempts.
 * Assertions that do not depend on the load belong inside `measure`.
 */
export async function bestOf<T> (attempts: number, measure: () => Promise<T>, holds: (measured: T) => boolean): Promise<T> {
  for (let left = attempts; ; left--) {
    const measured = await measure()
    if (left <= 1 || holds(measured)) return measured
  }
}

/**
 * Waits until a connection or a server is closed. A reset counts as an end too, whereas `once()` of `node:events` would reject.
 */
export async function closed (what: EventEmitter): Promise<void> {
  what.on('error', () => {})
  await new Promise<void>((resolve) => { what.once('close', () => resolve()) })
}
