// The part of socketcluster-client that the page uses; the library has no types of its own.
declare module 'socketcluster-client' {
  import type { ScClientCodec, ScRecoveryEvent, StreamSocket } from 'fastify-socketcluster/client'

  export interface ClientSocket extends StreamSocket {
    readonly authToken: Record<string, unknown> | null
    listener (event: 'connect' | 'disconnect' | 'connectAbort' | 'authenticate' | 'deauthenticate' | 'error'): AsyncIterable<any>
    listener (event: 'kickOut'): AsyncIterable<{ channel: string, message?: string }>
    receiver (event: 'recovery'): AsyncIterable<ScRecoveryEvent>
    readonly options: { autoReconnect: boolean }
    connect (): void
    disconnect (code?: number, reason?: string): void
    deauthenticate (): Promise<unknown>
  }

  export function create (options?: { path?: string, codecEngine?: ScClientCodec }): ClientSocket
}
