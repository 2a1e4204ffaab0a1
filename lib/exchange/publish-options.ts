import type { ScPublishOptions } from '../../types/exchange.js'
import { scError, typeName } from '../errors.js'

/** Maximum length of an `idempotencyKey`, in UTF-16 units. */
const maxKeyLength = 128

// A lone surrogate has no UTF-8 form, so an engine would turn two such keys into the same one.
const loneSurrogate = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/

/** The checked options of a publish. */
export interface PublishHow {
  readonly key: string | undefined
  /** Whether the history of the channel keeps the message. */
  readonly isKept: boolean
}

const plain: PublishHow = { key: undefined, isKept: true }

function refuse (expected: string, got: string | number): never {
  throw scError('SC_ERR_ARGUMENT', ['publish', expected, got])
}

/** Checks the options of a publish; `undefined` and `null` count as absent. @throws InvalidArgumentsError for an invalid option */
export function checkPublishOptions (options: ScPublishOptions | null | undefined): PublishHow {
  if (options === undefined || options === null) return plain
  if (typeof options !== 'object') refuse('an object of options or a callback', typeName(options))
  for (const name of Object.keys(options)) {
    // An option that is misspelled would promise nothing.
    if (name !== 'idempotencyKey' && name !== 'history') refuse('the options idempotencyKey and history', `"${name}"`)
  }
  const { idempotencyKey: key, history } = options
  if (history !== undefined && history !== false) refuse('the option history to be false or absent', history === true ? 'true' : typeName(history))
  if (key !== undefined) {
    if (typeof key !== 'string') refuse('the option idempotencyKey to be a string', typeName(key))
    if (key.length === 0 || key.length > maxKeyLength) refuse(`an idempotencyKey of 1 to ${maxKeyLength} characters`, key.length)
    if (loneSurrogate.test(key)) refuse('an idempotencyKey without lone surrogates', 'one with')
    if (history === false) refuse('the option history to be absent with an idempotencyKey, which the history keeps', 'false')
  }
  return { key, isKept: history !== false }
}
