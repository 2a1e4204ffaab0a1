// A publication through `publishOut` hooks: parsed only for hooks that look at it, and in slices, so that nobody else waits.
import t from 'tap'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

const recipients = 100
const data = { text: 'x'.repeat(40_000) }
const json = JSON.stringify(data)

/** Counts how often the publication is parsed by itself; clients parse the packet around it. */
function countParses (t: { teardown (fn: () => void): void }): () => number {
  const { parse } = JSON
  let count = 0
  JSON.parse = function (text: string, ...rest: [any?]) {
    if (text === json) count++
    return parse.call(JSON, text, ...rest)
  }
  t.teardown(() => { JSON.parse = parse })
  return () => count
}

async function subscribers (port: number, t: any): Promise<RawClient[]> {
  return Promise.all(Array.from({ length: recipients }, async () => {
    const client = await RawClient.connect(t, port)
    await client.call('#subscribe', { channel: 'a' })
    return client
  }))
}

t.test('what no hook looks at is not parsed, and goes out as the shared message', async (t) => {
  let asked = 0
  const { port, sc } = await serve(t, {}, (app) => { app.scHook('publishOut', () => { asked++ }) })
  const clients = await subscribers(port, t)
  const parses = countParses(t)
  sc.exchange.publish('a', data)
  for (const client of clients) t.same(await client.publication('a'), data)
  t.equal(asked, recipients)
  t.equal(parses(), 0)
})

t.test('who looks at it has a copy of its own', async (t) => {
  const { port, sc } = await serve(t, {}, (app) => {
    app.scHook('publishOut', (request) => { request.data.for = request.socket.id })
  })
  const clients = await subscribers(port, t)
  const ids = new Set<unknown>()
  const parses = countParses(t)
  sc.exchange.publish('a', data)
  for (const client of clients) ids.add((await client.publication('a') as { for: string }).for)
  t.equal(ids.size, recipients)
  t.equal(parses(), recipients)
})

t.test('others have their turn meanwhile, and every recipient sees one order', async (t) => {
  const { port, sc } = await serve(t, {}, (app) => {
    app.scHook('publishOut', () => {
      const end = performance.now() + 1
      while (performance.now() < end);
    })
  })
  const clients = await subscribers(port, t)
  let turns = 0
  let done = false
  const turn = (): void => {
    turns++
    if (!done) setImmediate(turn)
  }
  setImmediate(turn)
  for (let n = 0; n < 3; n++) sc.exchange.publish('a', n)
  for (const client of clients) for (let n = 0; n < 3; n++) t.equal(await client.publication('a'), n)
  done = true
  // 4 ms of hooks to a turn: 300 ms of them take dozens.
  t.ok(turns >= 30, `${turns} turns`)
})

t.test('more than the hooks can do does not pile up', async (t) => {
  let running = 0
  const { port, sc } = await serve(t, {}, (app) => {
    app.scHook('publishOut', () => {
      running++
      const end = performance.now() + 0.2
      while (performance.now() < end);
    })
  })
  await subscribers(port, t)
  for (let n = 0; n < 60; n++) sc.exchange.publish('a', data)
  // 2.4 MB were published in one turn: no more than 1 Mi characters of them wait.
  t.ok(running >= (60 - Math.ceil(1024 * 1024 / json.length) - 1) * recipients, `${running} hooks ran`)
})
