// Who may see who is in a channel, and what a token that changes does to users.
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { ScRefusal, type ScPluginOptions, type ScPresenceOptions } from '../../lib/index.js'
import { type Client, connect14, connect20 } from '../helpers/app.js'
import { serve } from '../helpers/serve.js'
import { enter, quick, startRooms, userOf, Watched } from './parts.js'

const refusal = (text: string) => new ScRefusal(text)

t.test('seeing follows the subscribe policy of the channel, which knows what is asked for', async (t) => {
  const asked: unknown[] = []
  const app = await serve(t, {}, (app) => {
    app.scChannel('room/:id', {
      presence: quick,
      subscribe: ({ socket, channel, params, presence }) => {
        asked.push([channel, params.id, presence])
        if (userOf({ socket }) !== 'ada') throw refusal('for ada only')
      }
    })
  })
  const ada = await enter(t, connect20, app, 'ada')
  await ada.subscribe('room/7')
  const watched = await Watched.of(ada, 'room/7')
  await watched.until('ada')
  t.same(asked, [['room/7', '7', undefined], ['room/7', '7', true]])
  const bob = await enter(t, connect20, app, 'bob')
  await t.rejects(bob.subscribe('room/7#presence'), { message: 'for ada only' })
})

t.test('a watch policy decides instead', async (t) => {
  const app = await serve(t, {}, (app) => {
    app.scChannel('room/:id', {
      clientSubscribe: false,
      presence: { ...quick, watch: ({ socket }) => { if (userOf({ socket }) !== 'ada') throw refusal('for ada only') } }
    })
  })
  const ada = await enter(t, connect20, app, 'ada')
  await Watched.of(ada, 'room/7')
  await t.rejects(ada.subscribe('room/7'), { message: 'Clients may not subscribe to "room/7"' })
  await t.rejects((await enter(t, connect14, app, 'bob')).subscribe('room/7#presence'), { message: 'for ada only' })
})

t.test('without a policy of its own nobody sees who is in a channel that clients may not subscribe to', async (t) => {
  const app = await serve(t, {}, (app) => { app.scChannel('room/:id', { clientSubscribe: false, presence: true }) })
  await t.rejects((await enter(t, connect20, app, 'ada')).subscribe('room/7#presence'), { message: 'Clients may not subscribe to "room/7#presence"' })
})

t.test('hooks and middleware see the name of the channel', async (t) => {
  const app = await startRooms(t, quick, {}, (app) => {
    app.scHook('subscribe', ({ channel, presence }) => { if (channel === 'room/secret' && presence === true) throw refusal('secret') })
    app.scServer.addMiddleware('subscribe', (request, next) => next(request.channel === 'room/closed' ? 'closed' : undefined))
    app.scHook('publishOut', () => { throw new Error('not for messages of presence') })
  })
  const ada = await enter(t, connect20, app, 'ada')
  await t.rejects(ada.subscribe('room/secret#presence'), { message: 'secret' })
  await t.rejects(ada.subscribe('room/closed#presence'))
  await ada.subscribe('room/secret')
  await Watched.of(ada, 'room/7')
  t.same(app.warnings.map(String).filter((text) => text.includes('not for')), [])
})

/** Rooms that need a token to be in. `login` and `logout` change the token of the caller. */
async function startWithLogin (t: Test, presence: ScPresenceOptions | true, options: ScPluginOptions = {}, policy = true) {
  const app = await serve(t, options, (app) => {
    app.scChannel('room/:id', {
      presence: presence === true ? { interval: 10 } : { interval: 10, ...presence },
      ...policy && { subscribe: ({ socket }) => { if (socket.authToken === null) throw refusal('log in first') } }
    })
    app.scChannel('open', { presence: { interval: 10 } })
    app.scEvent('login', {}, (data, { socket }) => { socket.setAuthToken(data as object) })
    app.scEvent('logout', {}, (_data, { socket }) => { socket.deauthenticate() })
  })
  const login = async (client: Client, claims: object): Promise<void> => {
    const told = once(app.sc, 'authentication')
    await client.call('login', claims)
    await told
  }
  return { ...app, login }
}

for (const [generation, connect] of [[14, connect14], [20, connect20]] as const) {
  t.test(`the user of a token, client ${generation}`, async (t) => {
    t.test('comes with the login, and leaves with the logout, though the socket stays', async (t) => {
      const app = await startWithLogin(t, true)
      const client = await connect(t, app)
      await client.subscribe('open')
      const watched = await Watched.of(await connect(t, app), 'open')
      t.equal(watched.total, 0)
      await app.login(client, { sub: 'ada' })
      await watched.until('ada')
      await app.login(client, { sub: 'bob' })
      t.match(await watched.next(), { joins: [{ key: 'bob' }], leaves: ['ada'] })
      await client.call('logout')
      await watched.until()
      t.ok(client.isSubscribed('open'))
    })

    t.test('has other data with a new token', async (t) => {
      const app = await startWithLogin(t, { data: ({ socket }) => ({ name: socket.authToken?.name }) })
      const client = await connect(t, app)
      await app.login(client, { sub: 'ada', name: 'Ada' })
      await client.subscribe('room/7')
      const watched = await Watched.of(client, 'room/7')
      await app.login(client, { sub: 'ada', name: 'Countess' })
      t.strictSame((await watched.next()).updates, [{ key: 'ada', data: { name: 'Countess' } }])
    })

    t.test('leaves when it loses the channel', async (t) => {
      const app = await startWithLogin(t, true)
      const [client, other] = [await connect(t, app), await connect(t, app)]
      await app.login(client, { sub: 'ada' })
      await app.login(other, { sub: 'bob' })
      await client.subscribe('room/7')
      await other.subscribe('room/7')
      const [seenByAda, seenByBob] = [await Watched.of(client, 'room/7'), await Watched.of(other, 'room/7')]
      await client.call('logout')
      await seenByBob.until('bob')
      await client.nextEvent('kickOut')
      t.notOk(client.isSubscribed('room/7#presence'), 'and sees no longer who is there')
      t.strictSame(seenByAda.messages.length, 1)
    })

    t.test('is away while its subscription is suspended, and gets a new list when it goes on', async (t) => {
      const app = await startWithLogin(t, { leaveDelay: 10_000 }, { revalidate: 'suspend' })
      const [client, other] = [await connect(t, app), await connect(t, app)]
      await app.login(client, { sub: 'ada' })
      await app.login(other, { sub: 'bob' })
      await client.subscribe('room/7')
      await other.subscribe('room/7')
      const [seenByAda, seenByBob] = [await Watched.of(client, 'room/7'), await Watched.of(other, 'room/7')]
      await seenByAda.until('ada', 'bob')
      await client.call('logout')
      await seenByBob.until('bob')
      other.unsubscribe('room/7')
      await seenByBob.until()
      await app.login(client, { sub: 'ada' })
      await seenByBob.until('ada')
      const message = await seenByAda.next()
      t.equal(message.type, 'state')
      await seenByAda.until('ada')
      const third = await connect(t, app)
      await app.login(third, { sub: 'cem' })
      await third.subscribe('room/7')
      await seenByAda.until('ada', 'cem')
    })
  })
}
