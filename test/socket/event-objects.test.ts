import t from 'tap'
import { socketEventObjects as objects } from '../../lib/socket/event-objects.js'

t.test('a stream gives each local event as the one object of SocketCluster 15 and later', async (t) => {
  const error = new Error('no')
  const token = { sub: 'ann' }
  const status = { id: 'x', pingTimeout: 1, isAuthenticated: false, authToken: null } as never
  const bad = { authError: error, signedAuthToken: 'x' } as never
  const change = { oldState: 'unauthenticated', newState: 'authenticated', authToken: token } as const
  t.strictSame({
    error: objects.error(error),
    raw: objects.raw('text'),
    message: objects.message('text'),
    disconnect: objects.disconnect(4000, 'why'),
    connectAbort: objects.connectAbort(4000, 'why'),
    close: objects.close(4000, 'why'),
    subscribe: objects.subscribe('a', { channel: 'a' }),
    unsubscribe: objects.unsubscribe('a'),
    authenticate: objects.authenticate(token),
    deauthenticate: objects.deauthenticate(token),
    authTokenSigned: objects.authTokenSigned('signed')
  }, {
    error: { error },
    raw: { message: 'text' },
    message: { message: 'text' },
    disconnect: { code: 4000, reason: 'why' },
    connectAbort: { code: 4000, reason: 'why' },
    close: { code: 4000, reason: 'why' },
    subscribe: { channel: 'a', subscriptionOptions: { channel: 'a' } },
    unsubscribe: { channel: 'a' },
    authenticate: { authToken: token },
    deauthenticate: { oldAuthToken: token },
    authTokenSigned: { signedAuthToken: 'signed' }
  })
  t.equal(objects.connect(status), status, 'what is an object already is given as it is')
  t.equal(objects.badAuthToken(bad), bad)
  t.equal(objects.authStateChange(change), change)
})
