import { ScError, scError } from '../errors.js'
import { isInstance, read } from '../untrusted.js'

/** What a middleware passes to `next`: an error and, for some lines, a detail. Thrown from its hook. */
export class MiddlewareBlock {
  // eslint-disable-next-line n/handle-callback-err -- it is carried, not handled
  constructor (readonly error: unknown, readonly detail: unknown) {}
}

/** What a hook threw, and which hook it was. `runHooks` throws it, or rejects with it. */
export class HookFailure {
  /**
   * @param list what the hooks are called together: a line, or a policy
   * @param hook the name of its function, absent where it is not known
   * @param index its place among the hooks that were asked, from 0
   * @param duration milliseconds since the first of them was asked; only while somebody listens to what is blocked
   */
  constructor (readonly thrown: unknown, readonly list: string, readonly hook?: string, readonly index = 0, readonly duration?: number) {}
}

/** What a hook threw, whichever hook it was; anything else as it is. */
export function thrownBy (failure: unknown): unknown {
  return isInstance(failure, HookFailure) ? failure.thrown : failure
}

/** Why an action was blocked. */
export interface Block {
  /** For the client. */
  readonly error: unknown
  /** Whether it was thrown, or passed to `next` on purpose. */
  readonly origin: 'deliberate' | 'thrown'
  /** The second argument of `next`: a close code on `handshakeSC`, "the token is bad" on `authenticate`. */
  readonly detail: unknown
  /** A silent block makes no warning. */
  readonly silent: boolean
}

/** Reads what came out of a line's hooks: a block by `next(err)`, or anything thrown. */
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
