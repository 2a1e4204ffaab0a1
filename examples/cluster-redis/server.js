// Several processes behind one port, which are one server to their clients: every publication reaches all subscribers, in one
// order, whichever process they are connected to. The processes talk through Redis; the same code serves several machines.
import cluster from 'node:cluster'
import { randomBytes } from 'node:crypto'
import { pathToFileURL } from 'node:url'
import Fastify from 'fastify'
import scPlugin from 'fastify-socketcluster'
import { redisBroker } from 'fastify-socketcluster/redis'

/** One process of the server. */
export async function createNode () {
  const app = Fastify({ logger: { level: process.env.LOG_LEVEL ?? 'warn' } })
  await app.register(scPlugin, {
    // All processes must know the same key, or one would refuse the tokens of the other.
    authKey: process.env.SC_AUTH_KEY,
    broker: redisBroker({ url: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' })
  })

  app.scChannel('room/:name', {})

  // Which process serves this client?
  app.scEvent('whoami', {}, async (_data, { socket }) => ({ socketId: socket.id, node: app.scServer.cluster.nodeId, pid: process.pid }))

  // Takes a client out of a room, on whichever process it is.
  app.post('/rooms/:name/kick/:socketId', async ({ params }) => ({ kicked: await app.scServer.kickOut({ socketId: params.socketId }, `room/${params.name}`, 'You were removed') }))

  // What all processes count together.
  app.get('/cluster', async () => {
    const { nodes, total, missing } = await app.scServer.cluster.stats()
    return { nodes: nodes.map(({ id, clients, channels }) => ({ id, clients, channels })), clients: total.clients, missing }
  })

  // After an outage publications may be missing: an application that keeps a history would let its clients read it again.
  app.scServer.on('gap', () => app.log.warn('publications may have been lost'))
  return app
}

/** Starts the processes, replaces those that die, and ends them all when asked to. */
function supervise (count) {
  const env = { SC_AUTH_KEY: process.env.SC_AUTH_KEY ?? randomBytes(32).toString('hex') }
  let ending = false
  let listening = 0
  for (let i = 0; i < count; i++) cluster.fork(env)
  cluster.on('listening', (_worker, { port }) => {
    if (++listening === count) console.log(`${count} processes serve ws://127.0.0.1:${port}/socketcluster/`)
  })
  cluster.on('exit', (worker, code, signal) => {
    if (ending) return
    console.error(`process ${worker.process.pid} ended (${signal ?? code})`)
    // One that cannot even start would be replaced for ever.
    if (listening < count) process.exit(1)
    cluster.fork(env)
  })
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => {
      ending = true
      for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGTERM')
    })
  }
}

async function serve () {
  const app = await createNode()
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, async () => {
      await app.close()
      process.exit()
    })
  }
  await app.listen({ port: Number(process.env.PORT ?? 8000), host: process.env.HOST ?? '127.0.0.1' })
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  if (cluster.isPrimary) supervise(Number(process.env.WORKERS ?? 2))
  else await serve()
}
