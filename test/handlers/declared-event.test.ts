// A declared event: its schema, the `preHandler` hooks, the handler, the answer, and the hooks that observe.
import t from 'tap'
import { ScRefusal } from '../../lib/index.js'
import { Clock } from '../helpers/clock.js'
import { matchEach } from '../helpers/match-each.js'
import { gate, setUp, turn } from './parts.js'

const error = new Error('a bug')
const number = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } }

for (const how of ['at once', 'later'] as const) {
  /** Gives it, at once or later. */
  const give = <T>(value: T): T | Promise<T> => how === 'at once' ? value : turn().then(() => value)
  const refuse = (err: unknown): never | Promise<never> => { if (how === 'at once') throw err; return turn().then(() => { throw err }) }

  t.test(`each step that decides ${how} comes after the one before it`, async (t) => {
    const order: unknown[] = []
    const { enter, fastify } = await setUp(t, {}, ({ hook, event }) => {
      hook('preHandler', (request) => { order.push(['context', request.data]); request.data = { n: request.data.n + 1 }; return give(undefined) })
      hook('onResponse', (request) => { order.push(['onResponse', request.response, request.data]); return give(undefined) })
      event('double', {
        data: number,
        response: { type: 'integer' },
        config: { colour: 'red' },
        preHandler: (request: any) => { order.push(['own', request.data, request.config]); return give(undefined) }
      }, function (this: unknown, data, context) {
        order.push(['handler', this === fastify, context.event, context.config, context.socket.id])
        return give(data.n * 2)
      })
    })
    const ada = await enter()
    t.strictSame((await ada.call('double', { n: 20 })).data, 42)
    t.same(order, [
      ['context', { n: 20 }], ['own', { n: 21 }, { colour: 'red' }], ['handler', true, 'double', { colour: 'red' }, ada.socket.id], ['onResponse', 42, { n: 21 }]
    ])
    ada.say('double', { n: 1 })
    await turn(); await turn(); await turn(); await turn()
    t.strictSame([order.length, ada.told, ada.session.waitingInbound, ada.session.heldBytes], [8, [], 0, 0], 'nobody waits for its answer')
  })

  t.test(`a failure ${how} ends the run, and is told to who calls and to the hooks that observe`, async (t) => {
    const observed: any[] = []
    let handled = 0
    const { enter, core, warnings } = await setUp(t, {}, ({ hook, event }) => {
      hook('preHandler', ({ data }) => { if (data === 'context') return refuse(new ScRefusal('not by the context')) })
      hook('onError', (request) => { observed.push([request.event, request.error.message]) })
      hook('onResponse', () => { t.fail('it has no response') })
      event('fails', { preHandler: ({ data }: any) => data === 'own' ? refuse(new ScRefusal('not by its own')) : undefined }, (data) => {
        handled++
        return refuse(data === 'refuses' ? new ScRefusal('not by the handler') : error)
      })
    })
    const ada = await enter()
    for (const [data, message] of [['context', 'not by the context'], ['own', 'not by its own'], ['refuses', 'not by the handler'], ['throws', 'Internal error']] as const) {
      t.match((await ada.call('fails', data)).error, { message }, data)
    }
    t.strictSame(observed, ['not by the context', 'not by its own', 'not by the handler', 'a bug'].map((message) => ['fails', message]))
    t.strictSame([handled, core.stats().blocked, warnings.at(-1)], [2, 2, error])
    for (const data of ['context', 'throws']) ada.say('fails', data)
    await turn(); await turn(); await turn()
    t.strictSame([ada.told, observed.length, ada.session.waitingInbound, ada.session.heldBytes], [[], 6, 0, 0])
  })
}

t.test('which hook refused is known, and that it was one', async (t) => {
  const { enter, core } = await setUp(t, {}, ({ hook, event }) => {
    hook('preHandler', () => { throw new ScRefusal('no') })
    event('never', {}, () => {})
  })
  const denials: any[] = []
  const { eventDenied } = core.monitor
  core.monitor.eventDenied = (session, denial, declared) => { denials.push(denial); return eventDenied.call(core.monitor, session, denial, declared) }
  t.match((await (await enter()).call('never')).error, { message: 'no' })
  matchEach(t, denials, [{ line: 'preHandler', event: 'never', thrown: { list: 'preHandler', index: 0 } }])
})

