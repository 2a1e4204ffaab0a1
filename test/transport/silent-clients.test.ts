// Clients that say nothing, say it slowly, or read nothing.
import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { Attacked, attack } from '../helpers/attack.js'
import { type Report } from '../helpers/attacked-servers.js'
import { frame } from '../helpers/raw.js'
import { Stopwatch } from '../helpers/stopwatch.js'
import { closed, until } from '../helpers/waiting.js'

const attacked = await Attacked.start(t)

attack(t, attacked, [
  {
    what: 'clients that take their time',
    versions: [2],
    async run (t, clients) {
      const port = attacked.ports.impatient
      // The limits of this server are 1.5 s at most, those of servers that set none 10 s at least.
      const gone = async (what: string, run: () => Promise<unknown>): Promise<void> => {
        const watch = new Stopwatch()
        await run()
        const took = watch.stop()
        t.ok(took < 8_000, `${what}: freed after ${took.toFixed()} ms`)
      }
      const tcp = async (drip: (socket: ReturnType<typeof connect>) => void): Promise<unknown> => {
        const socket = connect(port, '127.0.0.1')
        t.teardown(() => socket.destroy())
        socket.on('error', () => {})
        await once(socket, 'connect')
        drip(socket)
        // Closed by the server; what it says is read, so that the end is noticed.
        socket.resume()
        return closed(socket)
      }
      const every = (ms: number, write: () => void): void => {
        const timer = setInterval(write, ms)
        t.teardown(() => clearInterval(timer))
      }
      await Promise.all([
        gone('TCP only', () => tcp(() => {})),
        gone('a header now and then', () => tcp((socket) => {
          socket.write('GET /socketcluster/ HTTP/1.1\r\nHost: x\r\n')
          every(50, () => socket.writable && socket.write('X-A: b\r\n'))
        })),
        gone('an upgrade, then silence', async () => (await clients.open('impatient')).closed),
        gone('a handshake, then silence', async () => (await clients.connect('impatient', { version: null })).closed),
        gone('a byte now and then', async () => {
          const client = await clients.netConnect('impatient')
          const bytes = frame('x'.repeat(60_000))
          let at = 0
          every(20, () => client.socket.writable && client.socket.write(bytes.subarray(at, ++at)))
          return client.closed
        })
      ])
    }
  },
  {
    what: 'half-open connections, and peers that ignore close frames',
    versions: [2],
    async run (t, clients) {
      const noticed = new Stopwatch()
      const deaf = await clients.netConnect('impatient')
      t.equal((await deaf.closeFrame()).code, 4001)
      t.ok(noticed.wall >= 1_450 && noticed.stop() < 8_000, `closed after ${noticed.wall.toFixed()} ms`)
      const dropped = new Stopwatch()
      await deaf.closed
      t.ok(dropped.stop() < 8_000, `dropped ${dropped.wall.toFixed()} ms later`)
      const paused = await clients.netConnect('impatient')
      paused.socket.pause()
      await until('nobody to be left', async () => (await attacked.stats('impatient')).clients === 0)
    }
  },
  {
    what: 'paused subscribers under a publish storm',
    versions: [2],
    async run (t, clients) {
      const healthy = await clients.connect('budget')
      await healthy.call('#subscribe', 'storm')
      const before: Report = await attacked.ask({ ask: 'collect' })
      const paused = await Promise.all(Array.from({ length: 100 }, async () => {
        const client = await clients.netConnect('budget')
        client.packet({ event: '#subscribe', data: 'storm', cid: 2 })
        await client.packetFrame((packet) => packet.rid === 2)
        client.socket.pause()
        return client
      }))
      // As fast as the healthy one reads: it shares a processor with the attackers.
      for (let chunk = 0; chunk < 100; chunk++) {
        await attacked.ask({ ask: 'publish', server: 'budget', channel: 'storm', data: 'x'.repeat(8_000), times: 10 })
        for (let i = 0; i < 10; i++) await healthy.publication('storm')
      }
      await until('each to be ended at its budget', async () => (await attacked.stats('budget')).clients <= 1)
      const stats = await attacked.stats('budget')
      t.equal(stats.clients, 1, 'the healthy one got everything')
      t.ok(stats.slowConsumers >= 100)
      for (const client of paused) client.socket.destroy()
      const grown = await attacked.grownBy(before.rss, 150)
      t.comment(`${grown.toFixed(0)} MB more memory`)
      t.ok(grown < 150)
    }
  }
])
