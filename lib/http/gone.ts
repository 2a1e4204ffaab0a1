import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'

/** Whether a response is closed: it was sent, or the client is gone. One over HTTP/2 has no `destroyed`, but its stream has. */
export function isGone (response: ServerResponse | Http2ServerResponse): boolean {
  const { destroyed } = response as ServerResponse
  return destroyed ?? (response as Http2ServerResponse).stream.destroyed
}
