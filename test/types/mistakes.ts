// Checked by the compiler only: what is misspelt, or forbidden by the application's own declarations, does not compile.
import { Type } from 'typebox'
import { z } from 'zod'
import type { FastifyInstance } from 'fastify'
import { type CallbackSocket, type ScTypedClient, type StreamSocket, typedClient } from '../../lib/client/index.js'
import { defineChannels, defineEvents, scPlugin, type ScServerSocket } from '../../lib/index.js'
import type { events } from './contract.js'
import { exactly } from './equal.js'

declare module '../../types/auth.js' {
  interface ScAuthToken { team?: number }
}

declare const app: FastifyInstance
declare const socket: ScServerSocket

// Contracts

// @ts-expect-error a misspelt key
app.scEvent('x', { dta: Type.String() }, () => {})
// @ts-expect-error a misspelt key beside a right one
app.scEvent('x', { data: Type.String(), respose: Type.String() }, () => {})
// @ts-expect-error a right key with a wrong value
app.scEvent('x', { data: Type.String(), timeout: '5 s' }, () => {})
// @ts-expect-error a misspelt key
app.scChannel('x', { mesage: Type.String() })
// @ts-expect-error a right key with a wrong value
app.scChannel('x', { clientPublish: 'no' })
// @ts-expect-error a misspelt limit
app.scChannel('x', { history: { length: 5 } })
// @ts-expect-error a limit with a wrong value
app.scChannel('x', { history: {}, recover: { limit: 'all' } })
// @ts-expect-error a text that is not 'latest'
app.scChannel('x', { history: {}, recover: 'newest' })
// @ts-expect-error a number of milliseconds is not a Date
app.scHook('subscribe', async (request) => { request.historyFrom = Date.now() })
// @ts-expect-error a misspelt field of presence
app.scChannel('x', { presence: { keys: () => 'x' } })
// @ts-expect-error a key that is not text
app.scChannel('x', { presence: { key: () => ({}) } })
// @ts-expect-error a misspelt key
defineEvents({ x: { data: Type.String() }, y: { dta: Type.String() } })
// @ts-expect-error a right key with a wrong value
defineEvents({ x: { timeout: '5 s' } })
// @ts-expect-error a misspelt key
defineChannels({ x: { message: Type.String(), clientPublis: false } })
// @ts-expect-error a policy is the server's
defineChannels({ x: { subscribe: () => {} } })
// @ts-expect-error a misspelt option
app.register(scPlugin, { autKey: 'x' })
// @ts-expect-error an option with a wrong value
app.register(scPlugin, { pingInterval: '8 s' })

// What is right goes on compiling.
app.scEvent('x', {}, (data) => { exactly<unknown>()(data) })
app.scEvent('x', Type.String(), (data) => { exactly<string>()(data) })
app.scEvent('x', z.object({ n: z.number() }), (data) => { exactly<{ n: number }>()(data) })
app.scEvent('x', { type: 'object', properties: { n: { type: 'number' } }, 'x-mine': true }, () => {})
app.scEvent('x', { data: Type.String(), response: Type.Number(), timeout: 5, preHandler: ({ socket }) => { socket.deauthenticate() }, config: { a: 1 }, summary: 'text', errors: { E: Type.Object({}) } }, () => 5)
app.scEvent('x', defineEvents({ x: { data: Type.String() } }).x, (data) => { exactly<string>()(data) })
app.register(scPlugin, { authKey: 'x', prefix: '/v1', logLevel: 'warn' })

// Claims

interface User { team: number, name: string }
declare const user: User
socket.setAuthToken({ sub: 'ada', team: 7, role: 'admin' })
socket.setAuthToken(user)
socket.setAuthToken({})
// @ts-expect-error a declared claim of another type
socket.setAuthToken({ sub: 'ada', team: 'red' })
// @ts-expect-error a registered claim of another type
socket.setAuthToken({ exp: 'tomorrow' })
// @ts-expect-error no claims
socket.setAuthToken('ada')

// Clients

declare const current: StreamSocket & { readonly clientId: string }
declare const old: CallbackSocket
declare const untyped: any
declare const either: StreamSocket | CallbackSocket
interface Contracts { events: typeof events }
exactly<ScTypedClient<Contracts, StreamSocket>>()(typedClient<Contracts>(current))
exactly<ScTypedClient<Contracts, CallbackSocket>>()(typedClient<Contracts>(old))
exactly<ScTypedClient<Contracts, StreamSocket>>()(typedClient<Contracts>(untyped))
exactly<ScTypedClient<Contracts, StreamSocket | CallbackSocket>>()(typedClient<Contracts>(either))
exactly<string>()(typedClient<Contracts, typeof current>(current).socket.clientId)

// The helper of these tests finds a difference.

// @ts-expect-error not a string
exactly<string>()(5)
// @ts-expect-error not the same object
exactly<{ a: string }>()({ a: 5 })
