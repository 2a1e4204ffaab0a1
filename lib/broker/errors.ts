import { ScError, scError } from '../errors.js'
import { isInstance, messageOf } from '../untrusted.js'

/** Callers see `BrokerError`s only, whatever an engine or a broker rejects with. */
export function brokerError (err: unknown): Error {
  return isInstance(err, ScError) ? err : scError('SC_ERR_BROKER', [messageOf(err)], { cause: err })
}

/** What everything fails with while the engine cannot be reached. */
export function downError (broker: string, cause: Error | undefined): Error {
  return scError('SC_ERR_BROKER_DOWN', [broker, cause?.message ?? 'not connected'], { cause })
}
