import { scError } from '../errors.js'

/** The limit that a message broke, or `null` for a message within the limits. */
export type Finding = { readonly kind: 'depth' | 'nodes' } | { readonly kind: 'key', readonly key: string } | null

const tooDeep: Finding = { kind: 'depth' }
const tooMany: Finding = { kind: 'nodes' }
const protoKey: Finding = { kind: 'key', key: '__proto__' }
const constructorKey: Finding = { kind: 'key', key: 'constructor.prototype' }

/**
 * Walks a parsed message and reports nesting over `maxDepth`, more than `maxNodes` values, or a key that could change a
 * prototype when an application merges objects. Walking the parsed value is four times cheaper than scanning the text.
 */
export function inspect (value: unknown, maxDepth: number, maxNodes: number): Finding {
  if (typeof value !== 'object' || value === null) return null
  nodesLeft = maxNodes
  return walk(value, maxDepth)
}

// A shared counter: the walk is synchronous and never re-entered.
let nodesLeft = 0

function walk (value: object, depthLeft: number): Finding {
  if (depthLeft === 0) return tooDeep
  if (Array.isArray(value)) {
    if ((nodesLeft -= value.length) < 0) return tooMany
    for (let i = 0; i < value.length; i++) {
      const item = value[i]
      if (typeof item === 'object' && item !== null) {
        const finding = walk(item, depthLeft - 1)
        if (finding !== null) return finding
      }
    }
    return null
  }
  // JSON.parse only creates own, enumerable keys, including '__proto__'.
  for (const key in value) {
    if (--nodesLeft < 0) return tooMany
    const item = (value as Record<string, unknown>)[key]
    if (key === '__proto__') return protoKey
    if (typeof item === 'object' && item !== null) {
      if (key === 'constructor' && Object.hasOwn(item, 'prototype')) return constructorKey
      const finding = walk(item, depthLeft - 1)
      if (finding !== null) return finding
    }
  }
  return null
}

/** Returns the error for a message that broke a limit. */
export function findingError (finding: NonNullable<Finding>, maxDepth: number, maxNodes: number): Error {
  switch (finding.kind) {
    case 'depth': return scError('SC_ERR_MESSAGE_DEPTH', [maxDepth])
    case 'nodes': return scError('SC_ERR_MESSAGE_NODES', [maxNodes])
    case 'key': return scError('SC_ERR_MESSAGE_PROTO', [finding.key])
  }
}
