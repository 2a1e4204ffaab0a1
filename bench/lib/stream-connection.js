import { connect } from 'node:net'

const mark = 'data: {"channel":'

/** One client of a stream of server-sent events that does as little as it can: it counts the publications. */
export class StreamConnection {
  /** Called with the number of publications that came in one chunk. */
  onMessages = null
  /** Called when the server ends the stream. */
  onLost = null
  #socket
  #dropped = false
  /** The end of the last chunk, which may hold the beginning of a mark. */
  #rest = ''

  /** Asks for a stream of a channel, and resolves when it is subscribed. */
  static open (port, channel) {
    const connection = new StreamConnection()
    return new Promise((resolve, reject) => {
      const socket = connection.#socket = connect({ host: '127.0.0.1', port, noDelay: true })
      let head = ''
      const subscribed = (chunk) => {
        head += chunk
        if (!/event: subscribed\n.*\n\n/.test(head)) return
        socket.off('data', subscribed).on('data', (chunk) => connection.#read(chunk))
        resolve(connection)
      }
      socket.setEncoding('latin1').on('data', subscribed).on('error', reject)
      socket.on('close', () => {
        reject(new Error(`expected a stream, got ${head}`))
        if (!connection.#dropped) connection.onLost?.()
      })
      socket.write(`GET /stream?channel=${channel} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`)
    })
  }

  #read (chunk) {
    const text = this.#rest + chunk
    this.#rest = text.slice(1 - mark.length)
    let count = 0
    for (let at = text.indexOf(mark); at !== -1; at = text.indexOf(mark, at + mark.length)) count++
    if (count > 0) this.onMessages?.(count)
  }

  drop () {
    this.#dropped = true
    this.#socket.destroy()
  }
}
