import { randomBytes } from 'node:crypto'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { dialects } from './dialects.js'
import { clientFrame, FrameCounter } from './frames.js'

const headEnd = Buffer.from('\r\n\r\n')
const pongs = new Map()
const readBuffer = Buffer.allocUnsafe(65536) // of all connections: a chunk is used up before the next one is read
const pongFrame = clientFrame('', 10)

/** One websocket client that does as little as it can, so that the server is always the slower side. */
export class Connection {
  /** Called with the number of messages that came in one chunk. */
  onMessages = null
  /** Called when the server ends an open connection. */
  onLost = null
  #socket
  #frames
  #dialect
  #head = Buffer.alloc(0)
  #settle
  #dropped = false

  /** @param {import('./server-process.js').ServerProcess} server */
  static open (server) {
    const connection = new Connection()
    return new Promise((resolve, reject) => {
      connection.#settle = { resolve: () => resolve(connection), reject }
      connection.#connect(server)
    })
  }

  #connect (server) {
    this.#dialect = dialects[server.dialect]
    this.#frames = new FrameCounter((opcode, payload) => this.#short(opcode, payload))
    const address = { host: '127.0.0.1', port: server.port, noDelay: true }
    if (server.tls) {
      this.#socket = connectTls({ ...address, rejectUnauthorized: false }, () => this.#upgrade(server))
      this.#socket.on('data', (chunk) => this.#read(chunk))
    } else {
      const onread = { buffer: readBuffer, callback: (size, buffer) => { this.#read(buffer.subarray(0, size)) } }
      this.#socket = connectTcp({ ...address, onread }, () => this.#upgrade(server))
    }
    this.#socket.on('error', (err) => this.#settle?.reject(err))
    this.#socket.on('close', () => {
      if (this.#settle !== null) this.#settle.reject(new Error('the server closed the connection before it was ready'))
      else if (!this.#dropped) this.onLost?.()
    })
  }

  #upgrade (server) {
    const lines = [
      `GET ${this.#dialect.path} HTTP/1.1`, `Host: 127.0.0.1:${server.port}`, 'Connection: Upgrade', 'Upgrade: websocket',
      'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`
    ]
    if (server.deflate) lines.push('Sec-WebSocket-Extensions: permessage-deflate')
    this.#socket.write(lines.join('\r\n') + '\r\n\r\n')
  }

  #read (chunk) {
    if (this.#head !== null) {
      chunk = this.#readHead(chunk)
      if (chunk === null) return
    }
    const count = this.#frames.take(chunk)
    if (count > 0) this.onMessages?.(count)
  }

  /** Returns what follows the answer to the upgrade, or null while that is not complete. */
  #readHead (chunk) {
    this.#head = Buffer.concat([this.#head, chunk])
    const end = this.#head.indexOf(headEnd)
    if (end === -1) return null
    if (!this.#head.includes('HTTP/1.1 101 ')) {
      this.#settle.reject(new Error(`expected the server to upgrade, got ${this.#head}`))
      return null
    }
    const rest = this.#head.subarray(end + headEnd.length)
    this.#head = null
    this.#frames.readText = (text) => this.#handshake(text)
    if (this.#dialect.firstText !== null) this.send(clientFrame(this.#dialect.firstText))
    return rest
  }

  #handshake (text) {
    try {
      const next = text === null || this.#dialect.handshake(text)
      if (next === true) this.#ready()
      else if (next !== null) this.send(clientFrame(next))
    } catch (err) {
      this.#settle.reject(err)
    }
  }

  #ready () {
    this.#frames.readText = null
    this.#settle.resolve()
    this.#settle = null
  }

  /** Returns whether it is a message to count. */
  #short (opcode, payload) {
    if (opcode === 9) this.send(pongFrame)
    if (opcode >= 8) return false
    const text = payload.toString()
    if (!this.#dialect.isPing(text)) return true
    const pong = this.#dialect.pong(text)
    if (pong === null) return false
    if (!pongs.has(pong)) pongs.set(pong, clientFrame(pong))
    this.send(pongs.get(pong))
    return false
  }

  /** Sends frames as they are. */
  send (bytes) {
    this.#socket.write(bytes)
  }

  /** Sends one call and waits for its answer. */
  async call (text) {
    const answer = await new Promise((resolve) => {
      this.#frames.readText = resolve
      this.send(clientFrame(text))
    })
    this.#frames.readText = null
    if (answer !== null && this.#dialect.failed(answer)) throw new Error(`${text} got ${answer}`)
  }

  /** Drops the connection, as when a cable is pulled. */
  drop () {
    this.#dropped = true
    this.#socket.destroy()
  }
}