t.test('data that do not fit never reach a hook or the handler, checked at once or later', async (t) => {
  const observed: any[] = []
  const { enter, core } = await setUp(t, {}, ({ hook, event }) => {
    hook('preHandler', () => { t.fail('a hook was asked') })
    hook('onError', ({ error }) => { observed.push(error.name) })
    event('double', { data: number }, () => { t.fail('the handler was called') })
  })
  const ada = await enter()
  t.match((await ada.call('double', { n: 'x' })).error, { name: 'ValidationError', message: /n/ })
  const route = core.contracts.event('double')!
  const { validate } = route
  Object.assign(route, { validate: async (data: unknown) => validate!(data) })
  t.match((await ada.call('double', { n: 'x' })).error, { name: 'ValidationError' })
  t.strictSame([observed, core.stats().invalid, core.stats().blocked], [['ValidationError', 'ValidationError'], 2, 0])
})

t.test('what the schema makes of the data is what hooks and handler get', async (t) => {
  const { enter, core } = await setUp(t, {}, ({ event }) => { event('echo', { data: { type: 'object', properties: { n: { type: 'integer', default: 7 } } } }, (data) => data) })
  const ada = await enter()
  t.strictSame((await ada.call('echo', {})).data, { n: 7 })
  Object.assign(core.contracts.event('echo')!, { validate: async () => ({ value: 'checked later' }) })
  t.strictSame((await ada.call('echo', {})).data, 'checked later')
})

t.test('a response that does not fit its schema fails the call, and nothing of it leaves', async (t) => {
  const { enter, warnings } = await setUp(t, {}, ({ event }) => {
    event('bad', { response: { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } } }, () => ({ secret: 1 }))
    event('good', { response: { type: 'object', properties: { n: { type: 'integer' } } } }, () => ({ n: 1, secret: 1 }))
  })
  const ada = await enter()
  const answer = await ada.call('bad')
  t.ok('error' in answer && !JSON.stringify(answer).includes('secret'))
  t.equal(warnings.length, 1)
  t.strictSame((await ada.call('good')).data, { n: 1 })
})

t.test('what hooks that observe throw or reject with is a warning: the client has its answer', async (t) => {
  let later = false
  const fail = (): void | Promise<void> => { if (later) return Promise.reject(error); throw error }
  const { enter, warnings } = await setUp(t, {}, ({ hook, event }) => {
    for (const line of ['onResponse', 'onError']) hook(line, fail)
    event('works', {}, () => 1)
    event('fails', {}, () => { throw new ScRefusal('no') })
  })
  const ada = await enter()
  for (later of [false, true]) {
    t.strictSame((await ada.call('works')).data, 1)
    t.match((await ada.call('fails')).error, { message: 'no' })
  }
  await turn()
  t.strictSame([warnings.filter((err) => err === error).length, ada.told], [4, []])
})

t.test('a handler that takes too long is a TimeoutError, and what it does later is not told', async (t) => {
  const slow = [gate(), gate()]
  const observed: unknown[] = []
  const signals: AbortSignal[] = []
  const { enter, warnings } = await setUp(t, {}, ({ hook, event }) => {
    hook('onError', (request) => { observed.push(request.error.code) })
    hook('onResponse', () => { observed.push('response') })
    event('slow', { timeout: 500 }, (n, { signal }) => { signals.push(signal); return slow[n]!.opened })
  })
  const ada = await enter()
  const clock = new Clock(t)
  ada.say('slow', 0, 1)
  ada.say('slow', 1, 2)
  t.strictSame([ada.session.activity.owed, signals.map(({ aborted }) => aborted)], [2, [false, false]])
  await clock.advance(1_000)
  const timedOut = { name: 'TimeoutError', message: 'The "slow" event was not answered within 500 ms; see the option handlerTimeout' }
  matchEach(t, ada.told, [{ rid: 1, error: timedOut }, { rid: 2, error: timedOut }])
  t.strictSame([observed, signals.map(({ aborted }) => aborted)], [['SC_ERR_HANDLER_TIMEOUT', 'SC_ERR_HANDLER_TIMEOUT'], [true, true]])
  matchEach(t, warnings, [timedOut, timedOut])
  slow[0]!.open()
  slow[1]!.fail(error)
  await turn()
  t.strictSame([ada.told, warnings.slice(2), observed.length, ada.session.activity.owed, ada.session.heldBytes, clock.armed], [[], [error], 2, 0, 0, 0])
})

