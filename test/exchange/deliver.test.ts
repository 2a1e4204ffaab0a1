// A publication on its way to one recipient, through the `publishOut` hooks and the channel's `deliver` policy.
import t from 'tap'
import { Deadlines } from '../../lib/deadlines.js'
import { type Delivery, type DeliveryDesk, deliverThroughHooks } from '../../lib/exchange/deliver.js'
import { SharedMessage } from '../../lib/transport/shared-message.js'
import { Clock } from '../helpers/clock.js'
import { matchEach } from '../helpers/match-each.js'
import { type Declared, Recipient, declared } from './parts.js'

/** A recipient, a publication for it, and what the hub is told of it. */
function setUp (route: Declared = {}, json = '{"n":1}', { hookTimeout = 0, params = {} }: { hookTimeout?: number, params?: Record<string, string> } = {}) {
  const recipient = new Recipient('ada')
  const delivery: Delivery = { channel: 'a', serial: 1, position: null, json, resolved: declared(route, params), policy: 'drop', message: new SharedMessage('shared') }
  const counted: Array<boolean | null> = []
  const leftOut: any[] = []
  const undecided: string[] = []
  const desk: DeliveryDesk = {
    hookDeadlines: new Deadlines(hookTimeout),
    personalMessage: (given, data) => {
      t.equal(given, delivery)
      return new SharedMessage(`personal ${JSON.stringify(data)}`)
    },
    count: (delivered) => { counted.push(delivered) },
    undecided: (subscriber, given) => {
      t.strictSame([subscriber, given], [recipient, delivery])
      undecided.push(given.channel)
    },
    leftOut: (subscriber, channel, thrown) => {
      t.strictSame([subscriber, channel], [recipient, 'a'])
      leftOut.push(thrown)
    }
  }
  const deliver = async (): Promise<void> => {
    deliverThroughHooks(desk, recipient, delivery)
    await recipient.running
  }
  return { recipient, delivery, counted, leftOut, undecided, deliver }
}

const error = new Error('not for her')

t.test('a hook sees the recipient, the channel and its parameters, and a copy of the data', async (t) => {
  const seen: any[] = []
  const instance = {}
  const hook = function (this: unknown, request: any): void { seen.push([this, request.socket.id, request.channel, request.params, request.useCache, request.data]) }
  const { deliver, recipient, counted } = setUp({ publishOut: [hook], instance: instance as never }, '{"n":1}', { params: { id: '7' } })
  await deliver()
  await deliver()
  t.strictSame(seen, Array.from({ length: 2 }, () => [instance, 'ada', 'a', { id: '7' }, false, { n: 1 }]))
  t.equal(seen[0][0], instance)
  t.not(seen[0][5], seen[1][5], 'each time another')
  t.strictSame(recipient.got, ['personal {"n":1}', 'personal {"n":1}'], 'it may have been changed')
  t.strictSame(recipient.how, ['a drop', 'a drop'])
  t.strictSame(counted, [true, true])
})

t.test('what nobody looked at, and what a hook says is as it was, goes out as the shared message', async (t) => {
  const edits: Array<[what: string, hook: (request: any) => void, expected: string]> = [
    ['nothing', () => {}, 'shared'],
    ['only the socket', (request) => { String(request.socket.id) }, 'shared'],
    ['useCache', (request) => { request.data.n = 2; request.useCache = true }, 'shared'],
    ['useCache that is not true', (request) => { request.data.n = 2; request.useCache = 1 }, 'personal {"n":2}'],
    ['an edit', (request) => { request.data.n++ }, 'personal {"n":2}'],
    ['another value', (request) => { request.data = null }, 'personal null'],
    ['undefined keeps what was there', (request) => { request.data = undefined }, 'shared']
  ]
  for (const [what, hook, expected] of edits) {
    const { deliver, recipient } = setUp({ publishOut: [hook] })
    await deliver()
    t.strictSame(recipient.got, [expected], what)
  }
})

t.test('the data of one hook are those of the next, and of the policy', async (t) => {
  const { deliver, recipient } = setUp({
    publishOut: [(request: any) => { request.data = { n: request.data.n + 1 } }, (request: any) => { request.data.n *= 10 }],
    deliver: ({ data }) => ({ ...data as object, last: true })
  })
  await deliver()
  t.strictSame(recipient.got, ['personal {"n":20,"last":true}'])
})

t.test('a publication without data has none for the hooks either', async (t) => {
  const seen: unknown[] = []
  const { deliver, recipient } = setUp({ publishOut: [(request: any) => { seen.push(request.data) }] }, '')
  await deliver()
  t.strictSame([seen, recipient.got], [[undefined], ['shared']])
})

t.test('what is no JSON fails whoever looks at it, and its text stays out of the error', async (t) => {
  const { deliver, recipient, leftOut, counted } = setUp({ publishOut: [(request: any) => request.data] }, 'a secret')
  await deliver()
  t.strictSame([recipient.got, counted], [[], []])
  matchEach(t, leftOut, [{ thrown: { code: 'SC_ERR_MESSAGE', message: 'A publication on "a" is no JSON' } }])
  const unseen = setUp({ publishOut: [() => {}] }, 'a secret')
  await unseen.deliver()
  t.strictSame(unseen.recipient.got, ['shared'])
})

