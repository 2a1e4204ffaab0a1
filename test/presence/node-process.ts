// A node of a cluster as a process of its own, which can be killed: `node-process.ts <redis|nats> <engine port> <leaveDelay>`.
import { engineBroker, type EngineName } from '../chaos/scenario.js'
import { startRooms, userOf } from './parts.js'

const [engine, enginePort, leaveDelay] = process.argv.slice(2)
const { port } = await startRooms({ teardown () {} }, { key: userOf, interval: 10, leaveDelay: Number(leaveDelay) }, {
  broker: engineBroker(engine as EngineName, Number(enginePort), { timeout: 10_000, probeInterval: 10_000, maxRetryDelay: 100 }),
  inboundRate: 0
})
process.on('disconnect', () => process.exit())
process.send!({ port })
