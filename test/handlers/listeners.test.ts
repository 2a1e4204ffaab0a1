// The socket's own listeners of an event, and the one answer that a call gets.
import t from 'tap'
import { ScRefusal } from '../../lib/index.js'
import { Clock } from '../helpers/clock.js'
import { matchEach } from '../helpers/match-each.js'
import { gate, setUp, turn } from './parts.js'

const error = new Error('a bug')

t.test('a call that nobody listens to is refused; an event is nobody\'s mistake', async (t) => {
  const { enter, warnings } = await setUp(t)
  const ada = await enter()
  t.match((await ada.call('nobody')).error, { code: 'SC_ERR_EVENT_UNKNOWN', message: 'No handler for the "nobody" event' })
  ada.say('nobody')
  t.strictSame([ada.told, warnings], [[], []])
})

t.test('a listener is called on its socket, and answers by res in every form', async (t) => {
  const { enter, warnings } = await setUp(t)
  const ada = await enter()
  let receiver: unknown
  ada.socket.on('ask', function (this: unknown, data: any, res) {
    receiver = this
    res(...data as [unknown, unknown])
  })
  const ask = (...answer: unknown[]): Promise<any> => ada.call('ask', answer)
  for (const none of [undefined, null, false, '', 0]) t.strictSame((await ask(none, 'yes')).data, 'yes', String(none))
  t.strictSame(await ask().then(({ rid, ...rest }) => rest), {})
  t.equal(receiver, ada.socket)
  t.strictSame((await ask('no', 'beside')).error, 'no')
  t.strictSame((await ask('no', 'beside')).data, 'beside')
  t.match((await ask(1234, 'text')).error, 1234)
  t.strictSame(warnings, [])
})

t.test('the answer of a listener that takes no res is what it returns', async (t) => {
  const { enter } = await setUp(t)
  const ada = await enter()
  ada.socket.on('later', async (data) => data)
  ada.socket.on('with res', async (_data, _res) => 'returned')
  ada.socket.on('refuses', async () => { throw new ScRefusal('no') })
  ada.socket.on('throws', () => { throw new ScRefusal('not at once') })
  t.strictSame((await ada.call('later', 7)).data, 7)
  t.ok(!('data' in await ada.call('later')), 'an async function that returns nothing has nothing more to say')
  t.strictSame((await ada.call('with res')).data, 'returned')
  t.match((await ada.call('refuses')).error, { message: 'no' })
  t.match((await ada.call('throws')).error, { message: 'not at once' })
})

t.test('an async listener that takes res may use it later', async (t) => {
  const { enter } = await setUp(t)
  const ada = await enter()
  let respond!: (err: unknown, data: unknown) => void
  ada.socket.on('ask', async (_data, res) => { respond = res as typeof respond })
  ada.say('ask', 1, 1)
  await turn()
  t.strictSame(ada.told, [])
  t.equal(ada.session.activity.owed, 1)
  respond(null, 'late')
  t.strictSame([ada.told, ada.session.activity.owed, ada.session.heldBytes], [[{ rid: 1, data: 'late' }], 0, 0])
})

t.test('the first answer counts: what comes after it is an error of the server alone', async (t) => {
  const { enter, warnings } = await setUp(t)
  const ada = await enter()
  const thrown: any[] = []
  ada.socket.on('twice', (_data, res) => {
    res(null, 1)
    try { res(null, 2) } catch (err) { thrown.push(err) }
    try { res(error) } catch (err) { thrown.push(err) }
  })
  ada.say('twice', null, 5)
  t.strictSame(ada.told, [{ rid: 5, data: 1 }])
  matchEach(t, thrown, [{ code: 'SC_ERR_RESPONSE_SENT', message: 'Response 5 has already been sent' }, { code: 'SC_ERR_RESPONSE_SENT' }])
  ada.socket.on('late bug', (_data, res) => { res(null, 1); throw error })
  ada.socket.on('later bug', async (_data, res) => { res(null, 1); throw error })
  ada.socket.on('returns too', async (_data, res) => { res(null, 1); return 2 })
  for (const event of ['late bug', 'later bug', 'returns too']) {
    t.strictSame((await ada.call(event)).data, 1, event)
    await turn()
  }
  t.strictSame([ada.told, warnings], [[], [error, error]])
  t.equal(ada.session.activity.owed, 0)
})

t.test('of an event that nobody waits for, what a listener throws is a warning', async (t) => {
  const { enter, warnings } = await setUp(t)
  const ada = await enter()
  const got: unknown[] = []
  ada.socket.on('say', () => { throw error })
  ada.socket.on('say', async () => { throw error })
  ada.socket.on('say', (data, res) => { got.push(data); res(null, 'to nobody') })
  ada.say('say', 7)
  await turn()
  t.strictSame([got, warnings, ada.told], [[7], [error, error], []])
})

