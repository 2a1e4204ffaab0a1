// What a socket is subscribed to is checked again when its authorization changed.
import t from 'tap'
import { ScRefusal } from '../../lib/index.js'
import { MiddlewareBlock } from '../../lib/lifecycle/block.js'
import { revalidate, withhold } from '../../lib/handlers/revalidate.js'
import { slices } from '../../lib/slices.js'
import { Clock } from '../helpers/clock.js'
import { matchEach } from '../helpers/match-each.js'
import { type Peer, gate, setUp, turn } from './parts.js'

/** The socket has other claims, and all that follows from that is begun, however busy this turn is. */
function become (peer: Peer, sub: string | null): void {
  const { auth } = peer.session
  if (sub === null) auth.announceLoss(auth.clear())
  else auth.announce(auth.replace({ sub }, 'signed'))
  slices.finish()
}

/** What a client is told of channels, in order. */
function summary (packets: any[]): unknown[] {
  return packets.map(({ event, data, rid }) => event === '#publish' ? `${data.channel} ${data.data}` : event === '#kickOut' ? ['kicked out', data.channel, data.message] : rid ?? event)
}

const adaOnly = ({ socket }: any): void => { if (socket.authToken?.sub !== 'ada') throw new ScRefusal('ada only') }

/** A server with channels of each kind, and a client that is in all of them. */
async function setUpMember (...[t, options, wait]: [t: Parameters<typeof setUp>[0], options?: Parameters<typeof setUp>[1], wait?: () => Promise<void> | undefined]) {
  const asked: any[] = []
  const set = await setUp(t, options, ({ channel }) => {
    channel('open', {})
    channel('policed', {
      subscribe (request: any) {
        asked.push({ ...request, socket: request.socket.authToken?.sub })
        const allowed = request.socket.authToken?.sub === 'ada'
        const decide = (): void => { if (!allowed) throw new ScRefusal('ada only') }
        const running = request.revalidation === true ? wait?.() : undefined
        return running === undefined ? decide() : running.then(decide)
      }
    })
  })
  const ada = await set.enter()
  become(ada, 'ada')
  for (const data of ['open', { channel: 'policed', data: 'key' }, { channel: 'for members', waitForAuth: true }]) await ada.call('#subscribe', data)
  asked.length = 0
  ada.hear('unsubscribe')
  const publish = (data: unknown, channels = ['open', 'policed', 'for members']): void => { for (const channel of channels) set.core.exchange.publish(channel, data) }
  return { ...set, ada, asked, publish }
}

t.test('what is still allowed stays, and nothing is lost', async (t) => {
  const { ada, asked, publish } = await setUpMember(t)
  become(ada, 'ada')
  publish(1)
  t.strictSame(summary(ada.told), ['open 1', 'policed 1', 'for members 1'])
  t.same(asked, [{ socket: 'ada', channel: 'policed', waitForAuth: undefined, data: 'key', authTokenExpiredError: undefined, revalidation: true, params: {} }], 'only where somebody has a say')
  t.strictSame(ada.events, [])
})

t.test('what is no longer allowed is taken away, and the client is told why', async (t) => {
  const { ada, core, publish } = await setUpMember(t)
  const denials: any[] = []
  const { denied } = core.monitor
  core.monitor.denied = (session, denial) => { denials.push([denial.line, denial.channel, denial.text, denial.warns]); return denied.call(core.monitor, session, denial) }
  become(ada, 'bob')
  publish(1)
  t.strictSame(summary(ada.told), [['kicked out', 'policed', 'ada only'], 'open 1', 'for members 1'])
  become(ada, null)
  publish(2)
  t.strictSame(summary(ada.told), [['kicked out', 'for members', 'Channel "for members" needs an authenticated socket'], 'open 2'])
  t.strictSame(ada.events, [['unsubscribe', 'policed'], ['unsubscribe', 'for members']])
  t.strictSame(denials, ['policed', 'for members'].map((channel) => ['subscribe', channel, 'subscription lost', false]))
})

t.test('a refusal by bare text is what the client reads; one whose text it may not see is Internal error', async (t) => {
  let refusal: unknown
  const { enter } = await setUp(t, {}, ({ hook }) => { hook('subscribe', ({ revalidation }) => { if (revalidation) throw refusal }) })
  const ada = await enter()
  for (const [thrown, message] of [['just text', 'Internal error'], [new Error('a secret'), 'Internal error'], [new ScRefusal('no'), 'no'], [new MiddlewareBlock('passed on', undefined), 'passed on'], [new MiddlewareBlock(7, undefined), undefined]] as const) {
    await ada.call('#subscribe', 'a')
    refusal = thrown
    become(ada, 'ada')
    become(ada, 'bob')
    matchEach(t, ada.told, [{ event: '#kickOut', data: message === undefined ? { channel: 'a', message: undefined } : { channel: 'a', message } }])
  }
})

t.test('"suspend": it stays subscribed and gets nothing, till it is allowed again', async (t) => {
  const { ada, publish } = await setUpMember(t, { revalidate: 'suspend' })
  become(ada, null)
  publish(1)
  t.strictSame(summary(ada.told), ['open 1'])
  become(ada, 'ada')
  publish(2)
  t.strictSame(summary(ada.told), ['open 2', 'policed 2', 'for members 2'])
  t.strictSame([ada.events, ada.socket.channelSubscriptionsCount], [[], 3])
})

