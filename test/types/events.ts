// Checked by the compiler only: listeners and streams get what the event maps say, and data of the application where a name is its own.
import type { FastifyInstance } from 'fastify'
import type { BrokerState, ChannelContext, ChannelEventObjects, ChannelEvents, ExchangeEventObjects, ExchangeEvents, ScAuthToken, ScChannelContext, ScProcedureRequest, ScServerSocket, ScStream, ServerEventObjects, ServerEvents, SocketEventObjects, SocketEvents, SubscriptionOptions } from '../../lib/index.js'
import { equal, exactly } from './equal.js'

declare const app: FastifyInstance
declare const socket: ScServerSocket
const { scServer } = app
const { exchange } = scServer
const channel = exchange.channel('news')

// Streams of known events.

interface Closed { code: number, reason: unknown }
interface Status { id: string, pingTimeout: number, isAuthenticated: boolean, authError?: Error }
interface Change { oldState: 'authenticated' | 'unauthenticated', newState: 'authenticated' | 'unauthenticated', authToken?: ScAuthToken }

export const ofSocket = {
  error: socket.listener('error'),
  raw: socket.listener('raw'),
  message: socket.listener('message'),
  connect: socket.listener('connect'),
  disconnect: socket.listener('disconnect'),
  connectAbort: socket.listener('connectAbort'),
  close: socket.listener('close'),
  subscribe: socket.listener('subscribe'),
  unsubscribe: socket.listener('unsubscribe'),
  badAuthToken: socket.listener('badAuthToken'),
  authenticate: socket.listener('authenticate'),
  deauthenticate: socket.listener('deauthenticate'),
  authStateChange: socket.listener('authStateChange'),
  authTokenSigned: socket.listener('authTokenSigned')
}
equal<typeof ofSocket, { [E in keyof SocketEvents]: ScStream<SocketEventObjects[E]> }>(true)
equal<keyof SocketEvents, keyof SocketEventObjects>(true)

export const ofServer = {
  ready: scServer.listener('ready'),
  error: scServer.listener('error'),
  warning: scServer.listener('warning'),
  handshake: scServer.listener('handshake'),
  connection: scServer.listener('connection'),
  connectionAbort: scServer.listener('connectionAbort'),
  disconnection: scServer.listener('disconnection'),
  closure: scServer.listener('closure'),
  subscription: scServer.listener('subscription'),
  unsubscription: scServer.listener('unsubscription'),
  authentication: scServer.listener('authentication'),
  deauthentication: scServer.listener('deauthentication'),
  authenticationStateChange: scServer.listener('authenticationStateChange'),
  badSocketAuthToken: scServer.listener('badSocketAuthToken'),
  slowConsumer: scServer.listener('slowConsumer'),
  brokerState: scServer.listener('brokerState'),
  gap: scServer.listener('gap'),
  join: scServer.listener('join'),
  update: scServer.listener('update'),
  leave: scServer.listener('leave')
}
equal<typeof ofServer, { [E in keyof ServerEvents]: ScStream<ServerEventObjects[E]> }>(true)
equal<keyof ServerEvents, keyof ServerEventObjects>(true)

export const ofExchange = {
  subscribe: exchange.listener('subscribe'),
  unsubscribe: exchange.listener('unsubscribe'),
  subscribeFail: exchange.listener('subscribeFail'),
  recovery: exchange.listener('recovery')
}
equal<typeof ofExchange, { [E in keyof ExchangeEvents]: ScStream<ExchangeEventObjects[E]> }>(true)
equal<keyof ExchangeEvents, keyof ExchangeEventObjects>(true)

export const ofChannel = {
  subscribe: channel.listener('subscribe'),
  unsubscribe: channel.listener('unsubscribe'),
  subscribeFail: channel.listener('subscribeFail'),
  subscribeStateChange: channel.listener('subscribeStateChange'),
  dropOut: channel.listener('dropOut'),
  recovery: channel.listener('recovery')
}
equal<typeof ofChannel, { [E in keyof ChannelEvents]: ScStream<ChannelEventObjects[E]> }>(true)
equal<keyof ChannelEvents, keyof ChannelEventObjects>(true)

// What the objects are.

