// Subscribing and unsubscribing: hooks, the channel's policy, the broker, events, and then the answer.
import t from 'tap'
import { ScRefusal, memoryBroker } from '../../lib/index.js'
import { slices } from '../../lib/slices.js'
import { matchEach } from '../helpers/match-each.js'
import { gate, setUp, setUpManual, turn } from './parts.js'

t.test('a subscription: the events come before the answer, and the publications after it', async (t) => {
  const { enter, core } = await setUp(t)
  const ada = (await enter()).hear('subscribe', 'unsubscribe')
  const server: unknown[] = []
  core.events.emitter.on('subscription', (socket: unknown, channel: unknown, options: unknown) => { server.push(['+', socket === ada.socket, channel, options, ada.told]) })
  core.events.emitter.on('unsubscription', (socket: unknown, channel: unknown) => { server.push(['-', socket === ada.socket, channel, ada.told]) })
  ada.say('#subscribe', 'a', 1)
  t.strictSame(ada.told, [{ rid: 1 }])
  ada.say('#subscribe', { channel: 'b', waitForAuth: false, data: { n: 1 } }, 2)
  t.strictSame(ada.told, [{ rid: 2 }])
  ada.say('#subscribe', { channel: 'c' })
  t.strictSame(ada.told, [], 'no answer that nobody waits for')
  t.strictSame(ada.socket.subscriptions(), ['a', 'b', 'c'])
  const options = [{ channel: 'a' }, { channel: 'b', waitForAuth: false, data: { n: 1 } }, { channel: 'c' }]
  t.strictSame(ada.events, options.map((given) => ['subscribe', given.channel, given]))
  t.strictSame(server.splice(0), options.map((given) => ['+', true, given.channel, given, []]))
  ada.events.length = 0
  for (const [at, data] of ['a', { channel: 'b' }].entries()) {
    ada.say('#unsubscribe', data, at + 3)
    t.strictSame(ada.told, [{ rid: at + 3 }])
  }
  ada.say('#unsubscribe', 'c')
  t.strictSame([ada.told, ada.socket.subscriptions(), ada.events], [[], [], [['unsubscribe', 'a'], ['unsubscribe', 'b'], ['unsubscribe', 'c']]])
  t.strictSame(server, ['a', 'b', 'c'].map((channel) => ['-', true, channel, []]))
})

t.test('what cannot be subscribed to is refused', async (t) => {
  const { enter, connect, core } = await setUp(t, {}, ({ channel }) => {
    channel('closed', { clientSubscribe: false })
    channel('room/:id', {})
  })
  const ada = await enter()
  const refused = async (event: string, data: unknown, error: object): Promise<void> => { t.match((await ada.call(event, data)).error, error, `${event} ${JSON.stringify(data)}`) }
  for (const event of ['#subscribe', '#unsubscribe']) {
    for (const data of [undefined, null, 7, {}, { channel: null }, [1]]) await refused(event, data, { code: 'SC_ERR_CHANNEL_TYPE', message: new RegExp(`^${event} expects the channel`) })
    for (const name of ['', 'a\u0000', 'x'.repeat(256)]) for (const data of [name, { channel: name }]) await refused(event, data, { code: 'SC_ERR_CHANNEL_NAME', message: new RegExp(`^${event} expects.*255`) })
  }
  await refused('#subscribe', { channel: 'a', waitForAuth: 1 }, { code: 'SC_ERR_SUBSCRIBE_OPTION', message: '#subscribe expects waitForAuth to be a boolean, got number' })
  await refused('#subscribe', { channel: 'a', batch: 'yes' }, { code: 'SC_ERR_SUBSCRIBE_OPTION', message: '#subscribe expects batch to be a boolean, got string' })
  await refused('#subscribe', 'closed', { code: 'SC_ERR_CHANNEL_REFUSED', message: 'Clients may not subscribe to "closed"' })
  await refused('#subscribe', 'room/', { code: 'SC_ERR_CHANNEL_PARAM' })
  await refused('#unsubscribe', 'a', { code: 'SC_ERR_NOT_SUBSCRIBED', message: /from the a channel/ })
  const early = connect()
  t.match((await early.call('#subscribe', 'a')).error, { code: 'SC_ERR_EVENT_NOT_ALLOWED', message: 'Clients may not send the "#subscribe" event' })
  t.match((await early.call('#unsubscribe', 'a')).error, { code: 'SC_ERR_NOT_SUBSCRIBED' }, 'who waits for an answer gets one')
  t.strictSame([ada.socket.channelSubscriptionsCount, core.hub.channelCount], [0, 0])
  for (const data of [{ channel: 'ok', waitForAuth: null, batch: null }, { channel: 'ok2', waitForAuth: false, batch: false }]) t.notOk((await ada.call('#subscribe', data)).error)
  t.strictSame(ada.session.subscriptions.get('ok'), { channel: 'ok', serial: 0 })
})

