// What can be declared, and what is said about mistakes.
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { scPlugin } from '../../lib/index.js'
import { authKey } from '../helpers/serve.js'

async function make (t: Test): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(scPlugin, { authKey })
  return app
}

t.test('mistakes are named when the channel is declared', async (t) => {
  const app = await make(t)
  const mistakes: Array<[presence: unknown, message: string]> = [
    ['yes', 'Contract of "room": expected presence to be a boolean or an object, got "yes"'],
    [{ keys: 1 }, 'Contract of "room": unknown property "keys" of presence; expected some of key, data, watch, update, members, leaveDelay, interval'],
    [{ key: 'sub' }, 'Contract of "room": expected key of presence to be a function, got "sub"'],
    [{ watch: true }, 'Contract of "room": expected watch of presence to be a function, got true'],
    [{ update: 'all' }, 'Contract of "room": expected update of presence to be a boolean or a function, got "all"'],
    [{ members: -1 }, 'Contract of "room": expected members of presence to be a whole number from 0 to 100000, got -1'],
    [{ leaveDelay: 0.5 }, 'Contract of "room": expected leaveDelay of presence to be a whole number from 0 to 3600000, got 0.5'],
    [{ interval: 9 }, 'Contract of "room": expected interval of presence to be a whole number from 10 to 60000, got 9']
  ]
  for (const [presence, message] of mistakes) t.throws(() => app.scChannel('room', { presence } as never), { name: 'InvalidArgumentsError', message })
})

t.test('the limits with their defaults are among the declarations', async (t) => {
  const app = await make(t)
  app.scChannel('a', { presence: true })
  app.scChannel('b', { presence: { members: 5, leaveDelay: 0, interval: undefined } as never })
  app.scChannel('c', { presence: false })
  await app.ready()
  t.match(app.scDeclarations().channels.map(({ presence }) => presence), [{ members: 1_000, leaveDelay: 30_000, interval: 250 }, { members: 5, leaveDelay: 0, interval: 250 }, null])
})

t.test('names of companions are reserved where a channel has presence, and only there', async (t) => {
  const app = await make(t)
  app.scChannel('news#presence', {})
  app.scChannel('news', { presence: true })
  await t.rejects(async () => await app.ready(), { message: 'Contract of "news#presence": names that end in "#presence" are reserved where a channel is declared with presence' })
  const other = await make(t)
  other.scChannel('news#presence', { clientPublish: false })
  await t.resolves(async () => await other.ready())
})
