// Twenty plain routes of Fastify with the schemas of twenty-events.ts: what they cost to check is the yardstick for events.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'

export function declare (fastify: FastifyInstance): void {
  const app = fastify.withTypeProvider<TypeBoxTypeProvider>()
  app.post('/0', {
    schema: {
      body: Type.Object({ room: Type.String(), text0: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text0)
    return { id: request.body.room, state: request.body.tags.length === 0 ? 'sent' as const : 'queued' as const }
  })
  app.post('/1', {
    schema: {
      body: Type.Object({ room: Type.String(), text1: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text1)
    return { id: request.body.room, state: request.body.tags.length === 1 ? 'sent' as const : 'queued' as const }
  })
  app.post('/2', {
    schema: {
      body: Type.Object({ room: Type.String(), text2: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text2)
    return { id: request.body.room, state: request.body.tags.length === 2 ? 'sent' as const : 'queued' as const }
  })
  app.post('/3', {
    schema: {
      body: Type.Object({ room: Type.String(), text3: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text3)
    return { id: request.body.room, state: request.body.tags.length === 3 ? 'sent' as const : 'queued' as const }
  })
  app.post('/4', {
    schema: {
      body: Type.Object({ room: Type.String(), text4: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text4)
    return { id: request.body.room, state: request.body.tags.length === 4 ? 'sent' as const : 'queued' as const }
  })
  app.post('/5', {
    schema: {
      body: Type.Object({ room: Type.String(), text5: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text5)
    return { id: request.body.room, state: request.body.tags.length === 5 ? 'sent' as const : 'queued' as const }
  })
  app.post('/6', {
    schema: {
      body: Type.Object({ room: Type.String(), text6: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text6)
    return { id: request.body.room, state: request.body.tags.length === 6 ? 'sent' as const : 'queued' as const }
  })
  app.post('/7', {
    schema: {
      body: Type.Object({ room: Type.String(), text7: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text7)
    return { id: request.body.room, state: request.body.tags.length === 7 ? 'sent' as const : 'queued' as const }
  })
  app.post('/8', {
    schema: {
      body: Type.Object({ room: Type.String(), text8: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text8)
    return { id: request.body.room, state: request.body.tags.length === 8 ? 'sent' as const : 'queued' as const }
  })
  app.post('/9', {
    schema: {
      body: Type.Object({ room: Type.String(), text9: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text9)
    return { id: request.body.room, state: request.body.tags.length === 9 ? 'sent' as const : 'queued' as const }
  })
  app.post('/10', {
    schema: {
      body: Type.Object({ room: Type.String(), text10: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text10)
    return { id: request.body.room, state: request.body.tags.length === 10 ? 'sent' as const : 'queued' as const }
  })
  app.post('/11', {
    schema: {
      body: Type.Object({ room: Type.String(), text11: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text11)
    return { id: request.body.room, state: request.body.tags.length === 11 ? 'sent' as const : 'queued' as const }
  })
  app.post('/12', {
    schema: {
      body: Type.Object({ room: Type.String(), text12: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text12)
    return { id: request.body.room, state: request.body.tags.length === 12 ? 'sent' as const : 'queued' as const }
  })
  app.post('/13', {
    schema: {
      body: Type.Object({ room: Type.String(), text13: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text13)
    return { id: request.body.room, state: request.body.tags.length === 13 ? 'sent' as const : 'queued' as const }
  })
  app.post('/14', {
    schema: {
      body: Type.Object({ room: Type.String(), text14: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text14)
    return { id: request.body.room, state: request.body.tags.length === 14 ? 'sent' as const : 'queued' as const }
  })
  app.post('/15', {
    schema: {
      body: Type.Object({ room: Type.String(), text15: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text15)
    return { id: request.body.room, state: request.body.tags.length === 15 ? 'sent' as const : 'queued' as const }
  })
  app.post('/16', {
    schema: {
      body: Type.Object({ room: Type.String(), text16: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text16)
    return { id: request.body.room, state: request.body.tags.length === 16 ? 'sent' as const : 'queued' as const }
  })
  app.post('/17', {
    schema: {
      body: Type.Object({ room: Type.String(), text17: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text17)
    return { id: request.body.room, state: request.body.tags.length === 17 ? 'sent' as const : 'queued' as const }
  })
  app.post('/18', {
    schema: {
      body: Type.Object({ room: Type.String(), text18: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text18)
    return { id: request.body.room, state: request.body.tags.length === 18 ? 'sent' as const : 'queued' as const }
  })
  app.post('/19', {
    schema: {
      body: Type.Object({ room: Type.String(), text19: Type.String({ maxLength: 500 }), tags: Type.Array(Type.String()), at: Type.Optional(Type.Integer()) }),
      response: { 200: Type.Object({ id: Type.String(), state: Type.Union([Type.Literal('sent'), Type.Literal('queued')]) }) }
    }
  }, async (request) => {
    request.log.info(request.body.text19)
    return { id: request.body.room, state: request.body.tags.length === 19 ? 'sent' as const : 'queued' as const }
  })
}
