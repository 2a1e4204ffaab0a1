import { ScError, scError } from '../errors.js'
import { isInstance, read } from '../untrusted.js'

/** The error that a middleware passes to `next` and, for some lines, a detail. Its hook throws it. */
export class MiddlewareBlock {
  // eslint-disable-next-line n/handle-callback-err -- it is carried, not handled
  constructor (readonly error: unknown, readonly detail: unknown) {}
}

/** What a hook threw, and which hook it was. `runHooks` throws it or rejects with it. */
export class HookFailure {
  /**
   * @param list the name of the hook list: a line, or a policy
   * @param hook the name of the hook's function; absent when unknown
   * @param index the index of the hook in the list, from 0
   * @param duration milliseconds since the first hook was called; only while somebody subscribes to blocked actions
   */
  constructor (readonly thrown: unknown, readonly list: string, readonly hook?: string, readonly index = 0, readonly duration?: number) {}
}

/** Returns what a hook threw from a `HookFailure`; returns any other value unchanged. */
export function thrownBy (failure: unknown): unknown {
  return isInstance(failure, HookFailure) ? failure.thrown : failure
}

/** Why an action was blocked. */
export interface Block {
  /** The error for the client. */
  readonly error: unknown
  /** Whether the error was thrown, or passed to `next` on purpose. */
  readonly origin: 'deliberate' | 'thrown'
  /** The second argument of `next`: a close code on `handshakeSC`, "the token is bad" on `authenticate`. */
  readonly detail: unknown
  /** Whether the block is silent, so that no warning is emitted. */
  readonly silent: boolean
}

/** Turns the failure of a line's hooks into a block: an error passed to `next`, or anything thrown. */
export function toBlock (line: string, failure: unknown): Block {
  const thrown = thrownBy(failure)
  const passed = isInstance(thrown, MiddlewareBlock)
  const { error, detail } = passed ? thrown : { error: thrown, detail: undefined }
  const origin = passed ? 'deliberate' : 'thrown'
  if (error === true || isSilent(error)) {
    return { error: scError('SC_ERR_BLOCKED_SILENTLY', [line], { type: line }), origin, detail, silent: true }
  }
  // A hook that rejects with nothing still blocks.
  return { error: error ?? scError('SC_ERR_INTERNAL'), origin, detail, silent: false }
}

function isSilent (error: unknown): boolean {
  return typeof error === 'object' && !isInstance(error, ScError) && read(error, 'silent') === true
}