export async function streams (): Promise<void> {
  for await (const { error } of socket.listener('error')) exactly<Error>()(error)
  for await (const { message } of socket.listener('raw')) exactly<string | Buffer>()(message)
  for await (const { id, pingTimeout, isAuthenticated, authError } of socket.listener('connect')) exactly<Status>()({ id, pingTimeout, isAuthenticated, authError } as Status)
  for await (const close of socket.listener('close')) exactly<Closed>()({ ...close } as Closed)
  for await (const { channel, subscriptionOptions } of socket.listener('subscribe')) {
    exactly<string>()(channel)
    exactly<SubscriptionOptions>()(subscriptionOptions)
    exactly<any>()(subscriptionOptions.data)
  }
  for await (const { oldState, newState, authToken } of socket.listener('authStateChange')) {
    exactly<Change['oldState']>()(oldState)
    exactly<Change['newState']>()(newState)
    exactly<ScAuthToken | undefined>()(authToken)
  }
  for await (const { oldAuthToken } of socket.listener('deauthenticate')) exactly<ScAuthToken | null>()(oldAuthToken)
  for await (const { authError, signedAuthToken } of socket.listener('badAuthToken')) {
    exactly<Error>()(authError)
    exactly<string | null>()(signedAuthToken)
  }
  for await (const { socket, code, reason } of scServer.listener('disconnection')) {
    exactly<ScServerSocket>()(socket)
    exactly<number>()(code)
    exactly<unknown>()(reason)
  }
  for await (const { socket, newState } of scServer.listener('authenticationStateChange')) {
    exactly<ScServerSocket>()(socket)
    exactly<Change['newState']>()(newState)
  }
  for await (const { bufferedBytes, policy } of scServer.listener('slowConsumer')) {
    exactly<number>()(bufferedBytes)
    exactly<string>()(policy)
  }
  exactly<BrokerState>()((await scServer.listener('brokerState').once()).state)
  exactly<'subscribed' | 'pending' | 'unsubscribed'>()((await channel.listener('subscribeStateChange').once(100)).oldState)

  // @ts-expect-error misspelt: nothing ever comes of such a name
  scServer.listener('conection')
  // @ts-expect-error clients' events are for receiver and procedure
  socket.listener('say')
  // @ts-expect-error an event of channels
  exchange.listener('dropOut')
  // @ts-expect-error messages are what the channel itself gives
  channel.listener('message')
}

// Listeners.

socket.on('disconnect', (code, data) => {
  exactly<number>()(code)
  exactly<unknown>()(data)
})
scServer.once('connection', (socket, status) => {
  exactly<ScServerSocket>()(socket)
  exactly<boolean>()(status.isAuthenticated)
})
exchange.on('subscribe', (channel) => { exactly<string>()(channel) })
exchange.once('subscribeFail', async (err, channel) => {
  exactly<Error>()(err)
  exactly<string>()(channel)
})
channel.on('subscribeStateChange', ({ channel, newState }) => {
  exactly<string>()(channel)
  exactly<'subscribed' | 'pending' | 'unsubscribed'>()(newState)
})
channel.on('dropOut', (channel) => { exactly<string>()(channel) })
declare const either: 'subscribe' | 'unsubscribe'
channel.on(either, (channel) => { exactly<string>()(channel) })
// @ts-expect-error no event of a channel
channel.on('message', () => {})
// @ts-expect-error no event of the server
scServer.on('conection', () => {})
socket.off('say', (text: string, res: (err: Error | null) => void) => { res(new Error(text)) })
exchange.removeListener('subscribe', (channel: string) => channel)

// Data of the application.

exactly<ScStream<any>>()(socket.receiver('say'))
exactly<ScStream<ScProcedureRequest>>()(socket.procedure('sum'))
socket.on('say', (data, res) => {
  exactly<any>()(data)
  res(null, data.text)
})
socket.emit('ask', { n: 1 }, (err, answer) => {
  exactly<Error | null>()(err)
  exactly<any>()(answer)
})
export const answer: { n: number } = await socket.invoke('ask')
export const [listener] = socket.listeners('say')
listener?.({ text: 'hi' }, () => {})
socket.data = { user: 7 }
socket.data.user++
for await (const message of channel) exactly<any>()(message)
exchange.watch('news', ({ title }) => { exactly<any>()(title) })

// One context of a channel: what guards one action of it can guard the others.

equal<ChannelContext, ScChannelContext>(true)
function membersOnly ({ socket, channel, params, data }: ScChannelContext): void {
  exactly<ScServerSocket>()(socket)
  exactly<string>()(channel)
  exactly<Readonly<Record<string, string>>>()(params)
  exactly<any>()(data)
}
app.scHook('subscribe', membersOnly)
app.scHook('publishIn', membersOnly)
app.scHook('publishOut', membersOnly)
app.scChannel('room/:id', { subscribe: membersOnly, publish: membersOnly, deliver: membersOnly })
// @ts-expect-error an event has no channel
app.scHook('emit', membersOnly)
app.scHook('publishIn', (request) => {
  request.channel = 'elsewhere'
  // @ts-expect-error only subscriptions are checked again
  console.log(request.revalidation)
})
app.scHook('subscribe', ({ revalidation }) => { exactly<boolean>()(revalidation) })
