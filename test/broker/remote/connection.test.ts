import { setImmediate as tick } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Connection } from '../../../lib/broker/remote/connection.js'
import type { Engine, EngineSession, SessionEvents } from '../../../lib/broker/remote/engine.js'
import { remoteDefaults, type ResolvedRemoteOptions } from '../../../lib/broker/remote/options.js'
import { Clock } from '../../helpers/clock.js'

/** A try to connect that the test decides. */
interface Opening {
  readonly at: number
  readonly events: SessionEvents
  readonly session: EngineSession & { closed: number }
  succeed (): void
  fail (message: string): void
}

function start (t: Test, options: Partial<ResolvedRemoteOptions> = {}) {
  const clock = new Clock(t)
  const openings: Opening[] = []
  const log: string[] = []
  const held: Array<{ ready: () => void, progress: () => void }> = []
  let holds = false
  const engine: Engine = {
    name: 'test',
    order: 'channel',
    address: 'nowhere',
    async load () {},
    channelTopic: (_prefix, channel) => channel,
    nodeTopic: (_prefix, id = '') => id,
    open: (events) => new Promise((resolve, reject) => {
      const session = { closed: 0, async subscribe () {}, async unsubscribe () {}, publish () {}, close () { session.closed++ } }
      openings.push({ at: clock.now, events, session, succeed: () => resolve(session), fail: (message) => reject(new Error(message)) })
    })
  }
  const connection: Connection = new Connection(engine, { ...remoteDefaults, connect: 'retry', ...options }, {
    message: (topic, text) => { log.push(`${topic}: ${text}`) },
    prepare: (_session, progress) => holds ? new Promise((resolve) => { held.push({ ready: resolve, progress }) }) : Promise.resolve(),
    up: () => { log.push('up') },
    again: () => { log.push('again') },
    gone: () => { log.push(`gone, ${connection.session === null ? 'without' : 'with'} session`) },
    down: (cause) => { log.push(`down: ${cause.message}`) },
    finish: async () => { log.push('finish') }
  })
  return { clock, openings, log, connection, held, hold: () => { holds = true } }
}

t.test('an engine that must be there, and is not', async (t) => {
  const { clock, openings, connection, log } = start(t, { connect: 'required' })
  const started = connection.start()
  await tick()
  openings[0]!.fail('refused')
  await t.rejects(started, { code: 'SC_ERR_BROKER_CONNECT', message: /test broker cannot connect to nowhere: refused/ })
  t.equal(connection.stopped, true)
  await clock.advance(60_000)
  t.strictSame([openings.length, clock.armed, log], [1, 0, ['gone, without session']])
})

t.test('it tries for ever, with pauses that grow up to the longest', async (t) => {
  const { clock, openings, connection, log } = start(t, { retryDelay: 100, maxRetryDelay: 800 })
  const started = connection.start()
  await tick()
  openings[0]!.fail('refused')
  await started
  t.equal(connection.cause.message, 'refused')
  const pauses: number[] = []
  for (let i = 0; i < 8; i++) {
    const from = clock.now
    while (openings.length === i + 1) await clock.advance(1)
    pauses.push(openings.at(-1)!.at - from)
    openings.at(-1)!.fail('refused again')
    await tick()
  }
  for (const [i, pause] of pauses.entries()) {
    const longest = Math.min(800, 100 * 2 ** i)
    t.ok(pause >= longest / 2 && pause <= longest + 1, `pause ${i}: ${pause} of up to ${longest} ms`)
  }
  while (openings.length < 10) await clock.advance(1)
  openings.at(-1)!.succeed()
  await tick()
  t.ok(connection.session !== null)
  t.strictSame(log.at(-1), 'up', 'the first session is not one made again')
  await connection.stop()
})

t.test('a session that is lost: what waits fails first, then it is told, and the next one is opened', async (t) => {
  const { clock, openings, connection, log } = start(t)
  const started = connection.start()
  await tick()
  openings[0]!.succeed()
  await started
  openings[0]!.events.message('a', '1')
  openings[0]!.events.lost(new Error('cut'))
  t.strictSame(log, ['up', 'a: 1', 'gone, without session', 'down: cut'])
  t.equal(openings[0]!.session.closed, 1)
  // It may still speak, and nobody listens.
  openings[0]!.events.message('a', 'late')
  openings[0]!.events.lost(new Error('again'))
  while (openings.length < 2) await clock.advance(10)
  openings[1]!.succeed()
  await tick()
  t.strictSame(log.slice(4), ['up', 'again'])
  connection.lost(new Error('silent'))
  t.strictSame(log.slice(6), ['gone, without session', 'down: silent'])
  await connection.stop()
  t.equal(clock.armed, 0)
})

t.test('an engine that never answers, while connecting and while all is being subscribed', async (t) => {
  const { clock, openings, connection, log, held, hold } = start(t, { connectTimeout: 5_000, timeout: 2_000, maxRetryDelay: 50 })
  const started = connection.start()
  await tick()
  await clock.advance(5_000)
  await started
  t.match(log, ['down: no connection within 5000 ms; see the option connectTimeout'])
  openings[0]!.succeed()
  await tick()
  t.equal(openings[0]!.session.closed, 1, 'a session that comes too late is closed')

  hold()
  while (openings.length < 2) await clock.advance(10)
  openings[1]!.succeed()
  for (let i = 0; i < 5; i++) {
    await clock.advance(3_000)
    held[0]!.progress()
  }
  t.equal(log.length, 1, 'as long as it answers anything, there is time')
  await clock.advance(7_000)
  t.match(log[1], /down: no answer within 4000 ms/)
  t.ok(openings[1]!.session.closed >= 1)
  // One that is lost in that time.
  openings.at(-1)!.succeed()
  await tick()
  openings.at(-1)!.events.lost(new Error('cut'))
  await tick()
  t.equal(log.at(-1), 'down: cut')
  await connection.stop()
})

t.test('the end: with a session what is on its way may go out; without one nothing is opened any more', async (t) => {
  const { clock, openings, connection, log } = start(t)
  const started = connection.start()
  await tick()
  openings[0]!.succeed()
  await started
  const stopped = connection.stop()
  openings[0]!.events.message('a', 'late')
  openings[0]!.events.lost(new Error('cut'))
  await stopped
  await connection.stop()
  t.strictSame([log, openings[0]!.session.closed, connection.cause.message], [['up', 'finish', 'gone, without session'], 1, 'stopped'])

  const other = start(t)
  const pending = other.connection.start()
  await tick()
  await other.connection.stop()
  await pending
  other.openings[0]!.succeed()
  await tick()
  t.equal(other.openings[0]!.session.closed, 1)
  await other.clock.advance(60_000)
  t.strictSame([other.openings.length, other.clock.armed, clock.armed], [1, 0, 0])
})
