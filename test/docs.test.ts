import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runInNewContext } from 'node:vm'
import Fastify, { type FastifyInstance } from 'fastify'
import { create } from 'socketcluster-client'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import ts from 'typescript'
import { natsHistoryDefaults } from '../lib/broker/nats/history-options.js'
import { natsBroker } from '../lib/broker/nats/index.js'
import { redisBroker } from '../lib/broker/redis/index.js'
import { remoteDefaults } from '../lib/broker/remote/options.js'
import { diagnostics } from '../lib/diagnostics.js'
import { errorTable } from '../lib/errors.js'
import { scPlugin } from '../lib/index.js'
import { operationNames } from '../lib/http/operation-options.js'
import { middlewareLines } from '../lib/lifecycle/middleware.js'
import { hookNames } from '../lib/lifecycle/scope.js'
import { defaultOptions, optionsSchema } from '../lib/options.js'
import { closeReasons } from '../lib/protocol/close-codes.js'
import { Server } from '../lib/server/server.js'
import { ServerSocket } from '../lib/socket/socket.js'
import { ExchangeChannel } from '../lib/exchange/channel.js'
import { Exchange } from '../lib/exchange/exchange.js'
import { injectSC } from '../lib/testing/index.js'

// The documentation is held against the code, both ways: what a table names must exist, and what exists must be in the table.

const root = fileURLToPath(new URL('..', import.meta.url))
process.env.SC_AUTH_KEY = 'a secret of tests that has more than thirty-two bytes'

interface Table { page: string, line: number, header: string[], rows: string[][] }
interface Block { page: string, line: number, lang: string, kind: string, code: string }
interface Page { name: string, text: string, headings: Set<string>, tables: Table[], blocks: Block[], links: Array<{ target: string, line: number }> }

const pages = new Map<string, Page>()
for (const name of ['README.md', 'SECURITY.md', ...(await readdir(join(root, 'docs'))).filter((file) => file.endsWith('.md')).map((file) => `docs/${file}`)]) {
  pages.set(name, parse(name, await readFile(join(root, name), 'utf8')))
}

function parse (name: string, text: string): Page {
  const page: Page = { name, text, headings: new Set(), tables: [], blocks: [], links: [] }
  const lines = text.split('\n')
  let block: Block | null = null
  let table: Table | null = null
  for (const [i, line] of lines.entries()) {
    const fence = /^\s*```(\w*) *(\w*)/.exec(line)
    if (block !== null) {
      if (fence === null) block.code += line + '\n'
      else block = null
      continue
    }
    if (fence !== null) {
      block = { page: name, line: i + 1, lang: fence[1]!, kind: fence[2]!, code: '' }
      page.blocks.push(block)
      continue
    }
    const heading = /^#+ (.*)$/.exec(line)?.[1]
    if (heading !== undefined) page.headings.add(anchor(heading))
    for (const { 1: target } of line.replace(/`[^`]*`/g, '').matchAll(/\]\(([^)\s]+)\)/g)) page.links.push({ target: target!, line: i + 1 })
    if (!line.startsWith('|')) {
      table = null
    } else if (table === null) {
      table = { page: name, line: i + 1, header: cells(line), rows: [] }
      page.tables.push(table)
    } else if (!/^\|[\s:|-]+\|$/.test(line)) {
      table.rows.push(cells(line))
    }
  }
  return page
}

function cells (line: string): string[] {
  return line.slice(1, line.lastIndexOf('|')).split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|'))
}

/** As GitHub makes it. */
function anchor (heading: string): string {
  return heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')
}

function page (name: string): Page {
  return pages.get(name) ?? parse(name, '')
}

/** The rows of all tables of a page whose first column has this title. */
function rowsOf (name: string, title: string): string[][] {
  return page(name).tables.filter(({ header }) => header[0] === title).flatMap(({ rows }) => rows)
}