t.test('hooks and the check of the data are under the event\'s time, too', async (t) => {
  const { enter, core } = await setUp(t, { hookTimeout: 0 }, ({ hook, event }) => {
    hook('preHandler', ({ data }) => data === 'hook' ? new Promise(() => {}) : undefined)
    event('slow', { timeout: 500, data: {} }, () => 1)
    event('endless', { timeout: 0 }, () => new Promise(() => {}))
  })
  const ada = await enter()
  const clock = new Clock(t)
  ada.say('slow', 'hook', 1)
  ada.say('endless', null, 2)
  await clock.advance(1_000)
  matchEach(t, ada.told, [{ rid: 1, error: { name: 'TimeoutError' } }])
  Object.assign(core.contracts.event('slow')!, { validate: () => new Promise(() => {}) })
  ada.say('slow', null, 3)
  t.equal(ada.session.activity.waiting, 1)
  await clock.advance(1_000)
  matchEach(t, ada.told, [{ rid: 3, error: { name: 'TimeoutError' } }])
  t.strictSame([ada.session.activity.waiting, ada.session.activity.owed], [0, 1], 'the endless one is under way')
})

t.test('while hooks are asked the event waits, with its data; while the handler runs it only keeps them', async (t) => {
  const slow = [gate(), gate()]
  const { enter } = await setUp(t, {}, ({ hook, event }) => {
    hook('preHandler', () => slow[0]!.opened)
    event('slow', {}, () => slow[1]!.opened)
  })
  const ada = await enter()
  ada.say('slow', 'x'.repeat(1_000), 1)
  const look = (): unknown[] => [ada.session.activity.waiting, ada.session.activity.owed, ada.session.heldBytes > 1_000]
  t.strictSame(look(), [1, 1, true])
  const held = ada.session.heldBytes
  slow[0]!.open()
  await turn()
  t.strictSame(look(), [0, 1, true])
  t.equal(ada.session.heldBytes, held, 'counted once')
  slow[1]!.open()
  await turn()
  t.strictSame(look(), [0, 0, false])
  t.strictSame(ada.told, [{ rid: 1 }])
})

t.test('who left before the handler was called has nothing done', async (t) => {
  const slow = gate()
  let handled = 0
  const observed: unknown[] = []
  const { enter } = await setUp(t, {}, ({ hook, event }) => {
    hook('preHandler', () => slow.opened)
    for (const line of ['onResponse', 'onError']) hook(line, () => { observed.push(line) })
    event('slow', {}, () => { handled++ })
  })
  const ada = await enter()
  ada.say('slow', 1, 1)
  ada.session.end(1000)
  slow.open()
  await turn()
  t.strictSame([handled, observed, ada.told, ada.session.activity.owed, ada.session.activity.waiting], [0, [], [], 0, 0])
})

t.test('the signal of a call is aborted when its socket closes, and not when it was answered', async (t) => {
  const contexts: any[] = []
  let slow = gate()
  const { enter } = await setUp(t, {}, ({ event }) => {
    event('call', {}, (_data, context) => { contexts.push(context); return slow.opened })
  })
  const ada = await enter()
  ada.say('call', null, 1)
  const answered: AbortSignal = contexts[0].signal
  t.equal(contexts[0].signal, answered, 'one for each call')
  slow.open()
  await turn()
  t.strictSame(ada.told, [{ rid: 1 }])
  slow = gate()
  for (const cid of [2, 3]) ada.say('call', null, cid)
  const asked: AbortSignal = contexts[1].signal
  t.strictSame([asked.aborted, ada.socket.listeners('close')], [false, []], 'it is none of the listeners of the application')
  ada.socket.off()
  ada.session.end(1000)
  t.strictSame([answered.aborted, asked.aborted, contexts[2].signal.aborted], [false, true, true], 'one that is asked for after the close, too')
})

t.test('a call that ends its own connection has no time limit to be told of', async (t) => {
  const { enter, warnings } = await setUp(t, {}, ({ event }) => {
    event('bye', { timeout: 500 }, (_data, { socket }) => { socket.disconnect(); return new Promise(() => {}) })
  })
  const ada = await enter()
  const clock = new Clock(t)
  ada.say('bye', null, 1)
  await clock.advance(1_000)
  t.strictSame([ada.told.filter(({ rid }) => rid !== undefined), warnings, clock.armed], [[], [], 0])
})

t.test('asked for after the answer, a signal is aborted: there is nothing to go on with', async (t) => {
  let context: any
  const { enter } = await setUp(t, {}, ({ event }) => { event('call', {}, (_data, given) => { context = given }) })
  const ada = await enter()
  await ada.call('call')
  t.equal(context.signal.aborted, true)
  t.equal(context.log, ada.socket.log)
  t.strictSame(JSON.parse(JSON.stringify(context)).event, 'call')
})
