import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('..', import.meta.url))

/** From the lowest to the highest: a file imports from its own layer or from one before it. */
const layers = [
  ['types'], ['lib/*'], ['lib/protocol'], ['lib/transport'], ['lib/broker'], ['lib/cluster'], ['lib/auth'], ['lib/lifecycle'], ['lib/contracts'], ['lib/exchange'], ['lib/presence'],
  ['lib/socket'], ['lib/handlers'], ['lib/server'], ['lib/http'], ['lib/options.ts', 'lib/plugin.ts', 'lib/index.ts'], ['lib/asyncapi', 'lib/client', 'lib/testing']
]

const files = ['lib', 'types'].flatMap((folder) => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts')).map((name) => join(folder, name)))

const imports = new Map(files.map((file) => {
  const text = readFileSync(join(root, file), 'utf8')
  const targets = [...text.matchAll(/(?:from|import) '(\.[^']+)'/g)].map(([, path]) => normalize(join(dirname(file), path!)).replace(/\.js$/, '.ts'))
  return [file, targets]
}))

function layerOf (file: string): number {
  const exact = layers.findIndex((layer) => layer.includes(file))
  if (exact !== -1) return exact
  const folder = file.split('/').slice(0, 2).join('/')
  return layers.findIndex((layer) => layer.includes(file.startsWith('types/') ? 'types' : dirname(file) === 'lib' ? 'lib/*' : folder))
}

t.test('a file imports from a lower layer or from its own, types included', async (t) => {
  for (const [file, targets] of imports) {
    t.not(layerOf(file), -1, `${file} has a layer`)
    for (const target of targets) {
      if (layerOf(target) > layerOf(file)) t.fail(`${file} imports ${target}, which is above it`)
    }
  }
})

t.test('there are no import cycles', async (t) => {
  const done = new Set<string>()
  const path: string[] = []
  const visit = (file: string): void => {
    const at = path.indexOf(file)
    if (at !== -1) {
      t.fail(`cycle: ${[...path.slice(at), file].map((name) => relative('lib', name)).join(' > ')}`)
      return
    }
    if (done.has(file)) return
    path.push(file)
    for (const target of imports.get(file) ?? []) visit(target)
    path.pop()
    done.add(file)
  }
  for (const file of files) visit(file)
  t.ok(done.size > 100, `${done.size} files`)
})

t.test('docs/architecture.md names every layer, and files that are there', async (t) => {
  const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8')
  const found = new Set<string>()
  let folder = ''
  for (const line of page.split('\n')) {
    // A table of the files of one folder says so in its head.
    if (line.startsWith('|')) folder = /^\| File in `([^`]+)`/.exec(line)?.[1] ?? folder
    else folder = ''
    const cell = folder === '' ? line : line.split('|')[1]!
    for (const [, path] of cell.matchAll(folder === '' ? /`((?:lib|types|test)\/[^`]*)`/g : /`([^`]+\.ts)`/g)) found.add(folder === '' ? path! : join(folder, path!))
  }
  for (const path of found) t.ok(existsSync(join(root, path)), path)
  for (const layer of layers.flat()) if (layer.startsWith('lib/') && !['lib/*', 'lib/asyncapi', 'lib/client', 'lib/testing'].includes(layer)) t.ok(found.has(layer) || found.has(`${layer}/`), `${layer} is there`)
})

t.test('the root of the repository has what belongs there, and nothing that was left behind', async (t) => {
  const { stdout, status } = spawnSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
  if (status !== 0) return t.comment('not a repository')
  const found = new Set(stdout.split('\0').filter((file) => file !== '').map((file) => file.split('/')[0]!))
  const folders = ['.ci', 'bench', 'docs', 'examples', 'lib', 'test', 'types']
  const settings = ['.editorconfig', '.gitignore', '.npmrc', '.taprc', 'eslint.config.js', 'package-lock.json', 'package.json', 'tsconfig.browser.json', 'tsconfig.build.json', 'tsconfig.json']
  t.strictSame([...found].sort(), [...folders, ...settings, 'LICENSE', 'README.md', 'SECURITY.md'].sort())
})
