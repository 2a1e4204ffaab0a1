import type { ScAuthToken } from '../../types/auth.js'
import type { Command, Filter } from './commands.js'
import { matches } from './filter.js'
import { type Revocation, type Revocations, claimText } from './revocations.js'

/** The part of a socket that commands use. */
export interface CommandedSocket {
  readonly id: string
  readonly authToken: ScAuthToken | null
  deauthenticate (): void
  disconnect (code?: number, reason?: string): void
  /** @returns whether it was in the channel, or about to be */
  kickOut (channel: string, message: string | undefined): boolean
}

/** The part of the server that commands use. */
export interface SocketCommandsPort<Socket extends CommandedSocket> {
  readonly sockets: Iterable<Socket>
  readonly revocations: Revocations
  /** Makes a token that is being verified for the socket stale. */
  supersede (socket: Socket): void
}

/** Runs commands of any node on this one: on its sockets and its recorded revocations. */
export class SocketCommands<Socket extends CommandedSocket> {
  readonly #port: SocketCommandsPort<Socket>

  constructor (port: SocketCommandsPort<Socket>) {
    this.#port = port
  }

  /** Runs a command. @returns how many sockets it affected */
  run (command: Command): number {
    if (command.do === 'remember') return this.learn(command.entries)
    const { filter } = command
    if (command.do === 'revoke') this.#remember(filter, command.at)
    let concerned = 0
    for (const socket of [...this.#port.sockets]) {
      // The socket may be about to get another token. A revocation by user or `jti` is recorded and refuses that token later;
      // one by `socketId` is not recorded.
      if (command.do === 'revoke' && filter.socketId === socket.id) this.#port.supersede(socket)
      if (!matches(filter, socket.id, socket.authToken)) continue
      if (command.do === 'revoke') {
        if (socket.authToken === null) continue
        socket.deauthenticate()
      } else if (command.do === 'disconnect') {
        socket.disconnect(command.code, command.reason)
      } else {
        if (!socket.kickOut(command.channel, command.message)) continue
      }
      concerned++
    }
    return concerned
  }

  /** Records revocations of other nodes and deauthenticates the sockets they affect. @returns how many sockets */
  learn (entries: readonly Revocation[]): number {
    const { revocations, sockets } = this.#port
    let news = false
    for (const entry of entries) {
      if (entry.user === undefined && entry.jti === undefined) continue
      news = revocations.merge(entry) || news
    }
    if (!news) return 0
    let concerned = 0
    for (const socket of [...sockets]) {
      if (socket.authToken === null || !revocations.has(socket.authToken)) continue
      socket.deauthenticate()
      concerned++
    }
    return concerned
  }

  #remember ({ user, jti, socketId }: Filter, at: number | undefined): void {
    // Nodes of an earlier version do not send the time.
    if (at === undefined) this.#port.revocations.add({ user, jti, socketId })
    else if (socketId === undefined) this.#port.revocations.merge({ user: claimText(user), jti: claimText(jti), at })
  }
}
