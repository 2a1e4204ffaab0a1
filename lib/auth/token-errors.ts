import { scError, type ScError, type ScErrorCode } from '../errors.js'
import { readable } from '../untrusted.js'

export interface TokenFailure {
  authError: ScError
  /** Whether the client has to drop the token; false for one that is merely not active yet. */
  isBadToken: boolean
}

const rows: Record<string, { code: ScErrorCode, field?: { from: string, to: string }, isBadToken: boolean }> = {
  TokenExpiredError: { code: 'SC_ERR_TOKEN_EXPIRED', field: { from: 'expiredAt', to: 'expiry' }, isBadToken: true },
  JsonWebTokenError: { code: 'SC_ERR_TOKEN_INVALID', isBadToken: true },
  NotBeforeError: { code: 'SC_ERR_TOKEN_NOT_BEFORE', field: { from: 'date', to: 'date' }, isBadToken: false }
}

/**
 * SocketCluster's error for what an auth engine's `verifyToken` failed with. It is mapped by its `name`, so it does not
 * matter which library the engine uses. The cause is kept in `cause`, which does not travel to the client.
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
