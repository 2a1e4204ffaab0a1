// A publication of a client: `publishIn` hooks, the message's schema, the channel's policy, and then the exchange.
import t from 'tap'
import { ScRefusal } from '../../lib/index.js'
import { type Broker, memoryBroker } from '../../lib/index.js'
import { matchEach } from '../helpers/match-each.js'
import { gate, setUp, turn } from './parts.js'

const number = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } }

t.test('it reaches the subscribers before its ack, and the socket\'s listeners after it', async (t) => {
  const { enter } = await setUp(t)
  const [ada, bob] = [await enter(), await enter()]
  for (const each of [ada, bob]) await each.call('#subscribe', 'a')
  ada.say('#publish', { channel: 'a', data: { n: 1 } }, 7)
  const publication = { event: '#publish', data: { channel: 'a', data: { n: 1 } } }
  t.strictSame(ada.told, [publication, { rid: 7 }])
  t.strictSame(bob.told, [publication])
  ada.hear('#publish')
  ada.socket.on('#publish', () => { t.strictSame(ada.told, [publication, { rid: 8 }], 'all is said when the listener is called') })
  ada.say('#publish', { channel: 'a', data: { n: 1 } }, 8)
  t.strictSame(ada.events, [['#publish', { channel: 'a', data: { n: 1 } }]])
  ada.socket.off('#publish')
  ada.say('#publish', { channel: 'a' })
  t.strictSame(ada.told, [{ event: '#publish', data: { channel: 'a' } }], 'no ack that nobody waits for')
})

