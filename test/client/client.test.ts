import { readFile } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { create as create20 } from 'socketcluster-client'
import client14 from 'socketcluster-client-14'
import { type CallbackSocket, defineChannels, defineEvents, type ScCallError, type EventsOf, type StreamSocket, typedClient } from '../../lib/client/index.js'
import { ScRefusal } from '../../lib/errors.js'
import { fillPattern, hasParams } from '../../lib/contracts/fill-pattern.js'
import { patternParams } from '../../lib/contracts/pattern-syntax.js'
import { serve, type Served } from '../helpers/serve.js'

const Message = Type.Object({ text: Type.String() })

const events = defineEvents({
  double: { data: Type.Object({ n: Type.Integer() }), response: Type.Object({ n: Type.Integer() }), errors: { TooBigError: Type.Object({ limit: Type.Integer() }) } },
  note: { data: Type.String() },
  hello: { response: Type.String() }
})
const channels = defineChannels({
  'room/:id': { message: Message },
  'secret/:id': { message: Message },
  'a::b:c': { message: Type.Number() }
})
interface Contract { events: typeof events, channels: typeof channels }

const clients = {
  20: (port: number): StreamSocket => create20({ hostname: '127.0.0.1', port, autoReconnect: false, ackTimeout: 4000 }),
  14: (port: number): CallbackSocket => client14.create({ hostname: '127.0.0.1', port, autoReconnect: false, ackTimeout: 4000 })
}

async function serveContract (t: Test): Promise<Served & { notes: string[], noted: () => Promise<string> }> {
  const notes: string[] = []
  let wake: ((note: string) => void) | undefined
  const served = await serve(t, {}, (app) => {
    app.scEvent('double', events.double, ({ n }) => {
      if (n > 100) throw Object.assign(new Error('too big'), { name: 'TooBigError', limit: 100 })
      return { n: n * 2 }
    })
    app.scEvent('note', events.note, (note) => {
      notes.push(note)
      wake?.(note)
    })
    app.scEvent('hello', events.hello, () => 'hello "you"' as const)
    app.scChannel('room/:id', channels['room/:id'])
    app.scChannel('a::b:c', channels['a::b:c'])
    app.scChannel('secret/:id', { ...channels['secret/:id'], subscribe () { throw new ScRefusal('not for you', { name: 'SecretError' }) } })
  })
  return { ...served, notes, noted: () => new Promise((resolve) => { wake = resolve }) }
}

for (const version of [20, 14] as const) {
  t.test(`typed face over socketcluster-client ${version}`, async (t) => {
    const { app, port, noted } = await serveContract(t)
    const socket = clients[version](port)
    t.teardown(() => (socket as unknown as { disconnect (): void }).disconnect())
    const client = typedClient<Contract>(socket)
    t.equal(client.socket, socket)

    t.strictSame(await client.invoke('double', { n: 21 }), { n: 42 })
    t.equal(await client.invoke('hello'), 'hello "you"')
    const note = noted()
    client.transmit('note', 'remember')
    t.equal(await note, 'remember')

    const good = await client.tryInvoke('double', { n: 1 })
    t.strictSame(good, { ok: true, data: { n: 2 } })
    const big = await client.tryInvoke('double', { n: 101 })
    t.match(big, { ok: false, error: { name: 'TooBigError', message: 'too big' } })
    const failure = big.error as ScCallError<EventsOf<Contract>['double']>
    t.equal(failure.name === 'TooBigError' && failure.limit, 100)
    const wrong = await client.tryInvoke('double', { n: 'x' } as never)
    t.match(wrong.error, { name: 'ValidationError', code: 'FST_ERR_VALIDATION', statusCode: 400, validationContext: 'data', validation: [{ instancePath: '/n' }] })
    await t.rejects(client.invoke('double', { n: 1.5 }), { name: 'ValidationError', message: 'data/n must be integer' })
    await t.rejects(client.invoke('missing' as 'hello'), { name: 'InvalidActionError' })

    const room = client.subscribe('room/:id', { id: '7' })
    t.equal(room.name, 'room/7')
    await room.subscribed()
    await room.subscribed()
    t.equal(room.state, 'subscribed')
    const seen: string[] = []
    const errors: unknown[] = []
    let third!: () => void
    const three = new Promise<void>((resolve) => { third = resolve })
    const stop = room.watch(({ text }) => {
      seen.push(text)
      if (seen.length === 3) third()
      if (text === '1') throw new Error('sync')
      if (text === '2') return Promise.reject(new Error('async'))
    }, (err) => errors.push((err as Error).message))
    const read = (async () => {
      const texts: string[] = []
      for await (const { text } of room) {
        texts.push(text)
        if (texts.length === 3) return texts
      }
    })()
    await client.publish('room/:id', { id: '7' }, { text: '1' })
    await room.publish({ text: '2' })
    await app.scChannelOf(channels, 'room/:id', { id: '7' }).publish({ text: '3' })
    await three
    t.strictSame(seen, ['1', '2', '3'])
    t.strictSame(await read, ['1', '2', '3'])
    t.strictSame(errors, ['sync', 'async'], 'a throw in a handler ends nothing')
    await t.rejects(room.publish({ text: 4 } as never), { name: 'ValidationError', validationContext: 'message' })
    stop()
    await room.publish({ text: 'unseen' })
    await client.invoke('hello')
    t.equal(seen.length, 3)
    room.unsubscribe()
    t.equal(room.state, 'unsubscribed')

    const secret = client.subscribe('secret/:id', { id: '1' })
    await t.rejects(secret.subscribed(), { name: 'SecretError', message: 'not for you' })
    t.equal(client.channel('a::b:c', { c: 'x' }).name, 'a:bx')
    t.throws(() => client.subscribe('room/:id', { id: 'a/b' }), { name: 'InvalidArgumentsError' })
    t.throws(() => client.subscribe('room/:id', {} as never), { name: 'InvalidArgumentsError' })
  })
}

