import { EventEmitter } from 'node:events'

/** Names that every object or emitter answers to. */
export const inherited = [...new Set([...Object.getOwnPropertyNames(Object.prototype), ...Object.getOwnPropertyNames(EventEmitter.prototype), 'prototype', 'then', 'newListener'])]
