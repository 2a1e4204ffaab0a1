import type { EventEmitter } from 'node:events'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'

/** How long anything that is waited for may take, in milliseconds: long, because only what is broken takes it, or a machine that is very busy. */
export const patience = 20_000

/**
 * Waits until something is so, and looks again and again: for what no event tells. It fails when it is not so for all of
 * {@link patience}. A wait that may be over too early on a slow machine belongs here, not into a `sleep()`.
 *
 * @param what for the error: what was expected
 */
export async function until (what: string | (() => string), met: () => boolean | Promise<boolean>): Promise<void> {
  for (const from = performance.now(); !await met(); await sleep(5)) {
    if (performance.now() - from > patience) throw new Error(`expected ${typeof what === 'string' ? what : what()} within ${patience} ms`)
  }
}

/**
 * Waits until a number does not change any more: for "everything that can come has come". Between two looks the event loop has
 * polled, also when this process was kept from running, so that what waited to be read is read.
 *
 * @param looks how many in a row must see the same
 * @param every milliseconds between two looks
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
 * Measures until a limit holds, and gives what was measured last. It is for measures that other work on the machine can only make
 * worse, never better: one good attempt shows that the limit can be kept, and what is really too slow, or too large, fails all.
 * What is right or wrong whatever the machine does is asserted inside of `measure`.
 */
export async function bestOf<T> (attempts: number, measure: () => Promise<T>, holds: (measured: T) => boolean): Promise<T> {
  for (let left = attempts; ; left--) {
    const measured = await measure()
    if (left <= 1 || holds(measured)) return measured
  }
}

/** Waits until a connection or a server is closed, however it ends: a reset is an end, too, where `once()` of `node:events` would reject. */
export async function closed (what: EventEmitter): Promise<void> {
  what.on('error', () => {})
  await new Promise<void>((resolve) => { what.once('close', () => resolve()) })
}
