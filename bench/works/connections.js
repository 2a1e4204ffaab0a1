import { setTimeout as sleep } from 'node:timers/promises'
import { everyone } from './servers.js'

export const connectionWorks = [
  {
    id: 'connect',
    title: 'a connection with its handshake',
    unit: 'µs',
    servers: everyone,
    budget: { ratio: 1.15, of: 'fastify-websocket' },
    async measure (run) {
      const count = run.quick ? 1000 : 2000
      await run.load.open(count / 2)
      return await run.cpu(() => run.load.open(count)) / count
    }
  },
  {
    id: 'idle-memory',
    title: 'an idle connection, resident memory',
    unit: 'KB',
    servers: everyone,
    budget: { ratio: 1.2, of: 'fastify-websocket' },
    async measure (run) {
      const count = run.quick ? 1000 : 4000
      await run.load.open(500) // what the first connections make the process allocate once for all is not theirs
      run.load.drop()
      while (await run.server.ask('connected') > 0) await sleep(5)
      const before = await run.server.ask('memory')
      await run.load.open(count)
      return (await run.server.ask('memory') - before) / count / 1024
    }
  }
]
