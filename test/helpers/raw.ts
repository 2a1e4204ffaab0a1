import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { WebSocket, type ClientOptions } from 'ws'
import { patience } from './waiting.js'

/** What a test is, to these helpers: somebody to clean up after. */
export interface Cleanup {
  teardown (fn: () => unknown): void
}

export interface Closed {
  code: number
  reason: string
}

/** A queue that can be waited at. What arrives is taken out by who asks for it first. */
export class Inbox<T> {
  readonly items: T[] = []
  readonly #waiters = new Set<() => void>()
  #ended: Error | null = null

  push (item: T): void {
    this.items.push(item)
    for (const waiter of [...this.#waiters]) waiter()
  }

  /** Those who wait fail, and so does who asks later for what is not there. */
  end (reason: Error): void {
    this.#ended ??= reason
    for (const waiter of [...this.#waiters]) waiter()
  }

  /** Takes the first item that fits; rejects when the time is over, or nothing can come any more. */
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
  /** How pings are answered; `null` for not at all. */
  version?: 1 | 2 | null
  /** Over TLS, whoever signed the certificate. */
  secure?: boolean
}

/** A client that says exactly what it is told to: packets over `ws`, without any of SocketCluster's client. */
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

  /** Connects, without a handshake of SocketCluster. Rejects with the HTTP status when the upgrade is refused. */
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

  /** Connects and shakes hands. */
  static async connect (t: Cleanup | null, port: number, options: RawOptions & { authToken?: unknown } = {}): Promise<RawClient> {
    const { authToken, ...rest } = options
    const client = await RawClient.open(t, port, rest)
    await client.handshake(authToken)
    return client
  }

  /** The data of the handshake's ack. */
  async handshake (authToken?: unknown): Promise<any> {
    const { data } = await this.call('#handshake', authToken === undefined ? {} : { authToken })
    return data
  }

  /** Text and buffers go out as they are, everything else as JSON. */
  send (message: unknown): void {
    this.ws.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message))
  }

  /** Sends a call and gives the whole packet that answers it. */
  call (event: string, data?: unknown): Promise<any> {
    const cid = ++this.#lastCid
    this.send({ event, data, cid })
    return this.answer(cid)
  }

  answer (rid: unknown): Promise<any> {
    return this.inbox.take((packet) => packet?.rid === rid, `the answer to ${String(rid)}`)
  }

  /** The next packet of an event. */
  event (event: string): Promise<any> {
    return this.inbox.take((packet) => packet?.event === event, `the event ${event}`)
  }

  /** The next publication on a channel. */
  async publication (channel: string): Promise<unknown> {
    const packet = await this.inbox.take((packet) => packet?.event === '#publish' && packet.data.channel === channel, `a publication on ${channel}`)
    return packet.data.data
  }

  /** Settles when the server has read everything that was sent before, and all that it answered at once is here. */
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
  /** Bytes of the header, so that its form can be checked. */
  headerLength: number
}

export interface FrameForm {
  opcode?: number
  fin?: boolean
  rsv?: number
  masked?: boolean
  /** A length that is a lie. */
  length?: bigint
}

/** One frame as a client writes it. */
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

/** A websocket connection made of bytes: it sees and sends frames as they are, and answers nothing by itself. */
export class NetClient {
  readonly frames = new Inbox<Frame>()
  /** What the operating system handed over, piece by piece, after the upgrade. */
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

  /** Connects and upgrades. */
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

  /** The next frame with a packet that fits. */
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

  /** The code and the reason of the server's close frame. */
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
