// A hook or a policy that never decides: the client is told which, when its time is over.
import jwt from 'jsonwebtoken'
import t from 'tap'
import { Clock } from '../helpers/clock.js'
import { authKey } from '../helpers/serve.js'
import { type Declaring, setUp } from './parts.js'

const never = (): Promise<void> => new Promise(() => {})

const lines: Array<[list: string, declare: (declaring: Declaring) => void, event: string, data: unknown]> = [
  ['emit', ({ hook }) => { hook('emit', never) }, 'call', null],
  ['preHandler', ({ hook, event }) => { hook('preHandler', never); event('call', {}, () => {}) }, 'call', null],
  ['preHandler', ({ event }) => { event('call', { preHandler: never }, () => {}) }, 'call', null],
  ['subscribe', ({ hook }) => { hook('subscribe', never) }, '#subscribe', 'a'],
  ['subscribe policy', ({ channel }) => { channel('a', { subscribe: never }) }, '#subscribe', 'a'],
  ['publishIn', ({ hook }) => { hook('publishIn', never) }, '#publish', { channel: 'a' }],
  ['publish policy', ({ channel }) => { channel('a', { publish: never }) }, '#publish', { channel: 'a' }]
]

for (const [list, declare, event, data] of lines) {
  t.test(`${list}, for ${event}`, async (t) => {
    const { enter } = await setUp(t, { hookTimeout: 500 }, declare)
    const ada = await enter()
    const clock = new Clock(t)
    ada.say(event, data, 1)
    await clock.advance(400)
    t.strictSame(ada.told, [])
    await clock.advance(200)
    t.match(ada.told, [{ rid: 1, error: { code: 'SC_ERR_HOOK_TIMEOUT', message: `A ${list} hook took longer than 500 ms; see the option hookTimeout` } }])
    t.strictSame([ada.session.waitingInbound, ada.session.heldBytes], [0, 0])
  })
}

t.test('who connects, and who authenticates', async (t) => {
  let slow = ''
  const { connect } = await setUp(t, { hookTimeout: 500 }, ({ hook }) => {
    for (const line of ['handshakeSC', 'authenticate']) hook(line, () => line === slow ? never() : undefined)
  })
  const clock = new Clock(t)
  const text = (line: string): string => `A ${line} hook took longer than 500 ms; see the option hookTimeout`
  const [ada, bob] = [connect(), connect()]
  bob.say('#handshake', {}, 1)
  slow = 'handshakeSC'
  ada.say('#handshake', {}, 1)
  await clock.advance(600)
  t.match(ada.told[0], { rid: 1, error: { message: text('handshakeSC') } })
  t.match(ada.closed, { code: 4008 })
  slow = 'authenticate'
  bob.say('#authenticate', jwt.sign({ sub: 'bob' }, authKey), 2)
  await clock.advance(600)
  t.match(bob.told[1], { rid: 2, data: { isAuthenticated: false, authError: { message: text('authenticate') } } })
  t.equal(bob.session.authToken, null)
})

t.test('a hook that observes and never ends is a warning', async (t) => {
  const { enter, warnings } = await setUp(t, { hookTimeout: 500 }, ({ hook, event }) => {
    for (const line of ['onResponse', 'onError']) hook(line, never)
    event('works', {}, () => 1)
    event('fails', {}, () => { throw new Error('a bug') })
  })
  const ada = await enter()
  const clock = new Clock(t)
  for (const event of ['works', 'fails']) ada.say(event, null, event)
  warnings.length = 0
  await clock.advance(600)
  t.strictSame(warnings.map(({ message }) => message), ['onResponse', 'onError'].map((line) => `A ${line} hook took longer than 500 ms; see the option hookTimeout`))
})
