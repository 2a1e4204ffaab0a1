// Checked by the compiler only: what infers, and what must not compile.
import type { FastifyPluginAsyncTypebox, TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { Type } from 'typebox'
import { z } from 'zod'
import '../../types/fastify.js'
import type { PatternParams } from '../../types/contracts.js'
import type { ScCaller, ScServerSocket } from '../../types/server.js'
import { defineEvents } from '../../lib/contracts/define.js'
import { channels, events } from './contract.js'
import { equal, exactly } from './equal.js'

declare const app: FastifyInstance

// TypeBox without a type provider.

app.scEvent('chat', { data: Type.Object({ n: Type.Integer() }), response: Type.Object({ id: Type.String() }) }, async function (data, { socket, log, signal, config }) {
  exactly<{ n: number }>()(data)
  exactly<ScServerSocket>()(socket)
  exactly<AbortSignal>()(signal)
  exactly<unknown>()(config)
  exactly<typeof app>()(this)
  log.info('said')
  return { id: '1' }
})
app.scEvent('bare', Type.Object({ n: Type.Integer() }), (data) => { exactly<{ n: number }>()(data) })
app.scEvent('free', {}, (data) => { exactly<unknown>()(data) })
app.scEvent('only response', { response: Type.Array(Type.Number()) }, (data) => {
  exactly<unknown>()(data)
  return [1, 2]
})
app.scEvent('literals', { response: Type.Object({ state: Type.Union([Type.Literal('on'), Type.Literal('off')]) }) }, async () => ({ state: 'on' }))
app.scEvent('void', { data: Type.String() }, () => {}).scEvent('chained', {}, () => 1)

// @ts-expect-error the response lacks its id
app.scEvent('wrong 1', { response: Type.Object({ id: Type.String() }) }, async () => ({}))
// @ts-expect-error the response's id has the wrong type
app.scEvent('wrong 2', { response: Type.Object({ id: Type.String() }) }, async () => ({ id: 1 }))
// @ts-expect-error nothing is returned
app.scEvent('wrong 3', { response: Type.Object({ id: Type.String() }) }, async () => {})
// @ts-expect-error the literal is not one of the union
app.scEvent('wrong 4', { response: Type.Object({ state: Type.Literal('on') }) }, async () => ({ state: 'off' }))
// @ts-expect-error the field does not exist
app.scEvent('wrong 5', { data: Type.Object({ n: Type.Integer() }) }, (data) => data.m)
// @ts-expect-error there is no handler
app.scEvent('wrong 6', {})
// @ts-expect-error a name is a string
app.scEvent(7, {}, () => {})

// Events over HTTP: the handler's caller may have no connection.

app.scEvent('over http', { http: true, data: Type.Object({ n: Type.Integer() }) }, (data, { socket }) => {
  exactly<{ n: number }>()(data)
  exactly<ScCaller>()(socket)
  exactly<'websocket' | 'sse' | 'http'>()(socket.transport)
  socket.data = socket.authToken?.sub
  // @ts-expect-error it may have no connection
  socket.emit('news')
  // @ts-expect-error nor subscriptions
  socket.kickOut('news')
  // @ts-expect-error nor a client that keeps a token
  return socket.setAuthToken({})
})
app.scEvent('over http at', { http: { url: '/x', method: 'PUT' } }, (_data, { socket }) => { exactly<ScCaller>()(socket) })
app.scEvent('not over http', { http: false }, (_data, { socket }) => { exactly<ScServerSocket>()(socket) })
app.scEvent('maybe over http', { http: Math.random() > 0.5 }, (_data, { socket }) => { exactly<ScCaller>()(socket) })
app.scEvent('shared, over http', { ...events.chat, http: true }, (data, { socket }) => {
  exactly<string>()(data.room)
  exactly<ScCaller>()(socket)
  return { id: '1', state: 'sent' }
})
app.scEvent('hooks', { http: true, preHandler: ({ socket }) => { exactly<ScServerSocket>()(socket) } }, () => {})
export const overHttp = defineEvents({ a: { http: true, data: Type.String() }, b: { http: { method: 'DELETE' } } })
app.scEvent('a', overHttp.a, (data, { socket }) => {
  exactly<string>()(data)
  exactly<ScCaller>()(socket)
})
app.scEvent('b', overHttp.b, (_data, { socket }) => { exactly<ScCaller>()(socket) })
// @ts-expect-error a GET has no body
app.scEvent('wrong 8', { http: { method: 'GET' } }, () => {})
equal<ScServerSocket extends ScCaller ? true : false, true>(true)

// The contract object.

app.scEvent('chat', events.chat, async (data) => {
  exactly<{ room: string, text: string, level?: number }>()(data)
  return { id: '1', state: 'sent' }
})
app.scEvent('chat', { ...events.chat, timeout: 50, preHandler: async ({ socket }) => { exactly<ScServerSocket>()(socket) } }, (data) => {
  exactly<string>()(data.room)
  return { id: '1', state: 'queued' }
})
app.scEvent('leave', events.leave, (data) => { exactly<{ room: string }>()(data) })
app.scEvent('list', events.list, () => [{ from: 'a', text: 'b' }])
app.scEvent('time', events.time, () => Date.now())
// @ts-expect-error the state is not one of the union
app.scEvent('chat', events.chat, async () => ({ id: '1', state: 'lost' }))
// @ts-expect-error items of the wrong type
app.scEvent('list', events.list, () => [1])

// Type providers.

app.withTypeProvider<TypeBoxTypeProvider>().scEvent('typebox', { data: Type.Object({ n: Type.Integer() }), response: Type.String() }, (data) => {
  exactly<{ n: number }>()(data)
  return 'x'
})
app.withTypeProvider<JsonSchemaToTsProvider>().scEvent('json', {
  data: { type: 'object', properties: { n: { type: 'integer' }, s: { enum: ['a', 'b'] } }, required: ['n'], additionalProperties: false },
  response: { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'], additionalProperties: false }
}, (data) => {
  exactly<number>()(data.n)
  exactly<'a' | 'b' | undefined>()(data.s)
  return { ok: true }
})
app.withTypeProvider<JsonSchemaToTsProvider>().scEvent('bare json', { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] }, (data) => {
  exactly<number>()(data.n)
})
app.withTypeProvider<JsonSchemaToTsProvider>().scEvent('json wrong', {
  response: { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'], additionalProperties: false }
  // @ts-expect-error ok must be a boolean
}, () => ({ ok: 'yes' }))
app.withTypeProvider<ZodTypeProvider>().scEvent('zod', { data: z.object({ n: z.number(), d: z.string().default('x') }), response: z.object({ ok: z.boolean() }) }, (data) => {
  exactly<{ n: number, d: string }>()(data)
  return { ok: true }
})
// Zod without its provider, too.
app.scEvent('zod alone', z.object({ n: z.number() }), (data) => { exactly<{ n: number }>()(data) })
// @ts-expect-error ok must be a boolean
app.withTypeProvider<ZodTypeProvider>().scEvent('zod wrong', { response: z.object({ ok: z.boolean() }) }, () => ({ ok: 1 }))

export const plugin: FastifyPluginAsyncTypebox = async (child) => {
  child.scEvent('child', { data: Type.Tuple([Type.String(), Type.Number()]) }, (data) => { exactly<[string, number]>()(data) })
}

// Channels.

equal<PatternParams<'room/:id'>, { readonly id: string }>(true)
equal<PatternParams<'room/:id/user/:user-:tag'>, { readonly id: string, readonly user: string, readonly tag: string }>(true)
equal<PatternParams<'news'>, {}>(true)
equal<PatternParams<'logs/*'>, { readonly '*': string }>(true)
equal<PatternParams<'a::b::c'>, {}>(true)
equal<PatternParams<'a::b/:c.json'>, { readonly c: string }>(true)

app.scChannel('room/:id', {
  message: Type.Object({ text: Type.String() }),
  clientSubscribe: true,
  async subscribe ({ socket, params, revalidation }) {
    exactly<{ readonly id: string }>()(params)
    exactly<boolean | undefined>()(revalidation)
    exactly<ScServerSocket>()(socket)
  },
  publish ({ data }) { exactly<{ text: string }>()(data) },
  deliver: ({ data, params }) => ({ text: data.text + params.id })
})
app.scChannel('room/:id', { ...channels['room/:id'], publish ({ data }) { exactly<{ from: string, text: string }>()(data) } })
app.scChannel('news', { clientPublish: false })
app.scChannel('price/:id', { history: {}, recover: 'latest', subscribe (context) { context.historyFrom = context.params.id === '7' ? new Date() : context.since } })
app.scChannel('rewound/:id', { history: {}, recover: { limit: 50, rewind: 10 } })
app.scHook('subscribe', async (request) => { request.historyFrom = new Date(0) })
app.scChannel('kept/:id', { history: { size: 5, ttl: 60_000 }, recover: { limit: 5 }, subscribe (context) { if (context.since === undefined) context.recover = false } })
app.scChannel('present/:id', {
  presence: {
    key: ({ socket, params }) => {
      exactly<ScServerSocket>()(socket)
      exactly<{ readonly id: string }>()(params)
      return socket.authToken?.sub ?? null
    },
    data: ({ channel }) => ({ channel }),
    update: ({ data, params }) => ({ text: String(data), id: params.id }),
    watch: ({ presence }) => { exactly<boolean | undefined>()(presence) }
  }
})
app.scServer.exchange.presence('present/7').then(({ members: [first], total }) => {
  exactly<string | undefined>()(first?.key)
  exactly<number>()(total)
})
app.scChannelOf(channels, 'room/:id', { id: '7' }).history({ limit: 5 }).then(({ messages: [last] }) => { exactly<{ from: string, text: string } | undefined>()(last?.data) })
app.scChannel('any/:x', { publish ({ data }) { exactly<unknown>()(data) } })
app.withTypeProvider<ZodTypeProvider>().scChannel('z', { message: z.object({ n: z.number() }), publish ({ data }) { exactly<{ n: number }>()(data) } })
// @ts-expect-error a parameter that the pattern does not have
app.scChannel('room/:id', { subscribe: ({ params }) => params.room })
// @ts-expect-error a field that the message does not have
app.scChannel('room/:id', { message: Type.Object({ text: Type.String() }), publish: ({ data }) => data.txt })
// @ts-expect-error an unknown policy
app.scChannel('room/:id', { onSubscribe () {} })
// @ts-expect-error not a boolean
app.scChannel('room/:id', { clientPublish: 'no' })

const room = app.scChannelOf(channels, 'room/:id', { id: '7' })
room.publish({ from: 'a', text: 'b' })
room.watch((message) => { exactly<{ from: string, text: string }>()(message) })
app.scChannelOf(channels, 'news').transmitPublish({ title: 'x' })
room.publish({ from: 'ann', text: 'hi' }, { idempotencyKey: 'a' }).then((published) => { exactly<void>()(published) })
room.publish({ from: 'ann', text: 'hi' }, { history: false }, (err) => { exactly<Error | null>()(err) })
room.publish({ from: 'ann', text: 'hi' }, (err) => { exactly<Error | null>()(err) })
room.invokePublish({ from: 'ann', text: 'hi' }, { history: false })
app.scServer.exchange.publish('any', 1, (err) => { exactly<Error | null>()(err) })
app.scServer.exchange.publish('any', 1, undefined, (err) => { exactly<Error | null>()(err) })
// @ts-expect-error messages of channels with history are kept unless it is false
app.scServer.exchange.publish('any', 1, { history: true })
// @ts-expect-error a key is a string
app.scServer.exchange.publish('any', 1, { idempotencyKey: 1 })
app.scChannelOf(channels, 'logs/*', { '*': 'a/b' }).publish('line')
export async function read (): Promise<void> {
  for await (const message of room) exactly<{ from: string, text: string }>()(message)
}
// @ts-expect-error the message lacks its text
room.publish({ from: 'a' })
// @ts-expect-error the parameter is missing
app.scChannelOf(channels, 'room/:id')
// @ts-expect-error the parameter has another name
app.scChannelOf(channels, 'room/:id', { room: '7' })
// @ts-expect-error an undeclared pattern
app.scChannelOf(channels, 'rooms/:id', { id: '7' })
// @ts-expect-error a channel without parameters
app.scChannelOf(channels, 'news', { id: '7' })

// Hooks.

app.scHook('publishIn', async function ({ socket, channel, data, ackData }) {
  exactly<ScServerSocket>()(socket)
  exactly<string>()(channel)
  exactly<any>()(data)
  exactly<any>()(ackData)
  this.log.info('publish')
})
app.scHook('subscribe', ({ params }) => { exactly<Readonly<Record<string, string>>>()(params) })
app.scHook('onError', ({ error }) => { exactly<unknown>()(error) })
// @ts-expect-error not a hook
app.scHook('onPublish', () => {})
// @ts-expect-error handshakeSC has no channel
app.scHook('handshakeSC', ({ channel }) => { console.log(channel) })
// @ts-expect-error a hook is a function
app.scHook('emit', 'x')

// Streams.

declare const socket: ScServerSocket
async function streams (): Promise<void> {
  for await (const { code, reason } of socket.listener('disconnect')) {
    exactly<number>()(code)
    exactly<unknown>()(reason)
  }
  exactly<Error>()((await socket.listener('error').once()).error)
  exactly<ScServerSocket>()((await socket.procedure('sum').once()).socket)
  for await (const { socket, isAuthenticated } of app.scServer.listener('connection')) {
    exactly<ScServerSocket>()(socket)
    exactly<boolean>()(isAuthenticated)
  }
  exactly<string | null>()((await app.scServer.listener('gap').once()).channel)
  exactly<Error>()((await app.scServer.exchange.listener('subscribeFail').once()).error)
  exactly<'subscribed' | 'pending' | 'unsubscribed'>()((await app.scServer.exchange.channel('x').listener('subscribeStateChange').once()).newState)
  // @ts-expect-error no event of a socket
  socket.listener('connection')
  // @ts-expect-error the event has no code
  console.log((await socket.listener('authenticate').once()).code)
}
streams()
