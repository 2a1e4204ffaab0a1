// The process that is made to hold things: a server with the defaults, whose application is slow in every way there is.
import { setTimeout as sleep } from 'node:timers/promises'
import { serve } from '../helpers/serve.js'

export type Question = { ask: 'memory', collect: boolean } | { ask: 'publish', channels: string[], size: number, times: number } | { ask: 'revalidate' } | { ask: 'emit', size: number, times: number }

export interface Memory {
  /** Bytes on the heap and beside it. */
  bytes: number
  heldBytes: number
  connections: number
  inboundBytes: number
}

/** What is not done before the connection is gone, as a handler that waits for a database. */
let waiting: Array<() => void> = []
const stuck = (): Promise<void> => new Promise((resolve) => { waiting.push(resolve) })

// Pings come often: they tell of clients that went while nothing was read from them.
const { sc, port, warnings } = await serve(null, { pingInterval: 100 }, (app) => {
  app.scEvent('declared', {}, stuck)
  app.scEvent('declared/hooked', { preHandler: stuck as never }, () => {})
  app.scChannel('latest/:id', { slowConsumerPolicy: 'latest' })
  app.scChannel('drop/:id', { slowConsumerPolicy: 'drop' })
  app.scHook('emit', ({ event }) => event === 'hooked' ? stuck() : undefined)
  app.scHook('publishIn', ({ channel }) => channel.startsWith('slow/') ? stuck() : undefined)
  app.scHook('subscribe', ({ channel, revalidation }) => channel.startsWith('slow/') || (revalidation && channel.startsWith('withheld/')) ? stuck() : undefined)
  app.register(async (scope) => {
    scope.scChannel('out/:id', { slowConsumerPolicy: 'drop' })
    scope.scChannel('out/disconnect/:id', {})
    scope.scHook('publishOut', stuck)
  })
})

sc.on('handshake', (socket) => {
  socket.on('echo', (data, res) => res(null, data))
  socket.on('large', (_data, res) => res(null, 'x'.repeat(225_000)))
  socket.on('never answers', () => {})
  socket.on('never settles', stuck)
  socket.on('loops', (kind: 'stream' | 'message', res) => {
    const streams = kind === 'stream' ? [socket.receiver('stream'), socket.procedure('stream')] : [socket.listener('message'), socket.listener('raw')]
    for (const stream of streams) (async () => { for await (const value of stream) await stuck().then(() => value) })()
    res()
  })
})

async function measure (collect: boolean): Promise<Memory> {
  if (collect) {
    globalThis.gc!()
    // What waits for finalizers goes with the second one.
    await sleep(10)
    globalThis.gc!()
  }
  const { heapUsed, external } = process.memoryUsage()
  const { heldBytes, clients, pendingClients, inboundBytes } = sc.stats()
  return { bytes: heapUsed + external, heldBytes, connections: clients + pendingClients, inboundBytes }
}

process.on('disconnect', () => process.exit())
process.on('message', async (question: Question) => {
  // What the helper collected is not the server's.
  warnings.length = 0
  if (question.ask === 'memory') {
    if (sc.clientsCount === 0) {
      for (const done of waiting) done()
      waiting = []
    }
    process.send!(await measure(question.collect))
    return
  }
  if (question.ask === 'publish') {
    for (let i = 0; i < question.times; i++) {
      for (const channel of question.channels) {
        sc.exchange.transmitPublish(channel, `${i} ${'x'.repeat(question.size)}`)
        if (i % 8 === 7) await new Promise((resolve) => setImmediate(resolve))
      }
    }
  } else if (question.ask === 'revalidate') {
    // Another token may mean other rights than the one before.
    for (const socket of Object.values(sc.clients)) for (const sub of ['ann', 'bob']) socket.setAuthToken({ sub })
  } else {
    for (const socket of Object.values(sc.clients)) for (let i = 0; i < question.times; i++) socket.emit('news', `${i} ${'x'.repeat(question.size)}`)
  }
  process.send!('done')
})
process.send!(port)
