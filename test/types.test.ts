import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'

const here = dirname(fileURLToPath(import.meta.url))
const typesDir = join(here, 'types')
const require = createRequire(import.meta.url)

interface Run {
  code: number
  output: string
}

/** Runs the compiler of an installed release. */
function tsc (release: string, args: string[]): Promise<Run> {
  const compiler = join(dirname(require.resolve(`${release}/package.json`)), 'bin/tsc')
  // `env -u`: the test runner puts its hooks into the options of every child, and the newer compiler does not start with them.
  return new Promise((resolve) => {
    execFile('env', ['-u', 'NODE_OPTIONS', process.execPath, compiler, '--noEmit', ...args], { cwd: typesDir, maxBuffer: 1 << 24 }, (err, stdout, stderr) => {
      resolve({ code: err === null ? 0 : Number(err.code), output: stdout + stderr })
    })
  })
}

const releases = { older: 'typescript-5', 'in use': 'typescript', newer: 'typescript-7' }

for (const [which, release] of Object.entries(releases)) {
  t.test(`the declarations infer on the ${which} TypeScript`, async (t) => {
    const { version } = require(`${release}/package.json`) as { version: string }
    const { code, output } = await tsc(release, ['-p', typesDir])
    t.equal(code, 0, `checked by ${version}: ${output}`)
    t.match(version, { older: /^5\.9/, 'in use': /^6\./, newer: /^7\./ }[which])
  })
}

/** What an application has: the package as it is published, and beside it what it and the application install. */
async function install (t: Test): Promise<string> {
  const root = join(here, '..')
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
  for (const release of ['typescript-least', ...Object.values(releases)]) {
    const { version } = require(`${release}/package.json`) as { version: string }
    const { code, output } = await tsc(release, ['-p', application])
    t.equal(code, 0, `checked by ${version}: ${output}`)
  }
  const readme = await readFile(join(here, '../README.md'), 'utf8')
  const { version } = require('typescript-least/package.json') as { version: string }
  t.match(readme, `TypeScript ${version.split('.').slice(0, 2).join('.')} or later`, 'the least one is the one of the README')
})

t.test('a wrong declaration is found', async (t) => {
  const project = join(typesDir, 'tsconfig.wrong.json')
  const file = join(typesDir, 'wrong.generated.ts')
  t.teardown(() => Promise.all([rm(project, { force: true }), rm(file, { force: true })]))
  await writeFile(project, JSON.stringify({ extends: './tsconfig.json', include: [], files: ['wrong.generated.ts'] }))
  await writeFile(file, `
    import { Type } from 'typebox'
    import type { FastifyInstance } from 'fastify'
    import '../../types/fastify.js'
    export function declare (app: FastifyInstance): void {
      app.scEvent('x', { data: Type.Object({ n: Type.Integer() }) }, (data) => data.m)
    }`)
  const { code, output } = await tsc('typescript', ['-p', project])
  t.not(code, 0)
  t.match(output, /wrong\.generated\.ts\(6,\d+\): error TS2339: Property 'm' does not exist/)
})

t.test('a file with 20 events is checked in under 1.5 s', async (t) => {
  const events = (await readFile(join(typesDir, 'twenty-events.ts'), 'utf8')).match(/app\.scEvent\(/g)
  t.equal(events?.length, 20)
  const project = join(typesDir, 'tsconfig.twenty.json')
  t.teardown(() => rm(project, { force: true }))

  async function check (file: string): Promise<{ seconds: number, instantiations: number }> {
    await writeFile(project, JSON.stringify({ extends: './tsconfig.json', include: [], files: [file] }))
    const { code, output } = await tsc('typescript', ['-p', project, '--extendedDiagnostics'])
    t.equal(code, 0, output)
    return { seconds: Number(/Check time: +([\d.]+)s/.exec(output)?.[1]), instantiations: Number(/Instantiations: +(\d+)/.exec(output)?.[1]) }
  }

  // Independent of the machine: a computed type that is inferred through costs more than a million.
  let cost = await check('twenty-events.ts')
  t.ok(cost.instantiations < 100_000, `${cost.instantiations} instantiations`)
  // A machine that is busy with other work is measured by what Fastify's own routes cost on it at the time.
  let allowed = 1.5
  for (let run = 0; run < 3 && cost.seconds >= allowed; run++) {
    allowed = Math.max(1.5, (await check('twenty-routes.ts')).seconds)
    cost = await check('twenty-events.ts')
  }
  t.ok(cost.seconds < allowed, `${cost.seconds} s of ${allowed} s`)
})