t.test('turned off, nobody is asked', async (t) => {
  const { ada, asked, publish, context } = await setUpMember(t, { revalidate: false })
  become(ada, null)
  publish(1)
  t.strictSame(summary(ada.told), ['open 1', 'policed 1', 'for members 1'])
  t.strictSame([asked, withhold(context, ada.session)], [[], []])
})

t.test('while it is asked messages are held back; they go out, or not, as it is decided', async (t) => {
  let slow = gate()
  const { ada, publish } = await setUpMember(t, {}, () => slow.opened)
  become(ada, 'ada')
  publish(1)
  t.strictSame(summary(ada.told), ['open 1', 'for members 1'])
  slow.open()
  await turn()
  publish(2, ['policed'])
  t.strictSame(summary(ada.told), ['policed 1', 'policed 2'])
  slow = gate()
  become(ada, 'bob')
  publish(3)
  slow.open()
  await turn()
  publish(4, ['policed'])
  t.strictSame(summary(ada.told), ['open 3', 'for members 3', ['kicked out', 'policed', 'ada only']])
})

t.test('a check that was begun for claims that are gone decides nothing, neither way', async (t) => {
  for (const last of ['ada', 'bob']) {
    const gates: Array<ReturnType<typeof gate>> = []
    const { ada, asked, publish } = await setUpMember(t, {}, () => { const next = gate(); gates.push(next); return next.opened })
    become(ada, last === 'ada' ? 'bob' : 'ada')
    become(ada, last)
    publish(1, ['policed'])
    // The second check waits for the first one: they are of one channel.
    gates[0]!.open()
    await turn()
    t.strictSame([summary(ada.told), asked.map(({ socket }) => socket)], [[], last === 'ada' ? ['bob', 'ada'] : ['ada', 'bob']])
    gates[1]!.open()
    await turn()
    t.strictSame(summary(ada.told), last === 'ada' ? ['policed 1'] : [['kicked out', 'policed', 'ada only']])
  }
})

t.test('checks that wait for their turn and are out of date ask nobody', async (t) => {
  const gates: Array<ReturnType<typeof gate>> = []
  const { ada, asked } = await setUpMember(t, {}, () => { const next = gate(); gates.push(next); return next.opened })
  for (const sub of ['bob', 'max', 'ada']) become(ada, sub)
  gates[0]!.open()
  await turn()
  t.strictSame(asked.map(({ socket }) => socket), ['bob', 'ada'])
})

t.test('a channel that was left before its turn came keeps nothing', async (t) => {
  const slow = gate()
  const { ada, asked, publish } = await setUpMember(t)
  const { queue } = ada.session
  queue.run('policed', () => slow.opened, undefined)
  become(ada, 'ada')
  publish(1, ['policed'])
  ada.session.subscriptions.leave('policed')
  slow.open()
  await turn()
  t.strictSame(asked, [])
  await ada.call('#subscribe', 'policed')
  publish(2, ['policed'])
  t.strictSame(summary(ada.told), ['policed 2'])
})

t.test('a channel that the server took away while it was asked has nothing to lose', async (t) => {
  const slow = gate()
  const { ada, publish, core } = await setUpMember(t, { revalidate: 'suspend' }, () => slow.opened)
  become(ada, 'bob')
  const { blocked } = core.stats()
  await ada.socket.kickOut('policed', 'for another reason')
  slow.open()
  await turn()
  t.strictSame([summary(ada.told), core.stats().blocked], [[['kicked out', 'policed', 'for another reason']], blocked])
  become(ada, 'ada')
  await ada.call('#subscribe', 'policed')
  publish(1, ['policed'])
  t.strictSame(summary(ada.told), ['policed 1'], 'a subscription that comes later is not suspended')
})

t.test('who is gone is not asked about', async (t) => {
  const slow = gate()
  const { ada, asked, context } = await setUpMember(t)
  ada.session.queue.run('policed', () => slow.opened, undefined)
  become(ada, 'bob')
  ada.session.end(1000)
  slow.open()
  await turn()
  t.strictSame([asked, withhold(context, ada.session)], [[], []])
})

t.test('many are checked in slices; a change meanwhile, and a close, end the work', async (t) => {
  const clock = new Clock(t)
  let asked: string[] = []
  const { enter, context } = await setUp(t, {}, ({ hook }) => {
    hook('subscribe', ({ channel, revalidation }) => {
      if (!revalidation) return
      asked.push(channel)
      clock.now += 5
    })
  })
  const [ada, bob] = [await enter(), await enter()]
  for (const each of [ada, bob]) for (const channel of ['a', 'b', 'c']) await each.call('#subscribe', channel)
  revalidate(context, ada.session)
  t.strictSame(asked, ['a'], 'the others wait for another turn')
  await turn()
  t.strictSame(asked, ['a', 'b'])
  revalidate(context, ada.session)
  slices.finish()
  t.strictSame(asked, ['a', 'b', 'a', 'b', 'c'], 'all of them again, and nothing of the old work')
  asked = []
  await turn()
  revalidate(context, bob.session)
  t.strictSame(asked, ['a'])
  bob.session.end(1000)
  slices.finish()
  t.strictSame(asked, ['a'])
})

t.test('without guarded channels nothing is begun', async (t) => {
  const { enter } = await setUp(t, {}, ({ channel }) => { channel('other', { subscribe: adaOnly }) })
  const ada = await enter()
  await ada.call('#subscribe', 'open')
  become(ada, 'ada')
  const { run } = slices
  t.teardown(() => { slices.run = run })
  slices.run = () => { t.fail('work was begun') }
  become(ada, 'bob')
  t.strictSame(ada.told, [])
})
