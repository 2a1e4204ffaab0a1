import { connect } from 'node:net'
import { once } from 'node:events'

const headEnd = '\r\n\r\n'

/** Connections that are kept alive, each with one request at a time. The answers of one request all have the same length. */
export class HttpLoad {
  #sockets

  static async open (port, count) {
    const load = new HttpLoad()
    load.#sockets = Array.from({ length: count }, () => connect({ host: '127.0.0.1', port, noDelay: true }))
    await Promise.all(load.#sockets.map((socket) => once(socket, 'connect')))
    return load
  }

  /** Sends `count` requests, and ends when all are answered with status 200. */
  async send (request, count) {
    const length = await this.#lengthOfAnswer(request)
    let left = count
    await Promise.all(this.#sockets.map((socket) => new Promise((resolve, reject) => {
      let missing = 0
      const next = () => {
        if (left === 0) {
          end()
          resolve()
          return
        }
        left--
        missing = length
        socket.write(request)
      }
      const read = (chunk) => {
        if (missing === length && chunk.latin1Slice(0, 13) !== 'HTTP/1.1 200 ') fail(new Error(`expected status 200, got ${chunk}`))
        missing -= chunk.length
        if (missing < 0) fail(new Error(`expected an answer of ${length} bytes, got ${chunk}`))
        else if (missing === 0) next()
      }
      const closed = () => { fail(new Error('the server closed a connection')) }
      const end = () => { socket.off('data', read).off('error', fail).off('close', closed) }
      const fail = (err) => {
        end()
        reject(err)
      }
      socket.on('data', read).on('error', fail).on('close', closed)
      next()
    })))
  }

  async #lengthOfAnswer (request) {
    const [socket] = this.#sockets
    let text = ''
    socket.write(request)
    for (;;) {
      const [chunk] = await once(socket, 'data')
      text += chunk.toString('latin1')
      const end = text.indexOf(headEnd)
      if (end === -1) continue
      const length = end + headEnd.length + Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1])
      if (text.length === length) return length
      if (!(text.length < length)) throw new Error(`expected one answer with a content-length, got ${text}`)
    }
  }

  close () {
    for (const socket of this.#sockets) socket.destroy()
  }
}
