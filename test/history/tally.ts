import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ScDiagnostics, ScServer } from '../../lib/index.js'
import type { Cleanup } from '../helpers/raw.js'

/**
 * Counts what the diagnostics channel `sc:recovery` tells of some servers.
 * @returns what it told, and what their `stats()` say: both must be the same
 */
export function tally (t: Cleanup, servers: readonly ScServer[]): () => { told: object, counted: object } {
  const told = { recovered: 0, messages: 0, notRecovered: 0 }
  const listener = (message: unknown): void => {
    const { socket, recovered, count } = message as ScDiagnostics['sc:recovery']
    if (!servers.includes(socket.server)) return
    if (!recovered) told.notRecovered++
    else {
      told.recovered++
      told.messages += count
    }
  }
  subscribe('sc:recovery', listener)
  t.teardown(() => unsubscribe('sc:recovery', listener))
  return () => {
    const counted = { recovered: 0, messages: 0, notRecovered: 0 }
    for (const server of servers) {
      const { recovered, messages, unknown, trimmed, limit, refused, losses } = server.stats().recovery
      counted.recovered += recovered
      counted.messages += messages
      counted.notRecovered += unknown + trimmed + limit + refused + losses
    }
    return { told: { ...told }, counted }
  }
}
