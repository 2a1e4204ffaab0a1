import type { FastifyRequest } from 'fastify'
import type { ScAuthToken } from '../../types/auth.js'
import { handshakeUser } from '../auth/handshake-user.js'
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
