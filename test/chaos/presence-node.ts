// A node of the presence scenarios. As a program, `presence-node.ts <args>`: its parent ends it by a signal or by the message 'close'.
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import type { RemoteBrokerOptions } from '../../lib/broker/remote/options.js'
import type { ScPresenceOptions, ScServerSocket } from '../../lib/index.js'
import type { Cleanup } from '../helpers/raw.js'
import { serve, type Served } from '../helpers/serve.js'
import { engineBroker, type EngineName } from './scenario.js'

/** How a node reaches its engine, and what of presence differs from the defaults. */
export interface PresenceNodeOptions {
  readonly engine: EngineName
  readonly port: number
  readonly broker: RemoteBrokerOptions
  readonly limits: { readonly members?: number, readonly leaveDelay?: number }
}

/** The user that a client named in its query; null for none. */
function userOf ({ socket }: { socket: ScServerSocket }): string | null {
  return /[?&]user=([^&]+)/.exec(socket.request.url!)?.[1] ?? null
}

/** Starts a node with rooms, `room/…` with presence and `plain/…` without. */
export function servePresence (t: Cleanup | null, { engine, port, broker, limits }: PresenceNodeOptions): Promise<Served> {
  const presence: ScPresenceOptions = { ...limits, key: userOf, data: (context) => ({ name: `the ${userOf(context)}` }) }
  return serve(t, { broker: engineBroker(engine, port, broker), brokerPrefix: 'presence', inboundRate: 0, maxConnections: 0, maxPendingHandshakes: 0, closeTimeout: 2_000 }, (app) => {
    app.scChannel('room/:id', { presence })
    app.scChannel('plain/:id', {})
  })
}

if (import.meta.url === pathToFileURL(process.argv[1]!).href) {
  const { app, port } = await servePresence(null, JSON.parse(process.argv[2]!) as PresenceNodeOptions)
  process.on('disconnect', () => process.exit())
  process.on('message', async (command) => {
    if (command === 'close') {
      await app.close()
      process.exit()
    }
    const { user, system } = process.cpuUsage()
    for (let i = 0; i < 3; i++) {
      globalThis.gc!()
      await sleep(20)
    }
    const { heapUsed, external } = process.memoryUsage()
    process.send!({ cpu: user + system, memory: heapUsed + external })
  })
  process.send!({ port })
}