t.test('one that waits for authentication is refused while the token has run out', async (t) => {
  const { enter } = await setUp(t)
  const ada = await enter()
  const old = { sub: 'ada', exp: 1 }
  ada.session.auth.replace(old, 'signed')
  t.match((await ada.call('#subscribe', { channel: 'a', waitForAuth: true })).error, { name: 'AuthTokenExpiredError' })
  ada.session.auth.replace(old, 'signed')
  t.notOk((await ada.call('#subscribe', { channel: 'b', waitForAuth: false })).error)
})

t.test('hooks and the policy see the request, one after the other, and may decide later', async (t) => {
  const seen: any[] = []
  let wait: () => void | Promise<void> = () => {}
  const { enter, fastify } = await setUp(t, {}, ({ hook, channel }) => {
    hook('subscribe', (request) => { seen.push(['hook', { ...request, socket: request.socket.id }]); return wait() })
    channel('room/:id', { subscribe (this: unknown, request: any) { seen.push(['policy', this === fastify, request.data, request.params.id]); return wait() } })
  })
  const ada = await enter()
  for (wait of [() => {}, turn]) {
    t.notOk((await ada.call('#subscribe', { channel: 'room/7', data: 'key', waitForAuth: false })).error)
    t.same(seen, [
      ['hook', { socket: ada.socket.id, channel: 'room/7', waitForAuth: false, data: 'key', authTokenExpiredError: undefined, revalidation: false, params: { id: '7' } }],
      ['policy', true, 'key', '7']
    ])
    seen.length = 0
    await ada.call('#unsubscribe', 'room/7')
  }
})

t.test('whoever refuses, at once or later: there is no subscription', async (t) => {
  let wait: () => void | Promise<void> = () => {}
  const { enter, core } = await setUp(t, {}, ({ hook, channel }) => {
    const refuse = (who: string): never | Promise<never> => {
      const running = wait()
      if (running === undefined) throw new ScRefusal(who)
      return running.then(() => { throw new ScRefusal(who) })
    }
    hook('subscribe', ({ data }) => data === 'hook' ? refuse('hook') : wait())
    channel('a', { subscribe: ({ data }: any) => data === 'policy' ? refuse('policy') : wait() })
  })
  const denials: unknown[] = []
  const { denied } = core.monitor
  core.monitor.denied = (session, denial) => { denials.push([denial.line, denial.channel]); return denied.call(core.monitor, session, denial) }
  const ada = (await enter()).hear('subscribe')
  for (wait of [() => {}, turn]) for (const data of ['hook', 'policy']) t.match((await ada.call('#subscribe', { channel: 'a', data })).error, { message: data })
  t.strictSame([ada.events, core.hub.channelCount], [[], 0])
  t.strictSame(denials, Array.from({ length: 4 }, () => ['subscribe', 'a']))
})

t.test('data that a hook assigns are kept, to be shown again; those of channels that nobody looks at are not', async (t) => {
  const { enter } = await setUp(t, {}, ({ hook, channel }) => {
    hook('subscribe', (request) => {
      if (request.data === 'in') request.data = 'assigned'
      else request.data = undefined
    })
    channel('a', {})
  })
  const ada = await enter()
  await ada.call('#subscribe', { channel: 'a', data: 'in' })
  t.match(ada.session.subscriptions.get('a'), { data: 'assigned' })
  await ada.call('#subscribe', { channel: 'b', data: 'as it was' })
  t.match(ada.session.subscriptions.get('b'), { data: 'as it was' })
  const { enter: enterOpen } = await setUp(t, {}, ({ channel }) => { channel('policed', { subscribe: () => {} }) })
  const bob = await enterOpen()
  const options = [{ channel: 'open', data: 1 }, { channel: 'for members', data: 2, waitForAuth: true }, { channel: 'policed', data: 3 }]
  bob.session.auth.replace({ sub: 'bob' }, 'signed')
  for (const each of options) t.notOk((await bob.call('#subscribe', each)).error)
  t.strictSame(options.map(({ channel }) => bob.session.subscriptions.get(channel)?.data), [undefined, 2, 3])
})

