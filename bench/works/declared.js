import { callData } from '../lib/run.js'
import { times } from '../lib/statistics.js'
import { us } from './servers.js'

const events = { 'socket.on': 'echo', 'schema and two hooks': 'declared', 'schema and two async hooks': 'declared-async' }

export const declaredWork = {
  id: 'declared',
  title: 'a declared event with schemas and hooks, over a plain socket.on',
  unit: 'µs a call',
  servers: [us],
  budget: 'at most 1 µs more',
  met: (rows) => rows['schema and two hooks'] - rows['socket.on'] <= 1,
  async measure (run) {
    await run.load.open(50)
    const rows = Object.fromEntries(Object.keys(events).map((label) => [label, []]))
    await times(run.quick ? 2 : 8, async (round) => {
      for (const [label, event] of Object.entries(events)) {
        const used = await run.cpuPerCall(event, callData, 8)
        if (round > 0) rows[label].push(used)
      }
    })
    return rows
  }
}
