import type { SocketEventObjects, SocketEvents } from '../../types/server.js'

/** Turns the arguments of each socket event into the single object that SocketCluster 15 and later emit. */
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
