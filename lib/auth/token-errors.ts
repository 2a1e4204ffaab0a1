import { scError, type ScError, type ScErrorCode } from '../errors.js'
import { readable } from '../untrusted.js'

/** The result of a failed verification. */
export interface TokenFailure {
  authError: ScError
  /** Whether the client must delete the token. False for a token that is not active yet. */
  isBadToken: boolean
}

const rows: Record<string, { code: ScErrorCode, field?: { from: string, to: string }, isBadToken: boolean }> = {
  TokenExpiredError: { code: 'SC_ERR_TOKEN_EXPIRED', field: { from: 'expiredAt', to: 'expiry' }, isBadToken: true },
  JsonWebTokenError: { code: 'SC_ERR_TOKEN_INVALID', isBadToken: true },
  NotBeforeError: { code: 'SC_ERR_TOKEN_NOT_BEFORE', field: { from: 'date', to: 'date' }, isBadToken: false }
}

/**
 * Converts an error of an auth engine's `verifyToken` to SocketCluster's error. It is mapped by its `name`, so any JWT library
 * works. The original error is kept in `cause`, which is not sent to the client.
 */
export function toAuthError (err: unknown): TokenFailure {
  err = readable(err)
  const { name, message } = (err ?? {}) as { name?: unknown, message?: unknown }
  const row = typeof name === 'string' && Object.hasOwn(rows, name) ? rows[name] : undefined
  const text = typeof message === 'string' ? message : typeof err === 'string' ? err : 'The auth engine failed'
  const fields = row?.field === undefined ? undefined : { [row.field.to]: (err as Record<string, unknown>)[row.field.from] }
  const authError = scError(row?.code ?? 'SC_ERR_TOKEN', [text], fields)
  Object.defineProperty(authError, 'cause', { value: err, configurable: true, writable: true })
  return { authError, isBadToken: row?.isBadToken ?? true }
}
