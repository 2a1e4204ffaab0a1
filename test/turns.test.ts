import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { currentTurn } from '../lib/turns.js'

t.test('what runs in one turn of the event loop has one number, the next turn another', async (t) => {
  const first = currentTurn()
  await Promise.resolve()
  await new Promise((resolve) => process.nextTick(resolve))
  t.equal(currentTurn(), first, 'promises and ticks are of the turn')
  await turn()
  const second = currentTurn()
  t.not(second, first)
  await turn()
  await turn()
  t.not(currentTurn(), second, 'nobody asked in between')
})
