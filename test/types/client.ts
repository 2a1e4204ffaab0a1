// Checked by the compiler only: the client's side of the contract in contract.ts.
import { Type } from 'typebox'
import { z } from 'zod'
import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import { type CallbackSocket, defineEvents, type InferEvents, overHttp, type ScHistoryGap, type StreamSocket, typedClient } from '../../lib/client/index.js'
import type { channels, events } from './contract.js'
import { equal, exactly } from './equal.js'

declare const socket: StreamSocket
declare const oldSocket: CallbackSocket

const client = typedClient<{ events: typeof events, channels: typeof channels }>(socket)

export async function use (): Promise<void> {
  const answer = await client.invoke('chat', { room: '7', text: 'hi' })
  exactly<{ id: string, state: 'sent' | 'queued' }>()(answer)
  exactly<number>()(await client.invoke('time'))
  exactly<number>()(await client.invoke('time', undefined, { ackTimeout: 100 }))
  exactly<Array<{ from: string, text: string }>>()(await client.invoke('list'))
  client.transmit('leave', { room: '7' })
  client.transmit('anything')
  client.transmit('anything', { whatever: 1 })

  // @ts-expect-error an unknown event
  await client.invoke('chatt', { room: '7', text: 'hi' })
  // @ts-expect-error a field is missing
  await client.invoke('chat', { room: '7' })
  // @ts-expect-error a field has the wrong type
  await client.invoke('chat', { room: '7', text: 'hi', level: 'high' })
  // @ts-expect-error the data is missing
  await client.invoke('chat')
  // @ts-expect-error the data is missing
  client.transmit('leave')
  // @ts-expect-error the answer has no such field
  console.log(answer.identifier)

  const result = await client.tryInvoke('chat', { room: '7', text: 'hi' })
  if (result.ok) {
    exactly<string>()(result.data.id)
  } else {
    const { error } = result
    switch (error.name) {
      case 'RoomFullError': exactly<number>()(error.limit); break
      case 'ValidationError': exactly<string | undefined>()(error.validation[0]?.instancePath); break
      case 'TimeoutError': exactly<string>()(error.message); break
      // @ts-expect-error no such error
      case 'RoomEmptyError': break
    }
    // @ts-expect-error data is there on success only
    exactly<string>()(result.data.id)
  }

  for await (const message of client.subscribe('room/:id', { id: '7' })) exactly<{ from: string, text: string }>()(message)
  const news = client.subscribe('news')
  news.watch((message) => { exactly<{ title: string }>()(message) })
  client.subscribe('news', { waitForAuth: true })
  client.subscribe('room/:id', { id: '7' }, { data: 1 })
  await news.subscribed()
  await client.publish('room/:id', { id: '7' }, { from: 'a', text: 'b' })
  await client.publish('logs/*', { '*': 'x' }, 'line')
  await client.channel('news').publish({ title: 'x' })
  const past = await news.history({ limit: 5, reverse: true })
  exactly<{ title: string } | undefined>()(past.messages[0]?.data)
  exactly<number | undefined>()(past.messages[0]?.time)
  exactly<ScHistoryGap | null>()(past.gap)
  await client.channel('room/:id', { id: '7' }).history({ since: past.position })
  exactly<boolean | null>()(news.recovered)
  client.subscribe('room/:id', { id: '7' }, { rewind: 20 })
  exactly<StreamSocket>()(typedClient<{ events: typeof events }, StreamSocket>(socket).socket)

  // @ts-expect-error a limit is a number
  await news.history({ limit: '5' })
  // @ts-expect-error the message has no such field
  console.log(past.messages[0]?.data.text)
  // @ts-expect-error no such option
  client.subscribe('news', { rewound: 20 })
  // @ts-expect-error an undeclared channel
  client.subscribe('weather')
  // @ts-expect-error the parameter is missing
  client.subscribe('room/:id')
  // @ts-expect-error the message is missing
  await client.publish('room/:id', { id: '7' })
  // @ts-expect-error the message has the wrong type
  await client.publish('room/:id', { id: '7' }, 'text')
  // @ts-expect-error the message has the wrong type
  await client.publish('news', { text: 'b' })
}

const oldClient = typedClient<{ events: typeof events }>(oldSocket)
export const old: Promise<number> = oldClient.invoke('time')
// @ts-expect-error no socket at all
typedClient<{ events: typeof events }>({})
// @ts-expect-error no channels in this contract
oldClient.subscribe('news')

// What goes into a Zod schema is not what comes out.
export const zodEvents = defineEvents({ z: { data: z.object({ n: z.number(), d: z.string().default('x') }) } })
equal<InferEvents<typeof zodEvents>['z']['data'], { n: number, d?: string | undefined }>(true)

export const jsonEvents = defineEvents({ j: { data: { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'], additionalProperties: false }, response: { type: 'string' } } })
const jsonClient = typedClient<{ events: typeof jsonEvents, provider: JsonSchemaToTsProvider }>(socket)
export const text: Promise<string> = jsonClient.invoke('j', { n: 1 })
// @ts-expect-error n must be a number
jsonClient.invoke('j', { n: 'x' })

export const optional = defineEvents({ o: Type.Union([Type.Undefined(), Type.Number()]) })
declare const optionalClient: ReturnType<typeof typedClient<{ events: typeof optional }, StreamSocket>>
optionalClient.transmit('o')
optionalClient.transmit('o', 1)
// @ts-expect-error not a number
optionalClient.transmit('o', 'x')

export const httpEvents = defineEvents({
  order: { http: true, data: Type.Object({ article: Type.String() }), response: Type.Integer(), errors: { OutOfStockError: Type.Object({ left: Type.Integer() }) } },
  restock: { http: { method: 'PUT', url: '/stock' }, data: Type.Integer() },
  hidden: { http: false, data: Type.Integer() },
  ping: Type.String()
})
export async function useHttp (): Promise<void> {
  const http = overHttp<{ events: typeof httpEvents, channels: typeof channels }>('https://example.com', { token: async () => null, events: '/shop', routes: { restock: httpEvents.restock.http } })
  exactly<number>()(await http.invoke('order', { article: 'tea' }, { timeout: 5, signal: new AbortController().signal }))
  await http.invoke('restock', 5)
  const result = await http.tryInvoke('order', { article: 'tea' })
  if (result.error?.name === 'OutOfStockError') exactly<number>()(result.error.left)
  for await (const message of http.subscribe('room/:id', { id: '7' })) exactly<{ from: string, text: string }>()(message)
  const news = http.subscribe('news')
  exactly<boolean | null>()(news.recovered)
  await news.publish({ title: 'x' })
  await http.publish('room/:id', { id: '7' }, { from: 'a', text: 'b' }, { idempotencyKey: 'x' })
  await http.publish('news', { title: 'x' })
  http.close()

  // @ts-expect-error the data has the wrong type
  await http.invoke('order', { article: 7 })
  // @ts-expect-error an event that is not declared with http
  await http.invoke('hidden', 5)
  // @ts-expect-error an event that is a schema only
  await http.invoke('ping', 'x')
  // @ts-expect-error an undeclared channel
  http.subscribe('weather')
  // @ts-expect-error the parameter is missing
  http.subscribe('room/:id')
  // @ts-expect-error the message has the wrong type
  await http.publish('news', { text: 'b' })
  // @ts-expect-error a stream has no history to read
  await news.history()
  // @ts-expect-error no contract, no events
  await overHttp('https://example.com').invoke('order')
}
