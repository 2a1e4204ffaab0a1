// The contract that the server's and the client's test share.
import { Type } from 'typebox'
import { defineChannels, defineEvents } from '../../lib/contracts/define.js'

export const Message = Type.Object({ from: Type.String(), text: Type.String() })

export const events = defineEvents({
  chat: {
    data: Type.Object({ room: Type.String(), text: Type.String(), level: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }),
    errors: { RoomFullError: Type.Object({ limit: Type.Integer() }) },
    description: 'Says something in a room'
  },
  // A bare schema: no answer is promised.
  leave: Type.Object({ room: Type.String() }),
  // Nothing to send.
  time: { response: Type.Number() },
  list: { response: Type.Array(Message) },
  anything: {}
})

export const channels = defineChannels({
  'room/:id': { message: Message, params: Type.Object({ id: Type.String({ maxLength: 20 }) }) },
  'room/:id/user/:user-:tag': { message: Type.Number() },
  news: { message: Type.Object({ title: Type.String() }), clientPublish: false },
  'logs/*': { message: Type.String() },
  'a::b:c': {}
})
