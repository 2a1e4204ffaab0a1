import { scPlugin } from './plugin.js'

export type * from '../types/auth.js'
export type * from '../types/broker.js'
export type * from '../types/contracts.js'
export type * from '../types/exchange.js'
export type * from '../types/hooks.js'
export type * from '../types/options.js'
export type * from '../types/protocol.js'
export type * from '../types/server.js'
export type * from '../types/stats.js'
export type * from '../types/validation.js'
export type { EventContext, ChannelContext } from '../types/routes.js'

export { defaultOptions } from './options.js'
export { ScError, errorTable } from './errors.js'
export { memoryBroker } from './broker/memory.js'
export { defineChannels, defineEvents } from './contracts/define.js'
export { ServerSocket as ScServerSocketClass } from './socket/socket.js'
export { scPlugin }
// `require('fastify-socketcluster')` gives the plugin itself.
export { scPlugin as default, scPlugin as 'module.exports' }
