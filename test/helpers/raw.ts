import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { WebSocket, type ClientOptions } from 'ws'
import { patience } from './waiting.js'

/** The part of a test that these helpers use: it registers clean-up functions. */
export interface Cleanup {
  teardown (fn: () => unknown): void
}

export interface Closed {
  code: number
  reason: string
}

/** A queue of received items. Each item is taken by the first caller that waits for it. */
export class Inbox<T> {
  readonly items: T[] = []
  readonly #waiters = new Set<() => void>()
  #ended: Error | null = null

  push (item: T): void {
    this.items.push(item)
    for (const waiter of [...this.#waiters]) waiter()
  }

  /** Ends the queue: waiting calls reject, and later calls reject unless a matching item is already queued. */
  end (reason: Error): void {
    this.#ended ??= reason
    for (const waiter of [...this.#waiters]) waiter()
  }

  /** Takes the first matching item. Rejects after the timeout, or when no item can arrive any more. */
  take (fits: (item: T) => boolean, what: string, timeout = patience): Promise<T> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#waiters.delete(look)
      }
      const look = (): void => {
        const at = this.items.findIndex(fits)
        if (at !== -1) {
          done()
          resolve(this.items.splice(at, 1)[0]!)
        } else if (this.#ended !== null) {
          done()
          reject(new Error(`${what} did not come: ${this.#ended.message}`))
        }
      }
      const timer = setTimeout(() => {
        done()
        reject(new Error(`${what} did not come within ${timeout} ms; there is ${JSON.stringify(this.items).slice(0, 500)}`))
      }, timeout)
      this.#waiters.add(look)
      look()
    })
  }
}

export interface RawOptions extends ClientOptions {
  path?: string
  /** The protocol version in which pings are answered; `null` to not answer them. */
  version?: 1 | 2 | null
  /** Connect over TLS, with any certificate. */
  secure?: boolean
}

/** A client that sends exactly the given packets over `ws`, without the SocketCluster client. */
export class RawClient {
  readonly inbox = new Inbox<any>()
  readonly pings: string[] = []
  readonly closed: Promise<Closed>
  #lastCid = 0

  constructor (readonly ws: WebSocket, readonly version: 1 | 2 | null) {
    ws.on('message', (data: Buffer, isBinary: boolean) => {
      if (isBinary) {
        this.inbox.push(data)
        return
      }
      const text = data.toString()
      if (text === '' || text === '#1') {
        this.pings.push(text)
        if (text === (version === 1 ? '#1' : '') && version !== null) ws.send(version === 1 ? '#2' : '')
        return
      }
      let packet: unknown = text
      try {
        packet = JSON.parse(text)
      } catch {}
      for (const item of Array.isArray(packet) ? packet : [packet]) this.inbox.push(item)
    })
    ws.on('error', () => {})
    this.closed = new Promise((resolve) => {
      ws.once('close', (code: number, reason: Buffer) => {
        this.inbox.end(new Error(`the connection was closed with ${code} ${reason.toString()}`))
        resolve({ code, reason: reason.toString() })
      })
    })
  }

  /** Opens a connection without the SocketCluster handshake. Rejects with the HTTP status when the upgrade is refused. */
  static async open (t: Cleanup | null, port: number, options: RawOptions = {}): Promise<RawClient> {
    const { path = '/socketcluster/', version = 2, secure = false, ...rest } = options
    const ws = new WebSocket(`${secure ? 'wss' : 'ws'}://127.0.0.1:${port}${path}`, { rejectUnauthorized: !secure, ...rest })
    const client = new RawClient(ws, version)
    t?.teardown(() => ws.terminate())
    await new Promise<void>((resolve, reject) => {
      ws.once('open', resolve)
      ws.once('error', reject)
    })
    return client
  }

  /** Opens a connection and completes the handshake. */
  static async connect (t: Cleanup | null, port: number, options: RawOptions & { authToken?: unknown } = {}): Promise<RawClient> {
    const { authToken, ...rest } = options
    const client = await RawClient.open(t, port, rest)
    await client.handshake(authToken)
    return client
  }

  /** Sends the handshake and resolves with the data of the answer. */
  async handshake (authToken?: unknown): Promise<any> {
    const { data } = await this.call('#handshake', authToken === undefined ? {} : { authToken })
    return data
  }

  /** Sends text and buffers unchanged, and other values as JSON. */
  send (message: unknown): void {
    this.ws.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message))
  }

  /** Sends a call and resolves with the packet of the answer. */
  call (event: string, data?: unknown): Promise<any> {
    const cid = ++this.#lastCid
    this.send({ event, data, cid })
    return this.answer(cid)
  }

  answer (rid: unknown): Promise<any> {
    return this.inbox.take((packet) => packet?.rid === rid, `the answer to ${String(rid)}`)
  }

  /** Resolves with the next packet of an event. */
  event (event: string): Promise<any> {
    return this.inbox.take((packet) => packet?.event === event, `the event ${event}`)
  }

  /** Resolves with the data of the next publication on a channel. */
  async publication (channel: string): Promise<unknown> {
    const packet = await this.inbox.take((packet) => packet?.event === '#publish' && packet.data.channel === channel, `a publication on ${channel}`)
    return packet.data.data
  }

  /** Settles when the server has read everything that was sent before, and its immediate answers have arrived. */
  async barrier (): Promise<void> {
    const cid = `barrier ${++this.#lastCid}`
    this.send({ event: 'barrier', cid })
    await this.answer(cid)
  }

  async close (code = 1000): Promise<Closed> {
    this.ws.close(code)
    return this.closed
  }
}