/** The names in the first column; a cell may hold several, and calls with their arguments. */
function namesOf (name: string, title: string): string[] {
  return rowsOf(name, title).flatMap(([first]) => [...first!.matchAll(/`([^`]+)`/g)].map(({ 1: text }) => text!.replace(/\(.*$/, '')))
}

function same (t: Test, documented: Iterable<string>, existing: Iterable<string>, what: string): void {
  const names = [...documented]
  t.same(names.filter((name, i) => names.indexOf(name) !== i), [], `${what}: no row twice`)
  t.same(names.sort(), [...new Set(existing)].sort(), what)
}

const interfaces = new Map<string, { properties: string[], methods: string[] }>()
for (const file of ['server', 'exchange', 'contracts', 'options', 'stats', 'testing', 'client', 'http']) {
  const source = ts.createSourceFile(file, await readFile(join(root, `types/${file}.ts`), 'utf8'), ts.ScriptTarget.Latest)
  source.forEachChild((node) => {
    if (!ts.isInterfaceDeclaration(node)) return
    const named = node.members.filter((member) => member.name !== undefined && ts.isIdentifier(member.name))
    const names = (test: (member: ts.TypeElement) => boolean): string[] => [...new Set(named.filter(test).map(({ name }) => (name as ts.Identifier).text))]
    interfaces.set(node.name.text, { properties: names(ts.isPropertySignature), methods: names(ts.isMethodSignature) })
  })
}
const membersOf = (name: string): { properties: string[], methods: string[] } => interfaces.get(name)!

t.test('options', async (t) => {
  const rows = rowsOf('docs/options.md', 'Option')
  same(t, namesOf('docs/options.md', 'Option'), Object.keys(optionsSchema.properties), 'names are those of the schema')
  same(t, Object.keys(optionsSchema.properties), membersOf('ScPluginOptions').properties, 'the schema has the options of the type')
  for (const [name, shown] of rows as Array<[string, string]>) {
    const option = name.replaceAll('`', '')
    const literal = /^`(.*)`$/.exec(shown)?.[1]
    // "–" stands for none.
    const documented: unknown = literal === undefined ? undefined : runInNewContext(literal)
    t.same(documented, (defaultOptions as Record<string, unknown>)[option], `default of ${option}`)
  }
})

t.test('options of brokers', async (t) => {
  const rows = rowsOf('docs/scale-out.md', 'Broker option')
  same(t, rows.map(([name]) => name!.replaceAll('`', '')), Object.keys(remoteDefaults), 'names')
  for (const [name, shown] of rows as Array<[string, string]>) t.same(runInNewContext(shown.replaceAll('`', '')), (remoteDefaults as Record<string, unknown>)[name.replaceAll('`', '')], `default of ${name}`)
  for (const make of [redisBroker, natsBroker] as Array<(options: object) => unknown>) {
    let message = ''
    try { make({ noSuchOption: 1 }) } catch (err) { message = (err as Error).message }
    const all = /expected one of (.*)$/.exec(message)![1]!.split(', ')
    same(t, namesOf('docs/scale-out.md', `Option of \`${make.name}\``), all.filter((name) => !Object.hasOwn(remoteDefaults, name)), make.name)
  }
  const histories = rowsOf('docs/scale-out.md', 'Option in `history` of `natsBroker`')
  t.strictSame(Object.fromEntries(histories.map(([name, shown]) => [name!.replaceAll('`', ''), runInNewContext(shown!.replaceAll('`', ''))])), natsHistoryDefaults, 'histories in NATS')
})

