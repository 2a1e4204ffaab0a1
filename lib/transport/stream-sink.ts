import type { ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'

/** What a stream writes to. */
export type Sink = Pick<Writable, 'write' | 'writableLength' | 'writableNeedDrain' | 'once'>

/**
 * What is below a response, once that has written its head: the stream of HTTP/2, or the socket of HTTP/1.1, which takes half of the
 * time. Behind another response of the same connection there is no socket yet.
 */
export function sinkOf (response: ServerResponse): Sink {
  const { stream, socket } = response as { stream?: Writable, socket: unknown }
  return stream ?? (socket instanceof Socket ? socket : response)
}
