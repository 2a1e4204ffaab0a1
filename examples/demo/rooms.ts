// What the server remembers of the rooms, in memory.
import type { Message, Person } from './contract.js'
import { rooms } from './room-list.js'

/** How many messages a newcomer sees. */
const historyLength = 50
/** Milliseconds until somebody who was kicked out may come back. */
const banTime = 60_000

export class Room {
  readonly messages: Message[] = []
  /** Connections by name: somebody may have several tabs open. */
  readonly #present = new Map<string, { person: Person, connections: number }>()
  readonly #bannedUntil = new Map<string, number>()

  constructor (readonly title: string) {}

  get people (): Person[] {
    return Array.from(this.#present.values(), ({ person }) => person).sort((a, b) => a.name.localeCompare(b.name))
  }

  /** @returns whether this is their first connection */
  join (person: Person): boolean {
    const entry = this.#present.get(person.name)
    if (entry !== undefined) {
      entry.connections++
      return false
    }
    this.#present.set(person.name, { person, connections: 1 })
    return true
  }

  /** @returns whether this was their last connection */
  leave (name: string): boolean {
    const entry = this.#present.get(name)
    if (entry === undefined) return false
    entry.connections--
    return entry.connections === 0 && this.#present.delete(name)
  }

  remember (message: Message): void {
    this.messages.push(message)
    if (this.messages.length > historyLength) this.messages.shift()
  }

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
  return new Map(rooms.map(({ id, title }) => [id, new Room(title)]))
}
