import { scError, typeName } from '../errors.js'

/** The maximum of `limit`, and its default. */
export const maxLimit = 1_000
const defaultLimit = 100
/** Maximum length of a cursor: the longest channel name as base64. */
const maxCursorLength = 100_000

/** Returns the cursor of the page that begins after a key. */
export function cursorOf (key: string): string {
  return Buffer.from(key).toString('base64url')
}

/** Returns the key of a cursor. @throws InvalidArgumentsError for any other text */
export function keyOf (method: string, cursor: unknown): string {
  const key = typeof cursor === 'string' && cursor.length > 0 && cursor.length <= maxCursorLength ? Buffer.from(cursor, 'base64url').toString() : ''
  if (key === '' || cursorOf(key) !== cursor) throw scError('SC_ERR_ARGUMENT', [method, 'the cursor to be the next of a page', typeof cursor === 'string' ? 'other text' : typeName(cursor)])
  return key
}

/** Returns the checked limit of a page. @throws InvalidArgumentsError for a number out of range, or another value */
export function limitOf (method: string, limit: unknown = defaultLimit): number {
  if (typeof limit !== 'number' || !Number.isInteger(limit) || limit < 1 || limit > maxLimit) {
    throw scError('SC_ERR_ARGUMENT', [method, `a limit from 1 to ${maxLimit}`, typeof limit === 'number' ? limit : typeName(limit)])
  }
  return limit
}
