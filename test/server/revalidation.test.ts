import { once } from 'node:events'
import t from 'tap'
import { slices } from '../../lib/slices.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

t.test('many subscriptions are checked again in slices, and nothing leaves that is not allowed', async (t) => {
  let checking = false
  let checks = 0
  const { port, sc, nextSocket } = await serve(t, { inboundRate: 0 }, (app) => {
    app.scHook('subscribe', ({ socket, channel }) => {
      if (!checking) return
      checks++
      for (const end = performance.now() + 0.2; performance.now() < end;);
      if (socket.authToken === null && Number(channel.slice(5)) % 2 === 1) throw new Error('odd ones are for users')
    })
  })
  const connected = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await connected
  await socket.setAuthToken({ sub: 'ann' }).catch(() => {})
  const count = 500
  for (let i = 0; i < count; i++) await client.call('#subscribe', { channel: `room/${i}` })
  checking = true
  socket.deauthenticate()
  t.ok(checks < count / 2, `${checks} of ${count} were checked at once`)
  for (let i = count - 4; i < count; i++) sc.exchange.publish(`room/${i}`, i)
  let turns = 0
  const goesOn = (): boolean => checks < count
  for (; goesOn(); turns++) await new Promise(setImmediate)
  t.ok(turns >= 10, `it took ${turns} turns of the event loop`)
  t.equal(socket.channelSubscriptionsCount, count / 2)
  t.equal(await client.publication(`room/${count - 4}`), count - 4, 'what waited for its check goes out')
  t.equal(await client.publication(`room/${count - 2}`), count - 2)
  await client.barrier()
  t.notOk(client.inbox.items.some((packet) => packet.event === '#publish'), 'and nothing else does')
})

t.test('a bad token of a socket that never had one checks nothing', async (t) => {
  let checks = 0
  const { port } = await serve(t, {}, (app) => { app.scHook('subscribe', () => { checks++ }) })
  const client = await RawClient.connect(t, port)
  for (let i = 0; i < 20; i++) await client.call('#subscribe', { channel: `room/${i}` })
  checks = 0
  await client.call('#authenticate', 'no token')
  await client.barrier()
  t.equal(checks, 0)
})

t.test('few are checked at once', async (t) => {
  const { port, nextSocket } = await serve(t, {}, (app) => { app.scHook('subscribe', ({ socket }) => { if (socket.authToken === null) throw new Error('users only') }) })
  const connected = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await connected
  const given = once(socket as any, 'authTokenSigned')
  socket.setAuthToken({ sub: 'ann' }).catch(() => {})
  await given
  await client.call('#subscribe', { channel: 'room' })
  socket.deauthenticate()
  t.equal(socket.channelSubscriptionsCount, 0)
})

t.test('a step that throws ends its own work only', async (t) => {
  const faults: unknown[] = []
  const done: string[] = []
  const guarded = (name: string) => ({ fault (err: unknown) { faults.push(name, err) } })
  const spend = (): void => { for (const end = performance.now() + 5; performance.now() < end;); }
  slices.run(guarded('first'), () => {
    spend()
    return false
  })
  const error = new Error('thrown')
  slices.run(guarded('second'), () => { throw error })
  let left = 3
  slices.run(guarded('third'), () => {
    done.push('step')
    return --left > 0
  })
  t.same([faults, done], [[], []], 'they wait for the next turn')
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  t.same(faults, ['second', error])
  t.equal(done.length, 3)
})
