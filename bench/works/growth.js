import { setTimeout as sleep } from 'node:timers/promises'
import { flat, times } from '../lib/statistics.js'
import { bare, us } from './servers.js'

const many = (run) => run.quick ? 2000 : 10_000
const rounds = 9

const groupSizes = [10, 100, 1000, 10_000]
const groupOf = (size, i) => `group-${size}-${Math.floor(i / size)}`
const groups = (size, connections) => Array.from({ length: Math.ceil(connections / size) }, (_, i) => groupOf(size, i * size))

const fanOutByGroup = {
  id: 'growth-subscribers',
  title: 'fan-out to as many sockets, by subscribers of a channel',
  unit: 'µs a delivery',
  servers: [us],
  budget: 'flat within ± 15 %',
  met: (rows) => flat(rows, 0.15),
  async measure (run) {
    const connections = many(run)
    await run.load.open(connections)
    await run.load.subscribe((i) => groupSizes.map((size) => groupOf(size, i)))
    const rows = Object.fromEntries(groupSizes.map((size) => [`${size} subscribers`, []]))
    // In turn, so that a slow moment of the machine meets all of them.
    await times(rounds + 1, async (round) => {
      for (const size of groupSizes) {
        const used = await run.cpu(() => run.publish(groups(size, connections), connections))
        if (round > 0) rows[`${size} subscribers`].push(used / connections)
      }
    })
    return rows
  }
}

const fanOutByChannels = {
  id: 'growth-channels',
  title: 'fan-out to 1,000, by channels that exist',
  unit: 'µs a delivery',
  servers: [us],
  budget: 'flat within ± 15 %',
  met: (rows) => flat(rows, 0.15),
  async measure (run) {
    const connections = 1000
    const rows = {}
    const measure = async (label) => {
      rows[label] = []
      await times(rounds + 1, async (round) => {
        const used = await run.cpu(() => times(8, () => run.publish(['bench'], connections)))
        if (round > 0) rows[label].push(used / (8 * connections))
      })
    }
    await run.load.open(connections)
    await run.load.subscribe(() => ['bench'])
    await times(8, () => run.publish(['bench'], connections))
    await measure('1 channel')
    await run.load.subscribe((i) => [`other-${i}-0`])
    await measure('1001 channels')
    await run.load.subscribe((i) => Array.from({ length: run.quick ? 9 : 99 }, (_, n) => `other-${i}-${n + 1}`))
    await measure(run.quick ? '10001 channels' : '100001 channels')
    return rows
  }
}

const pause = (server) => ({
  id: server === us ? 'growth-pause' : 'growth-pause-ws',
  title: `longest pause of the event loop in a fan-out to 10,000, ${server.title}`,
  unit: 'ms',
  servers: [server],
  budget: server === us ? 'at most 20 ms' : undefined,
  met: server === us ? (rows) => rows.pause <= 20 : undefined,
  async measure (run) {
    const connections = many(run)
    await run.load.open(connections)
    await run.load.subscribe(() => ['bench'])
    const rows = { pause: [] }
    await times(rounds + 1, async (round) => {
      await run.server.ask('watchLoop')
      await run.cpu(() => run.publish(['bench'], connections))
      const longest = await run.server.ask('longestPause')
      if (round > 0) rows.pause.push(longest)
    })
    return rows
  }
})

const idle = {
  id: 'growth-idle',
  title: '10,000 idle connections, heartbeat included',
  unit: '',
  servers: [us],
  budget: 'CPU under 1 % of a core',
  met: (rows) => rows['CPU, % of a core'] < 1,
  async measure (run) {
    const connections = many(run)
    const before = await run.server.ask('memory')
    await run.load.open(connections)
    const seconds = 8 // whole rounds of the heartbeat
    await sleep(8500) // the first round of pings, in which the server finds the version of each client
    const memory = await run.server.ask('memory') // also collects the garbage of 10,000 handshakes
    const used = await run.cpu(() => sleep(seconds * 1000))
    return { 'CPU, % of a core': [used / seconds / 1e4], 'memory, MB': [(memory - before) / 2 ** 20] }
  }
}

/** How long a socket takes to leave, which is asked in processes of their own: the first would warm up for the second. */
const leaving = (size) => ({
  id: `growth-leave-${size}`,
  title: `a disconnect, one of ${size.toLocaleString('en')} subscribers`,
  unit: 'µs',
  servers: [us],
  budget: size > 10 ? 'no more than one of 10' : undefined,
  met: size > 10 ? (rows, all) => all['growth-leave-10'] && rows.leave <= all['growth-leave-10'].leave * 1.15 : undefined,
  async measure (run) {
    const connections = many(run)
    await run.load.open(connections)
    await run.load.subscribe((i) => [groupOf(size, i)])
    const rows = { leave: [] }
    let left = connections
    const leave = async (count) => {
      run.load.drop(count)
      left -= count
      while (await run.server.ask('connected') > left) await sleep(5)
    }
    await leave(connections / 20)
    await times(rounds, async () => rows.leave.push(await run.cpu(() => leave(connections / 20)) / (connections / 20)))
    return rows
  }
})

export const growthWorks = [fanOutByGroup, fanOutByChannels, pause(us), pause(bare), idle, leaving(10), leaving(10_000)]
