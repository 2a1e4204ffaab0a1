import { scError } from '../errors.js'
import { messageOf } from '../untrusted.js'

/**
 * Runs `compile`.
 * @throws InvalidArgumentsError that names the event or pattern and the part of its contract when the schema does not compile
 */
export function compiling<T> (name: string, part: string, compile: () => T): T {
  try {
    return compile()
  } catch (cause) {
    throw scError('SC_ERR_CONTRACT', [name, `the ${part} schema cannot be compiled: ${messageOf(cause)}`], { cause })
  }
}
