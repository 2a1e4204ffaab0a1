// What clients of both generations see on `<name>#presence`, with one server.
import t from 'tap'
import { generations } from '../helpers/app.js'
import { enter, quick, startRooms, userOf, Watched } from './parts.js'

for (const [generation, connect] of generations) {
  t.test(`client ${generation}`, async (t) => {
    t.test('sees who is there, who comes and who leaves', async (t) => {
      const app = await startRooms(t)
      const ada = await enter(t, connect, app, 'ada')
      await ada.subscribe('room/7')
      const watched = await Watched.of(await enter(t, connect, app, null), 'room/7')
      t.strictSame(watched.messages, [{ type: 'state', members: [{ key: 'ada' }], total: 1, v: 0 }])
      const bob = await enter(t, connect, app, 'bob')
      await bob.subscribe('room/7')
      t.strictSame(await watched.next(), { type: 'diff', joins: [{ key: 'bob' }], updates: [], leaves: [], total: 2, v: 1 })
      ada.unsubscribe('room/7')
      t.strictSame(await watched.next(), { type: 'diff', joins: [], updates: [], leaves: ['ada'], total: 1, v: 2 })
      t.strictSame(await app.sc.exchange.presence('room/7'), { members: [{ key: 'bob' }], total: 1, complete: true })
      t.strictSame(await app.sc.exchange.presence('room/8'), { members: [], total: 0, complete: true }, 'another room is empty')
      t.match(app.sc.stats().presence, { channels: 1, members: 1, joins: 2, leaves: 1 })
      t.same(app.warnings, [])
    })

    t.test('a user leaves with its last socket', async (t) => {
      const app = await startRooms(t)
      const [one, two] = [await enter(t, connect, app, 'ada'), await enter(t, connect, app, 'ada')]
      await one.subscribe('room/7')
      await two.subscribe('room/7')
      const watched = await Watched.of(await enter(t, connect, app, null), 'room/7')
      t.same([...watched.users.keys()], ['ada'])
      one.unsubscribe('room/7')
      const bob = await enter(t, connect, app, 'bob')
      await bob.subscribe('room/7')
      t.match(await watched.next(), { joins: [{ key: 'bob' }], leaves: [] })
      two.unsubscribe('room/7')
      t.match(await watched.next(), { joins: [], leaves: ['ada'] })
    })

    t.test('who closes the connection leaves at once, who is cut off after leaveDelay', async (t) => {
      for (const [leaveDelay, isClosed] of [[60_000, true], [500, false]] as const) {
        const app = await startRooms(t, { ...quick, leaveDelay })
        const watched = await Watched.of(await enter(t, connect, app, null), 'room/7')
        const ada = await enter(t, connect, app, 'ada')
        await ada.subscribe('room/7')
        await watched.until('ada')
        const from = performance.now()
        if (isClosed) await ada.close()
        else ada.raw.transport.socket.terminate()
        // This waits for 20 s at most.
        await watched.until()
        if (!isClosed) t.ok(performance.now() - from > 450, 'cut off')
      }
    })

    t.test('who is back before leaveDelay never left', async (t) => {
      const app = await startRooms(t, { ...quick, leaveDelay: 10_000 })
      const watched = await Watched.of(await enter(t, connect, app, null), 'room/7')
      const ada = await enter(t, connect, app, 'ada')
      await ada.subscribe('room/7')
      await watched.until('ada')
      ada.raw.transport.socket.terminate()
      await ada.nextEvent('disconnect')
      ada.reconnect()
      await ada.nextEvent('connect')
      const bob = await enter(t, connect, app, 'bob')
      await bob.subscribe('room/7')
      t.strictSame(await watched.next(), { type: 'diff', joins: [{ key: 'bob' }], updates: [], leaves: [], total: 2, v: 2 })
    })

    t.test('changes its own data, if the declaration allows it', async (t) => {
      const app = await startRooms(t, {
        ...quick,
        data: (context) => ({ name: userOf(context)!.toUpperCase() }),
        update: ({ data }) => {
          if (data.mood === 'bad') throw new Error('no bad moods')
          return { ...data, checked: true }
        }
      })
      const ada = await enter(t, connect, app, 'ada')
      await ada.subscribe('room/7')
      const watched = await Watched.of(ada, 'room/7')
      t.same(watched.users, new Map([['ada', { name: 'ADA' }]]))
      t.equal(await ada.call('#presence', { channel: 'room/7', data: { mood: 'good' } }), undefined)
      t.strictSame(await watched.next(), { type: 'diff', joins: [], updates: [{ key: 'ada', data: { mood: 'good', checked: true } }], leaves: [], total: 1, v: 1 })
      await t.rejects(ada.call('#presence', { channel: 'room/7', data: { mood: 'bad' } }), { message: 'Internal error' })
      await t.rejects(ada.call('#presence', { channel: 'room/8', data: {} }), { name: 'InvalidActionError', message: 'The socket is not present in the channel "room/8"' })
      await t.rejects(ada.call('#presence', { channel: 'room/7', data: { text: 'x'.repeat(4_096) } }), { name: 'InvalidArgumentsError' })
      await t.rejects(ada.call('#presence', { channel: 5 }), { name: 'InvalidActionError' })
      const nobody = await enter(t, connect, app, null)
      await nobody.subscribe('room/7')
      await t.rejects(nobody.call('#presence', { channel: 'room/7', data: {} }), { name: 'InvalidActionError' }, 'a socket without a user')
    })

    t.test('cannot change its data where that is not declared, and publishes nothing to a companion', async (t) => {
      const app = await startRooms(t)
      const ada = await enter(t, connect, app, 'ada')
      await ada.subscribe('room/7')
      await t.rejects(ada.call('#presence', { channel: 'room/7', data: 1 }), { code: 'SC_ERR_CHANNEL_REFUSED', message: 'Clients may not change their presence in "room/7"' })
      await t.rejects(ada.call('#presence', { channel: 'elsewhere', data: 1 }), { code: 'SC_ERR_NO_PRESENCE', message: /"elsewhere" does not tell who is in it/ })
      await t.rejects(ada.publish('room/7#presence', { type: 'count', total: 0 }), { message: 'Clients may not publish to "room/7#presence"' })
      await t.rejects(ada.subscribe('room/7#presence#presence'), { name: 'InvalidActionError' })
      await t.rejects(app.sc.exchange.publish('room/7#presence', 1), { code: 'SC_ERR_COMPANION' })
    })

    t.test('gets only the number of users where there are too many, and the list again later', async (t) => {
      const app = await startRooms(t, { ...quick, members: 2 })
      const watched = await Watched.of(await enter(t, connect, app, null), 'room/7')
      const clients = []
      for (const user of ['ada', 'bob', 'cem']) {
        const client = await enter(t, connect, app, user)
        await client.subscribe('room/7')
        clients.push(client)
        await watched.next()
      }
      t.strictSame(watched.messages.at(-1), { type: 'count', total: 3 })
      const late = await Watched.of(await enter(t, connect, app, null), 'room/7')
      t.strictSame(late.messages, [{ type: 'count', total: 3 }])
      t.equal((await app.sc.exchange.presence('room/7')).members.length, 3, 'the server gets the list')
      clients[0]!.unsubscribe('room/7')
      t.strictSame(await watched.next(), { type: 'count', total: 2 }, 'two are too many for a list once there were more')
      clients[1]!.unsubscribe('room/7')
      t.match(await watched.next(), { type: 'state', members: [{ key: 'cem' }], total: 1 })
      t.match(await late.next(), { type: 'count' })
      t.match(await late.next(), { type: 'state', members: [{ key: 'cem' }], total: 1 })
    })
  })
}
