import { jwtError } from './jwt-errors.js'

/** The `aud` claim of a token that is, among what it already is for, for an audience. */
export function withAudience (aud: string | string[] | undefined, audience: string): string | string[] {
  if (aud === undefined) return audience
  if (isFor(aud, audience)) return aud
  return Array.isArray(aud) ? [...aud, audience] : [aud, audience]
}

/** @throws an error that becomes an `AuthTokenInvalidError`, with the text of jsonwebtoken, for a token that is not for an audience */
export function checkAudience (aud: unknown, audience: string): void {
  if (!isFor(aud, audience)) throw jwtError('JsonWebTokenError', `jwt audience invalid. expected: ${audience}`)
}

function isFor (aud: unknown, audience: string): boolean {
  return Array.isArray(aud) ? aud.includes(audience) : aud === audience
}