t.test('errors', async (t) => {
  const rows = rowsOf('docs/errors-and-close-codes.md', 'Code')
  same(t, rows.map(([code]) => code!.replaceAll('`', '')), Object.keys(errorTable), 'codes')
  for (const [code, name, answer, text] of rows as Array<[string, string, string, string]>) {
    const row = (errorTable as Record<string, { name: string, message: string, closeCode?: number, statusCode?: number }>)[code.replaceAll('`', '')]
    if (row === undefined) continue
    t.equal(name.replaceAll('`', ''), row.name, `${code}: name`)
    t.equal(text, row.message.replaceAll('%s', '…'), `${code}: text`)
    t.equal(answer, row.closeCode !== undefined ? `close ${row.closeCode}` : row.statusCode !== undefined ? `HTTP ${row.statusCode}` : '', `${code}: close code or status`)
  }
  same(t, namesOf('docs/errors-and-close-codes.md', 'Name on the wire'), Object.values(errorTable).map(({ name }) => name), 'names on the wire')
  const sources = (await readdir(join(root, 'lib'), { recursive: true })).filter((file) => file.endsWith('.ts') && file !== 'errors.ts')
  const code = (await Promise.all(sources.map((file) => readFile(join(root, 'lib', file), 'utf8')))).join('\n')
  t.same(Object.keys(errorTable).filter((name) => !code.includes(`'${name}'`)), [], 'each error is made somewhere')
  // A code in running text must exist too.
  for (const { name, text } of pages.values()) {
    for (const [code] of text.matchAll(/SC_ERR_[A-Z_]+\b(?!…)/g)) t.ok(Object.hasOwn(errorTable, code), `${name}: ${code} exists`)
  }
})

t.test('close codes', async (t) => {
  const rows = rowsOf('docs/errors-and-close-codes.md', 'Close code')
  same(t, rows.map(([code]) => code!).filter((code) => code !== '1000'), Object.keys(closeReasons), 'codes')
  for (const [code, text] of rows as Array<[string, string]>) {
    if (code !== '1000') t.equal(text, closeReasons[Number(code)], `text of ${code}`)
  }
})

t.test('hooks and middleware', async (t) => {
  same(t, namesOf('docs/middleware-and-hooks.md', 'Hook'), hookNames, 'hook names')
  same(t, namesOf('docs/middleware-and-hooks.md', 'Middleware line'), middlewareLines, 'middleware lines')
})

t.test('sockets', async (t) => {
  const { properties, methods } = membersOf('ScServerSocket')
  same(t, namesOf('docs/socket.md', 'Property'), properties, 'properties')
  same(t, namesOf('docs/socket.md', 'Method'), methods, 'methods')
  for (const name of methods) t.type((ServerSocket.prototype as any)[name], 'function', `the class has ${name}()`)
  same(t, namesOf('docs/socket.md', 'Event'), membersOf('SocketEvents').properties, 'events')
})

t.test('the server', async (t) => {
  const { properties, methods } = membersOf('ScServer')
  same(t, namesOf('docs/server.md', 'Property'), properties, 'properties')
  same(t, namesOf('docs/server.md', 'Method'), methods, 'methods')
  for (const name of [...methods, ...properties]) t.ok(name in Server.prototype, `the class has ${name}`)
  const cluster = membersOf('ScCluster')
  same(t, namesOf('docs/scale-out.md', 'Method of the cluster'), cluster.methods, 'methods of the cluster')
  same(t, namesOf('docs/server.md', 'Event'), membersOf('ServerEvents').properties, 'events')
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(scPlugin, { authKey: process.env.SC_AUTH_KEY })
  await app.ready()
  same(t, namesOf('docs/server.md', 'Statistic'), Object.keys(app.scServer.stats()), 'fields of stats()')
  same(t, namesOf('docs/robustness.md', 'Diagnostics channel'), Object.values(diagnostics).map(({ name }) => String(name)), 'diagnostics channels')
})

t.test('exchange and channels', async (t) => {
  const file = 'docs/exchange-and-channels.md'
  same(t, namesOf(file, 'Exchange method'), membersOf('ScExchange').methods, 'methods of the exchange')
  same(t, namesOf(file, 'Channel method'), membersOf('ScChannel').methods, 'methods of channels')
  for (const name of membersOf('ScExchange').methods) t.type((Exchange.prototype as any)[name], 'function', `the exchange has ${name}()`)
  for (const name of membersOf('ScChannel').methods) t.type((ExchangeChannel.prototype as any)[name], 'function', `channels have ${name}()`)
})

