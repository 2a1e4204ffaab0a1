// `npm run bench:presence`: what users who come to a channel cost a process, by how many clients look who is there.
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { WebSocket } from 'ws'
import { pinLoad } from './lib/cores.js'
import { inParallel } from './lib/load.js'
import { machine } from './lib/machine.js'
import { prepare } from './lib/prepare.js'
import { ServerProcess } from './lib/server-process.js'
import { median } from './lib/statistics.js'

const options = {
  users: { type: 'string', default: '1000' },
  rate: { type: 'string', default: '1000' },
  watchers: { type: 'string', default: '0,1,100,1000' },
  reps: { type: 'string', default: '3' }
}
const { values: args } = parseArgs({ options })
/** Milliseconds after which all that was collected is told. */
const settled = 2_200
const rounds = 4
const [users, rate, reps] = ['users', 'rate', 'reps'].map((name) => Number(args[name]))

/** A client over a bare websocket. It notes how much it gets of channels, and the number of users that it was told last. */
class BareClient {
  bytes = 0
  messages = 0
  total = -1
  #lastCid = 1
  #calls = new Map()

  static async open (port, query = '') {
    const client = new BareClient()
    const ws = client.ws = new WebSocket(`ws://127.0.0.1:${port}/socketcluster/${query}`, { perMessageDeflate: false })
    ws.on('message', (data) => client.#read(data.toString()))
    await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject))
    await client.call('#handshake', {})
    return client
  }

  async call (event, data) {
    const cid = this.#lastCid++
    const answer = new Promise((resolve) => { this.#calls.set(cid, resolve) })
    this.ws.send(JSON.stringify({ event, data, cid }))
    const { error } = await answer
    if (error) throw new Error(error.message)
  }

  #read (text) {
    // The pings of both protocols.
    if (text === '' || text === '#1') return this.ws.send(text === '' ? '' : '#2')
    const packet = JSON.parse(text)
    for (const { event, data, ...answer } of Array.isArray(packet) ? packet : [packet]) {
      if (event === undefined) this.#calls.get(answer.rid)(answer)
      if (event !== '#publish') continue
      this.bytes += text.length
      this.messages++
      this.total = data.data.total
    }
  }
}

/** Calls with all clients, as many in a second. */
async function paced (clients, call) {
  const calls = []
  for (const from = performance.now(); calls.length < clients.length; await sleep(5)) {
    const due = Math.min(clients.length, (performance.now() - from) / 1000 * rate)
    while (calls.length < due) calls.push(call(clients[calls.length]))
  }
  await Promise.all(calls)
}

async function measure (watchers) {
  const server = await ServerProcess.start('ours', { presence: true })
  try {
    const open = (count, query) => inParallel(count, (i) => BareClient.open(server.port, query(i)), 50)
    const members = await open(users, (i) => `?user=user-${i}`)
    const looking = await open(watchers, () => '')
    const until = async (met) => {
      for (const from = performance.now(); !met(); await sleep(20)) if (performance.now() - from > 30_000) throw new Error('expected all who look to be told')
    }
    /** What the server used for each member, in microseconds. */
    const cpuOf = async (act) => {
      const before = await server.ask('cpu')
      await act()
      return (await server.ask('cpu') - before) / users
    }
    const all = (event, channel) => paced(members, (client) => client.call(event, event === '#subscribe' ? { channel } : channel))
    const settle = async (total) => {
      await sleep(settled)
      await until(() => looking.every((client) => client.total === total))
    }
    for (const client of looking) await client.call('#subscribe', { channel: 'room/1#presence' })
    let plain
    let joins
    // Servers get quicker with what they do again: the last of some rounds counts.
    for (let round = 0; round < rounds; round++) {
      plain = await cpuOf(async () => { await all('#subscribe', 'plain/1'); await sleep(settled) })
      await all('#unsubscribe', 'plain/1')
      for (const client of looking) client.bytes = client.messages = 0
      joins = await cpuOf(async () => { await all('#subscribe', 'room/1'); await settle(users) })
      if (round === rounds - 1) break
      await all('#unsubscribe', 'room/1')
      await settle(0)
    }
    const sum = (key) => looking.reduce((total, client) => total + client[key], 0)
    const result = { plain, joins, bytes: sum('bytes') / watchers / users, messages: sum('messages') / watchers }
    // A crowd that begins to look: the list is encoded once for all of them.
    const late = members
    for (const client of late) client.bytes = 0
    result.looks = await cpuOf(async () => { await paced(late, (client) => client.call('#subscribe', { channel: 'room/1#presence' })) })
    await until(() => late.every(({ total }) => total === users))
    result.list = late.reduce((total, { bytes }) => total + bytes, 0) / late.length
    for (const { ws } of [...members, ...looking]) ws.terminate()
    return result
  } finally {
    await server.stop()
  }
}

await prepare()
pinLoad()
const rows = []
for (const watchers of args.watchers.split(',').map(Number)) {
  const results = []
  for (let rep = 0; rep < reps; rep++) {
    results.push(await measure(watchers))
    console.error(watchers, JSON.stringify(results.at(-1)))
  }
  const middle = (key) => median(results.map((result) => result[key]))
  const onTop = middle('joins') - middle('plain')
  rows.push([watchers, middle('plain'), middle('joins'), onTop, watchers === 0 ? '' : onTop / watchers, ...watchers === 0 ? ['', ''] : [middle('messages'), middle('bytes')], middle('looks'), middle('list')])
}
const cell = (value) => typeof value !== 'number' ? value : value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString('en')
console.log(`${users.toLocaleString('en')} users come to a channel with presence, ${rate} in a second. ${machine()}. Medians over ${reps} runs.\n`)
console.log('| clients that look | CPU µs of a subscription without presence | with it | on top | of it for each who looks | messages to each who looks | bytes of a join to each | CPU µs of a client that begins to look at all of them | bytes of the list |')
console.log(`|${' --- |'.repeat(9)}`)
for (const row of rows) console.log(`| ${row.map(cell).join(' | ')} |`)
