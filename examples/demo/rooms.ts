// What the server remembers of the rooms besides their messages: who was kicked out.
import { rooms } from './room-list.js'

/** Milliseconds until somebody who was kicked out may come back. */
const banTime = 60_000

export class Room {
  readonly #bannedUntil = new Map<string, number>()

  ban (name: string): void {
    this.#bannedUntil.set(name, Date.now() + banTime)
  }

  /** Seconds until they may come back; 0 for now. */
  bannedFor (name: string): number {
    const left = (this.#bannedUntil.get(name) ?? 0) - Date.now()
    if (left > 0) return Math.ceil(left / 1_000)
    this.#bannedUntil.delete(name)
    return 0
  }
}

export function createRooms (): Map<string, Room> {
  return new Map(rooms.map(({ id }) => [id, new Room()]))
}
