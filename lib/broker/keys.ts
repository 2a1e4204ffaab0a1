import { scError, typeName } from '../errors.js'

/** Minimum length of a key for HMAC-SHA256, in bytes. */
const minBrokerKey = 32

/**
 * Converts the option `brokerKey` to a list of keys. The first key signs.
 * @throws InvalidOptionsError for a value that is not a key, or a key that is too short
 */
export function brokerKeys (option: unknown): Buffer[] {
  return (Array.isArray(option) && option.length > 0 ? option as unknown[] : [option]).map((value) => {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value instanceof Uint8Array ? Buffer.from(value) : null
    if (bytes === null) throw scError('SC_ERR_OPTIONS', [`Option brokerKey: expected text, a Buffer, or an array of them, got ${typeName(value)}`])
    if (bytes.length < minBrokerKey) throw scError('SC_ERR_OPTIONS', [`Option brokerKey: expected at least ${minBrokerKey} bytes, got ${bytes.length}`])
    return bytes
  })
}
