// `npm run bench:brokers`: how many messages a second one process publishes and gets back through each engine, and what one costs.
import { setImmediate as tick } from 'node:timers/promises'
import type { Broker } from '../../types/broker.js'
import { BrokerLink } from '../../lib/broker/link.js'
import { memoryBroker } from '../../lib/broker/memory.js'
import { Cleanups, engineBroker, startEngine } from './scenario.js'

const seconds = Number(process.env.BENCH_SECONDS ?? 3)
const data = JSON.stringify({ from: 'somebody', text: 'x'.repeat(64) })

interface Shape { readonly name: string, readonly channels: number, readonly perTick: number }
const shapes: Shape[] = [
  { name: 'one channel, 64 in a tick', channels: 1, perTick: 64 },
  { name: 'one channel, 1 in a tick', channels: 1, perTick: 1 },
  { name: '1,000 channels, one each in a tick', channels: 1000, perTick: 1000 },
  { name: '1,000 channels, 32 each in a tick', channels: 1000, perTick: 32_000 }
]

async function measure (make: () => Broker, { channels, perTick }: Shape) {
  const counts = { received: 0, wanted: Infinity, wake: () => {}, fail: (_err: unknown) => {} }
  // What is lost never comes: waiting for it ends with the engine.
  const broken = new Promise<never>((_resolve, reject) => { counts.fail = reject })
  broken.catch(() => {})
  // Waits without spinning, so that only the work is counted.
  const receive = async (wanted: number): Promise<void> => {
    if (counts.received >= wanted) return
    counts.wanted = wanted
    await Promise.race([new Promise<void>((resolve) => { counts.wake = resolve }), broken])
    counts.wanted = Infinity
  }
  const link = new BrokerLink(make(), { node: { id: 'n0', prefix: 'bench' }, maxInFlight: 1e6, maxInFlightBytes: 1e9 }, {
    publication () { if (++counts.received >= counts.wanted) counts.wake() },
    state (state, cause) { if (state === 'down') counts.fail(new Error(`the engine was lost: ${cause?.message ?? 'no reason given'}`)) },
    gap () {},
    control () {},
    warning: (err) => counts.fail(err)
  })
  await link.start()
  const names = Array.from({ length: channels }, (_, i) => `room/${i}`)
  await Promise.all(names.map((name) => link.hold(name)))
  const run = async (milliseconds: number): Promise<number> => {
    let sent = 0
    const from = performance.now()
    const before = counts.received
    while (performance.now() - from < milliseconds) {
      for (let i = 0; i < perTick; i++) link.publish(names[i % channels]!, data)
      sent += perTick
      await tick()
      // What two ticks send, and at least this much, may be on its way.
      await receive(before + sent - Math.max(4096, perTick * 2))
    }
    await receive(before + sent)
    return sent
  }
  try {
    await run(500)
    const cpu = process.cpuUsage()
    const from = performance.now()
    const sent = await run(seconds * 1000)
    const took = performance.now() - from
    const { user, system } = process.cpuUsage(cpu)
    const stats = link.stats()
    return { perSecond: sent / took * 1000, microseconds: (user + system) / sent, perFrame: stats === undefined ? 1 : stats.messagesOut / stats.framesOut }
  } finally {
    await link.stop()
  }
}

process.stdout.write('| engine | shape | messages/s | CPU µs per message, out and back | messages per frame |\n| --- | --- | --- | --- | --- |\n')
for (const engine of ['memory', 'redis', 'nats'] as const) {
  const cleanups = new Cleanups()
  try {
    let make = memoryBroker
    if (engine !== 'memory') {
      const server = await startEngine(engine, cleanups)
      if (server === null) continue
      make = () => engineBroker(engine, server.port, {})
    }
    for (const shape of shapes) {
      const { perSecond, microseconds, perFrame } = await measure(make, shape)
      process.stdout.write(`| ${engine} | ${shape.name} | ${Math.round(perSecond).toLocaleString('en')} | ${microseconds.toFixed(2)} | ${perFrame.toFixed(1)} |\n`)
    }
  } finally {
    await cleanups.run()
  }
}
