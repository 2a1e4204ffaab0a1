// `#history`: what clients may read of a channel, and what they are told when they may not.
import jwt from 'jsonwebtoken'
import t, { type Test } from 'tap'
import { memoryBroker, type ScChannelContract, type ScPluginOptions } from '../../lib/index.js'
import { generations } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'
import { gate } from '../helpers/slow-broker.js'
import { until } from '../helpers/waiting.js'

type Contract = ScChannelContract<any, any, any>

const signed = (claims: object): string => jwt.sign(claims, authKey)

const history = { size: 1_000, ttl: 600_000 }

function start (t: Test, contract: Contract = { history, recover: true }, options: ScPluginOptions = {}) {
  return serve(t, { inboundRate: 0, ...options }, (app) => {
    app.scChannel('room', contract)
    app.scChannel('remembered', { history })
    app.scChannel('plain', {})
  })
}

type Served = Awaited<ReturnType<typeof start>>

async function publish ({ sc }: Served, from: number, to: number, of: (n: number) => unknown = (n) => n): Promise<void> {
  for (let n = from; n <= to; n++) await sc.exchange.publish('room', of(n))
}

async function join (t: Test, served: Served, options?: { authToken?: unknown }): Promise<RawClient> {
  const client = await RawClient.connect(t, served.port, options)
  const { error } = await client.call('#subscribe', { channel: 'room' })
  t.equal(error, undefined)
  return client
}

const numbers = ({ data }: any): unknown[] => data.messages.map((message: any) => message.data)

for (const [generation, connect] of generations) {
  t.test(`client ${generation} reads the newest messages, those after a position, and backwards`, async (t) => {
    const served = await start(t)
    await publish(served, 1, 120)
    const client = await connect(t, served)
    await client.subscribe('room')
    const newest = await client.call('#history', { channel: 'room' })
    t.same(newest.messages.map(({ data }: any) => data), Array.from({ length: 100 }, (_, i) => i + 21), '100 unless told otherwise')
    t.equal(newest.gap, null)
    t.equal(newest.pos, newest.messages.at(-1).pos)
    t.ok(Math.abs(newest.messages[0].time - Date.now()) < 60_000)
    t.same(Object.keys(newest.messages[0]), ['data', 'pos', 'time'])
    const three = await client.call('#history', { channel: 'room', limit: 3, reverse: true })
    t.same(three.messages.map(({ data }: any) => data), [120, 119, 118])
    const after = await client.call('#history', { channel: 'room', since: three.messages[2].pos })
    t.same(after.messages.map(({ data }: any) => data), [119, 120])
    t.equal(after.gap, null)
    await client.close()
  })
}