t.test('an answer that does not come in time is a TimeoutError, once', async (t) => {
  const { enter, warnings } = await setUp(t, { handlerTimeout: 500 })
  const ada = await enter()
  const clock = new Clock(t)
  const responses: Array<(...args: any[]) => void> = []
  ada.socket.on('ask', (_data, res) => { responses.push(res) })
  ada.say('ask', 'x'.repeat(100), 1)
  ada.say('ask', 'x'.repeat(100), 2)
  t.ok(ada.session.heldBytes > 200, 'its data count while the answer is owed')
  responses[1]!(null, 'in time')
  t.strictSame(ada.told, [{ rid: 2, data: 'in time' }])
  await clock.advance(1_000)
  matchEach(t, ada.told, [{ rid: 1, error: { name: 'TimeoutError', message: 'The "ask" event was not answered within 500 ms; see the option handlerTimeout' } }])
  matchEach(t, warnings, [{ code: 'SC_ERR_HANDLER_TIMEOUT' }])
  responses[0]!(null, 'late')
  responses[0]!(error)
  t.strictSame([ada.told, ada.session.heldBytes, ada.session.activity.owed, clock.armed], [[], 0, 0, 0])
  t.equal(warnings.length, 1, 'the late answer is nobody\'s: it was told that it did not come')
})

t.test('a loop that answers too late goes on', async (t) => {
  const { enter } = await setUp(t, { handlerTimeout: 500 })
  const ada = await enter()
  const clock = new Clock(t)
  const slow = gate()
  const sent: boolean[] = []
  const looped = (async () => {
    for await (const request of ada.socket.procedure('ask')) {
      await slow.opened
      sent.push(request.sent)
      if (request.data === 'bad') request.error(error)
      else request.end('late')
      if (sent.length === 2) break
    }
  })()
  ada.say('ask', 'good', 1)
  ada.say('ask', 'bad', 2)
  await clock.advance(1_000)
  t.match(ada.told, [{ rid: 1, error: { name: 'TimeoutError' } }, { rid: 2, error: { name: 'TimeoutError' } }])
  slow.open()
  await looped
  t.strictSame([ada.told, sent, ada.session.heldBytes], [[], [true, true], 0])
})

for (const how of ['disconnect', 'terminate'] as const) {
  t.test(`of a listener that ends its own connection by ${how} no answer is expected`, async (t) => {
    const { enter, warnings } = await setUp(t, { handlerTimeout: 500 })
    const ada = await enter()
    const clock = new Clock(t)
    ada.socket.on('bye', () => { ada.socket[how]() })
    ada.say('bye', 'x'.repeat(100), 1)
    await clock.advance(1_000)
    t.strictSame([ada.told.filter(({ rid }) => rid !== undefined), warnings, clock.armed], [[], [], 0])
  })
}

t.test('what an event keeps whose async listener is slow counts, till it is done or its time is over', async (t) => {
  const { enter } = await setUp(t, { handlerTimeout: 500 })
  const ada = await enter()
  const clock = new Clock(t)
  const slow = [gate(), gate(), gate()]
  let at = 0
  ada.socket.on('say', () => slow[at++]!.opened)
  for (let n = 0; n < 3; n++) ada.say('say', 'x'.repeat(1_000))
  t.ok(ada.session.heldBytes > 3_000)
  t.equal(ada.session.activity.owed, 0, 'nobody waits for an answer')
  const each = ada.session.heldBytes / 3
  slow[0]!.open()
  slow[1]!.fail(error)
  await turn()
  t.equal(ada.session.heldBytes, each)
  await clock.advance(1_000)
  t.equal(ada.session.heldBytes, 0)
  slow[2]!.open()
  await turn()
  t.equal(ada.session.heldBytes, 0)
})

t.test('loops get events that nobody waits for, and calls with a request to answer', async (t) => {
  const { enter } = await setUp(t)
  const ada = await enter()
  const said = ada.socket.receiver('say').once()
  const asked = ada.socket.procedure('ask').once()
  ada.say('say', 1)
  t.equal(await said, 1)
  ada.say('ask', { n: 2 }, 9)
  const request = await asked
  t.match(request, { id: 9, procedure: 'ask', data: { n: 2 }, sent: false })
  t.equal(request.socket, ada.socket)
  t.strictSame(ada.told, [])
  request.end({ n: 4 })
  t.strictSame([ada.told, request.sent, ada.session.heldBytes], [[{ rid: 9, data: { n: 4 } }], true, 0])
  t.throws(() => request.error('no'), { code: 'SC_ERR_RESPONSE_SENT' })
  const next = ada.socket.procedure('ask').once()
  ada.say('ask', null, 10);
  (await next).error(new ScRefusal('no'))
  matchEach(t, ada.told, [{ rid: 10, error: { message: 'no' } }])
  t.match(JSON.parse(JSON.stringify(request)), { id: 9, procedure: 'ask', data: { n: 2 }, sent: true })
})

t.test('a loop and a listener may both take a call; the first answer counts', async (t) => {
  const { enter } = await setUp(t)
  const ada = await enter()
  ada.socket.on('ask', (_data, res) => { res(null, 'listener') })
  const asked = ada.socket.procedure('ask').once()
  ada.say('ask', 1, 1)
  t.strictSame(ada.told, [{ rid: 1, data: 'listener' }])
  t.equal((await asked).sent, true)
})
