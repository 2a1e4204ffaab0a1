/** The close codes the server knows, with SocketCluster's text for each. Used in errors and in the log. */
export const closeReasons: Readonly<Record<number, string>> = {
  1001: 'Socket was disconnected',
  1002: 'A WebSocket protocol error was encountered',
  1003: 'Server terminated socket because it received invalid data',
  1005: 'Socket closed without status code',
  1006: 'Socket hung up',
  1007: 'Message format was incorrect',
  1008: 'Encountered a policy violation',
  1009: 'Message was too big to process',
  1010: 'Client ended the connection because the server did not comply with extension requirements',
  1011: 'Server encountered an unexpected fatal condition',
  1013: 'Server takes no more connections for now',
  4000: 'Server ping timed out',
  4001: 'Client pong timed out',
  4002: 'Server failed to sign auth token',
  4003: 'Failed to complete handshake',
  4004: 'Client failed to save auth token',
  4005: 'Did not receive #handshake from client before timeout',
  4006: 'Failed to bind socket to message broker',
  4007: 'Client connection establishment timed out',
  4008: 'Server rejected handshake from client',
  4009: 'Server received a message before the client handshake',
  4400: 'Client sent too many messages that cannot be read',
  4401: 'Client is not authorized',
  4413: 'Client sent too many packets in one array',
  4429: 'Client sent too many messages'
}

/** Whether a close code is not an error: 1000 (normal) or 1001 (going away). */
export function isOrdinaryClose (code: number): boolean {
  return code === 1000 || code === 1001
}

/** Whether stock clients do not connect again after a close code: 1000, or 4500 and higher. */
export function isFinalClose (code: number): boolean {
  return code === 1000 || code >= 4500
}

/** Whether an application may close a connection with this code. All other codes are reserved by RFC 6455 (section 7.4). */
export function isSendableCloseCode (code: unknown): code is number {
  return typeof code === 'number' && Number.isInteger(code) && (code === 1000 || code === 1001 || (code >= 3000 && code <= 4999))
}

/** Returns the message of the error for a close that is not ordinary. */
export function closeMessage (code: number, data: unknown): string {
  const reason = reasonText(data)
  return closeReasons[code] ?? `Socket connection closed with status code ${code}${reason === '' ? '' : ` and reason: ${reason}`}`
}

/** Cuts a close reason between characters to 123 bytes, the room of a close frame (RFC 6455, section 5.5). */
export function truncateReason (reason: string): string {
  if (reason.length <= 41) return reason
  const bytes = Buffer.from(reason)
  if (bytes.length <= 123) return reason
  let end = 123
  while ((bytes[end]! & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}

/** Converts a close reason of any type to text: objects to JSON, a value without a text form to `''`. Never throws. */
export function reasonText (data: unknown): string {
  if (data === undefined || data === null) return ''
  if (typeof data === 'string') return data
  for (const write of [JSON.stringify, String] as Array<(data: unknown) => string | undefined>) {
    try {
      const text = write(data)
      if (text !== undefined) return text
    } catch {}
  }
  return ''
}
