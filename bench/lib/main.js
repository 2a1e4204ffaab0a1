import { mkdirSync, writeFileSync } from 'node:fs'
import { comparisons, series, variants } from '../works/index.js'
import { everyone, us } from '../works/servers.js'
import { drawChart } from './chart.js'
import { canPin, pinLoad } from './cores.js'
import { machine } from './machine.js'
import { Progress } from './progress.js'
import { printTables, resultsPage } from './report.js'
import { Run } from './run.js'
import { median } from './statistics.js'
import { certificate } from './tls.js'
import { versionOf } from './versions.js'

const profiles = new URL('../profiles/', import.meta.url)
const resultsFile = new URL('../RESULTS.md', import.meta.url)
const chartFile = new URL('../../docs/assets/bench.svg', import.meta.url)

/** @param {Record<string, any>} flags what `run.js` read from the command line */
export async function main (flags) {
  const works = chosenWorks(flags)
  if (flags.list) {
    for (const { id, title, servers } of works) console.log(`${id.padEnd(20)}${title} (${servers.map(({ name }) => name).join(', ')})`)
    return
  }
  const quick = flags.quick === true
  const reps = flags.profile ? 1 : Number(flags.reps ?? (quick ? 1 : 3))
  if (!Number.isInteger(reps) || reps < 1) throw new RangeError(`expected --reps to be a whole number from 1 on, got ${flags.reps}`)
  const names = chosenServers(flags)

  pinLoad()
  const started = Date.now()
  const results = new Results()
  const progress = new Progress(works.reduce((sum, work) => sum + plan(work, names, reps).length, 0))
  // Ctrl-C, or a time limit, ends the run after the server under way, with what there is.
  let interrupted = false
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => { interrupted = true })
  for (const work of works) {
    for (const server of plan(work, names, reps)) {
      if (interrupted) break
      progress.next(`${work.title}: ${server.title}`)
      await runOnce(work, server, { quick, ...profilePaths(flags, work, server) }, results)
    }
    progress.clear()
    if (!flags.json) printTables(results.summary([work]))
  }

  const summary = {
    ...results.summary(works),
    machine: machine(),
    pinned: canPin,
    reps,
    quick,
    versions: Object.fromEntries(everyone.map(({ title, name }) => [title, versionOf(packages[name])])),
    date: new Date(started).toISOString().slice(0, 10),
    seconds: Math.round((Date.now() - started) / 1000)
  }
  if (flags.json) console.log(JSON.stringify(summary, null, 2))
  if (flags.only === undefined && flags.servers === undefined && !quick && !flags.profile && !interrupted) {
    writeFileSync(resultsFile, resultsPage(summary))
    mkdirSync(new URL('.', chartFile), { recursive: true })
    writeFileSync(chartFile, await drawChart(summary))
  }
}

const packages = {
  ws: 'ws',
  'fastify-websocket': '@fastify/websocket',
  socketcluster14: 'socketcluster-server-14',
  socketcluster20: 'socketcluster-server-20',
  socketio: 'socket.io',
  ours: 'fastify-socketcluster'
}

function chosenWorks ({ only, quick }) {
  const all = [...comparisons, ...variants, ...series]
  if (only === undefined) return quick ? [...comparisons, ...series] : all
  return only.split(',').flatMap((wanted) => {
    const found = all.filter(({ id }) => id.startsWith(wanted))
    if (found.length === 0) throw new RangeError(`expected --only to name works (${all.map(({ id }) => id).join(', ')}), got ${wanted}`)
    return found
  })
}

function chosenServers ({ servers, profile }) {
  const known = everyone.map(({ name }) => name)
  if (servers === undefined) return profile ? [us.name] : known
  const wanted = servers.split(',')
  const unknown = wanted.find((name) => !known.includes(name))
  if (unknown !== undefined) throw new RangeError(`expected --servers to name servers (${known.join(', ')}), got ${unknown}`)
  return wanted
}

/** Each repetition goes through all servers before the next one begins, so that a slow minute of the machine meets all alike. */
function plan (work, names, reps) {
  const servers = work.servers.filter(({ name }) => names.includes(name))
  return Array.from({ length: series.includes(work) ? 1 : reps }, () => servers).flat() // a series repeats by itself
}

function profilePaths ({ profile, heap }, work, server) {
  if (!profile) return {}
  mkdirSync(profiles, { recursive: true })
  const path = new URL(`${work.id}-${server.name}`, profiles).pathname
  return { profilePath: `${path}.cpuprofile`, heapPath: heap ? `${path}.heapsnapshot` : undefined }
}

async function runOnce (work, server, settings, results) {
  const options = server.options?.tls ? { ...server.options, tls: await certificate() } : server.options
  const { value, profile } = await Run.of({ name: server.name, options }, settings, (run) => work.measure(run))
  results.add(work, server, value)
  if (profile === null) return
  console.error(`\n${work.title}: ${server.title}`)
  for (const { share, name } of profile) console.error(`  ${(share * 100).toFixed(1).padStart(5)} %  ${name}`)
}

class Results {
  #values = new Map()

  add (work, server, value) {
    const byServer = this.#values.get(work) ?? new Map()
    this.#values.set(work, byServer)
    if (typeof value === 'number') byServer.set(server.name, [...byServer.get(server.name) ?? [], value])
    else byServer.set(server.name, value)
  }

  summary (works) {
    const have = (list) => list.filter((work) => this.#values.has(work))
    const medians = Object.fromEntries(have(series).map((work) => [work.id, mapValues(this.#rows(work), median)]))
    const wanted = (list) => have(list).filter((work) => works.includes(work))
    return {
      comparisons: wanted(comparisons).map((work) => this.#comparison(work)),
      variants: wanted(variants).map((work) => this.#comparison(work)),
      series: wanted(series).map((work) => ({
        ...described(work),
        rows: this.#rows(work),
        medians: medians[work.id],
        met: work.met?.(medians[work.id], medians)
      }))
    }
  }

  /** A series is of one server. */
  #rows (work) {
    return this.#values.get(work).values().next().value
  }

  #comparison (work) {
    const values = Object.fromEntries(this.#values.get(work))
    const ratio = (name, of) => {
      const ratios = (values[name] ?? []).flatMap((value, i) => values[of]?.[i] === undefined ? [] : [value / values[of][i]])
      return ratios.length === 0 ? undefined : median(ratios)
    }
    const ours = work.budget && ratio('ours', work.budget.of)
    return {
      ...described(work),
      values,
      ratios: Object.fromEntries(Object.keys(values).map((name) => [name, ratio(name, 'ws')])),
      ours,
      met: ours === undefined ? undefined : ours <= work.budget.ratio
    }
  }
}

function described ({ id, title, unit, budget }) {
  return { id, title, unit, budget }
}

function mapValues (object, fn) {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, fn(value)]))
}
