import { scError, typeName } from '../errors.js'

/** Bytes that a key of HMAC-SHA256 should have at least. */
const minBrokerKey = 32

/**
 * The option `brokerKey` as a list of keys, the one that signs first.
 * @throws InvalidOptionsError for what is no key, or too short
 */
export function brokerKeys (option: unknown): Buffer[] {
  return (Array.isArray(option) && option.length > 0 ? option as unknown[] : [option]).map((value) => {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value instanceof Uint8Array ? Buffer.from(value) : null
    if (bytes === null) throw scError('SC_ERR_OPTIONS', [`Option brokerKey: expected text, a Buffer, or an array of them, got ${typeName(value)}`])
    if (bytes.length < minBrokerKey) throw scError('SC_ERR_OPTIONS', [`Option brokerKey: expected at least ${minBrokerKey} bytes, got ${bytes.length}`])
    return bytes
  })
}
