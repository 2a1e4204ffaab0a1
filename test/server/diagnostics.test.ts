import diagnosticsChannel from 'node:diagnostics_channel'
import t from 'tap'
import { diagnostics } from '../../lib/diagnostics.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'

t.test('what happens can be watched from outside, and counted', async (t) => {
  const { app, port } = await serve(t, { inboundRate: 0.01, inboundBurst: 10 }, (app) => {
    app.scHook('publishIn', ({ channel }) => { if (channel === 'closed') throw new Error('no') })
  })
  app.scServer.stats()

  const seen: Record<string, any[]> = {}
  for (const [name, channel] of Object.entries(diagnostics)) {
    const listener = (message: unknown): void => { (seen[name] ??= []).push(message) }
    diagnosticsChannel.subscribe(channel.name as string, listener)
    t.teardown(() => diagnosticsChannel.unsubscribe(channel.name as string, listener))
  }

  const client = await RawClient.connect(t, port)
  const [socket] = Object.values(app.scServer.clients)
  await client.call('#subscribe', { channel: 'open' })
  await client.call('#publish', { channel: 'open', data: 1 })
  await client.publication('open')
  await client.call('#publish', { channel: 'closed', data: 1 })
  await client.call('#unsubscribe', 'nothing')
  client.send({ event: '' })
  await Promise.all(Array.from({ length: 8 }, () => client.call('nothing')))
  const stats = app.scServer.stats()
  await client.close()
  await until('it to leave', () => app.scServer.clientsCount === 0)

  t.equal(seen.connect![0].socket, socket)
  t.equal(seen.close![0].socket, socket)
  t.equal(seen.close![0].code, 1000)
  t.ok(seen.message!.length >= 12 && seen.message!.every(({ bytes }) => bytes > 0))
  t.same(seen.publish, [{ channel: 'open', bytes: '{"event":"#publish","data":{"channel":"open","data":1}}'.length }])
  t.match(seen.blocked, [{ line: 'publishIn', error: { message: 'no' } }])
  t.ok(seen.invalid!.length >= 1)
  t.ok(seen.rateLimited!.length >= 1 && seen.rateLimited![0].retryAfter > 0)

  t.match(stats, { clients: 1, pendingClients: 0, channels: 1, subscriptions: 1, connects: 1, publishes: 1, deliveries: 1, blocked: 1, dropped: 0, slowConsumers: 0, bufferedBytes: 0 })
  t.equal(stats.rateLimited, seen.rateLimited!.length)
  t.equal(stats.invalid, 2, 'an unsubscribe of nothing, and an event without a name')
  t.ok(stats.inboundMessages >= 12 && stats.inboundBytes > 0 && stats.outboundMessages >= 12 && stats.outboundBytes > 0)
  t.ok(stats.eventLoopDelay.max >= stats.eventLoopDelay.mean)
  t.same(app.scServer.stats().closes, { 1000: 1 })
})
