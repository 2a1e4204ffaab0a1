import { existsSync, readdirSync } from 'node:fs'
import t from 'tap'
// @ts-expect-error -- plain JavaScript, which the command runs as it is
import { folders, root, sourcesOf, testsOf } from './folders.js'

t.test('every folder that is mutated has sources, and tests that are there', async (t) => {
  t.same(Object.keys(folders).sort(), ['auth', 'exchange', 'handlers', 'lifecycle', 'protocol', 'socket', 'transport'])
  for (const folder of Object.keys(folders)) {
    t.not(sourcesOf(folder).length, 0, `lib/${folder} has files`)
    t.same(readdirSync(`${root}lib/${folder}`, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts')).length, sourcesOf(folder).length, 'and none further down')
    t.not(testsOf(folder).length, 0, `${folder} has tests`)
    for (const file of testsOf(folder)) t.ok(existsSync(`${root}${file}`), file)
    t.equal(new Set(testsOf(folder)).size, testsOf(folder).length, 'and each once')
  }
})
