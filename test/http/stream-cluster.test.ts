import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { StreamTickets } from '../../lib/http/stream-tickets.js'
import { startChromium } from '../helpers/chromium.js'
import { runCurl } from '../helpers/curl.js'
import { refusedStream, startStream, type StreamReader } from '../helpers/event-stream.js'
import { TcpProxy } from '../helpers/proxy.js'
import type { Cleanup } from '../helpers/raw.js'
import { startNginx, startRedis } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'
import { serveStreamNode } from './stream-node.js'

const program = fileURLToPath(new URL('stream-node.ts', import.meta.url))

/** Starts a node as a process of its own. */
async function startNode (t: Cleanup, redis: string): Promise<{ port: number, child: ChildProcess }> {
  const child = fork(program, [redis], { execArgv: ['--import=@tapjs/typescript/import'] })
  t.teardown(() => { child.kill('SIGKILL') })
  const [{ port }] = await once(child, 'message') as [{ port: number }]
  return { port, child }
}

async function proxyTo (t: Cleanup, port: number): Promise<TcpProxy> {
  const proxy = await new TcpProxy(port).listen()
  t.teardown(() => proxy.close())
  return proxy
}

const upTo = (count: number, from = 1): number[] => Array.from({ length: count - from + 1 }, (_, i) => from + i)

t.test('a node is killed: streams go on at another one, and nothing is lost or comes twice', async (t) => {
  const server = await startRedis(t)
  if (server === null) return t.pass('skipped: no redis-server')
  if (await runCurl('curl --version') === null) return t.pass('skipped: no curl')
  const redis = `redis://127.0.0.1:${server.port}`
  const [first, second, publisher] = await Promise.all([startNode(t, redis), startNode(t, redis), serveStreamNode(t, redis)])
  const proxy = await proxyTo(t, first.port)
  const open = await startChromium(t)
  const page = open === null ? null : await (await open()).newPage()
  await page?.goto(`http://127.0.0.1:${proxy.port}/page`)
  await page?.waitForFunction('opened.length === 1')

  /** What `curl -N` prints; like a script, it goes on with the last id when it ends. */
  let printed = ''
  const curl = (lastEventId: string): ChildProcess => {
    const child = spawn('curl', ['-sN', ...(lastEventId === '' ? [] : ['-H', `Last-Event-ID: ${lastEventId}`]), `http://127.0.0.1:${proxy.port}/stream?channel=room/1`], { stdio: ['ignore', 'pipe', 'ignore'] })
    t.teardown(() => { child.kill('SIGKILL') })
    child.stdout!.on('data', (text: Buffer) => { printed += text.toString() })
    return child
  }
  const values = (): number[] => [...printed.matchAll(/^data: (\{.*"data":.*\})$/gm)].map(([, json]) => JSON.parse(json!).data)
  const script = curl('')
  await until('curl has a stream', () => printed.includes('event: subscribed'))

  const publish = async (from: number, to: number): Promise<void> => {
    for (let i = from; i <= to; i++) {
      await Promise.all([publisher.sc.exchange.publish('room/1', i), publisher.sc.exchange.publish('plain', i)])
      await sleep(5)
    }
  }
  const publishing = publish(1, 200)
  await until('some came', () => values().length >= 50)
  // Not `exit`: what it printed is read then.
  const ended = once(script, 'close')
  proxy.target = second.port
  first.child.kill('SIGKILL')
  await ended
  // What was cut off has no empty line after it, and does not count.
  printed = printed.slice(0, printed.lastIndexOf('\n\n') + 2)
  const [id] = [...printed.matchAll(/^id: (.+)$/gm)].at(-1)!.slice(1)
  curl(id!)
  await publishing
  await publish(201, 220)
  await until(() => `curl has all, got ${values().length}`, () => values().length >= 220)
  t.strictSame(values(), upTo(220), 'curl')
  t.notMatch(printed, /event: gap/)
  if (page !== null) {
    await page.waitForFunction('got["room/1"].length >= 220')
    t.strictSame(await page.evaluate('got["room/1"]'), upTo(220), 'EventSource')
    t.strictSame(await page.evaluate('gaps'), [{ channel: 'plain', recovered: false, reason: 'unknown' }], 'without a history the gap is told')
    const plain = await page.evaluate('got.plain') as number[]
    t.strictSame(plain, [...new Set(plain)])
    t.match(await page.evaluate('opened[1].channels'), [{ channel: 'room/1', recovered: true }, { channel: 'plain', recovered: false }])

    // Removed from all channels, the EventSource stops by itself.
    t.equal(await publisher.sc.kickOut({}, 'plain'), 1)
    t.equal(await publisher.sc.kickOut({}, 'room/1'), 2)
    await page.waitForFunction('source.readyState === EventSource.CLOSED')
  }
})

t.test('a ticket counts once at all nodes', async (t) => {
  const server = await startRedis(t)
  if (server === null) return t.pass('skipped: no redis-server')
  const redis = `redis://127.0.0.1:${server.port}`
  const nodes = await Promise.all([serveStreamNode(t, redis), serveStreamNode(t, redis)])
  const { ticket } = await new StreamTickets(nodes[0]!.core).issue({ sub: 'ada' })
  const results = await Promise.allSettled(upTo(20).map(async (i) => await startStream(t, nodes[i % 2]!.port, ['plain'], { query: { ticket } })))
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  for (const { port } of nodes) t.match(await refusedStream(t, port, ['plain'], { query: { ticket } }), { status: 401 })
  t.equal(await nodes[1]!.sc.revoke({ user: 'ada' }), 1, 'a revocation reaches it')
})

t.test('behind nginx with its default buffering events come at once, and streams of a node that is killed go on at the other', async (t) => {
  const server = await startRedis(t)
  if (server === null) return t.pass('skipped: no redis-server')
  const redis = `redis://127.0.0.1:${server.port}`
  const [first, { sc, port }] = await Promise.all([startNode(t, redis), serveStreamNode(t, redis)])
  const nginx = await startNginx(t, [first.port, port])
  if (nginx === null) return t.pass('skipped: no nginx')
  const streams: StreamReader[] = []
  while (streams.length < 4) streams.push(await startStream(t, nginx.port, ['room/1']))
  t.equal(sc.clientsCount, 2)
  for (const i of upTo(10)) {
    // What nginx gathers would not come before the next ones.
    await sc.exchange.publish('room/1', i)
    t.strictSame(await Promise.all(streams.map(async (stream) => await stream.data())), [i, i, i, i])
  }
  first.child.kill('SIGKILL')
  await until('two are lost', () => streams.filter(({ ended }) => ended).length === 2)
  await sc.exchange.publish('room/1', 11)
  for (const stream of streams) {
    const again = stream.ended ? await startStream(t, nginx.port, ['room/1'], { headers: { 'last-event-id': stream.lastEventId } }) : stream
    t.equal(await again.data(), 11)
    again.close()
  }
  await until('nginx passes the end on', () => sc.clientsCount === 0)
})