t.test('a client reads on from the position of the answer until it has everything', async (t) => {
  const served = await start(t)
  const client = await join(t, served)
  const { data: { pos: begin, messages } } = await client.call('#history', { channel: 'room', since: null, limit: null, reverse: null })
  t.same(messages, [], 'a channel without messages has a position too')
  await publish(served, 1, 10)
  const seen: unknown[] = []
  for (let since = begin, gap = 'limit'; gap === 'limit';) {
    const answer = await client.call('#history', { channel: 'room', since, limit: 4 })
    seen.push(...numbers(answer))
    ;({ pos: since, gap } = answer.data)
    if (gap === null) t.same(await client.call('#history', { channel: 'room', since }), { ...answer, rid: answer.rid + 1, data: { messages: [], pos: since, gap: null } })
  }
  t.same(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
})

t.test('what is not kept any more, and positions that nobody gave, are told as a gap with the newest messages', async (t) => {
  const served = await start(t, { history: { size: 3 }, recover: true })
  const client = await join(t, served)
  const { data: { pos } } = await client.call('#history', { channel: 'room' })
  await publish(served, 1, 5)
  const trimmed = await client.call('#history', { channel: 'room', since: pos })
  t.match(trimmed, { data: { gap: 'trimmed' } })
  t.same(numbers(trimmed), [3, 4, 5])
  for (const since of ['', 'x', '%', 'epoch.1.', `${pos.split('.')[0]}.999.`, 'x'.repeat(10_000)]) {
    const unknown = await client.call('#history', { channel: 'room', since, limit: 2 })
    t.match(unknown, { data: { gap: 'unknown' } }, since.slice(0, 20))
    t.same(numbers(unknown), [4, 5])
  }
})

t.test('messages of all kinds of data, also nothing', async (t) => {
  const served = await start(t)
  const all = [undefined, null, 0, '', 'a "text"', [1], { a: { b: 'ä' } }, false]
  for (const data of all) await served.sc.exchange.publish('room', data)
  const client = await join(t, served)
  t.same(numbers(await client.call('#history', { channel: 'room' })), all)
})

t.test('a codec that is not JSON', async (t) => {
  const codecEngine = { encode: (object: unknown) => `[${JSON.stringify(object)}]`, decode: (text: any) => typeof text === 'string' && text.startsWith('{') ? JSON.parse(text) : text }
  const served = await start(t, undefined, { codecEngine })
  await publish(served, 1, 2)
  const client = await join(t, served)
  t.same(numbers(await client.call('#history', { channel: 'room' })), [1, 2])
})

t.test('wrong queries', async (t) => {
  const served = await start(t)
  const client = await join(t, served)
  for (const [query, message] of [
    [{ limit: 301 }, '#history expects a limit from 1 to 300, got 301'],
    [{ limit: 0 }, '#history expects a limit from 1 to 300, got 0'],
    [{ limit: -1 }, '#history expects a limit from 1 to 300, got -1'],
    [{ limit: 1.5 }, '#history expects a limit from 1 to 300, got 1.5'],
    [{ limit: '5' }, '#history expects a limit from 1 to 300, got string'],
    [{ limit: [5] }, '#history expects a limit from 1 to 300, got array'],
    [{ since: 5 }, '#history expects since to be the text of a position, got number'],
    [{ since: {} }, '#history expects since to be the text of a position, got object'],
    [{ reverse: 1 }, '#history expects reverse to be a boolean, got number']
  ] as const) {
    t.match(await client.call('#history', { channel: 'room', ...query }), { error: { name: 'InvalidArgumentsError', code: 'SC_ERR_ARGUMENT', message } })
  }
  for (const data of [undefined, null, 5, 'room', {}, { channel: 5 }, { channel: '' }, { channel: 'a\u0000b' }, { channel: 'x'.repeat(5_000) }]) {
    t.match(await client.call('#history', data), { error: { name: 'InvalidActionError' } })
  }
  client.send({ event: '#history', data: { channel: 'room' } })
  await client.barrier()
  t.equal(client.inbox.items.length, 0, 'without a call id there is nobody to answer')
})

t.test('only who is subscribed may read, and only where the declaration has recover', async (t) => {
  const served = await start(t)
  await publish(served, 1, 1)
  const client = await RawClient.connect(t, served.port)
  const read = (channel: string): Promise<any> => client.call('#history', { channel })
  const unsubscribed = { error: { name: 'InvalidActionError', code: 'SC_ERR_HISTORY_SUBSCRIPTION', message: 'The history of "room" can only be read while the socket is subscribed to it' } }
  t.match(await read('room'), unsubscribed)
  for (const channel of ['plain', 'remembered', 'undeclared']) {
    await client.call('#subscribe', { channel })
    t.match(await read(channel), { error: { name: 'InvalidActionError', code: 'SC_ERR_NO_RECOVER', message: `Clients may not read the history of "${channel}"; declare the channel by scChannel with recover` } })
  }
  const subscribed = client.call('#subscribe', { channel: 'room' })
  t.same(numbers(await read('room')), [1], 'a read may follow its subscription at once')
  await subscribed
  await client.call('#unsubscribe', 'room')
  t.match(await read('room'), unsubscribed)
})

t.test('before the handshake nothing is read', async (t) => {
  const served = await start(t, undefined, { strictHandshake: false })
  const client = await RawClient.open(t, served.port)
  t.match(await client.call('#history', { channel: 'room' }), { error: { code: 'SC_ERR_EVENT_NOT_ALLOWED' } })
})

t.test('a subscription that is suspended or checked again does not let read', async (t) => {
  const checked = gate()
  const entered = gate()
  let answer: () => unknown = () => {}
  const served = await start(t, {
    history,
    recover: true,
    subscribe: async ({ socket, revalidation }) => {
      if (revalidation !== true) return
      entered.open()
      await answer()
      if ((socket.authToken as any)?.role !== 'member') throw new Error('no')
    }
  }, { revalidate: 'suspend' })
  await publish(served, 1, 3)
  const opening = served.nextSocket()
  const client = await join(t, served, { authToken: signed({ sub: 'ann', role: 'member' }) })
  const socket = await opening
  t.same(numbers(await client.call('#history', { channel: 'room' })), [1, 2, 3])
  answer = () => checked.opened
  socket.setAuthToken({ sub: 'ann', role: 'guest' })
  await client.event('#setAuthToken')
  await entered.opened
  const early = client.call('#history', { channel: 'room' })
  await client.barrier()
  checked.open()
  const withheld = { error: { name: 'InvalidActionError', code: 'SC_ERR_HISTORY_WITHHELD' } }
  t.match(await early, withheld, 'it waits for the check, which suspends')
  t.match(await client.call('#history', { channel: 'room' }), withheld)
  socket.setAuthToken({ sub: 'ann', role: 'member' })
  const again = async (): Promise<any> => client.call('#history', { channel: 'room' })
  let answered = await again()
  for (let tries = 0; answered.error !== undefined && tries < 50; tries++) answered = await again()
  t.same(numbers(answered), [1, 2, 3])
})

t.test('who is kept from what was said before it came reads what is said from then on', async (t) => {
  const served = await start(t, { history, recover: true, subscribe: (context) => { if (context.socket.authToken === null) context.recover = false } })
  const member = await join(t, served, { authToken: signed({ sub: 'ann' }) })
  const { data: { pos } } = await member.call('#history', { channel: 'room' })
  await publish(served, 1, 5)
  const guest = await join(t, served)
  const first = await guest.call('#history', { channel: 'room' })
  t.same([numbers(first), first.data.gap], [[], null])
  await publish(served, 6, 9)
  t.same(numbers(await guest.call('#history', { channel: 'room' })), [6, 7, 8, 9])
  for (const limit of [1, 3, 300]) {
    const all = await guest.call('#history', { channel: 'room', since: pos, limit })
    t.equal(all.data.gap, 'refused')
    t.same(numbers(all), [6, 7, 8, 9].slice(-limit), 'the newest ones')
  }
  t.same((await guest.call('#history', { channel: 'room', since: first.data.pos, limit: 2 })).data.gap, 'limit')
  t.same(numbers(await member.call('#history', { channel: 'room', since: pos })), [1, 2, 3, 4, 5, 6, 7, 8, 9])
})

t.test('who may have messages from a time or a position on reads those', async (t) => {
  let from: Date | string
  const served = await start(t, { history, recover: true, subscribe: (context) => { if (context.socket.authToken === null) context.historyFrom = from } })
  const member = await join(t, served, { authToken: signed({ sub: 'ann' }) })
  const { data: { pos: begin } } = await member.call('#history', { channel: 'room' })
  await publish(served, 1, 3)
  const { data: { pos } } = await member.call('#history', { channel: 'room' })
  const { messages } = (await member.call('#history', { channel: 'room' })).data
  await until('a later time', () => Date.now() > messages.at(-1).time)
  const time = new Date()
  await publish(served, 4, 6)
  for (from of [pos, time]) {
    const guest = await join(t, served)
    t.same(numbers(await guest.call('#history', { channel: 'room' })), [4, 5, 6])
    const after = await guest.call('#history', { channel: 'room', since: begin, limit: 2 })
    t.same([numbers(after), after.data.gap], [[5, 6], 'refused'])
    t.same((await guest.call('#history', { channel: 'room', since: pos })).data.gap, null)
  }
})

t.test('publishOut hooks and the deliver policy decide with the rights of now', async (t) => {
  for (const isSlow of [false, true]) {
    const served = await start(t, {
      history,
      recover: true,
      deliver: ({ socket, data }: any) => {
        const decided = (): unknown => {
          if (data.for !== undefined && data.for !== socket.authToken?.sub) throw new Error('for somebody else')
          return { ...data, for: undefined }
        }
        return isSlow ? Promise.resolve().then(decided) : decided()
      }
    })
    await publish(served, 1, 10, (n) => ({ n, for: n % 2 === 0 ? 'ann' : n % 5 === 0 ? 'bob' : undefined }))
    const seen = async (token?: unknown): Promise<unknown[]> => {
      const client = await join(t, served, token === undefined ? {} : { authToken: token })
      return numbers(await client.call('#history', { channel: 'room' })).map((data: any) => { t.equal(data.for, undefined); return data.n })
    }
    t.same(await seen(), [1, 3, 7, 9])
    t.same(await seen(signed({ sub: 'ann' })), [1, 2, 3, 4, 6, 7, 8, 9, 10])
    const client = await join(t, served)
    const { data: { pos } } = await client.call('#history', { channel: 'room' })
    await publish(served, 11, 14, (n) => ({ n, for: 'ann' }))
    const first = await client.call('#history', { channel: 'room', since: pos, limit: 2 })
    t.match(first.data, { messages: [], gap: 'limit' })
    t.not(first.data.pos, pos, 'also what was left out is read')
    const rest = await client.call('#history', { channel: 'room', since: first.data.pos, limit: 2 })
    t.match(rest.data, { messages: [], gap: null })
  }
})

t.test('who loses a right while hooks are asked gets nothing by the old one', async (t) => {
  const asked = gate()
  const goOn = gate()
  let count = 0
  const served = await start(t, {
    history,
    recover: true,
    deliver: async ({ socket }) => {
      const { role } = (socket.authToken ?? {}) as any
      if (++count === 2) {
        asked.open()
        await goOn.opened
      }
      if (role !== 'member') throw new Error('for members')
    }
  })
  await publish(served, 1, 3)
  const opening = served.nextSocket()
  const client = await join(t, served, { authToken: signed({ sub: 'ann', role: 'member' }) })
  const socket = await opening
  const answer = client.call('#history', { channel: 'room' })
  await asked.opened
  socket.setAuthToken({ sub: 'ann', role: 'guest' })
  await client.event('#setAuthToken')
  goOn.open()
  t.same(numbers(await answer), [], 'the first message was decided by the old token')
})

t.test('new messages follow the answer, each once', async (t) => {
  const asked = gate()
  const goOn = gate()
  const served = await start(t, { history, recover: true, deliver: async () => { asked.open(); await goOn.opened } })
  await publish(served, 1, 2)
  const client = await join(t, served)
  const answer = client.call('#history', { channel: 'room' })
  await asked.opened
  await publish(served, 3, 4)
  goOn.open()
  t.same(numbers(await answer), [1, 2])
  t.equal(await client.publication('room'), 3)
  t.equal(await client.publication('room'), 4)
  t.same(numbers(await client.call('#history', { channel: 'room' })), [1, 2, 3, 4])
})

t.test('hooks that hang cost the time of one hook, and an error', async (t) => {
  const served = await start(t, { history, recover: true, deliver: ({ data }) => data === 2 ? new Promise<void>(() => {}) : undefined }, { hookTimeout: 60 })
  await publish(served, 1, 50)
  const client = await join(t, served)
  t.match(await client.call('#history', { channel: 'room' }), { error: { name: 'TimeoutError', code: 'SC_ERR_HISTORY_TIMEOUT', message: 'The hooks of "room" took longer than 60 ms for what was read; read less at once, or see the option hookTimeout' } })
  t.same(numbers(await client.call('#history', { channel: 'room', limit: 48 })), Array.from({ length: 48 }, (_, i) => i + 3), 'the next read is not held up')
})

t.test('a client that is kicked out, or leaves, while hooks are asked gets an error', async (t) => {
  for (const leaves of [true, false]) {
    const asked = gate()
    const goOn = gate()
    const served = await start(t, { history, recover: true, deliver: async () => { asked.open(); await goOn.opened } })
    await publish(served, 1, 3)
    const opening = served.nextSocket()
    const client = await join(t, served)
    const socket = await opening
    const answer = client.call('#history', { channel: 'room' })
    await asked.opened
    if (leaves) await client.call('#unsubscribe', 'room')
    else await socket.kickOut('room', 'out')
    const again = client.call('#subscribe', { channel: 'room' })
    await again
    goOn.open()
    t.match(await answer, { error: { code: 'SC_ERR_HISTORY_SUBSCRIPTION' } }, 'also when it came back meanwhile')
  }
})

t.test('a client that disconnects while hooks are asked: they are not asked further', async (t) => {
  const asked = gate()
  const goOn = gate()
  let count = 0
  const served = await start(t, { history, recover: true, deliver: async () => { count++; asked.open(); await goOn.opened } })
  await publish(served, 1, 10)
  const opening = served.nextSocket()
  const client = await join(t, served)
  const socket = await opening
  client.send({ event: '#history', data: { channel: 'room' }, cid: 99 })
  await asked.opened
  client.ws.terminate()
  await until('the end of the socket', () => socket.state === 'closed')
  goOn.open()
  const other = await join(t, served)
  t.equal(numbers(await other.call('#history', { channel: 'room' })).length, 10)
  t.equal(count, 11)
  t.same(served.warnings.filter((err) => err.name !== 'SocketProtocolError'), [])
})

t.test('an answer is as long as recover.bytes allows; one message fits always', async (t) => {
  const recover = { bytes: 2_048 }
  for (const deliver of [undefined, ({ data }: any) => data]) {
    const served = await start(t, { history, recover, ...(deliver === undefined ? {} : { deliver }) })
    const client = await join(t, served)
    const { data: { pos } } = await client.call('#history', { channel: 'room' })
    await publish(served, 1, 5, (n) => `${n}${'ä'.repeat(450)}`)
    const firsts = (answer: any): string[] => numbers(answer).map((data) => String(data)[0]!)
    const newest = await client.call('#history', { channel: 'room' })
    t.same(firsts(newest), ['4', '5'])
    t.equal(newest.data.gap, null)
    const after = await client.call('#history', { channel: 'room', since: pos })
    t.same(firsts(after), ['1', '2'])
    t.equal(after.data.gap, 'limit')
    t.same(firsts(await client.call('#history', { channel: 'room', since: after.data.pos })), ['3', '4'])
    await publish(served, 6, 6, (n) => `${n}${'x'.repeat(50_000)}`)
    t.same(firsts(await client.call('#history', { channel: 'room' })), ['6'])
  }
})

t.test('hooks that make messages larger make the answer no longer', async (t) => {
  const served = await start(t, { history, recover: { bytes: 10_240 }, deliver: ({ data }) => `${data}${'x'.repeat(4_000)}` })
  const client = await join(t, served)
  const { data: { pos } } = await client.call('#history', { channel: 'room' })
  await publish(served, 1, 9)
  const firsts = (answer: any): string[] => numbers(answer).map((data) => String(data)[0]!)
  t.same(firsts(await client.call('#history', { channel: 'room' })), ['8', '9'])
  const after = await client.call('#history', { channel: 'room', since: pos })
  t.same(firsts(after), ['1', '2'])
  t.equal(after.data.gap, 'limit')
})

t.test('who reads all the time is told to wait', async (t) => {
  const served = await start(t)
  await publish(served, 1, 1)
  const client = await join(t, served)
  const from = performance.now()
  const answers = await Promise.all(Array.from({ length: 1_100 }, () => client.call('#history', { channel: 'room' })))
  const seconds = (performance.now() - from) / 1_000
  const refused = answers.filter(({ error }) => error !== undefined)
  t.ok(refused.length >= 99 - 10 * seconds && refused.length <= 100, `${refused.length} refused in ${seconds.toFixed(1)} s`)
  t.match(refused[0].error, { name: 'RateLimitError', code: 'SC_ERR_HISTORY_RATE' })
  t.ok(refused[0].error.retryAfter > 0 && refused[0].error.retryAfter <= 100)
})

t.test('many reads through hooks do not hold up other sockets', async (t) => {
  let runs = 0
  const deliver = (): void => { runs++; for (const end = performance.now() + 0.2; performance.now() < end;); }
  const served = await start(t, { history, recover: true, deliver })
  served.app.scServer.on('connection', (socket) => { socket.on('how far', (_data, res) => { res(null, runs) }) })
  await publish(served, 1, 300)
  const [reader, other] = [await join(t, served), await RawClient.connect(t, served.port)]
  runs = 0
  for (let cid = 1_000; cid < 1_010; cid++) reader.send({ event: '#history', data: { channel: 'room', limit: 300 }, cid })
  await until('the first hook', () => runs > 0)
  const { data } = await other.call('how far')
  t.ok(data < 200, `${data} of 3,000 hooks ran before the other socket was answered`)
  t.equal((await reader.answer(1_009)).data.messages.length, 300)
  t.equal(runs, 3_000)
})

t.test('who does not read the answers gets no more of them than its backlog holds', async (t) => {
  const served = await start(t, { history, recover: true }, { maxBufferedBytes: 262_144, pingTimeout: 60_000 })
  await publish(served, 1, 20, (n) => `${n}${'x'.repeat(2_000)}`)
  const opening = served.nextSocket()
  const client = await join(t, served)
  const socket = await opening
  let most = 0
  client.ws.pause()
  for (let i = 0; i < 300; i++) client.send({ event: '#history', data: { channel: 'room' }, cid: 1_000 + i })
  await until('all reads', () => {
    most = Math.max(most, socket.bufferedAmount)
    return served.sc.stats().invalid >= 50
  })
  t.ok(most > 100_000 && most < 800_000, `${most} bytes`)
  client.ws.resume()
  t.equal((await client.answer(1_000)).data.messages.length, 20)
  t.match(await client.inbox.take(({ error }) => error !== undefined, 'a refusal'), { error: { name: 'ResourceLimitError', code: 'SC_ERR_HISTORY_ROOM' } })
})

t.test('while the broker is down a read fails at once', async (t) => {
  const broker = memoryBroker()
  let sink: any
  const began = broker.start.bind(broker)
  broker.start = (given, node) => { sink = given; return began(given, node) }
  const served = await start(t, undefined, { broker })
  const client = await join(t, served)
  sink.state('down', new Error('gone'))
  const down = { error: { name: 'BrokerError', code: 'SC_ERR_BROKER_DOWN', message: 'The memory broker is down' } }
  t.match(await client.call('#history', { channel: 'room' }), down)
  await client.call('#unsubscribe', 'room')
  client.send({ event: '#subscribe', data: { channel: 'room' }, cid: 5_000 })
  t.match(await client.call('#history', { channel: 'room' }), down, 'also behind a subscription that waits for the broker')
  sink.state('up')
  t.equal((await client.answer(5_000)).error, undefined)
  t.equal((await client.call('#history', { channel: 'room' })).error, undefined)
})

t.test('a broker that fails is an error, and the socket stays', async (t) => {
  const broker = memoryBroker()
  const fails = { read: null as unknown, follow: null as unknown }
  const failing = (name: 'read' | 'follow') => (...args: any[]) => typeof fails[name] === 'function' ? fails[name]() : (history as any)[name](...args)
  const { history } = broker
  Object.assign(broker, { history: { ...history, read: failing('read'), follow: failing('follow') } })
  const served = await start(t, undefined, { broker })
  const client = await join(t, served)
  const { data: { pos } } = await client.call('#history', { channel: 'room' })
  await publish(served, 1, 3)
  const failed = { error: { name: 'BrokerError', message: 'The broker failed' } }
  for (const name of ['read', 'follow'] as const) {
    for (const fail of [() => { throw new Error('secret') }, async () => { throw new Error('secret') }]) {
      fails[name] = fail
      t.match(await client.call('#history', { channel: 'room', since: pos, limit: 2 }), failed)
    }
    fails[name] = null
  }
  t.same(numbers(await client.call('#history', { channel: 'room', since: pos, limit: 2 })), [1, 2])
})
