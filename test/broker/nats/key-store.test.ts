// The store of keys, whose server answers as the test says.
import type { Msg } from '@nats-io/transport-node'
import t from 'tap'
import { natsHistoryDefaults } from '../../../lib/broker/nats/history-options.js'
import { KeyStore } from '../../../lib/broker/nats/key-store.js'
import type { Requests } from '../../../lib/broker/nats/requests.js'

const exists = { config: { storage: 'memory' } }
const noLeader = 503
const wrongLast = { error: { code: 400, err_code: 10_071 } }
const noStream = { error: { code: 404, err_code: 10_059 } }

/** Returns a store, and its requests: the end of the subject, or the sequence after which a key is written. */
function storeOf (replicas: number, answers: Array<object | typeof noLeader>) {
  const asked: string[] = []
  const requests = {
    ask: async (subject: string, _data: string, headers?: unknown) => {
      asked.push(headers === undefined ? subject.replace(/^\$JS\.API\.STREAM\./, '') : `${subject} after ${String(headers)}`)
      const answer = answers.shift()!
      return (answer === noLeader ? { data: new Uint8Array(), headers: { code: 503 } } : { data: Buffer.from(JSON.stringify(answer)) }) as Partial<Msg> as Msg
    }
  }
  const headers = (_name: string, value: string): never => value as never
  return { store: new KeyStore(requests as unknown as Requests, 'p', { ...natsHistoryDefaults, replicas }, headers, '2.9.0'), asked }
}

const message = (seq: number, text: string): object => ({ message: { seq, data: Buffer.from(text).toString('base64') } })

t.test('the stream is created with the first key, and a replicated one has a leader that has everything', async (t) => {
  const { store, asked } = storeOf(3, [noStream, exists, {}, noLeader, { seq: 1 }, { seq: 2 }, { seq: 3 }])
  t.equal(await store.add('p.k.a', 'x', 1_000), null)
  t.equal(await store.add('p.k.b', 'x', 1_000), null)
  t.same(asked, ['INFO.p-keys', 'CREATE.p-keys', 'UPDATE.p-keys', 'p.k.all.applied', 'p.k.all.applied', 'p.k.a after 0', 'p.k.b after 0'])
})

t.test('a write that another one precedes reads, and comes behind that one', async (t) => {
  const { store, asked } = storeOf(1, [exists, {}, wrongLast, message(7, '1 over'), wrongLast, message(8, `${Date.now() + 60_000} theirs`)])
  t.equal(await store.add('p.k.a', 'mine', 1_000), 'theirs')
  t.same(asked.slice(2), ['p.k.a after 0', 'MSG.GET.p-keys', 'p.k.a after 7', 'MSG.GET.p-keys'])
  const again = message(9, `${Date.now() + 60_000} v`)
  const other = storeOf(1, [exists, {}, again, wrongLast, again, { seq: 10 }, message(10, `${Date.now() + 60_000} w`)])
  t.equal(await other.store.replace('p.k.a', 'v', 'w', 1_000), true, 'replaced by itself meanwhile')
  t.equal(await other.store.replace('p.k.a', 'v', null, 1_000), false)
})

t.test('a stream without a leader', async (t) => {
  const { store, asked } = storeOf(1, [exists, {}, noLeader, exists, {}, noLeader, exists, {}, noLeader])
  await t.rejects(store.add('p.k.a', 'x', 1_000), { message: 'the stream "p-keys" has no leader: nobody keeps the keys' })
  t.equal(asked.filter((one) => one === 'p.k.a after 0').length, 3)
})

t.test('a stream that is gone has no keys, and comes again with the next one', async (t) => {
  const { store, asked } = storeOf(1, [exists, {}, noStream, noStream, exists, {}, { seq: 1 }])
  t.equal(await store.replace('p.k.a', 'x', 'y', 1_000), false)
  t.equal(await store.add('p.k.a', 'x', 1_000), null)
  t.same(asked.slice(2), ['MSG.GET.p-keys', 'INFO.p-keys', 'CREATE.p-keys', 'UPDATE.p-keys', 'p.k.a after 0'])
})

t.test('errors of JetStream', async (t) => {
  const full = { error: { code: 503, err_code: 10_023, description: 'insufficient resources' } }
  await t.rejects(storeOf(1, [noStream, full]).store.add('p.k.a', 'x', 1_000), { message: /insufficient resources \(10023\)/ })
  await t.rejects(storeOf(1, [exists, {}, full]).store.add('p.k.a', 'x', 1_000), { message: /insufficient resources/ })
  await t.rejects(storeOf(1, [exists, {}, full]).store.replace('p.k.a', 'x', 'y', 1_000), { message: /insufficient resources/ })
  const { store } = storeOf(1, [full, exists, {}, { seq: 1 }])
  await t.rejects(store.add('p.k.a', 'x', 1_000))
  t.equal(await store.add('p.k.a', 'x', 1_000), null, 'it tries again')
  await t.rejects(storeOf(1, [{ config: { storage: 'file' } }]).store.add('p.k.a', 'x', 1_000), { message: /the stream "p-keys" has the storage 'file'/ })
})
