// What the server can read and do.
import { once } from 'node:events'
import t from 'tap'
import type { ScServerSocket } from '../../lib/index.js'
import { connect20 } from '../helpers/app.js'
import { serve } from '../helpers/serve.js'
import { enter, quick, startRooms, userOf, Watched } from './parts.js'

/** The server's side of a client. */
function socketOf (app: { sc: { clients: Readonly<Record<string, ScServerSocket>> } }, client: { id: string }): ScServerSocket {
  return app.sc.clients[client.id]!
}

t.test('events of a channel that the server watches', async (t) => {
  const app = await startRooms(t, { ...quick, update: true })
  const told: unknown[] = []
  for (const event of ['join', 'update', 'leave'] as const) app.sc.on(event, (channel, member) => told.push([event, channel, member]))
  const stream = app.sc.listener('join').once()
  app.sc.exchange.subscribe('room/7#presence')
  const ada = await enter(t, connect20, app, 'ada')
  const joined = once(app.sc, 'join')
  await ada.subscribe('room/7')
  await ada.subscribe('room/8')
  await joined
  t.same(await stream, { channel: 'room/7', member: { key: 'ada' } })
  const updated = once(app.sc, 'update')
  await ada.call('#presence', { channel: 'room/7', data: { mood: 'good' } })
  await updated
  ada.unsubscribe('room/7')
  await once(app.sc, 'leave')
  t.same(told, [['join', 'room/7', { key: 'ada' }], ['update', 'room/7', { key: 'ada', data: { mood: 'good' } }], ['leave', 'room/7', { key: 'ada' }]])
  app.sc.exchange.unsubscribe('room/7#presence')
  await ada.subscribe('room/7')
  const watched = await Watched.of(ada, 'room/7')
  await watched.until('ada')
  t.equal(told.length, 3, 'no longer watched')
})

t.test('the exchange gets the messages too', async (t) => {
  const app = await startRooms(t)
  const messages: any[] = []
  app.sc.exchange.watch('room/7#presence', (message) => { messages.push(message) })
  app.sc.exchange.subscribe('room/7#presence')
  const ada = await enter(t, connect20, app, 'ada')
  const joined = once(app.sc, 'join')
  await ada.subscribe('room/7')
  await joined
  t.match(messages, [{ type: 'diff', joins: [{ key: 'ada' }], total: 1 }])
})

t.test('a socket leaves and comes back by the server', async (t) => {
  const app = await startRooms(t)
  const ada = await enter(t, connect20, app, 'ada')
  const socket = socketOf(app, ada)
  t.throws(() => socket.presence('room/7').update(1), { name: 'InvalidActionError', code: 'SC_ERR_NOT_PRESENT' }, 'not subscribed')
  socket.presence('room/7').leave()
  await ada.subscribe('room/7')
  const watched = await Watched.of(ada, 'room/7')
  socket.presence('room/7').update({ at: 'desk' })
  t.match((await watched.next()).updates, [{ key: 'ada', data: { at: 'desk' } }])
  socket.presence('room/7').leave()
  await watched.until()
  t.ok(ada.isSubscribed('room/7'))
  socket.presence('room/7').update()
  t.strictSame((await watched.next()).joins, [{ key: 'ada' }])
  t.throws(() => socket.presence('room/7').update('x'.repeat(4_097)), { name: 'InvalidArgumentsError' })
  t.throws(() => socket.presence('room/7').update(1n), { code: 'SC_ERR_ENCODE' })
  t.throws(() => socket.presence(7 as never), { name: 'InvalidArgumentsError' })
  t.throws(() => socket.presence('elsewhere').update(), { code: 'SC_ERR_NOT_PRESENT' })
  await socket.kickOut('room/7')
  await watched.until()
})

t.test('a second socket of a user does not take back what the first one set', async (t) => {
  const app = await startRooms(t)
  const [one, two] = [await enter(t, connect20, app, 'ada'), await enter(t, connect20, app, 'ada')]
  await one.subscribe('room/7')
  socketOf(app, one).presence('room/7').update('busy')
  await two.subscribe('room/7')
  t.same((await app.sc.exchange.presence('room/7')).members, [{ key: 'ada', data: 'busy' }])
})

t.test('reading a channel without presence, and names that are none', async (t) => {
  const app = await startRooms(t)
  await t.rejects(app.sc.exchange.presence('elsewhere'), { name: 'InvalidActionError', code: 'SC_ERR_NO_PRESENCE' })
  await t.rejects(app.sc.exchange.presence('room/7#presence'), { code: 'SC_ERR_NO_PRESENCE' })
  await t.rejects(app.sc.exchange.presence(''), { code: 'SC_ERR_CHANNEL_NAME' })
  await t.rejects(app.sc.exchange.occupancy(7 as never), { code: 'SC_ERR_CHANNEL_TYPE' })
  // Nobody waits for these.
  app.sc.exchange.presence('elsewhere')
  app.sc.exchange.occupancy('')
})

t.test('occupancy counts sockets of any channel, with or without a user', async (t) => {
  const app = await startRooms(t)
  t.equal(await app.sc.exchange.occupancy('elsewhere'), 0)
  for (const user of ['ada', 'ada', null]) await (await enter(t, connect20, app, user)).subscribe('elsewhere')
  t.equal(await app.sc.exchange.occupancy('elsewhere'), 3)
})

t.test('a key or data that are none make a warning, and the socket is not present', async (t) => {
  const answers = new Map<string, () => unknown>([
    ['object', () => ({})],
    ['empty', () => ''],
    ['long', () => 'x'.repeat(257)],
    ['promise', () => Promise.reject(new Error('late'))],
    ['thrown', () => { throw new Error('no key') }],
    ['number', () => 7]
  ])
  const app = await serve(t, {}, (app) => {
    app.scChannel('keys', { presence: { interval: 10, key: (context) => answers.get(userOf(context)!)!() as string } })
    app.scChannel('data', { presence: { ...quick, data: () => 'x'.repeat(5_000) } })
  })
  for (const user of answers.keys()) await (await enter(t, connect20, app, user)).subscribe('keys')
  await (await enter(t, connect20, app, 'number')).subscribe('data')
  t.same((await app.sc.exchange.presence('keys')).members, [{ key: '7' }])
  t.same((await app.sc.exchange.presence('data')).members, [])
  t.same(app.warnings.map(({ message }) => message), [
    'presence.key expects a string, a number or null, got object',
    'presence.key expects a key of 1 to 256 characters, got 0 characters',
    'presence.key expects a key of 1 to 256 characters, got 257 characters',
    'The server expects presence.key to answer at once, got a promise',
    'no key',
    'presence expects data of at most 4096 characters of JSON, got 5002 characters'
  ])
})