t.test('what may not be published is refused', async (t) => {
  const { enter, connect, core } = await setUp(t, {}, ({ channel }) => {
    channel('closed', { clientPublish: false })
    channel('room/:id', {})
  })
  const ada = await enter()
  const refused = async (data: unknown, error: object): Promise<void> => { t.match((await ada.call('#publish', data)).error, error, JSON.stringify(data)) }
  for (const data of [undefined, null, 'a', 7, {}, { channel: null }, { channel: 7 }]) await refused(data, { name: 'InvalidActionError', message: /^#publish expects the channel to be a string/ })
  for (const channel of ['', 'a\u0000', 'x'.repeat(256)]) await refused({ channel }, { code: 'SC_ERR_CHANNEL_NAME', message: /^#publish expects.*255/ })
  await refused({ channel: 'closed' }, { code: 'SC_ERR_CHANNEL_REFUSED', message: 'Clients may not publish to "closed"' })
  await refused({ channel: 'room/' }, { code: 'SC_ERR_CHANNEL_PARAM' })
  const early = connect()
  t.match((await early.call('#publish', { channel: 'a' })).error, { code: 'SC_ERR_EVENT_NOT_ALLOWED', message: 'Clients may not send the "#publish" event' })
  t.strictSame([core.exchange.publishes, core.stats().invalid], [0, 13])
  const closed = await setUp(t, { allowClientPublish: false })
  const bob = await closed.enter()
  t.match((await bob.call('#publish', { channel: 'a' })).error, { code: 'SC_ERR_PUBLISH_DISABLED' })
  bob.say('#publish', { channel: 'a' })
  t.strictSame([bob.told, closed.core.stats().invalid], [[], 2], 'one that waits for no answer gets none')
})

t.test('hooks see who publishes what, may replace it, and answer with data', async (t) => {
  const seen: any[] = []
  const { enter, core } = await setUp(t, {}, ({ hook, channel }) => {
    channel('room/:id', {})
    hook('publishIn', (request) => {
      seen.push({ ...request })
      if (request.data === 'keep') request.data = undefined
      else if (request.data === 'replace') request.data = 'replaced'
      request.ackData = { thanks: request.channel }
    })
  })
  const got: unknown[] = []
  core.exchange.subscribe('room/7').watch((data) => { got.push(data) })
  const ada = await enter()
  t.strictSame((await ada.call('#publish', { channel: 'room/7', data: 'keep' })).data, { thanks: 'room/7' })
  await ada.call('#publish', { channel: 'room/7', data: 'replace' })
  t.strictSame(got, ['keep', 'replaced'])
  t.match(seen[0], { channel: 'room/7', data: 'keep', ackData: undefined, authTokenExpiredError: undefined, params: { id: '7' } })
  t.equal(seen[0].socket, ada.socket)
  t.strictSame(Object.keys(seen[0]).sort(), ['ackData', 'authTokenExpiredError', 'channel', 'data', 'params', 'socket'])
})

t.test('who is refused by a hook or a policy gets the data of the answer with the error', async (t) => {
  const { enter, core } = await setUp(t, {}, ({ hook, channel }) => {
    hook('publishIn', (request) => {
      request.ackData = 'beside'
      if (request.data === 'hook') throw new ScRefusal('not by the hook')
      if (request.data === 'later') return Promise.reject(new ScRefusal('not later'))
    })
    channel('policed', { publish: ({ data }: any) => { if (data === 'policy') throw new ScRefusal('not by the policy') } })
  })
  const blocked: any[] = []
  const ada = await enter()
  core.monitor.denied = ((denied) => (session, denial) => { blocked.push([denial.line, denial.channel]); return denied.call(core.monitor, session, denial) })(core.monitor.denied)
  t.match(await ada.call('#publish', { channel: 'a', data: 'hook' }), { error: { message: 'not by the hook' }, data: 'beside' })
  t.match(await ada.call('#publish', { channel: 'a', data: 'later' }), { error: { message: 'not later' }, data: 'beside' })
  t.match(await ada.call('#publish', { channel: 'policed', data: 'policy' }), { error: { message: 'not by the policy' }, data: 'beside' })
  t.strictSame([core.exchange.publishes, blocked], [0, [['publishIn', 'a'], ['publishIn', 'a'], ['publishIn', 'policed']]])
})

for (const how of ['at once', 'later'] as const) {
  const check = (data: any): any => {
    const checked = Number.isInteger(data?.n) ? { value: { n: data.n, checked: true } } : { error: Object.assign(new Error('n must be an integer'), { statusCode: 400 }) }
    return how === 'at once' ? checked : Promise.resolve(checked)
  }

  t.test(`a message is checked ${how}, after the hooks; what the policy makes of it is checked too`, async (t) => {
    const { enter, core } = await setUp(t, {}, ({ hook, channel }) => {
      hook('publishIn', (request) => { if (request.data === 'hooked') request.data = { n: 1 } })
      channel('a', { message: number, publish (request: any) { if (request.data.n === 2) request.data = { n: 20 }; if (request.data.n === 3) request.data = 'no number' } })
    })
    const { route } = core.contracts.channel('a')
    Object.assign(route, { validateMessage: check })
    const got: unknown[] = []
    core.exchange.subscribe('a').watch((data) => { got.push(data) })
    const ada = await enter()
    const publish = async (data: unknown): Promise<any> => (await ada.call('#publish', { channel: 'a', data })).error
    t.match(await publish('text'), { message: 'n must be an integer' })
    for (const data of ['hooked', { n: 2 }]) t.equal(await publish(data), undefined)
    t.match(await publish({ n: 3 }), { message: 'n must be an integer' })
    t.strictSame(got, [{ n: 1, checked: true }, { n: 20, checked: true }])
    t.equal(core.stats().invalid, 2)
  })
}

t.test('a policy is asked once, with what passed the schema, and may take its time', async (t) => {
  const asked: any[] = []
  const { enter, core, fastify } = await setUp(t, {}, ({ channel }) => {
    channel('room/:id', {
      publish (this: unknown, request: any) {
        asked.push([this, { ...request, socket: request.socket.id }])
        return turn().then(() => { request.data = ['seen', request.data] })
      }
    })
  })
  const got: unknown[] = []
  core.exchange.subscribe('room/7').watch((data) => { got.push(data) })
  const ada = await enter()
  t.notOk((await ada.call('#publish', { channel: 'room/7', data: 1 })).error)
  t.equal(asked.length, 1)
  t.equal(asked[0][0], fastify)
  t.same(asked[0][1], { socket: ada.socket.id, channel: 'room/7', params: { id: '7' }, data: 1 })
  t.strictSame(got, [['seen', 1]])
})

t.test('a hook may send a message to another channel, whose rules count, and no hook sees it twice', async (t) => {
  const ran: string[] = []
  const { enter, core } = await setUp(t, {}, ({ hook, channel }) => {
    hook('publishIn', (request) => {
      ran.push(`first ${request.channel}`)
      if (request.channel.startsWith('to ')) request.channel = request.channel.slice(3)
    })
    hook('publishIn', (request) => { ran.push(`second ${request.channel}`); request.ackData = [request.ackData, request.channel] })
    channel('closed', { clientPublish: false })
    channel('checked', { message: number })
  })
  const got: unknown[] = []
  for (const name of ['to b', 'b', 'to to b']) core.exchange.subscribe(name).watch((data) => { got.push([name, data]) })
  const ada = await enter()
  t.match(await ada.call('#publish', { channel: 'to b', data: 1 }), { data: [null, 'b'] })
  t.strictSame(ran, ['first to b', 'second b'])
  await ada.call('#publish', { channel: 'to to b', data: 2 })
  t.strictSame(got, [['b', 1], ['to b', 2]])
  t.match((await ada.call('#publish', { channel: 'to closed', data: 1 })).error, { code: 'SC_ERR_CHANNEL_REFUSED' })
  t.match((await ada.call('#publish', { channel: 'to checked', data: 'x' })).error, { name: 'ValidationError' })
  t.match((await ada.call('#publish', { channel: 'to ' })).error, { code: 'SC_ERR_CHANNEL_NAME', message: /^#publish/ })
  t.equal(core.exchange.publishes, 2)
})

t.test('who left while hooks, the policy or the schema took their time publishes nothing', async (t) => {
  const slow = gate()
  const { enter, core } = await setUp(t, {}, ({ hook, channel }) => {
    hook('publishIn', ({ channel }) => channel === 'hooked' ? slow.opened : undefined)
    channel('policed', { publish: () => slow.opened })
  })
  const peers = []
  for (const channel of ['hooked', 'policed']) {
    const peer = await enter()
    peer.hear('#publish').say('#publish', { channel, data: 1 }, 1)
    peer.say('#publish', { channel, data: 2 }, 2)
    peers.push(peer)
    peer.session.end(1000)
  }
  slow.open()
  await turn()
  t.equal(core.exchange.publishes, 0)
  for (const peer of peers) t.strictSame([peer.told, peer.events], [[], []])
})

t.test('what the broker refuses, at once or later, fails with the data of the answer', async (t) => {
  const memory = memoryBroker()
  const broker: Broker = Object.assign(memory, {
    publish (channel: string) {
      if (channel === 'throws') throw new Error('not now')
      if (channel === 'rejects') return Promise.reject(new Error('not now'))
      return turn()
    }
  })
  const { enter, warnings } = await setUp(t, { broker }, ({ hook }) => { hook('publishIn', (request) => { request.ackData = 'beside' }) })
  const ada = (await enter()).hear('#publish')
  for (const channel of ['throws', 'rejects']) t.match(await ada.call('#publish', { channel, data: 1 }), { error: { message: 'Internal error' }, data: 'beside' }, channel)
  matchEach(t, warnings, [{ message: 'not now' }, { message: 'not now' }])
  t.strictSame(ada.events, [])
  t.strictSame((await ada.call('#publish', { channel: 'accepted', data: 1 })).data, 'beside')
  t.strictSame(ada.events, [['#publish', { channel: 'accepted', data: 1 }]])
})

t.test('what cannot be encoded is told at once', async (t) => {
  const { enter } = await setUp(t, {}, ({ hook }) => { hook('publishIn', (request) => { request.data = 1n }) })
  t.match((await (await enter()).call('#publish', { channel: 'a' })).error, { code: 'SC_ERR_ENCODE' })
})
