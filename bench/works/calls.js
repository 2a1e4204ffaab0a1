import { callData } from '../lib/run.js'
import { both, everyone } from './servers.js'

const calls = (connections, inFlight) => async (run) => {
  await run.load.open(connections)
  return run.cpuPerCall('echo', callData, inFlight)
}

export const callWorks = [
  {
    id: 'rpc-50x8',
    title: 'RPC, 50 connections × 8 in flight',
    unit: 'µs a call',
    servers: everyone,
    budget: { ratio: 0.55, of: 'ws' },
    measure: calls(50, 8)
  },
  {
    id: 'rpc-100x1',
    title: 'RPC, 100 connections × 1 in flight',
    unit: 'µs a call',
    servers: everyone,
    budget: { ratio: 1.05, of: 'ws' },
    measure: calls(100, 1)
  }
]

export const callVariants = [
  {
    id: 'rpc-tls',
    title: 'RPC 50 × 8 over TLS',
    unit: 'µs a call',
    servers: both({ tls: true }),
    measure: calls(50, 8)
  },
  {
    id: 'rpc-deflate',
    title: 'RPC 50 × 8 with compression',
    unit: 'µs a call',
    servers: both({ deflate: true }),
    measure: calls(50, 8)
  }
]