export interface Frame {
  fin: boolean
  rsv: number
  opcode: number
  masked: boolean
  payload: Buffer
  /** The length of the frame header in bytes, to check its form. */
  headerLength: number
}

export interface FrameForm {
  opcode?: number
  fin?: boolean
  rsv?: number
  masked?: boolean
  /** A false payload length to write into the header. */
  length?: bigint
}

/** Encodes a frame like a client. */
export function frame (payload: string | Buffer, { opcode = 1, fin = true, rsv = 0, masked = true, length }: FrameForm = {}): Buffer {
  const body = Buffer.from(payload as string)
  const size = length ?? BigInt(body.length)
  const header: number[] = [(fin ? 0x80 : 0) | (rsv << 4) | opcode]
  const maskBit = masked ? 0x80 : 0
  if (size < 126n) {
    header.push(maskBit | Number(size))
  } else if (size < 65536n) {
    header.push(maskBit | 126, Number(size >> 8n), Number(size & 0xffn))
  } else {
    header.push(maskBit | 127)
    for (let shift = 56n; shift >= 0n; shift -= 8n) header.push(Number((size >> shift) & 0xffn))
  }
  if (!masked) return Buffer.concat([Buffer.from(header), body])
  const mask = randomBytes(4)
  const hidden = Buffer.from(body)
  for (let i = 0; i < hidden.length; i++) hidden[i]! ^= mask[i % 4]!
  return Buffer.concat([Buffer.from(header), mask, hidden])
}

export function closeFrame (code: number, reason = ''): Buffer {
  const payload = Buffer.alloc(2)
  payload.writeUInt16BE(code)
  return frame(Buffer.concat([payload, Buffer.from(reason)]), { opcode: 8 })
}

/** A websocket client on a TCP socket. It sends and receives raw frames, and answers nothing by itself. */
export class NetClient {
  readonly frames = new Inbox<Frame>()
  /** The chunks that were read from the TCP socket after the upgrade. */
  readonly chunks: Buffer[] = []
  readonly closed: Promise<void>
  headers = ''
  #rest = Buffer.alloc(0)
  #upgraded = false

  constructor (readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('error', () => {})
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.frames.end(new Error('the connection is gone'))
        resolve()
      })
    })
  }

  /** Opens a connection and upgrades it. */
  static async open (t: Cleanup | null, port: number, { path = '/socketcluster/', headers = [] }: { path?: string, headers?: string[] } = {}): Promise<NetClient> {
    const socket = connectTcp({ port, host: '127.0.0.1', noDelay: true })
    t?.teardown(() => socket.destroy())
    await once(socket, 'connect')
    const client = new NetClient(socket)
    const key = randomBytes(16).toString('base64')
    const upgraded = once(socket, 'upgraded')
    socket.write([`GET ${path} HTTP/1.1`, 'Host: 127.0.0.1', 'Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Key: ${key}`,
      'Sec-WebSocket-Version: 13', ...headers, '', ''].join('\r\n'))
    await Promise.race([upgraded, client.closed])
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    if (!client.headers.startsWith('HTTP/1.1 101') || !client.headers.includes(accept)) throw new Error(`not upgraded: ${client.headers}`)
    return client
  }

  static async connect (t: Cleanup | null, port: number): Promise<NetClient> {
    const client = await NetClient.open(t, port)
    client.packet({ event: '#handshake', data: {}, cid: 1 })
    await client.packetFrame((packet) => packet.rid === 1)
    return client
  }

  packet (packet: unknown): void {
    this.socket.write(frame(JSON.stringify(packet)))
  }

  /** Resolves with the next frame that contains a matching packet. */
  async packetFrame (fits: (packet: any) => boolean): Promise<any> {
    const found = await this.frames.take(({ opcode, payload }) => {
      if (opcode !== 1) return false
      try {
        return fits(JSON.parse(payload.toString()))
      } catch {
        return false
      }
    }, 'a packet')
    return JSON.parse(found.payload.toString())
  }

  /** Resolves with the code and the reason of the server's close frame. */
  async closeFrame (): Promise<Closed> {
    const { payload } = await this.frames.take(({ opcode }) => opcode === 8, 'a close frame')
    return { code: payload.length < 2 ? 1005 : payload.readUInt16BE(), reason: payload.subarray(2).toString() }
  }

  #onData (chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk])
    if (!this.#upgraded) {
      const end = this.#rest.indexOf('\r\n\r\n')
      if (end === -1) return
      this.headers = this.#rest.toString('latin1', 0, end)
      this.#rest = this.#rest.subarray(end + 4)
      this.#upgraded = true
      this.socket.emit('upgraded')
      if (this.#rest.length > 0) this.chunks.push(this.#rest)
    } else {
      this.chunks.push(chunk)
    }
    for (let parsed = parseFrame(this.#rest); parsed !== null; parsed = parseFrame(this.#rest)) {
      this.#rest = this.#rest.subarray(parsed.headerLength + parsed.payload.length)
      this.frames.push(parsed)
    }
  }
}

function parseFrame (bytes: Buffer): Frame | null {
  if (bytes.length < 2) return null
  const first = bytes[0]!
  const short = bytes[1]! & 0x7f
  const masked = (bytes[1]! & 0x80) !== 0
  const headerLength = (short < 126 ? 2 : short === 126 ? 4 : 10) + (masked ? 4 : 0)
  if (bytes.length < headerLength) return null
  const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
  if (bytes.length < headerLength + length) return null
  return {
    fin: (first & 0x80) !== 0,
    rsv: (first >> 4) & 7,
    opcode: first & 15,
    masked,
    headerLength,
    payload: Buffer.from(bytes.subarray(headerLength, headerLength + length))
  }
}
