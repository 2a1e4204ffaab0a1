// A subscription that is not decided yet, and what may happen to it: each event at each step.
import { setImmediate as turn } from 'node:timers/promises'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { type Broker, type BrokerSink, memoryBroker, type ScServer, type ScServerSocket } from '../../lib/index.js'
import { sessionOf } from '../../lib/socket/socket.js'
import { RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'
import { bound } from '../helpers/slow-broker.js'
import { until } from '../helpers/waiting.js'

/** Where a subscription waits. At `recovered messages` it has been answered, and hooks decide about what the client missed. */
const steps = ['subscribe hooks', 'subscribe policy', 'broker', 'broker that is down', 'history', 'newest messages', 'recovered messages'] as const
type Step = typeof steps[number]

/** What may happen, and what becomes of the subscription: an error for the client, `allowed`, or nothing when the client is gone. */
const events: Record<string, { happen: (socket: ScServerSocket, sc: ScServer, client: RawClient) => unknown, error?: object, end?: 'allowed' | 'closed' | 'left' }> = {
  nothing: { happen: () => {}, end: 'allowed' },
  'kickOut()': { happen: (socket) => socket.kickOut('room', 'closed for today'), error: { code: 'SC_ERR_KICKED_OUT', message: /closed for today/ } },
  'kickOut() of all': { happen: (socket) => socket.kickOut(), error: { code: 'SC_ERR_KICKED_OUT' } },
  'kickOut() of the cluster': { happen: async (_socket, sc) => { if (await sc.kickOut({ user: 'ada' }, 'room', 'closed for today') !== 1) throw new Error('it concerned nobody') }, error: { code: 'SC_ERR_KICKED_OUT', message: /closed for today/ } },
  'deauthenticate()': { happen: (socket) => { socket.deauthenticate() }, error: { message: 'members only' } },
  'a revocation': { happen: (_socket, sc) => sc.revoke({ user: 'ada' }), error: { message: 'members only' } },
  'a role that is taken away': { happen: (socket) => { socket.setAuthToken({ sub: 'ada', role: 'guest' }).catch(() => {}) }, error: { message: 'members only' } },
  'a role that is taken away and given back': {
    happen: (socket) => { for (const role of ['guest', 'member']) socket.setAuthToken({ sub: 'ada', role }).catch(() => {}) },
    end: 'allowed'
  },
  'an unsubscribe': { happen: (_socket, _sc, client) => { client.send({ event: '#unsubscribe', data: 'room', cid: 1_000 }) }, error: { code: 'SC_ERR_UNSUBSCRIBED' }, end: 'left' },
  'disconnect()': { happen: (socket) => { socket.disconnect() }, end: 'closed' },
  'terminate()': { happen: (socket) => { socket.terminate() }, end: 'closed' }
}

/** A memory broker that can be made to wait. */
function broker () {
  const memory = memoryBroker()
  const { follow } = memory.history!
  let sink: BrokerSink
  let release: () => void = () => {}
  const held = (): Promise<void> => new Promise((resolve) => { release = resolve })
  const state = {
    step: null as Step | null,
    follows: 0,
    waits: false,
    /** Ends the wait. */
    go (): void {
      if (state.step === 'broker that is down') sink.state('up')
      state.step = null
      release()
    },
    down (): void { sink.state('down', new Error('out of order')) }
  }
  const made: Broker = {
    ...bound(memory),
    start: (given, node) => {
      sink = given
      return memory.start(given, node)
    },
    subscribe: (channels) => {
      if (state.step !== 'broker') return memory.subscribe(channels)
      state.waits = true
      return held().then(() => memory.subscribe(channels))
    },
    history: {
      ...memory.history!,
      follow: (channel, since, limit, limits) => {
        if ((state.step === 'history' && since !== null) || (state.step === 'newest messages' && since === null)) {
          state.waits = true
          return held()
        }
        return follow!(channel, since, limit, limits)
      }
    }
  }
  return { made, state }
}

for (const revalidate of ['kick', 'suspend'] as const) {
  for (const step of steps) {
    for (const [what, { happen, error, end }] of Object.entries(events)) {
      t.test(`revalidate '${revalidate}': ${what} while a subscription waits for ${step}`, async (t) => {
        const { made, state } = broker()
        let open: () => void = () => {}
        let waits = 0
        let isHeld = false
        const hold = (at: Step): Promise<void> | undefined => {
          if (step !== at || isHeld) return
          isHeld = true
          waits++
          return new Promise((resolve) => { open = resolve })
        }
        const judge = ({ socket }: { socket: ScServerSocket }): void => { if (socket.authToken?.role !== 'member') throw Object.assign(new Error('members only'), { name: 'Refused', expose: true }) }
        const { sc, port, nextSocket } = await serve(t, { broker: made, revalidate, middlewareEmitWarnings: false }, (app) => {
          app.scHook('subscribe', async (request) => {
            // It decides by what it saw when it was asked.
            judge(request)
            await hold('subscribe hooks')
          })
          app.scChannel('room', {
            history: {},
            recover: { rewind: 2 },
            subscribe: async (request) => {
              judge(request as never)
              await hold('subscribe policy')
            },
            deliver: () => hold('recovered messages')
          })
        })
        const subscriptions: string[] = []
        sc.on('subscription', (_socket, channel) => subscriptions.push(channel))
        for (const n of [1, 2, 3]) await sc.exchange.publish('room', n)
        const since = step === 'newest messages' ? 'gone.1.' : (await sc.exchange.history('room', { limit: 3 })).messages[0]!.position
        const connection = nextSocket()
        const client = await RawClient.connect(t, port, { authToken: jwt.sign({ sub: 'ada', role: 'member' }, authKey) })
        const socket = await connection
        state.step = step
        if (step === 'broker that is down') state.down()
        client.send({ event: '#subscribe', data: { channel: 'room', since }, cid: 500 })
        await client.barrier()
        await until(() => `it to wait for ${step}`, () => waits === 1 || state.waits || step === 'broker that is down')
        await happen(socket, sc, client)
        if (end !== 'closed') await client.barrier()
        for (let i = 0; i < 5; i++) await turn()
        // Private messages that it must not get.
        state.go()
        open()
        for (let i = 0; i < 20; i++) await turn()
        await sc.exchange.publish('room', 4)
        for (let i = 0; i < 20; i++) await turn()
        const session = sessionOf(socket)
        await until('the end of what is under way', () => session.activity.isQuiet)
        if (end === 'closed') await client.closed
        else await client.barrier()
        const got = client.inbox.items.splice(0)
        const answers = got.filter(({ rid }) => rid === 500)
        const kicks = got.filter((packet) => packet.event === '#kickOut')
        const messages = got.filter((packet) => packet.event === '#publish').map(({ data }) => data.data)
        const isBegun = step === 'recovered messages'
        t.strictSame([session.subscriptions.joining, session.subscriptions.pending.channels], [0, []], 'nothing is left')
        if (end === 'allowed') {
          t.match(answers, [{ rid: 500, error: undefined }])
          t.strictSame([messages, kicks, subscriptions], [[2, 3, 4], [], ['room']])
          return
        }
        if (end === 'left' && step !== 'broker that is down') {
          // What the client asked for is done in its order.
          t.match(got.filter(({ rid }) => rid !== undefined && rid >= 500), [{ rid: 500, error: undefined }, { rid: 1_000, error: undefined }])
          t.strictSame([kicks, socket.subscriptions(), messages.includes(4)], [[], [], false])
          return
        }
        t.strictSame(messages, [], 'no private message')
        if (end === 'closed') {
          t.strictSame([answers.length, kicks, subscriptions.length], [isBegun ? 1 : 0, [], isBegun ? 1 : 0])
          return
        }
        if (end === 'left') t.match(got.filter(({ rid }) => rid === 1_000), [{ rid: 1_000, error: undefined }])
        if (isBegun) {
          const isSuspended = revalidate === 'suspend' && error !== undefined && 'message' in error && error.message === 'members only'
          t.match(answers, [{ rid: 500, error: undefined, data: { recovered: true, count: 2 } }])
          t.equal(kicks.length, isSuspended ? 0 : 1, 'it is told once')
          t.equal(socket.isSubscribed('room'), isSuspended)
          return
        }
        t.match(answers, [{ rid: 500, error }])
        t.strictSame([answers.length, kicks, subscriptions, socket.subscriptions()], [1, [], [], []], 'it is told once, and never was subscribed')
      })
    }
  }
}
