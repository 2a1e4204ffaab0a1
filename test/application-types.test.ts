import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { require, tsc, typesDir } from './helpers/tsc.js'

/** What an application has: the package as it is published, and beside it what it and the application install. */
async function install (t: Test): Promise<string> {
  const root = join(typesDir, '../..')
  const application = await mkdtemp(join(tmpdir(), 'fastify-socketcluster-'))
  t.teardown(() => rm(application, { recursive: true, force: true }))
  const modules = join(application, 'node_modules')
  const target = join(modules, 'fastify-socketcluster')
  await mkdir(target, { recursive: true })
  await cp(join(root, 'dist'), join(target, 'dist'), { recursive: true })
  await cp(join(root, 'package.json'), join(target, 'package.json'))
  for (const name of await readdir(join(root, 'node_modules'))) {
    if (!name.startsWith('.')) await symlink(join(root, 'node_modules', name), join(modules, name))
  }
  await writeFile(join(application, 'package.json'), JSON.stringify({ type: 'module' }))
  await cp(join(typesDir, 'application.txt'), join(application, 'application.ts'))
  await writeFile(join(application, 'tsconfig.json'), JSON.stringify({
    compilerOptions: {
      target: 'ES2022',
      module: 'NodeNext',
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noPropertyAccessFromIndexSignature: true,
      noImplicitOverride: true,
      noUnusedLocals: true,
      skipLibCheck: false,
      types: ['node'],
      noEmit: true
    },
    files: ['application.ts']
  }))
  return application
}

// What is published is checked as it is built: `npm test` builds before it runs the tests.
t.test('an application with the strictest settings, and without skipLibCheck', async (t) => {
  const application = await install(t)
  for (const release of ['typescript-least', 'typescript-5', 'typescript', 'typescript-7']) {
    const { version } = require(`${release}/package.json`) as { version: string }
    const { code, output } = await tsc(release, ['-p', application])
    t.equal(code, 0, `checked by ${version}: ${output}`)
  }
  const readme = await readFile(join(typesDir, '../../README.md'), 'utf8')
  const { version } = require('typescript-least/package.json') as { version: string }
  t.match(readme, `TypeScript ${version.split('.').slice(0, 2).join('.')} or later`, 'the least one is the one of the README')
})
