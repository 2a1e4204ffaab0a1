import { once } from 'node:events'
import { WebSocket } from 'ws'
import { io } from 'socket.io-client'
import { create } from 'socketcluster-client'
import { recovering } from '../../dist/lib/client/index.js'

const back = { first: 100, most: 150 }

/** What a client got, over all of its connections: the numbers of messages, and each `false` or `true` that it was told. */
class Got {
  events = []
  /** Connections on which the client got an answer to the question for what it missed. */
  flagged = 0
  refused = 0

  message (n) {
    this.events.push(n)
  }

  told (recovered) {
    if (recovered) this.flagged++
    else {
      this.refused++
      this.events.push('told')
    }
  }
}

/** Counts what is missing of `sent` numbers, from the first one that came on, and what came twice. */
export function account ({ events }, sent) {
  const seen = new Set()
  const holes = { silent: 0, told: 0 }
  let twice = 0
  let last = null
  let wasTold = false
  for (const event of events) {
    if (event === 'told') wasTold = true
    else if (seen.has(event)) twice++
    else {
      seen.add(event)
      if (last !== null && event > last + 1) holes[wasTold ? 'told' : 'silent'] += event - last - 1
      // What comes late is not missing.
      if (last !== null && event < last) holes.silent--
      last = Math.max(last ?? event, event)
      wasTold = false
    }
  }
  return { lost: holes.silent + Math.max(0, sent - 1 - last), told: holes.told, twice }
}

/** The real client of each server, reconnecting by itself; `reads` is called with each message. */
export const realClients = {
  ours (port, channel, onMessage) {
    const got = new Got()
    const client = create({ hostname: '127.0.0.1', port, codecEngine: recovering(), autoReconnectOptions: { initialDelay: back.first, randomness: back.most - back.first } })
    const follow = async (stream, each) => { for await (const value of stream) each(value) }
    follow(client.receiver('recovery'), ({ recovered }) => got.told(recovered))
    follow(client.subscribe(channel), ({ n }) => {
      got.message(n)
      onMessage(n)
    })
    return { got, close: () => client.disconnect(), there: () => client.isSubscribed(channel) }
  },
  socketio (port, channel, onMessage) {
    const got = new Got()
    const socket = io(`http://127.0.0.1:${port}`, { transports: ['websocket'], reconnectionDelay: back.first, reconnectionDelayMax: back.most, forceNew: true })
    let isFirst = true
    let isThere = false
    socket.on('connect', () => {
      if (!isFirst) got.told(socket.recovered)
      if (socket.recovered) isThere = true
      else socket.emit('subscribe', channel, () => { isThere = true })
      isFirst = false
    })
    socket.on('disconnect', () => { isThere = false })
    socket.on('publish', ({ data: { n } }) => {
      got.message(n)
      onMessage(n)
    })
    return { got, close: () => socket.close(), there: () => isThere }
  }
}

/** A client over a bare websocket, so that thousands of them leave time for the servers. */
class BareClient {
  /** How often each message came since the last reset, and whether the client was told that it has all. */
  counts = new Map()
  recovered = false
  onMessage = () => {}

  reset () {
    this.counts.clear()
    this.recovered = false
  }

  async open (port) {
    const ws = this.ws = new WebSocket(`ws://127.0.0.1:${port}${this.path}`, { perMessageDeflate: false })
    ws.on('error', () => {})
    const ready = new Promise((resolve, reject) => {
      this.ready = resolve
      ws.once('close', () => reject(new Error('the server closed a connection')))
    })
    ws.on('message', (data) => this.read(data.toString()))
    ws.once('open', () => this.begin())
    await ready
  }

  async drop () {
    const closed = once(this.ws, 'close')
    this.ws.terminate()
    await closed
  }

  count (n) {
    this.counts.set(n, (this.counts.get(n) ?? 0) + 1)
    this.onMessage()
  }
}

class OurBareClient extends BareClient {
  path = '/socketcluster/'
  #codec = recovering()

  constructor (channel) {
    super()
    this.channel = channel
  }

  #send (packet) {
    this.ws.send(this.#codec.encode(packet))
  }

  begin () {
    this.#send({ event: '#handshake', data: { authToken: null }, cid: 1 })
  }

  read (text) {
    if (text === '') return this.ws.send('')
    const decoded = this.#codec.decode(text)
    for (const { event, data, rid, error } of Array.isArray(decoded) ? decoded : [decoded]) {
      if (error) throw new Error(text)
      if (rid === 1) this.#send({ event: '#subscribe', data: { channel: this.channel }, cid: 2 })
      else if (rid === 2) this.ready()
      else if (event === 'recovery') this.recovered = data.recovered
      else if (event === '#publish') this.count(data.data.n)
    }
  }
}

class SocketIoBareClient extends BareClient {
  path = '/socket.io/?EIO=4&transport=websocket'
  #pid = null
  #offset = null

  constructor (channel) {
    super()
    this.channel = channel
  }

  begin () {}

  read (text) {
    if (text === '2') return this.ws.send('3')
    if (text.startsWith('0')) return this.ws.send(this.#pid === null ? '40' : `40${JSON.stringify({ pid: this.#pid, offset: this.#offset })}`)
    if (text.startsWith('40')) {
      const { pid } = JSON.parse(text.slice(2))
      this.recovered = pid === this.#pid
      this.#pid = pid
      if (this.recovered) this.ready()
      else this.ws.send(`421${JSON.stringify(['subscribe', this.channel])}`)
    } else if (text.startsWith('431')) this.ready()
    else if (text.startsWith('42')) {
      const [, { data }, offset] = JSON.parse(text.slice(2))
      if (typeof offset === 'string') this.#offset = offset
      this.count(data.n)
    }
  }
}

export const bareClients = { ours: OurBareClient, socketio: SocketIoBareClient }
