import type { SocketEventObjects, SocketEvents } from '../../types/server.js'

/** Events with more than one argument, or a bare value, as the one object that SocketCluster 15 and later give. */
export const socketEventObjects: { readonly [E in keyof SocketEvents]: (...args: SocketEvents[E]) => SocketEventObjects[E] } = {
  error: (error) => ({ error }),
  raw: (message) => ({ message }),
  message: (message) => ({ message }),
  connect: (status) => status,
  disconnect: (code, reason) => ({ code, reason }),
  connectAbort: (code, reason) => ({ code, reason }),
  close: (code, reason) => ({ code, reason }),
  subscribe: (channel, subscriptionOptions) => ({ channel, subscriptionOptions }),
  unsubscribe: (channel) => ({ channel }),
  badAuthToken: (status) => status,
  authenticate: (authToken) => ({ authToken }),
  deauthenticate: (oldAuthToken) => ({ oldAuthToken }),
  authStateChange: (change) => change,
  authTokenSigned: (signedAuthToken) => ({ signedAuthToken })
}