t.test('the data of guarded subscriptions have a limit, for what the client sends and what a hook assigns', async (t) => {
  const { enter } = await setUp(t, {}, ({ hook, channel }) => {
    channel('open', {})
    hook('subscribe', (request) => { if (request.data === 'grow') request.data = 'x'.repeat(40_000) })
  })
  const ada = await enter()
  const message = /may take at most 32768 bytes/
  const subscribe = async (channel: string, data: unknown): Promise<any> => (await ada.call('#subscribe', { channel, data })).error
  t.match(await subscribe('a', 'x'.repeat(40_000)), { code: 'SC_ERR_SUBSCRIBE_DATA', message })
  t.match(await subscribe('a', 'grow'), { code: 'SC_ERR_SUBSCRIBE_DATA' })
  t.equal(await subscribe('a', 'x'.repeat(12_000)), undefined)
  t.match(await subscribe('b', 'x'.repeat(12_000)), { code: 'SC_ERR_SUBSCRIBE_DATA' }, 'all of a socket count together')
  t.equal(await subscribe('b', 'x'), undefined)
  t.equal(await subscribe('c', undefined), undefined)
  await ada.call('#unsubscribe', 'a')
  t.equal(await subscribe('d', 'x'.repeat(12_000)), undefined)
  const { enter: enterOpen } = await setUp(t)
  t.notOk((await (await enterOpen()).call('#subscribe', { channel: 'a', data: 'x'.repeat(40_000) })).error, 'what nobody looks at is not kept')
})

t.test('so do those for which hooks are still being asked', async (t) => {
  const slow = gate()
  const { enter } = await setUp(t, {}, ({ hook }) => { hook('subscribe', () => slow.opened) })
  const ada = await enter()
  for (const channel of ['a', 'b']) ada.say('#subscribe', { channel, data: 'x'.repeat(12_000) }, channel)
  slow.open()
  await turn()
  matchEach(t, ada.told, [{ rid: 'a' }, { rid: 'b', error: { code: 'SC_ERR_SUBSCRIBE_DATA' } }])
})

t.test('so do those for which the broker is still being asked, with what hooks assign when they are asked again', async (t) => {
  const { enter, answer } = await setUpManual(t, {}, ({ hook }) => {
    hook('subscribe', (request) => { if (request.socket.authToken?.sub === 'bob') request.data = 'x'.repeat(40_000) })
  })
  const data = 'x'.repeat(12_000)
  const ada = await enter()
  for (const channel of ['a', 'b']) ada.say('#subscribe', { channel, data }, channel)
  await answer()
  await turn()
  const error = { code: 'SC_ERR_SUBSCRIBE_DATA', name: 'InvalidActionError' }
  matchEach(t, ada.told, [{ rid: 'a' }, { rid: 'b', error }])
  t.strictSame([ada.session.subscriptions.names, ada.session.subscriptions.joining, ada.session.subscriptions.dataBytes < 32_768], [['a'], 0, true])
  const bob = await enter()
  bob.session.auth.replace({ sub: 'nobody' }, 'signed')
  bob.say('#subscribe', { channel: 'c', data }, 'c')
  bob.session.auth.announce(bob.session.auth.replace({ sub: 'bob' }, 'signed'))
  await answer()
  await turn()
  matchEach(t, bob.told.filter(({ rid }: any) => rid === 'c'), [{ rid: 'c', error }])
  t.strictSame([bob.session.subscriptions.names, bob.session.subscriptions.joining, bob.session.subscriptions.dataBytes], [[], 0, 0])
})

t.test('distinct channels count towards the limit, those that are still being asked about too', async (t) => {
  const slow = gate()
  const { enter } = await setUp(t, { socketChannelLimit: 2 }, ({ hook }) => { hook('subscribe', ({ data }) => data === 'slow' ? slow.opened : undefined) })
  const ada = await enter()
  const refusal = { code: 'SC_ERR_CHANNEL_LIMIT', message: 'A socket may subscribe to at most 2 channels; see the option socketChannelLimit' }
  for (const channel of ['a', 'b']) t.notOk((await ada.call('#subscribe', channel)).error)
  t.match((await ada.call('#subscribe', 'c')).error, refusal)
  t.notOk((await ada.call('#subscribe', 'a')).error, 'a channel that it is in is no more')
  await ada.call('#unsubscribe', 'a')
  ada.hear('subscribe')
  for (const channel of ['d', 'e']) ada.say('#subscribe', { channel, data: 'slow' }, channel)
  slow.open()
  await turn()
  matchEach(t, ada.told, [{ rid: 'd' }, { rid: 'e', error: refusal }])
  t.strictSame(ada.events, [['subscribe', 'd', { channel: 'd', data: 'slow' }]])
  const unlimited = await (await setUp(t, { socketChannelLimit: 0 })).enter()
  t.notOk((await unlimited.call('#subscribe', 'a')).error)
})

