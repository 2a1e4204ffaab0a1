import type { ScAuthToken } from '../../types/auth.js'

/**
 * Whether the `exp` of a token (in seconds) has passed. False without a token or without `exp`.
 * @param now milliseconds since the epoch
 */
export function isAuthTokenExpired (token: ScAuthToken | null | undefined, now: number = Date.now()): boolean {
  return token != null && typeof token.exp === 'number' && now > token.exp * 1000
}
