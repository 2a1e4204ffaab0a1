import t from 'tap'
import { MiddlewareBlock } from '../../lib/lifecycle/block.js'
import { middlewareLines, toHook } from '../../lib/lifecycle/middleware.js'

/** A middleware as a hook, and what was warned of. */
function make (middleware: (request: any, next: any) => unknown) {
  const warnings: any[] = []
  return { warnings, hook: toHook('emit', middleware, (err) => warnings.push(err)) }
}
const request = { data: 1 }
const error = new Error('no')

t.test('the lines are those of SocketCluster', async (t) => {
  t.same(middlewareLines, ['handshakeWS', 'handshakeSC', 'authenticate', 'subscribe', 'publishIn', 'publishOut', 'emit'])
})

t.test('it passes when next is called without an error, at once or later', async (t) => {
  for (const nothing of [[], [undefined], [null], [false], ['']]) {
    t.equal(make((_request, next) => next(...nothing)).hook(request), undefined)
    await t.resolves(make((_request, next) => { setImmediate(() => next(...nothing)) }).hook(request) as Promise<void>)
  }
})

t.test('it blocks with what next is given, at once or later', async (t) => {
  for (const reason of [error, 'text', true, 0, {}]) {
    const blocked = (thrown: unknown): boolean => thrown instanceof MiddlewareBlock && thrown.error === reason && thrown.detail === 4401
    try {
      make((_request, next) => next(reason, 4401)).hook(request)
      t.fail('it passed')
    } catch (thrown) {
      t.ok(blocked(thrown))
    }
    const later = make((_request, next) => { setImmediate(() => next(reason, 4401)) }).hook(request) as Promise<void>
    t.ok(blocked(await later.catch((thrown: unknown) => thrown)))
  }
})

t.test('it is called with the request, and throws what the middleware throws', async (t) => {
  t.plan(3)
  make((given) => { t.equal(given, request) }).hook(request)
  t.throws(() => make(() => { throw error }).hook(request), error)
  await t.rejects(make(async () => { throw error }).hook(request) as Promise<void>, error)
})

t.test('one that takes no next passes when it returns or resolves', async (t) => {
  t.equal(make((_request) => 'anything').hook(request), undefined)
  await t.resolves(make(async (_request: any) => 'anything').hook(request) as Promise<void>)
})

t.test('one that takes next and is async passes by next only', async (t) => {
  let pass!: () => void
  const { hook } = make(async (_request, next) => { pass = next })
  let passed = false
  const running = (hook(request) as Promise<void>).then(() => { passed = true })
  await new Promise(setImmediate)
  t.equal(passed, false, 'it has resolved, which is not enough')
  pass()
  await running
})

t.test('a second call of next changes nothing and is warned of', async (t) => {
  const { hook, warnings } = make((_request, next) => { next(); next(error) })
  t.equal(hook(request), undefined)
  t.match(warnings, [{ code: 'SC_ERR_NEXT_TWICE', message: 'Callback for emit middleware was already invoked' }])
  t.equal(warnings.length, 1)
  const later = make((_request, next) => { setImmediate(() => { next(); next(error) }) })
  await later.hook(request)
  await new Promise(setImmediate)
  t.equal(later.warnings.length, 1)
})

t.test('what is rejected after next is a warning', async (t) => {
  const { hook, warnings } = make(async (_request, next) => { next(); throw error })
  t.equal(hook(request), undefined)
  await new Promise(setImmediate)
  t.same(warnings, [error])
  const later = make(async (_request, next) => { await null; next(); throw error })
  await later.hook(request)
  await new Promise(setImmediate)
  t.same(later.warnings, [error])
})

t.test('what is rejected before next blocks, and next is too late then', async (t) => {
  let next!: () => void
  const { hook, warnings } = make(async (_request, given) => { next = given; throw error })
  await t.rejects(hook(request) as Promise<void>, error)
  t.same(warnings, [])
  next()
  t.match(warnings, [{ code: 'SC_ERR_NEXT_TWICE' }])
})

t.test('a promise that resolves after next is told of nothing', async (t) => {
  const { hook, warnings } = make(async (_request, next) => { await null; next() })
  await hook(request)
  await new Promise(setImmediate)
  t.same(warnings, [])
})

t.test('the hook has the name of the application\'s function', async (t) => {
  t.equal(make(function mine () {}).hook.name, 'mine')
})
