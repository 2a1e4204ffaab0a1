// A node with streams, and a page that listens to one. As a program, `stream-node.ts <redis url>`: its parent ends it by a signal.
import { pathToFileURL } from 'node:url'
import { redisBroker } from '../../lib/broker/redis/index.js'
import type { Cleanup } from '../helpers/raw.js'
import { type StreamsApp, serveStreams } from '../helpers/serve-streams.js'

const page = `<!doctype html><title>stream</title><script>
const got = { 'room/1': [], plain: [] }, gaps = [], opened = []
const source = new EventSource('/stream?channel=room/1&channel=plain')
source.onmessage = ({ data }) => { const { channel, data: value } = JSON.parse(data); got[channel].push(value) }
source.addEventListener('gap', ({ data }) => gaps.push(JSON.parse(data)))
source.addEventListener('subscribed', ({ data }) => opened.push(JSON.parse(data)))
</script>`

/** Starts a node whose channels `room/…` keep their messages in Redis. */
export function serveStreamNode (t: Cleanup, redis: string): Promise<StreamsApp> {
  return serveStreams(t, { broker: redisBroker({ url: redis }), brokerPrefix: 'streams', inboundRate: 0 }, (app) => {
    app.scChannel('room/:id', { history: { size: 1_000 }, recover: true })
    app.get('/page', async (_request, reply) => await reply.type('text/html').send(page))
  })
}

if (import.meta.url === pathToFileURL(process.argv[1]!).href) {
  const { port } = await serveStreamNode({ teardown () {} }, process.argv[2]!)
  process.on('disconnect', () => process.exit())
  process.send!({ port })
}
