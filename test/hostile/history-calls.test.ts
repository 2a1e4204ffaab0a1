// A client that sends anything with the calls about histories and presence: each is answered, as documented, and nothing else happens.
import t, { type Test } from 'tap'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { type Broker, memoryBroker } from '../../lib/index.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { startRedis } from '../helpers/servers.js'

/** The names of the errors that tell what a client did wrong. A failure of the server has another. */
const names = new Set(['InvalidActionError', 'InvalidArgumentsError', 'InvalidMessageError', 'RateLimitError', 'SocketProtocolError'])
/** Three of them fit in one frame. */
const long = 'x'.repeat(20_000)
const odd: unknown[] = [
  null, true, false, 0, -0, -1, 1.5, 1e21, -1e308, 2 ** 53, Number.MAX_SAFE_INTEGER, 'NaN', 'Infinity', '', ' ', '0', '5', '-1', '\u0000', '\ud800', '🙂', long,
  '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'prototype', 'a.b.c', 'a.1', 'a.1.', 'a.-1.', 'a.1e3.', 'a.NaN.', 'a.9999999999999999.', 'a.9007199254740991.b', '{a}.1.b', 'a.1.b.c', '..', '. .', '\r\n.1.a',
  [], [5], ['a'], {}, { toString: 'a' }, { length: 1 }, { constructor: { prototype: {} } }, [[[[[]]]]]
]

async function engines (t: Test): Promise<Array<readonly [name: string, make: () => Broker]>> {
  const redis = await startRedis(t)
  return [['memory', memoryBroker], ...redis === null ? [] : [['redis', () => redisBroker({ url: `redis://127.0.0.1:${redis.port}` })] as const]]
}

t.test('calls about histories and presence', async (t) => {
  for (const [name, make] of await engines(t)) {
    await t.test(name, async (t) => {
      const { sc, port, warnings } = await serve(t, { broker: make(), inboundRate: 0, brokerPrefix: 'hostile' }, (app) => {
        app.scChannel('room/:id', { history: { size: 10 }, recover: { limit: 5, rewind: 2 }, presence: { key: ({ socket }) => socket.id, update: true } })
        app.scChannel('latest', { history: {}, recover: 'latest' })
        app.scChannel('plain', {})
      })
      for (let n = 1; n <= 20; n++) await sc.exchange.publish('room/1', n)
      await sc.exchange.publish('room/2', 1)
      const { position } = await sc.exchange.history('room/1')
      const other = (await sc.exchange.history('room/2')).position
      const [epoch, offset, check] = position.split('.') as [string, string, string]
      const forged = [
        other, `${epoch}.${offset}.zzzz`, `${epoch}.${Number(offset) + 1}.${check}`, `${epoch}.${Number.MAX_SAFE_INTEGER}.${check}`, `${epoch}.0.`, `${epoch}.0.zz`, `${epoch}.12.zz`, `${epoch}.5.${check}`,
        `${epoch}.+${offset}.${check}`, `${epoch}.${offset}.${check}zzzzzzzzz`, `${position}.${position}`, `${position}\u0000`, ` ${position}`, `${epoch.toUpperCase()}_.${offset}.${check}`
      ]

      /** An answer is what the call promises, or tells what the client did wrong. */
      const answered = (answer: any, what: string): void => {
        const { error } = answer
        if (error === undefined) return
        if (!names.has(error.name)) t.fail(`${what}: ${JSON.stringify(error)}`)
      }
      const shown = (value: unknown): string => JSON.stringify(value)?.slice(0, 60)

      await t.test('positions that nobody gave', async (t) => {
        const client = await RawClient.connect(t, port)
        for (const since of [...forged, ...odd]) {
          for (const channel of ['room/1', 'latest', 'plain']) {
            const answer = await client.call('#subscribe', { channel, since })
            answered(answer, `#subscribe ${channel} since ${shown(since)}`)
            if (typeof since === 'string' && channel === 'room/1') t.match(answer.data, { recovered: false, count: 2 }, shown(since))
            await client.call('#unsubscribe', channel)
          }
        }
        t.match((await client.call('#subscribe', { channel: 'room/1', since: position })).data, { recovered: true, count: 0 })
        for (const since of [...forged, ...odd]) {
          const answer = await client.call('#history', { channel: 'room/1', since, limit: 3 })
          answered(answer, `#history since ${shown(since)}`)
          if (typeof since === 'string') t.same([answer.data.messages.map(({ data }: any) => data), answer.data.gap === 'unknown' || answer.data.gap === 'trimmed'], [[18, 19, 20], true], shown(since))
        }
      })

      await t.test('fields of any kind', async (t) => {
        const client = await RawClient.connect(t, port)
        const call = (event: string, data: unknown): Promise<any> => {
          // Three messages with a forbidden key in a row would close the connection: one that is nothing comes between.
          client.send([])
          return client.call(event, data)
        }
        await call('#subscribe', 'room/1')
        for (const value of odd) {
          for (const data of [value, { channel: value }, { channel: 'room/1', limit: value }, { channel: 'room/1', reverse: value }, { channel: 'room/1', since: position, limit: value, reverse: value }]) {
            answered(await call('#history', data), `#history ${shown(data)}`)
          }
          for (const data of [value, { channel: value, data: value }, { channel: 'room/1', data: value }, { channel: 'room/1#presence', data: value }]) {
            answered(await call('#presence', data), `#presence ${shown(data)}`)
          }
          for (const data of [value, { channel: value, since: value, rewind: value }, { channel: 'room/9', rewind: value }, { channel: 'room/9#presence', since: value, rewind: value }, { channel: 'room/9#presence#presence', since: value }]) {
            answered(await call('#subscribe', data), `#subscribe ${shown(data)}`)
          }
        }
        answered(await call('#presence', { channel: 'room/1', data: long }), 'a long text')
        t.match((await call('#presence', { channel: 'room/1', data: long })).error, { name: 'InvalidArgumentsError' })
      })

      await t.test('10,000 channels', async (t) => {
        const client = await RawClient.connect(t, port)
        const errors = new Map<string, number>()
        for (let i = 0; i < 10_000; i += 500) {
          const calls = Array.from({ length: 500 }, (_, n) => `room/many${i + n}`)
          const answers = await Promise.all(calls.flatMap((channel) => [client.call('#subscribe', { channel, since: position }), client.call('#history', { channel, since: position }), client.call('#presence', { channel, data: 1 })]))
          for (const answer of answers) {
            answered(answer, 'many channels')
            const key = answer.error?.code ?? 'none'
            errors.set(key, (errors.get(key) ?? 0) + 1)
          }
        }
        t.equal([...errors.values()].reduce((sum, count) => sum + count, 0), 30_000)
        t.equal(errors.get('SC_ERR_CHANNEL_LIMIT'), 9_000)
        t.comment(Object.fromEntries(errors))
      })

      // The server is told of each call that was refused, and of nothing else.
      for (const warning of warnings) if (!names.has(warning.name)) t.fail(`a warning: ${warning.stack}`)
      t.equal(({} as Record<string, unknown>).polluted, undefined)
      const last = await RawClient.connect(t, port)
      t.match((await last.call('#subscribe', { channel: 'room/1', since: position })).data, { recovered: true })
    })
  }
})
