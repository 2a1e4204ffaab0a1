import { scError } from '../errors.js'
import { messageOf } from '../untrusted.js'

/** @throws InvalidArgumentsError that names the event or the pattern, and the part of its contract, whose schema does not compile */
export function compiling<T> (name: string, part: string, compile: () => T): T {
  try {
    return compile()
  } catch (cause) {
    throw scError('SC_ERR_CONTRACT', [name, `the ${part} schema cannot be compiled: ${messageOf(cause)}`], { cause })
  }
}
