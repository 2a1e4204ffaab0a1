import type { ScServerSocket as Socket } from '../types/server.js'
import { memoryBroker } from './broker/memory.js'
import { defineChannels, defineEvents } from './contracts/define.js'
import { ScError, ScRefusal, errorTable } from './errors.js'
import { defaultOptions } from './options.js'
import { scPlugin } from './plugin.js'
import { ServerSocket } from './socket/socket.js'

export type * from '../types/auth.js'
export type * from '../types/broker.js'
export type * from '../types/cluster.js'
export type * from '../types/contracts.js'
export type * from '../types/diagnostics.js'
export type * from '../types/exchange.js'
export type * from '../types/history.js'
export type * from '../types/hooks.js'
export type * from '../types/options.js'
export type * from '../types/presence.js'
export type * from '../types/protocol.js'
export type * from '../types/server.js'
export type * from '../types/stats.js'
export type * from '../types/user-data.js'
export type * from '../types/validation.js'
export type { ScChannelContext as ChannelContext } from '../types/contracts.js'
export type { EventContext } from '../types/routes.js'

/** The server's side of a client's connection. */
export interface ScServerSocket extends Socket {}

/** The class of sockets, for its constants and for `instanceof`. Only the server creates sockets. */
// eslint-disable-next-line @typescript-eslint/no-redeclare -- like a class, this is a type and a value
export const ScServerSocket: {
  new (...args: never): Socket
  readonly CONNECTING: 'connecting'
  readonly OPEN: 'open'
  readonly CLOSED: 'closed'
  readonly AUTHENTICATED: 'authenticated'
  readonly UNAUTHENTICATED: 'unauthenticated'
} = ServerSocket

export type { ScRefusalFields } from './errors.js'
export { ScError, ScRefusal, defaultOptions, defineChannels, defineEvents, errorTable, memoryBroker, scPlugin }

// `require('fastify-socketcluster')` returns the plugin itself, with the other exports as its properties.
Object.assign(scPlugin, { ScError, ScRefusal, ScServerSocket, defaultOptions, defineChannels, defineEvents, errorTable, memoryBroker, scPlugin })
export { scPlugin as default, scPlugin as 'module.exports' }
