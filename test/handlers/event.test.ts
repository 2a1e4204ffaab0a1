// Where a packet goes: to a handler of the protocol, or through the `emit` hooks to a declared event or the socket's own listeners.
import t from 'tap'
import { ScRefusal } from '../../lib/index.js'
import { matchEach } from '../helpers/match-each.js'
import { gate, setUp, turn } from './parts.js'

t.test('names of the protocol that no client may send are refused', async (t) => {
  const { enter, core } = await setUp(t)
  const ada = await enter()
  for (const event of ['#foo', '#', '#publish2', '#setAuthToken', '#toString']) {
    t.match((await ada.call(event)).error, { code: 'SC_ERR_EVENT_NOT_ALLOWED', message: `Clients may not send the "${event}" event` })
  }
  t.equal(core.stats().invalid, 5)
})

t.test('without hooks an event reaches its listeners at once, and a declared one its handler alone', async (t) => {
  const { enter } = await setUp(t, {}, ({ event }) => { event('declared', {}, (data) => ['handler', data]) })
  const ada = await enter()
  for (const name of ['declared', 'other']) ada.socket.on(name, (data, res) => res(null, ['listener', data]))
  ada.say('declared', 1, 1)
  ada.say('other', 2, 2)
  t.strictSame(ada.told, [{ rid: 1, data: ['handler', 1] }, { rid: 2, data: ['listener', 2] }])
})

t.test('a hook sees the event, and what it assigns replaces the data; undefined keeps them', async (t) => {
  const seen: any[] = []
  let result: unknown
  const { enter, fastify } = await setUp(t, {}, ({ hook, event }) => {
    const look = function (this: unknown, request: any): unknown {
      seen.push([this, { ...request, socket: request.socket.id }])
      if ('assign' in request.data) request.data = request.data.assign
      return result
    }
    hook('emit', look)
    event('declared', {}, (data) => data)
  })
  const ada = await enter()
  ada.socket.on('other', (data, res) => res(null, data))
  for (result of [undefined, Promise.resolve()]) {
    for (const event of ['declared', 'other']) {
      t.strictSame((await ada.call(event, { n: 1 })).data, { n: 1 })
      t.strictSame((await ada.call(event, { assign: 7 })).data, 7)
      t.strictSame((await ada.call(event, { assign: null })).data, null)
      t.strictSame((await ada.call(event, { assign: undefined })).data, {})
    }
  }
  t.equal(seen[0][0], fastify)
  t.strictSame(seen[0][1], { socket: ada.socket.id, event: 'declared', data: { n: 1 }, authTokenExpiredError: undefined })
})

t.test('a hook that refuses, at once or later, keeps the event from its listeners', async (t) => {
  const { enter, core } = await setUp(t, {}, ({ hook }) => {
    hook('emit', ({ data }) => {
      if (data === 'at once') throw new ScRefusal('not now')
      return Promise.reject(new ScRefusal('not later'))
    })
  })
  const told: unknown[] = []
  const { denied } = core.monitor
  core.monitor.denied = (session, denial) => { told.push([denial.line, denial.event]); return denied.call(core.monitor, session, denial) }
  const ada = (await enter()).hear('other')
  t.match((await ada.call('other', 'at once')).error, { message: 'not now' })
  t.match((await ada.call('other', 'later')).error, { message: 'not later' })
  for (const data of ['at once', 'later']) ada.say('other', data)
  await turn()
  t.strictSame([ada.events, ada.told, told], [[], [], Array.from({ length: 4 }, () => ['emit', 'other'])])
})

t.test('while a hook takes its time the event counts as waiting, with its data, and no longer', async (t) => {
  const slow = [gate(), gate()]
  let at = 0
  const { enter } = await setUp(t, {}, ({ hook }) => { hook('emit', () => slow[at++]!.opened) })
  const ada = (await enter()).hear('other')
  ada.say('other', 'x'.repeat(1_000))
  t.equal(ada.session.waitingInbound, 1)
  t.ok(ada.session.heldBytes > 1_000)
  ada.say('other', 'y')
  t.equal(ada.session.waitingInbound, 2)
  slow[0]!.open()
  slow[1]!.fail(new ScRefusal('no'))
  await turn()
  t.strictSame([ada.session.waitingInbound, ada.session.heldBytes], [0, 0])
  t.equal(ada.events.length, 1)
})

t.test('who left while a hook took its time is told nothing, and no listener is called', async (t) => {
  const slow = gate()
  let handled = 0
  const { enter } = await setUp(t, {}, ({ hook, event }) => {
    hook('emit', () => slow.opened)
    event('declared', {}, () => { handled++ })
  })
  const ada = (await enter()).hear('other')
  ada.say('other', 1, 1)
  ada.say('declared', 1, 2)
  ada.session.end(1000)
  slow.open()
  await turn()
  t.strictSame([ada.events, ada.told, handled], [[], [], 0])
})

t.test('an event whose token ran out says so to the hooks', async (t) => {
  const seen: unknown[] = []
  const { enter } = await setUp(t, {}, ({ hook, event }) => {
    hook('emit', (request) => { seen.push(request.authTokenExpiredError) })
    hook('preHandler', (request) => { seen.push(request.authTokenExpiredError) })
    event('declared', {}, () => {})
  })
  const ada = await enter()
  ada.session.auth.replace({ sub: 'ada', exp: 1 }, 'signed')
  ada.say('declared')
  matchEach(t, seen, [{ name: 'AuthTokenExpiredError' }, { name: 'AuthTokenExpiredError' }])
  t.equal(ada.session.authToken, null)
})