t.test('the same while the broker is asked, and when it refuses the place is free again', async (t) => {
  const { enter, answer, core, warnings } = await setUpManual(t, { socketChannelLimit: 1 })
  const ada = (await enter()).hear('subscribe', 'error')
  ada.say('#subscribe', 'a', 1)
  t.match((await ada.call('#subscribe', 'b')).error, { code: 'SC_ERR_CHANNEL_LIMIT' })
  await answer(new Error('not today'))
  matchEach(t, ada.told, [{ rid: 1, error: { name: 'BrokerError', message: 'Failed to subscribe socket to the a channel' } }])
  matchEach(t, ada.events, [['error', { code: 'SC_ERR_CHANNEL_LIMIT' }], ['error', { code: 'SC_ERR_SUBSCRIBE', message: 'Failed to subscribe socket to the a channel - not today', cause: { name: 'BrokerError' } }]])
  t.match(warnings.at(-1), { code: 'SC_ERR_SUBSCRIBE' })
  t.strictSame([ada.session.subscriptions.joining, core.hub.channelCount], [0, 0])
  ada.say('#subscribe', 'b', 2)
  await answer()
  t.strictSame([ada.told, ada.session.subscriptions.joining, ada.socket.subscriptions()], [[{ rid: 2 }], 0, ['b']])
  await ada.call('#unsubscribe', 'b')
  ada.say('#subscribe', 'c')
  await answer(new Error('not today'))
  t.strictSame(ada.told, [], 'no answer that nobody waits for')
})

t.test('a subscription to a channel that it is in is acknowledged, and fires nothing', async (t) => {
  const { enter } = await setUp(t)
  const ada = (await enter()).hear('subscribe')
  for (const cid of [1, 2]) ada.say('#subscribe', 'a', cid)
  t.strictSame([ada.told, ada.events.length], [[{ rid: 1 }, { rid: 2 }], 1])
})

t.test('the answers of a batch are gathered', async (t) => {
  const { enter } = await setUp(t)
  const ada = await enter()
  for (const [cid, channel] of ['a', 'b', 'a'].entries()) ada.say('#subscribe', { channel, batch: true }, cid)
  t.strictSame(ada.told, [])
  await turn()
  t.strictSame(ada.told, [[{ rid: 0 }, { rid: 1 }, { rid: 2 }]])
})

t.test('a socket that is gone while hooks or the broker took their time is in no channel', async (t) => {
  const slow = gate()
  const { enter, answer, core } = await setUpManual(t, {}, ({ hook }) => { hook('subscribe', ({ data }) => data === 'slow' ? slow.opened : undefined) })
  const ada = (await enter()).hear('subscribe')
  ada.say('#subscribe', { channel: 'a', data: 'slow' }, 1)
  ada.say('#subscribe', { channel: 'b' }, 2)
  ada.say('#unsubscribe', 'b', 3)
  ada.session.end(1000)
  slow.open()
  await answer()
  t.strictSame([ada.told, ada.events, core.hub.channelCount, ada.socket.channelSubscriptionsCount], [[], [], 0, 0])
})

t.test('what the socket was when the hooks said yes counts: one who is somebody else is asked about again', async (t) => {
  const asked: any[] = []
  const { enter, answer } = await setUpManual(t, {}, ({ hook }) => {
    hook('subscribe', ({ socket, revalidation }) => {
      asked.push([socket.authToken?.sub, revalidation])
      if (socket.authToken?.sub !== 'ada') throw new ScRefusal('ada only')
    })
  })
  const ada = (await enter()).hear('subscribe', 'unsubscribe')
  ada.session.auth.replace({ sub: 'ada' }, 'signed')
  ada.say('#subscribe', 'a', 1)
  ada.session.auth.announce(ada.session.auth.replace({ sub: 'bob' }, 'signed'))
  ada.events.length = 0
  await answer()
  slices.finish()
  t.strictSame(asked, [['ada', false], ['bob', false]])
  t.strictSame(ada.events, [])
  matchEach(t, ada.told, [{ rid: 1, error: { message: 'ada only' } }])
})

t.test('a listener that throws is no word of the broker', async (t) => {
  const { enter, answer, core, warnings } = await setUpManual(t, {})
  const ada = await enter()
  const bug = new Error('a bug')
  const { fire } = core.events
  core.events.fire = (event, args) => { if (event === 'subscription') throw bug; fire.call(core.events, event, args as never) }
  ada.say('#subscribe', 'a', 1)
  await answer()
  await turn()
  t.strictSame([ada.told, core.stats().faults], [[], 1])
  t.strictSame(ada.closed, { code: 1011, reason: '' })
  t.ok(!warnings.some(({ code }) => code === 'SC_ERR_SUBSCRIBE'))
})

t.test('an unsubscribe takes effect after what came before it on its channel', async (t) => {
  const slow = gate()
  const { enter } = await setUp(t, { broker: memoryBroker() }, ({ hook }) => { hook('publishIn', () => slow.opened) })
  const ada = await enter()
  await ada.call('#subscribe', 'a')
  ada.say('#publish', { channel: 'a', data: 1 }, 1)
  ada.say('#unsubscribe', 'a', 2)
  t.strictSame(ada.told, [])
  slow.open()
  await turn()
  t.strictSame(ada.told, [{ event: '#publish', data: { channel: 'a', data: 1 } }, { rid: 1 }, { rid: 2 }])
})
