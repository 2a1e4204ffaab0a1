import t from 'tap'
import type { ScAuthToken } from '../../types/auth.js'
import { Authentication, type TokenHolder } from '../../lib/socket/authentication.js'

const ann: ScAuthToken = { sub: 'ann' }
const bob: ScAuthToken = { sub: 'bob' }

/** A socket that tells in order what it is told and asked for. */
function setUp () {
  const log: unknown[] = []
  const on = new Map<string, () => void>()
  const subscriptions = { anyWithheld: false }
  const holder = {
    socket: {},
    subscriptions,
    host: {
      fire (event: string, socket: unknown, data: unknown) { log.push([event, socket === holder.socket, data]) },
      tokenChanged (who: unknown) { log.push(`changed ${auth.token?.sub as string | undefined}`); if (who !== holder) throw new Error('another') },
      withhold (who: unknown) { log.push('withhold'); if (who !== holder) throw new Error('another') },
      revalidate (who: unknown) { log.push('revalidate'); if (who !== holder) throw new Error('another') }
    },
    fireLocal (event: string, data: unknown) {
      log.push([event, data])
      on.get(event)?.()
      on.delete(event)
    }
  }
  const auth = new Authentication(holder as never as TokenHolder)
  return { auth, log, subscriptions, on: (event: string, listener: () => void) => { on.set(event, listener) }, take: () => log.splice(0) }
}

t.test('a socket is nobody until it has a token', async (t) => {
  const { auth, log } = setUp()
  t.strictSame([auth.state, auth.token, auth.signedToken, auth.version], ['unauthenticated', null, null, 0])
  t.strictSame(log, [])
})

t.test('a first token: the state changes, nothing is held back', async (t) => {
  const { auth, take } = setUp()
  const change = auth.replace(ann, 'signed')
  t.strictSame(take(), ['changed ann'], 'nobody is told before the change is announced')
  t.strictSame([auth.state, auth.token, auth.signedToken, auth.version], ['authenticated', ann, 'signed', 1])
  auth.announce(change)
  const told = { oldState: 'unauthenticated', newState: 'authenticated', authToken: ann }
  t.strictSame(take(), [['authStateChange', told], ['authenticationStateChange', true, told], ['authenticate', ann], ['authentication', true, ann]])
})

t.test('another token: what the old one allowed is held back, and asked again once all are told', async (t) => {
  const { auth, take } = setUp()
  auth.announce(auth.replace(ann, 'a'))
  take()
  const change = auth.replace(bob, 'b')
  t.strictSame(take(), ['changed bob', 'withhold'])
  t.equal(auth.signedToken, 'b')
  auth.announce(change)
  t.strictSame(take(), [['authenticate', bob], ['authentication', true, bob], 'revalidate'], 'it stays authenticated')
})

t.test('a first token, where something is held back still: that may be allowed now', async (t) => {
  const { auth, subscriptions, take } = setUp()
  subscriptions.anyWithheld = true
  const change = auth.replace(ann, 'a')
  t.strictSame(take(), ['changed ann'])
  auth.announce(change)
  t.equal(take().at(-1), 'revalidate')
  auth.supersede()
  subscriptions.anyWithheld = false
  auth.announce(auth.replace(ann, 'a'))
  t.equal(take().filter((line) => line === 'revalidate').length, 1, 'once for each change')
})

t.test('losing the token', async (t) => {
  const { auth, take } = setUp()
  auth.announce(auth.replace(ann, 'a'))
  take()
  const change = auth.clear()
  t.strictSame(take(), ['changed undefined', 'withhold'])
  t.strictSame([auth.state, auth.token, auth.signedToken, auth.version], ['unauthenticated', null, null, 2])
  auth.announceLoss(change)
  const told = { oldState: 'authenticated', newState: 'unauthenticated' }
  t.strictSame(take(), [['authStateChange', told], ['authenticationStateChange', true, told], ['deauthenticate', ann], ['deauthentication', true, ann], 'revalidate'])
  auth.announceLoss(auth.clear())
  t.strictSame(take(), ['changed undefined', ['deauthenticate', null], ['deauthentication', true, null]], 'one that had none changes no state, and has nothing to lose')
})

t.test('a token that ends does not undo an attempt that may renew it, a decision does', async (t) => {
  const { auth, take } = setUp()
  auth.announce(auth.replace(ann, 'a'))
  const { version } = auth
  take()
  auth.expire()
  t.equal(auth.version, version)
  t.strictSame([auth.state, auth.token, auth.signedToken], ['unauthenticated', null, null])
  t.match(take(), ['changed undefined', 'withhold', ['authStateChange', {}], ['authenticationStateChange', true, {}], ['deauthenticate', ann], ['deauthentication', true, ann], 'revalidate'])
  auth.supersede()
  t.equal(auth.version, version + 1)
  auth.clear()
  t.equal(auth.version, version + 2)
  auth.replace(ann, 'a')
  t.equal(auth.version, version + 3)
})

t.test('claims that are signed later get their text, unless the socket has others by then', async (t) => {
  const { auth, take } = setUp()
  auth.announce(auth.replace(ann, null))
  take()
  t.equal(auth.signed(ann, 'signed'), true)
  t.equal(auth.signedToken, 'signed')
  t.strictSame(take(), ['changed ann'], 'signing may have added an end')
  auth.replace(bob, null)
  take()
  t.equal(auth.signed(ann, 'late'), false)
  t.strictSame([auth.signedToken, take()], [null, []])
})

t.test('a change is not told that another one has overtaken', async (t) => {
  const { auth, take } = setUp()
  const overtaken = auth.replace(ann, 'a')
  const change = auth.replace(bob, 'b')
  take()
  auth.announce(overtaken)
  t.strictSame(take(), ['revalidate'], 'but what was held back is asked for')
  auth.announce(change)
  t.strictSame(take(), [['authenticate', bob], ['authentication', true, bob]])
  const decided = auth.replace(ann, 'a')
  auth.supersede()
  take()
  auth.announce(decided)
  t.strictSame(take(), ['revalidate'])
  const ended = auth.replace(bob, 'b')
  auth.expire()
  take()
  auth.announce(ended)
  t.strictSame(take(), [], 'its token is gone already')
})

t.test('a listener that changes the token makes the rest of the events untrue', async (t) => {
  const given = setUp()
  given.on('authStateChange', () => given.auth.announceLoss(given.auth.clear()))
  given.auth.announce(given.auth.replace(ann, 'a'))
  t.notOk(given.log.some((line) => Array.isArray(line) && line[0].startsWith('authenticat') && line[0] !== 'authenticationStateChange'), 'it was not told that it is authenticated')
  t.equal(given.auth.token, null)
  t.equal(given.log.filter((line) => line === 'revalidate').length, 1)

  const lost = setUp()
  lost.auth.announce(lost.auth.replace(ann, 'a'))
  lost.on('authStateChange', () => lost.auth.announce(lost.auth.replace(bob, 'b')))
  lost.take()
  lost.auth.announceLoss(lost.auth.clear())
  t.equal(lost.auth.token, bob)
  t.notOk(lost.log.some((line) => Array.isArray(line) && line[0].startsWith('deauth')), 'it was not told that it is nobody')
  t.equal(lost.log.filter((line) => line === 'revalidate').length, 1)
})
