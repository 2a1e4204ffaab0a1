/** The servers that are compared: title, file of `servers/`, and options. */
export const everyone = [
  { title: 'bare ws', name: 'ws' },
  { title: '@fastify/websocket', name: 'fastify-websocket' },
  { title: 'SocketCluster 14', name: 'socketcluster14' },
  { title: 'SocketCluster 20', name: 'socketcluster20' },
  { title: 'socket.io', name: 'socketio' },
  { title: 'fastify-socketcluster', name: 'ours' }
]

export const us = everyone.at(-1)
export const bare = everyone[0]

/** Us and bare ws with other options. */
export const both = (options) => [{ ...bare, options }, { ...us, options }]
