// A node of a cluster as a process of its own: `node-process.ts <redis|nats> <engine port>`. Its parent tells it what to do by IPC.
import { startApp } from './node.js'

const [engine, enginePort] = process.argv.slice(2)
const node = await startApp(engine!, Number(enginePort))
process.on('message', async ({ id, call, args }: { id: number, call: string, args: unknown[] }) => {
  process.send!({ id, value: await node.call(call, ...args) })
})
process.on('disconnect', () => process.exit())
process.send!({ port: node.port })
