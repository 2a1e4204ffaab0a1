import { jwtError } from './jwt-errors.js'

/** Adds an audience to an `aud` claim, unless the claim names it already. */
export function withAudience (aud: string | string[] | undefined, audience: string): string | string[] {
  if (aud === undefined) return audience
  if (isFor(aud, audience)) return aud
  return Array.isArray(aud) ? [...aud, audience] : [aud, audience]
}

/**
 * Checks that a token is for an audience.
 * @throws an error with the text of jsonwebtoken that becomes an `AuthTokenInvalidError`
 */
export function checkAudience (aud: unknown, audience: string): void {
  if (!isFor(aud, audience)) throw jwtError('JsonWebTokenError', `jwt audience invalid. expected: ${audience}`)
}

function isFor (aud: unknown, audience: string): boolean {
  return Array.isArray(aud) ? aud.includes(audience) : aud === audience
}
