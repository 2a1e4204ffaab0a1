import type { MaybePromise } from '../../types/broker.js'
import { promiseOf } from '../promises.js'

/**
 * Calls a broker and returns its answer: a promise, or `undefined` when the answer is there at once. Brokers may be code of the
 * application, so an error thrown becomes a rejection, and any returned value that is not a promise counts as an answer.
 */
export function answerOf (ask: () => unknown): MaybePromise<void> {
  try {
    return promiseOf<void>(ask())
  } catch (err) {
    return Promise.reject(err)
  }
}
