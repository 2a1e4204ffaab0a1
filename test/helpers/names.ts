import { EventEmitter } from 'node:events'

/** Names of properties that every object or emitter inherits. */
export const inherited = [...new Set([...Object.getOwnPropertyNames(Object.prototype), ...Object.getOwnPropertyNames(EventEmitter.prototype), 'prototype', 'then', 'newListener'])]
