// Who is in a room: the server tells it on the companion of the room's channel.
import type { ScPresenceMessage } from 'fastify-socketcluster/client'
import type { ClientSocket } from 'socketcluster-client'
import type { Person } from '../contract.js'

/** Shows who is in a room, now and after each change. @returns a function that stops it */
export function watchPeople (socket: ClientSocket, room: string, show: (people: Person[]) => void): () => void {
  const name = `room/${room}#presence`
  const channel = socket.subscribe(name, { waitForAuth: true })
  const moderators = new Map<string, boolean>()
  const onMessage = (message: ScPresenceMessage<{ moderator: boolean }>): void => {
    // Without a list: there are more than a thousand.
    if (message.type === 'count') return
    if (message.type === 'state') moderators.clear()
    const { joins, updates, leaves } = message.type === 'state' ? { joins: message.members, updates: [], leaves: [] } : message
    for (const { key, data } of [...joins, ...updates]) moderators.set(key, data?.moderator === true)
    for (const key of leaves) moderators.delete(key)
    show(Array.from(moderators, ([name, moderator]) => ({ name, moderator })).sort((a, b) => a.name.localeCompare(b.name)))
  }
  const read = async (): Promise<void> => { for await (const message of channel) onMessage(message) }
  read()
  return () => {
    socket.unsubscribe(name)
    channel.kill()
  }
}
