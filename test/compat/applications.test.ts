import { createRequire } from 'node:module'
import t from 'tap'
import { composeWithDevTools } from '@redux-devtools/remote'
import type { FastifyInstance } from 'fastify'
import { startApp } from '../helpers/app.js'
import { Inbox } from '../helpers/raw.js'

// Two published packages that connect stores of Redux to a remote monitor: one by the client of generation 14, the other by
// that of generation 20. The server does what their own one does: a login gives a channel, logs go to the monitors.

const require = createRequire(import.meta.url)
const { createStore } = require('redux')
const old = require('remote-redux-devtools')

interface Log { type: string, id: string, name: string, payload?: string, action?: string, nextActionId?: number }

t.test('stores of both generations, and a monitor, on one server', async (t) => {
  // They say on the console that they are connected.
  const said: unknown[] = []
  const { log } = console
  console.log = (...args: unknown[]) => { said.push(args) }
  t.teardown(() => { console.log = log })

  const logs = new Inbox<Log>()
  const app = await startApp(t, { pingInterval: 100, pingTimeout: 3_000 }, (app: FastifyInstance) => {
    app.scServer.on('connection', (socket) => {
      socket.on('login', (credentials, res) => res(credentials === 'master' ? null : 'unknown', `sc-${socket.id}`))
      socket.on('log', (message: Log) => logs.push(message))
    })
  })

  const subscribed = new Inbox<string>()
  app.sc.on('subscription', (_socket, channel) => subscribed.push(channel))

  for (const [generation, name, enhance] of [
    [1, 'the old one', (options: object) => old.composeWithDevTools(options)()],
    [2, 'the new one', (options: object) => (composeWithDevTools as any)(options)()]
  ] as const) {
    await t.test(name, async (t) => {
      const opening = app.nextSocket()
      const counter = (count = 0, action: { type: string, by?: number }): number => action.type === 'ADD' ? count + (action.by ?? 1) : count
      const store = createStore(counter, enhance({ name, realtime: true, hostname: '127.0.0.1', port: app.port, suppressConnectErrors: false }))
      const socket = await opening
      t.teardown(() => socket.disconnect(4500))
      const from = (type: string) => logs.take((log) => log.name === name && log.type === type, `${type} of ${name}`)
      t.match(await from('START'), { id: socket.id, name })
      const channel = await subscribed.take((channel) => channel === `sc-${socket.id}`, 'its subscription')

      // A monitor opens: it asks for the state, then follows.
      await app.sc.exchange.publish(channel, { type: 'START' })
      const state = await from('STATE')
      t.match(JSON.parse(state.payload!), { computedStates: [{ state: 0 }] })

      store.dispatch({ type: 'ADD', by: 5 })
      const action = await from('ACTION')
      t.match(JSON.parse(action.action!), { action: { type: 'ADD', by: 5 } })
      t.equal(action.payload, '5')

      // The monitor dispatches, and jumps back in time.
      await app.sc.exchange.publish(channel, { type: 'ACTION', action: JSON.stringify({ type: 'ADD', by: 2 }).replace(/"(\w+)":/g, '$1:') })
      t.match(JSON.parse((await from('ACTION')).action!), { action: { type: 'ADD', by: 2 } })
      t.equal(store.getState(), 7)
      await app.sc.exchange.publish(channel, { type: 'DISPATCH', action: { type: 'JUMP_TO_STATE', actionId: 1, index: 1 } })
      await app.sc.exchange.publish(channel, { type: 'UPDATE' })
      t.match(JSON.parse((await from('STATE')).payload!), { currentStateIndex: 1 })
      t.equal(store.getState(), 5)

      await app.sc.exchange.publish(channel, { type: 'STOP' })
      await from('STOP')
      while (socket.protocolVersion === null) await new Promise((resolve) => socket.once('message', resolve))
      t.equal(socket.protocolVersion, generation)
    })
  }
  t.ok(said.length >= 2)
})
