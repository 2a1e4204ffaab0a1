import type { ScAuthToken } from '../../types/auth.js'

/**
 * Whether a token's `exp` (seconds) has passed; false without a token or an `exp`.
 * @param now milliseconds since the epoch
 */
export function isAuthTokenExpired (token: ScAuthToken | null | undefined, now: number = Date.now()): boolean {
  return token != null && typeof token.exp === 'number' && now > token.exp * 1000
}
