import t from 'tap'
import { scError } from '../../lib/errors.js'
import { HookFailure, MiddlewareBlock, thrownBy, toBlock } from '../../lib/lifecycle/block.js'

t.test('what a hook threw is found, whichever hook it was', async (t) => {
  const thrown = new Error('no')
  t.equal(thrownBy(new HookFailure(thrown, 'emit')), thrown)
  t.equal(thrownBy(thrown), thrown)
  t.equal(thrownBy(undefined), undefined)
  t.match(new HookFailure(thrown, 'emit'), { list: 'emit', hook: undefined, index: 0, duration: undefined })
})

t.test('what was passed to next is deliberate and keeps its detail, what was thrown is not', async (t) => {
  const error = new Error('no')
  t.same(toBlock('emit', new MiddlewareBlock(error, 4401)), { error, origin: 'deliberate', detail: 4401, silent: false })
  t.same(toBlock('emit', new HookFailure(new MiddlewareBlock(error, true), 'emit', 'own', 2)), { error, origin: 'deliberate', detail: true, silent: false })
  t.same(toBlock('emit', error), { error, origin: 'thrown', detail: undefined, silent: false })
  t.equal(toBlock('emit', new HookFailure('text', 'emit')).error, 'text')
})

t.test('next(true), and an error that says so, block silently', async (t) => {
  for (const silent of [true, { silent: true }, Object.assign(new Error('no'), { silent: true })]) {
    const block = toBlock('subscribe', new MiddlewareBlock(silent, 1))
    t.match(block, { silent: true, origin: 'deliberate', detail: 1 })
    t.match(block.error, { code: 'SC_ERR_BLOCKED_SILENTLY', message: 'Action was silently blocked by subscribe middleware', type: 'subscribe' })
  }
  t.match(toBlock('emit', { silent: true }), { silent: true, origin: 'thrown' })
  for (const loud of [{ silent: 'yes' }, { silent: false }, 'silent', null, Object.assign(scError('SC_ERR_INTERNAL'), { silent: true }), Object.assign(() => {}, { silent: true })]) {
    t.equal(toBlock('emit', loud).silent, false)
  }
})

t.test('a hook that rejects with nothing still blocks', async (t) => {
  for (const nothing of [undefined, null]) t.match(toBlock('emit', nothing), { error: { code: 'SC_ERR_INTERNAL' }, silent: false })
  t.equal(toBlock('emit', 0).error, 0)
})