for (const how of ['at once', 'later'] as const) {
  const wait = how === 'at once' ? () => undefined : () => new Promise<void>((resolve) => setImmediate(resolve))
  /** Does it, at once or later. */
  const act = <T>(action: () => T) => (how === 'at once' ? action() : wait()!.then(action))

  t.test(`a hook and a policy that decide ${how}`, async (t) => {
    t.test('a policy\'s value replaces the message; undefined keeps it', async (t) => {
      const instance = {} as never
      const decide = function (this: unknown, request: any): unknown {
        t.equal(this, instance)
        return act(() => request.socket.data === 'quiet' ? undefined : { for: request.socket.id, was: request.data.n })
      }
      const { deliver, recipient } = setUp({ instance, deliver: decide as never })
      await deliver()
      Object.assign(recipient.socket, { data: 'quiet' })
      await deliver()
      t.strictSame(recipient.got, ['personal {"for":"ada","was":1}', 'shared'])
    })

    t.test('a policy is asked after the hooks, and when it returns nothing what they made of the data stays', async (t) => {
      const order: unknown[] = []
      const { deliver, recipient } = setUp({
        publishOut: [(request: any) => act(() => { order.push('hook'); request.data = { n: 2 } })],
        deliver: ({ data }) => act(() => { order.push(['policy', data]) }) as unknown
      })
      await deliver()
      t.strictSame([order, recipient.got], [['hook', ['policy', { n: 2 }]], ['personal {"n":2}']])
    })

    t.test('what they throw leaves the recipient out: it is told, and nothing is counted', async (t) => {
      for (const [list, route] of [['publishOut', { publishOut: [() => act(() => { throw error })] }], ['deliver policy', { deliver: () => act(() => { throw error }) }]] as Array<[string, Declared]>) {
        const { deliver, recipient, leftOut, counted } = setUp(route)
        await deliver()
        matchEach(t, leftOut, [{ thrown: error, list }])
        t.strictSame([leftOut.length, recipient.got, counted], [1, [], []])
      }
    })

    t.test('what cannot be encoded leaves the recipient out too', async (t) => {
      const { deliver, recipient, leftOut } = setUp({ publishOut: [(request: any) => act(() => { request.data = 1n })] })
      await deliver()
      matchEach(t, leftOut, [{ name: 'TypeError' }])
      t.strictSame(recipient.got, [])
    })

    t.test('a policy is not asked when a hook refused, nor about who is gone', async (t) => {
      let asked = 0
      const policy = (): void => { asked++ }
      const refused = setUp({ publishOut: [() => act(() => { throw error })], deliver: policy })
      await refused.deliver()
      const gone = setUp({ publishOut: [], deliver: policy })
      gone.recipient.left.add('a')
      await gone.deliver()
      t.equal(asked, 0)
      t.strictSame([gone.recipient.got, gone.counted, gone.leftOut], [[], [], []])
    })

    t.test('who leaves meanwhile gets nothing, and counts as nothing', async (t) => {
      for (const line of ['publishOut', 'deliver'] as const) {
        const leave = ({ socket }: any) => act(() => { socket.leave() })
        const { deliver, recipient, counted, leftOut } = setUp(line === 'deliver' ? { deliver: leave as never } : { publishOut: [leave] })
        Object.assign(recipient.socket, { leave: () => { recipient.left.add('a') } })
        await deliver()
        t.strictSame([recipient.got, leftOut], [[], []], line)
        t.strictSame(counted, [], line)
      }
    })
  })
}

t.test('who is somebody else by the time the hooks have decided is decided about again', async (t) => {
  let asked = 0
  const recipient: { current: Recipient | null } = { current: null }
  const hook = async (request: any): Promise<void> => {
    const { authToken } = recipient.current!
    await new Promise(setImmediate)
    // The first answer is for claims that are gone.
    if (++asked === 1) recipient.current!.authToken = { name: 'bob' }
    request.data = authToken
  }
  const set = setUp({ publishOut: [hook] })
  recipient.current = set.recipient
  set.recipient.authToken = { name: 'ada' }
  await set.deliver()
  t.strictSame([asked, set.recipient.got, set.counted], [2, ['personal {"name":"bob"}'], [true]])
})

t.test('three times at most; then they decided nothing', async (t) => {
  let asked = 0
  const { deliver, recipient, counted, undecided } = setUp({ publishOut: [async () => { asked++; recipient.authToken = {} }] })
  await deliver()
  t.strictSame([asked, recipient.got, counted, undecided], [3, [], [], ['a']])
})

t.test('a refusal stands, whoever the recipient is by then', async (t) => {
  let asked = 0
  const { deliver, recipient, leftOut, counted } = setUp({ publishOut: [async () => { asked++; recipient.authToken = {}; throw error }] })
  await deliver()
  t.strictSame([asked, recipient.got, leftOut.length, counted], [1, [], 1, []])
})

t.test('a hook and a policy that take too long leave the recipient out', async (t) => {
  const clock = new Clock(t)
  for (const [name, route] of [['publishOut', { publishOut: [() => new Promise(() => {})] }], ['deliver policy', { deliver: () => new Promise(() => {}) }]] as Array<[string, Declared]>) {
    const { deliver, recipient, leftOut } = setUp(route, '1', { hookTimeout: 50 })
    const delivering = deliver()
    await clock.advance(1_000)
    await delivering
    matchEach(t, leftOut, [{ thrown: { code: 'SC_ERR_HOOK_TIMEOUT', message: `A ${name} hook took longer than 50 ms; see the option hookTimeout` } }])
    t.strictSame(recipient.got, [])
  }
})

t.test('where too much waits for hooks already, the recipient is too slow', async (t) => {
  let asked = 0
  const { deliver, recipient, counted } = setUp({ publishOut: [() => { asked++ }] })
  recipient.hasRoom = false
  await deliver()
  t.strictSame([asked, counted, recipient.overruns, recipient.got], [0, [false], ['drop'], []])
})

t.test('what the connection left out counts as dropped', async (t) => {
  const { deliver, recipient, counted } = setUp({ publishOut: [() => {}] })
  recipient.keepsUp = false
  await deliver()
  t.strictSame([recipient.got, counted], [['shared'], [false]])
})
