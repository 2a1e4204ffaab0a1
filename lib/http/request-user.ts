import type { FastifyRequest } from 'fastify'
import type { ScAuthToken } from '../../types/auth.js'
import { handshakeUser } from '../auth/handshake-user.js'
import { claimText } from '../cluster/revocations.js'
import { addressKey } from '../server/address-key.js'
import type { ServerCore } from '../server/core.js'

/** The user that a hook of the application verified, who counts before a token: its bearer tokens may be of another kind. */
export function requestUser ({ options, tokens: { userProperty } }: ServerCore, request: FastifyRequest): ScAuthToken | null {
  return options.authFromRequest ? handshakeUser(request, userProperty) : null
}

const bearer = /^bearer(?: +(.*))?$/i

/** The token that a request sends, which may be empty; undefined without any. */
export function bearerToken ({ headers: { authorization = '' } }: FastifyRequest): string | undefined {
  const given = bearer.exec(authorization)
  return given === null ? undefined : given[1] ?? ''
}

/** The key under which a caller is counted: its user, or else its address. */
export function callerKey (authToken: ScAuthToken | null, address: string | undefined): string {
  const user = claimText(authToken?.sub)
  return user === undefined ? `address ${addressKey(address ?? '')}` : `user ${user}`
}
