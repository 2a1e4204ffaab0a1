import type { MaybePromise } from '../../types/broker.js'
import { promiseOf } from '../promises.js'

/**
 * What a broker answers. Most of them are code of applications: what one throws is a rejection, and what it returns that is no
 * promise and does not behave as one is an answer that is there at once.
 */
export function answerOf (ask: () => unknown): MaybePromise<void> {
  try {
    return promiseOf<void>(ask())
  } catch (err) {
    return Promise.reject(err)
  }
}