t.test('contracts and the test kit', async (t) => {
  const documentation = membersOf('ScDocumentation').properties
  same(t, namesOf('docs/contracts.md', 'Field of an event'), [...membersOf('ScEventContract').properties, ...documentation], 'fields of events')
  const { properties, methods } = membersOf('ScChannelContract')
  same(t, namesOf('docs/contracts.md', 'Field of a channel'), [...membersOf('ScChannelShape').properties, ...properties, ...methods, ...documentation], 'fields of channels')
  const client = membersOf('ScTestClient')
  same(t, namesOf('docs/testing.md', 'Member'), [...client.properties, ...client.methods], 'members of the test client')
  same(t, namesOf('docs/testing.md', 'Option'), membersOf('InjectOptions').properties, 'options of injectSC')
  const typed = membersOf('ScTypedClient')
  same(t, namesOf('docs/contracts.md', 'Client member'), [...typed.properties, ...typed.methods], 'members of the typed client')
})

t.test('HTTP', async (t) => {
  const { properties, methods } = membersOf('ScHttpOptions')
  same(t, namesOf('docs/http.md', 'HTTP option'), [...properties, ...methods], 'options of fastify-socketcluster/http')
  same(t, rowsOf('docs/http.md', 'Route').map(([route]) => route!.replaceAll('`', '').replace(/^\w+ \//, '')), operationNames, 'its routes')
})

t.test('decorators and entry points', async (t) => {
  const { body } = /interface FastifyInstance<[^>]*> \{(?<body>[^]*)\n {2}\}/.exec(await readFile(join(root, 'types/fastify.ts'), 'utf8'))!.groups!
  same(t, namesOf('docs/contracts.md', 'Decorator'), [...body!.matchAll(/^ {4}(sc\w+)/gm)].map(({ 1: name }) => name!), 'decorators')
  const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { exports: object }
  same(t, namesOf('docs/architecture.md', 'Import'), Object.keys(exports).filter((path) => path !== './package.json').map((path) => path.replace('.', 'fastify-socketcluster')), 'entry points')
  const [row] = rowsOf('docs/architecture.md', 'Import')
  same(t, [...row![1]!.matchAll(/`(\w+)`/g)].map(({ 1: name }) => name!), Object.keys(await import('../lib/index.js')).filter((name) => !/^(default|module\.exports|scPlugin)$/.test(name)), 'exports')
})

t.test('npm scripts', async (t) => {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
  for (const { name, text } of pages.values()) {
    for (const [, script] of text.matchAll(/npm run (?:-\S+ )*([\w:-]+)/g)) t.ok(Object.hasOwn(scripts, script!), `${name}: npm run ${script}`)
  }
})

t.test('links', async (t) => {
  for (const { name, links } of pages.values()) {
    for (const { target, line } of links) {
      if (/^[a-z]+:/.test(target)) continue
      const [path = '', hash] = target.split('#')
      const file = path === '' ? name : relative(root, join(root, dirname(name), path))
      t.ok(await stat(join(root, file)).then(() => true, () => false), `${name}:${line}: ${target} exists`)
      if (hash !== undefined && file.endsWith('.md')) t.ok(page(file).headings.has(hash), `${name}:${line}: ${target} has that heading`)
    }
  }
  const readme = page('README.md').links.map(({ target }) => target.split('#')[0])
  for (const name of pages.keys()) if (name !== 'README.md') t.ok(readme.includes(name), `README links ${name}`)
})

// Code.
//
// program: a whole application; it is started on a free port.
// app: what an application says between `register` and `ready`, with `app` and `scServer`; run, and made ready.
// socket: what it does with a `socket`; run with a connected one.
// kit: a test of an application, with `app`, a connected `client` of the test kit, `injectSC` and `assert`; run.
// client: what a browser does; its types are checked.
// types: its types are checked.
// before: code for SocketCluster itself; its syntax is checked.

const scripts = new Set(['ts', 'js', 'typescript', 'javascript'])
const kinds = new Set(['program', 'app', 'socket', 'kit', 'client', 'types', 'before'])
const directory = join(root, 'test', '.docs')
const blocks = [...pages.values()].flatMap(({ blocks }) => blocks).filter(({ lang }) => scripts.has(lang))
const fileOf = ({ page, line }: Block): string => join(directory, `${page.replace(/\W+/g, '-')}-${line}.ts`)

const modules: Record<string, string> = {
  'fastify-socketcluster': 'index',
  'fastify-socketcluster/client': 'client/index',
  'fastify-socketcluster/testing': 'testing/index',
  'fastify-socketcluster/redis': 'broker/redis/index',
  'fastify-socketcluster/nats': 'broker/nats/index',
  'fastify-socketcluster/http': 'http/index',
  'fastify-socketcluster/asyncapi': 'asyncapi/index'
}

function toModule ({ kind, code }: Block): string {
  let text = code.replace(/'(fastify-socketcluster(?:\/\w+)?)'/g, (whole, name: string) => Object.hasOwn(modules, name) ? `'../../lib/${modules[name]!}.js'` : whole)
  if (kind === 'program') return text.replace(/port: \d+/, "port: 0, host: '127.0.0.1'").replace('logger: true', 'logger: false') + '\nexport { app }\n'
  // What readers have in files of their own.
  text = text.replace("'../app.js'", "'./app.js'").replace("'../contract.js'", "'../types/contract.js'")
  if (kind === 'types') return text + '\nexport {}\n'
  const imports: string[] = []
  text = text.replace(/^import .*$/gm, (line) => {
    imports.push(line)
    return ''
  })
  const parameters = 'app: FastifyInstance, scServer: ScServer' + (kind === 'socket' ? ', socket: ScServerSocket' : kind === 'kit' ? ', client: ScTestClient, injectSC: typeof _injectSC, assert: typeof _assert' : '')
  // The braces let a block have names of its own for what it is given.
  return `import type { FastifyInstance } from 'fastify'
import type _assert from 'node:assert/strict'
import type { injectSC as _injectSC, ScTestClient } from '../../lib/testing/index.js'
import type { ScServer as _ScServer, ScServerSocket as _ScServerSocket } from '../../lib/index.js'
${imports.join('\n')}
type ScServer = _ScServer
type ScServerSocket = _ScServerSocket
export default async function (${parameters}) {
{
${text}
}
}
`
}

/** A program that checks the types of these files alone: the library has its own check. */
const checkTypes = `
import ts from 'typescript'
const [root, ...files] = process.argv.slice(1)
const { options } = ts.getParsedCommandLineOfConfigFile(root + 'tsconfig.json', {}, { ...ts.sys, onUnRecoverableConfigFileDiagnostic: console.error })
const program = ts.createProgram(files, options)
const found = files.flatMap((file) => {
  const source = program.getSourceFile(file)
  return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
})
process.stdout.write(ts.formatDiagnostics(found, { getCurrentDirectory: () => root, getCanonicalFileName: (name) => name, getNewLine: () => '\\n' }))
process.exitCode = found.length === 0 ? 0 : 1
`

async function runIn (setUp: (app: FastifyInstance) => unknown, andThen: (app: FastifyInstance) => unknown): Promise<void> {
  const app = Fastify()
  try {
    await app.register(scPlugin, { authKey: process.env.SC_AUTH_KEY })
    await setUp(app)
    await app.ready()
    await andThen(app)
  } finally {
    await app.close()
  }
}

t.test('code', async (t) => {
  await rm(directory, { recursive: true, force: true })
  await mkdir(directory)
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const typed: Block[] = []
  for (const block of blocks) {
    const where = `${block.page}:${block.line}`
    t.ok(kinds.has(block.kind), `${where}: a known kind of code`)
    if (block.kind === 'before') {
      const { diagnostics: found = [] } = ts.transpileModule(block.code, { reportDiagnostics: true, compilerOptions: { module: ts.ModuleKind.ESNext } })
      t.same(found.map(({ messageText }) => messageText), [], `${where}: syntax`)
    } else {
      typed.push(block)
      await writeFile(fileOf(block), toModule(block))
    }
  }
  await writeFile(join(directory, 'app.ts'), "import type { FastifyInstance } from 'fastify'\nexport declare function build (): Promise<FastifyInstance>\n")
  // Meanwhile the blocks are run.
  const files = [...typed.map((block) => fileOf(block)), join(root, 'test/socketcluster-client.d.ts')]
  const checked = new Promise<string>((resolve) => {
    execFile(process.execPath, ['--input-type=module', '-e', checkTypes, root, ...files], { cwd: root, env: { PATH: process.env.PATH } },
      (err, stdout, stderr) => resolve(err === null ? '' : stdout + stderr || String(err)))
  })

  t.test('runs', async (t) => {
    for (const block of typed) {
      const where = `${block.page}:${block.line}`
      if (block.kind === 'program') {
        const { app } = await import(fileOf(block)) as { app: FastifyInstance }
        await app.ready()
        // Some register in contexts of their own.
        t.ok(!app.hasDecorator('scServer') || app.scServer.isReady, `${where} is ready`)
        if (block.page === 'README.md') await t.test('README', (t) => chat(t, app))
        await app.close()
      } else if (block.kind === 'app' || block.kind === 'socket' || block.kind === 'kit') {
        const { default: run } = await import(fileOf(block)) as { default: (...args: unknown[]) => Promise<void> }
        const { kind } = block
        const setUp = kind === 'app' ? (app: FastifyInstance) => run(app, app.scServer) : kind === 'kit' ? furnish : () => {}
        await t.resolves(runIn(setUp, async (app) => {
          if (kind === 'app') return
          const client = await injectSC(app)
          if (kind === 'socket') await run(app, app.scServer, app.scServer.clients[client.id])
          else await run(app, app.scServer, client, injectSC, assert)
        }), `${where} runs`)
      }
    }
  })

  t.test('types', async (t) => {
    t.equal(await checked, '', `${typed.length} blocks`)
  })
})

/** The application that the examples of the test kit are about. */
function furnish (app: FastifyInstance): void {
  app.addHook('onRequest', async ({ headers }, reply) => headers.authorization === 'nonsense' ? reply.code(401).send({}) : undefined)
  app.scEvent('chat', { data: Type.Object({ room: Type.String(), text: Type.String() }) }, () => ({ id: '1' }))
  app.scEvent('typing', {}, () => {})
  app.scServer.on('connection', (socket) => socket.transmit('greeting', 'hi'))
  const talk = setInterval(() => app.scServer.exchange.publish('room/7', { from: 'ada', text: 'hi' }), 10)
  app.addHook('onClose', async () => clearInterval(talk))
}

/** The example of the README, as its readers will try it. */
async function chat (t: Test, app: FastifyInstance): Promise<void> {
  const { port } = app.server.address() as AddressInfo
  const [ada, bob] = [0, 1].map(() => create({ hostname: '127.0.0.1', port, autoReconnect: false }))
  t.teardown(() => { ada.disconnect(); bob.disconnect() })
  const room = bob.subscribe('room/7')
  await room.listener('subscribe').once()
  const message = room.once()
  t.match(await ada.invoke('say', { room: '7', text: 'hi' }), { id: /^\S+$/ })
  t.match(await message, { text: 'hi' })
  await t.rejects(ada.invoke('say', { room: '7', text: 5 }), { name: 'ValidationError' })
  await t.rejects(ada.invokePublish('room/7', { text: 'by the back door' }), { name: 'InvalidActionError' })
  const closed = once(app.scServer, 'closure')
  ada.disconnect()
  await closed
}
