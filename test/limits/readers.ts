import { connect, type Socket } from 'node:net'
import { frame } from '../helpers/raw.js'

// A process of subscribers: many that read and time what they get, and some that have stopped reading.

const [port, readers, paused, channel] = process.argv.slice(2) as [string, string, string, string]

async function open (): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: Number(port), noDelay: true })
  await new Promise((resolve) => socket.once('connect', resolve))
  socket.write(`GET /socketcluster/ HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`)
  await contains(socket, '101 ')
  socket.write(frame('{"event":"#handshake","data":{},"cid":1}'))
  await contains(socket, '"rid":1')
  socket.write(frame(JSON.stringify({ event: '#subscribe', data: { channel }, cid: 2 })))
  await contains(socket, '"rid":2')
  return socket
}

function contains (socket: Socket, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let got = ''
    const read = (chunk: Buffer): void => {
      got += chunk.toString('latin1')
      if (!got.includes(text)) return
      socket.off('data', read)
      resolve()
    }
    socket.on('data', read)
    socket.once('close', () => reject(new Error(`closed before ${text}`)))
  })
}

const latencies: number[] = []
const sent = /"at":(\d+\.?\d*)/

for (let i = 0; i < Number(readers); i++) {
  const socket = await open()
  socket.on('error', () => {})
  // Each message is told by its time; where it is cut between two chunks it is not counted.
  socket.on('data', (chunk) => {
    const match = sent.exec(chunk.toString('latin1', 0, 200))
    if (match !== null) latencies.push(performance.timeOrigin + performance.now() - Number(match[1]))
  })
}
let lost = 0
for (let i = 0; i < Number(paused); i++) {
  const socket = await open()
  socket.pause()
  socket.on('error', () => {})
  socket.once('close', () => { lost++ })
}

process.on('message', (message) => {
  if (message === 'turn') process.send!('turn')
  if (message !== 'report') return
  const sorted = latencies.splice(0).sort((a, b) => a - b)
  process.send!({ count: sorted.length, p50: sorted[Math.floor(sorted.length * 0.5)], p99: sorted[Math.floor(sorted.length * 0.99)], lost })
})
process.on('disconnect', () => process.exit())
process.send!('ready')
