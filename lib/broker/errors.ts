import { ScError, scError } from '../errors.js'
import { isInstance, messageOf } from '../untrusted.js'

/** Converts any error of an engine or a broker to a `BrokerError`. */
export function brokerError (err: unknown): Error {
  return isInstance(err, ScError) ? err : scError('SC_ERR_BROKER', [messageOf(err)], { cause: err })
}

/** The error of every operation while the engine cannot be reached. */
export function downError (broker: string, cause: Error | undefined): Error {
  return scError('SC_ERR_BROKER_DOWN', [broker, cause?.message ?? 'not connected'], { cause })
}