t.test('a loop over a channel of client 14 ends with the subscription', async (t) => {
  const { port } = await serveContract(t)
  const socket = clients[14](port)
  t.teardown(() => (socket as unknown as { disconnect (): void }).disconnect())
  const room = typedClient<Contract>(socket).subscribe('room/:id', { id: '1' })
  await room.subscribed()
  const iterator = room[Symbol.asyncIterator]()
  const next = iterator.next()
  room.unsubscribe()
  t.strictSame(await next, { done: true, value: undefined })
})

t.test('patterns are filled', async (t) => {
  const fail = (reason: string): Error => new Error(reason)
  t.equal(fillPattern('news', undefined, fail), 'news')
  t.equal(fillPattern('room/:id/users/:user-:tag', { id: 7, user: 'a', tag: 'b' }, fail), 'room/7/users/a-b')
  t.equal(fillPattern('a::b/:c', { c: ':x::y' }, fail), 'a:b/:x::y', 'colons of a value stay as they are')
  t.equal(fillPattern('logs/*', { '*': 'a/b' }, fail), 'logs/a/b')
  t.throws(() => fillPattern('*', { '*': '' }, fail), /"\*" not to be empty/)
  t.equal(fillPattern(':constructor', { constructor: 'x' } as never, fail), 'x')
  for (const params of [undefined, {}, { id: null }, { id: '' }, { id: 'a/b' }, { id: {} }]) t.throws(() => fillPattern('room/:id', params as never, fail), /"id"/)
  t.throws(() => fillPattern('x/:toString', {}, fail), /"toString"/, 'nothing comes from a prototype')
  for (const pattern of ['news', 'room/:id', 'a::b', 'a::b/:c', '*', 'a/*', '::::', 'x::/:y']) t.equal(hasParams(pattern), patternParams(pattern).length > 0, pattern)
})

t.test('the files of the client import nothing of Node.js', async (t) => {
  const seen = new Set<string>()
  const queue = [new URL('../../lib/client/index.ts', import.meta.url)]
  for (const file of queue) {
    if (seen.has(file.href)) continue
    seen.add(file.href)
    const source = await readFile(file, 'utf8')
    for (const [, kind, from] of source.matchAll(/^(?:import|export)( type)? (?:[\w*\s,]+|\{[^}]*\}) from '([^']+)'/gm)) {
      if (kind !== undefined) continue
      t.match(from, /^\.\.?\//, `${file.pathname} imports ${from}`)
      queue.push(new URL(from!.replace(/\.js$/, '.ts'), file))
    }
  }
  t.equal(seen.size, 13)
})
