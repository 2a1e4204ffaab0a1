import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import t from 'tap'
import { ScRefusal } from '../../lib/index.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

t.test("hooks are encapsulated as Fastify's own are", async (t) => {
  const ran: Record<'fastify' | 'sc', string[]> = { fastify: [], sc: [] }
  const names: string[] = []

  /** The same hook, once for routes and once for events. */
  function hook (instance: FastifyInstance, name: string): void {
    instance.addHook('preHandler', async function () { ran.fastify.push(`${name} ${this === instance ? 'self' : 'other'}`) })
    instance.scHook('emit', async function () { ran.sc.push(`${name} ${(this as unknown) === instance ? 'self' : 'other'}`) })
  }
  /** The same declaration, once as a route and once as an event. */
  function declare (instance: FastifyInstance, name: string): void {
    names.push(name)
    instance.get(`/${name}`, async () => 'x')
    instance.scEvent(name, {}, () => 'x')
  }

  const { app, port } = await serve(t, {}, async (app) => {
    hook(app, 'root 1')
    declare(app, 'root')
    app.register(async (a) => {
      hook(a, 'a 1')
      declare(a, 'in-a')
      a.register(async (nested) => {
        hook(nested, 'nested')
        declare(nested, 'in-nested')
      })
      a.register(fp(async (same) => {
        hook(same, 'shared by a')
        declare(same, 'in-shared')
      }))
      hook(a, 'a 2')
    })
    app.register(async (sibling) => {
      declare(sibling, 'in-sibling')
      hook(sibling, 'sibling')
    })
    await app.after()
    // Later than the children: their lists get it at their end.
    hook(app, 'root late')
    declare(app, 'root-late')
  })
  const client = await RawClient.connect(t, port)

  t.ok(names.length >= 6)
  for (const name of names) {
    ran.fastify.length = ran.sc.length = 0
    const response = await app.inject({ url: `/${name}` })
    t.equal(response.statusCode, 200)
    const answer = await client.call(name)
    t.equal(answer.data, 'x')
    t.strictSame(ran.sc, ran.fastify, name)
    t.ok(ran.sc.length >= 2, ran.sc.join(', '))
  }
  t.throws(() => app.scHook('emit', () => {}), { code: 'SC_ERR_AFTER_READY' })
  t.throws(() => app.scEvent('late', {}, () => {}), { code: 'SC_ERR_AFTER_READY' })
  t.throws(() => app.scChannel('late', {}), { code: 'SC_ERR_AFTER_READY' })
})

t.test('no invalid data reaches a handler when a hook replaced it', async (t) => {
  const seen: unknown[] = []
  const { port } = await serve(t, {}, (app) => {
    app.scHook('emit', (request) => { if (request.event === 'spoiled') request.data = { n: 'not a number' } })
    app.scHook('emit', (request) => { if (request.event === 'mended') request.data = { n: 7 } })
    for (const name of ['spoiled', 'mended']) {
      app.scEvent(name, { data: { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] } }, (data) => {
        seen.push(data)
        return data
      })
    }
  })
  const client = await RawClient.connect(t, port)
  t.match((await client.call('spoiled', { n: 1 })).error, { code: 'FST_ERR_VALIDATION', message: 'data/n must be integer' })
  t.strictSame((await client.call('mended', { n: 'x' })).data, { n: 7 })
  t.strictSame(seen, [{ n: 7 }])
})

t.test('policies and message schemas of channels', async (t) => {
  const { app, port } = await serve(t, {}, (app) => {
    app.register(async (child) => {
      child.scChannel('room/:id', {
        message: { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] },
        params: { type: 'object', properties: { id: { type: 'string', pattern: '^[0-9]+$' } } },
        subscribe ({ params }) {
          t.equal(this, child)
          if (params.id === '13') throw new ScRefusal('unlucky', { name: 'UnluckyError' })
        },
        publish ({ data }) { if ((data as { text: string }).text === 'spam') throw new ScRefusal('spam', { name: 'SpamError' }) },
        deliver: ({ data }) => ({ ...data as object, delivered: true })
      })
      child.scChannel('silent', { clientPublish: false, clientSubscribe: false })
    })
  })
  const client = await RawClient.connect(t, port)
  t.equal((await client.call('#subscribe', { channel: 'room/1' })).error, undefined)
  t.match((await client.call('#subscribe', { channel: 'room/13' })).error, { name: 'UnluckyError' })
  t.match((await client.call('#subscribe', { channel: 'room/x' })).error, { code: 'FST_ERR_VALIDATION', validationContext: 'params' })
  t.match((await client.call('#subscribe', { channel: 'silent' })).error, { code: 'SC_ERR_CHANNEL_REFUSED' })
  t.match((await client.call('#publish', { channel: 'silent', data: 1 })).error, { code: 'SC_ERR_CHANNEL_REFUSED' })
  t.match((await client.call('#publish', { channel: 'room/1', data: { text: 7 } })).error, { code: 'FST_ERR_VALIDATION', validationContext: 'message' })
  t.match((await client.call('#publish', { channel: 'room/1', data: { text: 'spam' } })).error, { name: 'SpamError' })
  t.equal((await client.call('#publish', { channel: 'room/1', data: { text: 'hi' } })).error, undefined)
  t.strictSame(await client.publication('room/1'), { text: 'hi', delivered: true })
  await t.rejects(app.scServer.exchange.publish('room/1', { text: 7 }), { code: 'FST_ERR_VALIDATION' }, 'the server is held to the schema too')
})

t.test('only declared channels', async (t) => {
  const { port } = await serve(t, { channels: 'declared' }, (app) => { app.scChannel('news', {}) })
  const client = await RawClient.connect(t, port)
  t.equal((await client.call('#subscribe', { channel: 'news' })).error, undefined)
  t.match((await client.call('#subscribe', { channel: 'other' })).error, { code: 'SC_ERR_CHANNEL_UNDECLARED' })
  t.match((await client.call('#publish', { channel: 'other', data: 1 })).error, { code: 'SC_ERR_CHANNEL_UNDECLARED' })
})
