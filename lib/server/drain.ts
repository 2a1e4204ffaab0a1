import type { ServerSocket } from '../socket/socket.js'

/**
 * Closes sockets, after what is queued for them, and waits until their connections are gone. Those that have not answered the
 * close after `timeout` milliseconds are dropped.
 */
export async function closeAll (sockets: readonly ServerSocket[], code: number, reason: string, timeout: number): Promise<void> {
  const gone = Promise.all(sockets.map((socket) => socket.port.closed))
  for (const socket of sockets) socket.disconnect(code, reason)
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise((resolve) => { timer = setTimeout(resolve, timeout) })
  await Promise.race([gone, deadline])
  clearTimeout(timer)
  for (const socket of sockets) socket.terminate()
  await gone
}
