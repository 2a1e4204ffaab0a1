import { setImmediate as tick } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Questions } from '../../lib/cluster/questions.js'
import { Clock } from '../helpers/clock.js'

function start (t: Test, ids: string[]) {
  const clock = new Clock(t)
  const sent: any[] = []
  const port = {
    ids,
    reachable: true,
    failure: null as Error | null,
    send (message: any, toNode?: string): Promise<void> {
      sent.push([message, toNode])
      return port.failure === null ? Promise.resolve() : Promise.reject(port.failure)
    }
  }
  const questions = new Questions(2_000, port)
  const answer = (from: string, value: unknown, id = sent.at(-1)[0].id): void => questions.answered({ t: 'answer', id, value }, from)
  return { clock, sent, port, questions, answer }
}

t.test('all are asked, and the answers are here when the last one is', async (t) => {
  const { questions, sent, answer, clock } = start(t, ['n2', 'n3'])
  const asked = questions.ask('stats')
  t.strictSame(sent, [[{ t: 'ask', id: 1, kind: 'stats', body: undefined }, undefined]])
  answer('n3', 3)
  answer('n3', 'again')
  answer('unheard of', 4)
  answer('n2', 2, 99)
  questions.answered({ t: 'answer', id: 1, error: 'x'.repeat(5_000) }, 'n2')
  t.strictSame(await asked, { answers: [{ id: 'n3', value: 3 }, { id: 'unheard of', value: 4 }, { id: 'n2', error: 'x'.repeat(1_000) }], missing: [] })
  t.equal(clock.armed, 0)
})

t.test('one is asked, or nobody is there', async (t) => {
  const { questions, sent, answer } = start(t, ['n2', 'n3'])
  const asked = questions.ask('query', { q: 1 }, 'n3')
  t.strictSame(sent[0], [{ t: 'ask', id: 1, kind: 'query', body: { q: 1 } }, 'n3'])
  answer('n3', 1)
  t.strictSame(await asked, { answers: [{ id: 'n3', value: 1 }], missing: [] })
  t.strictSame(await start(t, []).questions.ask('stats'), { answers: [], missing: [] })
})

t.test('who does not answer twice is not waited for, until it answers', async (t) => {
  const { questions, clock, answer } = start(t, ['n2'])
  for (let i = 0; i < 2; i++) {
    const asked = questions.ask('stats')
    await clock.advance(1_999)
    t.equal(clock.armed, 1, 'it is waited for')
    await clock.advance(1)
    t.strictSame((await asked).missing, ['n2'])
  }
  t.strictSame((await questions.ask('stats')).missing, ['n2'], 'at once')
  answer('n2', 'late')
  const asked = questions.ask('stats')
  await tick()
  answer('n2', 1)
  t.strictSame(await asked, { answers: [{ id: 'n2', value: 1 }], missing: [] })
})

t.test('who is gone is not waited for, and forgotten with what it left unanswered', async (t) => {
  const { questions, clock, port, answer } = start(t, ['n2', 'n3'])
  const asked = questions.ask('stats')
  answer('n3', 3)
  port.ids = ['n3']
  questions.forget(['n2'])
  t.strictSame(await asked, { answers: [{ id: 'n3', value: 3 }], missing: [] })
  port.ids = ['n2']
  for (let i = 0; i < 2; i++) {
    const unanswered = questions.ask('stats')
    await clock.advance(2_000)
    await unanswered
  }
  questions.forget(['n2'])
  questions.ask('stats').catch(() => {})
  await tick()
  t.equal(clock.armed, 1, 'when it is back it is waited for')
  questions.giveUp()
})

t.test('while nobody can be reached: a question fails, those under way end, and nobody is blamed', async (t) => {
  const { questions, clock, port } = start(t, ['n2'])
  for (let i = 0; i < 3; i++) {
    const asked = questions.ask('stats')
    await tick()
    port.reachable = false
    questions.giveUp()
    t.strictSame(await asked, { answers: [], missing: ['n2'] })
    port.reachable = true
  }
  port.failure = new Error('down')
  await t.rejects(questions.ask('command', {}), { message: 'down' })
  t.equal(clock.armed, 0)
  port.failure = null
  const waited = questions.ask('stats')
  await tick()
  t.equal(clock.armed, 1)
  questions.giveUp()
  await waited
})
