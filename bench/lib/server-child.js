// The process that is measured: one server, and the few commands of the load, which come over IPC.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { CpuProfile, writeHeapSnapshot } from './inspect.js'

const { name, options } = JSON.parse(process.argv[2])
const { start, dialect, version } = await import(`../servers/${name}.js`)
const server = await start(options)
const loopDelay = monitorEventLoopDelay({ resolution: 1 })
const profile = new CpuProfile()

const commands = {
  /** The CPU time that this process has used, in microseconds. */
  cpu () {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  /** Resident bytes, after all garbage is gone. */
  async memory () {
    for (let i = 0; i < 4; i++) {
      globalThis.gc()
      await new Promise(setImmediate)
    }
    return process.memoryUsage.rss()
  },
  connected: () => server.connected(),
  /** Publishes `count` messages to each of the channels in one turn of the event loop, and so for as many turns. */
  async publish ({ channels, count, data, turns = 1 }) {
    for (;;) {
      for (let i = 0; i < count; i++) {
        for (const channel of channels) server.publish(channel, data)
      }
      if (--turns === 0) return
      await new Promise(setImmediate)
    }
  },
  watchLoop () {
    loopDelay.reset()
    loopDelay.enable()
  },
  /** The longest time that the event loop was held up since `watchLoop`, in milliseconds. */
  longestPause () {
    loopDelay.disable()
    return loopDelay.max / 1e6
  },
  startProfile: () => profile.start(),
  stopProfile: ({ path }) => profile.stop(path),
  heapSnapshot: ({ path }) => writeHeapSnapshot(path)
}

process.on('message', async ({ id, command, args }) => {
  try {
    process.send({ id, result: await commands[command](args) })
  } catch (err) {
    process.send({ id, error: err.stack })
  }
})
process.on('disconnect', () => process.exit())
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {}) // they are for the load, which lets this work end
process.send({ port: server.port, dialect, version })
