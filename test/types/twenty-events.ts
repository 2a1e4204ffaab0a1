// Twenty events: what checking a file of declarations costs is measured with it.
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import '../../types/fastify.js'

export function declare (app: FastifyInstance): void {
  app.scEvent('event 0', {
    data: Type.Object({ room: Type.String(), text0: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text0)
    return { id: data.room, state: data.tags.length === 0 ? 'sent' : 'queued' }
  })
  app.scEvent('event 1', {
    data: Type.Object({ room: Type.String(), text1: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text1)
    return { id: data.room, state: data.tags.length === 1 ? 'sent' : 'queued' }
  })
  app.scEvent('event 2', {
    data: Type.Object({ room: Type.String(), text2: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text2)
    return { id: data.room, state: data.tags.length === 2 ? 'sent' : 'queued' }
  })
  app.scEvent('event 3', {
    data: Type.Object({ room: Type.String(), text3: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text3)
    return { id: data.room, state: data.tags.length === 3 ? 'sent' : 'queued' }
  })
  app.scEvent('event 4', {
    data: Type.Object({ room: Type.String(), text4: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text4)
    return { id: data.room, state: data.tags.length === 4 ? 'sent' : 'queued' }
  })
  app.scEvent('event 5', {
    data: Type.Object({ room: Type.String(), text5: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text5)
    return { id: data.room, state: data.tags.length === 5 ? 'sent' : 'queued' }
  })
  app.scEvent('event 6', {
    data: Type.Object({ room: Type.String(), text6: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text6)
    return { id: data.room, state: data.tags.length === 6 ? 'sent' : 'queued' }
  })
  app.scEvent('event 7', {
    data: Type.Object({ room: Type.String(), text7: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text7)
    return { id: data.room, state: data.tags.length === 7 ? 'sent' : 'queued' }
  })
  app.scEvent('event 8', {
    data: Type.Object({ room: Type.String(), text8: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text8)
    return { id: data.room, state: data.tags.length === 8 ? 'sent' : 'queued' }
  })
  app.scEvent('event 9', {
    data: Type.Object({ room: Type.String(), text9: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text9)
    return { id: data.room, state: data.tags.length === 9 ? 'sent' : 'queued' }
  })
  app.scEvent('event 10', {
    data: Type.Object({ room: Type.String(), text10: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text10)
    return { id: data.room, state: data.tags.length === 10 ? 'sent' : 'queued' }
  })
  app.scEvent('event 11', {
    data: Type.Object({ room: Type.String(), text11: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text11)
    return { id: data.room, state: data.tags.length === 11 ? 'sent' : 'queued' }
  })
  app.scEvent('event 12', {
    data: Type.Object({ room: Type.String(), text12: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text12)
    return { id: data.room, state: data.tags.length === 12 ? 'sent' : 'queued' }
  })
  app.scEvent('event 13', {
    data: Type.Object({ room: Type.String(), text13: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text13)
    return { id: data.room, state: data.tags.length === 13 ? 'sent' : 'queued' }
  })
  app.scEvent('event 14', {
    data: Type.Object({ room: Type.String(), text14: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text14)
    return { id: data.room, state: data.tags.length === 14 ? 'sent' : 'queued' }
  })
  app.scEvent('event 15', {
    data: Type.Object({ room: Type.String(), text15: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text15)
    return { id: data.room, state: data.tags.length === 15 ? 'sent' : 'queued' }
  })
  app.scEvent('event 16', {
    data: Type.Object({ room: Type.String(), text16: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text16)
    return { id: data.room, state: data.tags.length === 16 ? 'sent' : 'queued' }
  })
  app.scEvent('event 17', {
    data: Type.Object({ room: Type.String(), text17: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text17)
    return { id: data.room, state: data.tags.length === 17 ? 'sent' : 'queued' }
  })
  app.scEvent('event 18', {
    data: Type.Object({ room: Type.String(), text18: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text18)
    return { id: data.room, state: data.tags.length === 18 ? 'sent' : 'queued' }
  })
  app.scEvent('event 19', {
    data: Type.Object({ room: Type.String(), text19: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) })
  }, async (data, { log }) => {
    log.info(data.text19)
    return { id: data.room, state: data.tags.length === 19 ? 'sent' : 'queued' }
  })
}
