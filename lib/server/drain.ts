import type { Session } from '../socket/session.js'

/** How sockets are closed when the server stops. */
export interface DrainOptions {
  readonly closeCode: number
  readonly closeReason: string
  /** Milliseconds for pending answers and the close itself together. */
  readonly closeTimeout: number
  /** Milliseconds over which the closes are spread. */
  readonly drainTimeout: number
}

/** Milliseconds between two waves. */
const waveInterval = 100

/** Milliseconds that a client has between the answer to its handshake and the close, and between two looks whether it used them. */
const settleTime = 100
const settleStep = 20

/**
 * Closes sockets in waves. Settles when all are gone. When its wave is reached, a socket accepts no new work, gets its pending
 * answers and queued messages, and is closed. A socket that does not answer the close is dropped.
 */
export async function drainSockets (sockets: readonly Session[], options: DrainOptions): Promise<void> {
  const waves = Math.max(1, Math.floor(options.drainTimeout / waveInterval))
  const perWave = Math.ceil(sockets.length / waves)
  const closing: Array<Promise<void>> = []
  for (let at = 0; at < sockets.length; at += perWave) {
    if (at !== 0) await new Promise((resolve) => setTimeout(resolve, waveInterval))
    closing.push(closeWave(sockets.slice(at, at + perWave), options))
  }
  await Promise.all(closing)
}

async function closeWave (sockets: readonly Session[], { closeCode, closeReason, closeTimeout }: DrainOptions): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<void>((resolve) => { timer = setTimeout(resolve, closeTimeout) })
  await Promise.all(sockets.map(async (socket) => {
    const gone = socket.connection.closed
    if (isFresh(socket)) await settled(socket, closeTimeout)
    socket.closing = true
    if (!socket.activity.isQuiet && socket.state === 'open') await Promise.race([socket.activity.whenQuiet(), gone, deadline])
    socket.disconnect(closeCode, closeReason)
    await Promise.race([gone, deadline])
    socket.terminate()
    await gone
  }))
  clearTimeout(timer)
}

/** Whether the handshake of a socket was just answered, and nothing came from its client since. */
function isFresh ({ state, lastSeen, openedAt }: Session): boolean {
  return state === 'open' && lastSeen <= openedAt && performance.now() - openedAt < settleTime
}

/**
 * Settles when the client of a fresh socket has sent something, or had the time to. Stock clients subscribe when they read the answer to
 * the handshake. When they read the close in the same moment, the subscription fails in a way that they never repeat, on no connection.
 */
async function settled (socket: Session, closeTimeout: number): Promise<void> {
  const { openedAt } = socket
  // Steps are counted, because a busy process would let the time pass without reading anything.
  for (let left = Math.min(settleTime, closeTimeout); left > 0 && socket.state === 'open' && socket.lastSeen <= openedAt; left -= settleStep) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(settleStep, left)))
  }
}
