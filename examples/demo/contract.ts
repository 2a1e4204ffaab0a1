// What the server and the browser agree on. The server takes the schemas from here, the browser only their types: a wrong
// field is a compile error on either side.
import { type Static, Type } from 'typebox'
import { defineChannels, defineEvents } from 'fastify-socketcluster/client'

const RoomId = Type.String({ minLength: 1, maxLength: 32 })
const Name = Type.String({ minLength: 1, maxLength: 24, pattern: '^[\\p{L}\\p{N}](?:[\\p{L}\\p{N} ._-]*[\\p{L}\\p{N}])?$' })

const PersonSchema = Type.Object({ name: Type.String(), moderator: Type.Boolean() })
export type Person = Static<typeof PersonSchema>

const MessageSchema = Type.Object({
  id: Type.String(),
  from: Type.String(),
  text: Type.String(),
  at: Type.Integer({ description: 'Milliseconds since the epoch' })
})
export type Message = Static<typeof MessageSchema>

const Typing = Type.Object({ from: Type.String(), on: Type.Boolean() })
const Notice = Type.Object({ text: Type.String() })

/** Everything that happens in a room: exactly one of the fields is there. */
const RoomNewsSchema = Type.Object({
  message: Type.Optional(MessageSchema),
  typing: Type.Optional(Typing),
  notice: Type.Optional(Notice)
}, { minProperties: 1, maxProperties: 1 })
export type RoomNews = Static<typeof RoomNewsSchema>

export const events = defineEvents({
  login: {
    summary: 'Choose a name',
    data: Type.Object({ name: Name, code: Type.Optional(Type.String({ description: 'Makes you a moderator' })) }),
    response: PersonSchema,
    errors: { NameTakenError: Type.Object({}), WrongCodeError: Type.Object({}) },
    examples: [{ name: 'Ada' }]
  },
  say: {
    summary: 'Say something in a room you are in',
    data: Type.Object({ room: RoomId, text: Type.String({ minLength: 1, maxLength: 500 }) }),
    response: Type.Object({ id: Type.String() }),
    errors: { NotInRoomError: Type.Object({}) },
    examples: [{ room: 'lobby', text: 'Hello!' }]
  },
  typing: {
    summary: 'You began or stopped typing',
    data: Type.Object({ room: RoomId, on: Type.Boolean() })
  },
  kick: {
    summary: 'Send somebody out of a room; moderators only',
    data: Type.Object({ room: RoomId, name: Name }),
    response: Type.Object({ sockets: Type.Integer({ description: 'How many of their connections left the room' }) }),
    errors: { NotModeratorError: Type.Object({}) }
  }
})

export const channels = defineChannels({
  'room/:id': {
    summary: 'Messages and typing of a room',
    params: Type.Object({ id: RoomId }),
    message: RoomNewsSchema,
    // Newcomers read the last messages. Who was cut off gets those that it missed.
    history: { size: 200, ttl: 3_600_000 },
    recover: true,
    // Clients speak through the events above, so nobody can sign with another one's name.
    clientPublish: false
  }
})

export interface Contract { events: typeof events, channels: typeof channels }
