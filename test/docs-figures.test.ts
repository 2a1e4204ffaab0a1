// The figures of the pages about histories, presence and HTTP are held against the code: a field's default and its range against what a
// declaration gives and takes, and each other figure against the constant that makes it true.
import { readFile, readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import t from 'tap'
import ts from 'typescript'
import { streamDefaults } from '../lib/http/stream-options.js'
import { scPlugin } from '../lib/index.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const pages = ['docs/history-and-recovery.md', 'docs/histories-in-redis-and-nats.md', 'docs/presence.md', 'docs/http.md', 'docs/http-streams.md', 'docs/http-client.md'] as const
type Page = (typeof pages)[number]
const [recovery, engines, presence, http, streams, client] = pages
const texts = new Map<string, string>(await Promise.all(pages.map(async (page) => [page, await readFile(root + page, 'utf8')] as const)))

type Constants = Readonly<Record<string, number>>

/** The constants of all files that are numbers, by file: `const maxBytes = 8 * 1024 * 1024`. */
const constants = new Map<string, Constants>()
for (const file of await readdir(`${root}lib`, { recursive: true })) {
  if (!file.endsWith('.ts')) continue
  const found: Record<string, number> = {}
  const source = ts.createSourceFile(file, await readFile(`${root}lib/${file}`, 'utf8'), ts.ScriptTarget.Latest)
  source.forEachChild((node) => {
    if (!ts.isVariableStatement(node)) return
    for (const { name, initializer } of node.declarationList.declarations) {
      const value = initializer === undefined ? undefined : valueOf(initializer)
      if (!ts.isIdentifier(name)) continue
      if (value !== undefined) found[name.text] = value
      if (initializer === undefined || !ts.isObjectLiteralExpression(initializer)) continue
      for (const property of initializer.properties) {
        const number = ts.isPropertyAssignment(property) ? valueOf(property.initializer) : undefined
        if (number !== undefined) found[`${name.text}.${property.name!.getText(source)}`] = number
      }
    }
  })
  constants.set(file.replace(/\.ts$/, ''), found)
}

function valueOf (node: ts.Expression): number | undefined {
  if (ts.isNumericLiteral(node)) return Number(node.text)
  if (!ts.isBinaryExpression(node)) return undefined
  const [left, right] = [valueOf(node.left), valueOf(node.right)]
  return left === undefined || right === undefined || node.operatorToken.kind !== ts.SyntaxKind.AsteriskToken ? undefined : left * right
}

/** The value of a constant. */
function c (file: string, name: string): number {
  const value = constants.get(file)?.[name]
  if (value === undefined) throw new Error(`lib/${file}.ts has no constant ${name} that is a number`)
  return value
}

const units: Readonly<Record<string, number>> = { KiB: 1024, MiB: 1024 ** 2, seconds: 1_000, second: 1_000, minute: 60_000, day: 86_400_000, days: 86_400_000, years: 365.25 * 86_400_000, '%': 0.01 }
const words: Readonly<Record<string, number>> = { a: 1, one: 1, two: 2, ten: 10, twice: 2, 'a thousand': 1_000 }

/** Reads a figure: `64 MiB`, `1,024 messages`, `a day`. Times are milliseconds. */
function read (figure: string): number {
  const [, amount, unit = ''] = /^([\d,.]+|a thousand|\w+)(?: (\S+))?/.exec(figure)!
  return (words[amount!] ?? Number(amount!.replaceAll(',', ''))) * (units[unit] ?? 1)
}

function indexesOf (line: string, text: string): number[] {
  const found: number[] = []
  for (let at = line.indexOf(text); at !== -1; at = line.indexOf(text, at + 1)) found.push(at)
  return found
}

/** Where a figure is, in braces, and what it is in the code. */
const figures: ReadonlyArray<readonly [page: Page, text: string, value: number]> = [
  [recovery, 'histories of a process take up to {64 MiB} of memory', c('broker/memory', 'defaultHistoryBytes')],
  [recovery, 'A message counts with {two bytes} for each character', c('memory-size', 'characterBytes')],
  [recovery, 'for each character and {160} more', c('broker/memory-history', 'entryBytes') + c('memory-size', 'containerBytes')],
  [recovery, 'a channel with {512} and its name', c('broker/memory-history', 'channelBytes') + c('memory-size', 'containerBytes')],
  // All kept messages, and all series of them.
  [recovery, 'uses up to {16 MiB} more for messages that it encoded', c('exchange/kept-messages', 'maxBytes') * 2],
  [recovery, 'asked for last messages more than {ten} times in a second', c('handlers/recovery', 'recoveryRate')],
  [recovery, '({a thousand} times at once, or', c('handlers/recovery', 'recoveryBurst')],
  [recovery, 'and at most {1,024} can wait', c('socket/waiting-deliveries', 'maxPendingDeliveries')],
  [recovery, 'At most {32 KiB} wait for it', c('transport/outgoing-queue', 'resumeBytes')],
  [recovery, 'share what is read: up to {16 MiB} of a process', c('exchange/parts', 'maxBytes')],
  [recovery, 'of a process for {10 seconds}', c('exchange/parts', 'keptFor')],
  [recovery, 'counts like one with a position: {ten} in a second', c('handlers/recovery', 'recoveryRate')],
  [recovery, 'A read counts like a position that is sent: {ten} in a second', c('handlers/recovery', 'recoveryRate')],
  [recovery, 'more than {8 MiB} from Redis or NATS', c('broker/redis/history', 'maxReadBytes')],
  [recovery, 'more than {8 MiB} from Redis or NATS', c('broker/nats/reader', 'maxReadBytes')],
  [recovery, 'read in parts of at most {1,000 messages}', c('exchange/parts', 'partSize')],
  [recovery, 'Up to {1,000 messages} or 262,144 characters', c('exchange/consumer', 'maxWaiting')],
  [recovery, 'or {262,144 characters} of JSON wait for it', c('exchange/consumer', 'maxWaitingLength')],
  [recovery, 'A key has 1 to {128 characters}', c('exchange/publish-options', 'maxKeyLength')],
  [recovery, 'each with {128 bytes} and two', c('broker/memory-keys', 'keyBytes') + c('memory-size', 'containerBytes')],
  [engines, 'up to {1 MiB} of a channel', c('broker/remote/history/tail', 'maxBytes')],
  [engines, 'and {64 MiB} in all', c('broker/remote/history/budget', 'maxBytes')],
  [engines, 'kept for {30 seconds} after its last client', c('broker/subscriptions', 'lingerDelay')],
  [engines, 'is kept for {a day}, or ten times', c('broker/idle-time', 'minIdle')],
  [engines, 'or {ten} times the `ttl`', c('broker/idle-time', 'idleTtls')],
  [engines, 'answers a read with up to {256 messages} at once', c('broker/nats/reader', 'batchSize')],
  [engines, 'sent again, for at most {a second}', c('broker/nats/publisher', 'maxWait')],
  [engines, 'up to {64 messages} a frame', c('broker/remote/frames', 'maxFrameMessages')],
  [engines, 'a frame has up to {64 messages}', c('broker/remote/frames', 'maxFrameMessages')],
  [engines, 'It has at most {64 MiB}', c('broker/nats/key-store', 'maxKeyBytes')],
  [engines, 'for each key, for {2 days}', c('broker/nats/key-store', 'maxKeyAge')],
  [engines, 'stay in the stream for {a day}', c('broker/nats/stream', 'minAge')],
  [engines, 'or {twice} the `ttl`', c('broker/nats/stream', 'ageFactor')],
  [engines, '({100 years} at most)', c('broker/nats/stream', 'maxAge')],
  [presence, '1 to {256 characters}, or a number', c('presence/messages', 'maxKeyLength')],
  [presence, 'up to {4,096 characters} of JSON', c('presence/messages', 'maxDataLength')],
  [presence, 'more than {4,096 characters} of JSON', c('presence/messages', 'maxDataLength')],
  [presence, 'at most one message in {a second}', c('presence/view', 'countInterval')],
  [presence, 'when there are {80 %} of `members`', c('presence/view', 'listsAgain')],
  [presence, 'once more for every {200 users}', c('presence/view', 'usersPerInterval')],
  [presence, 'users, up to {2 seconds}', c('presence/view', 'longestInterval')],
  [presence, 'after {3 seconds}, or `leaveDelay`', c('presence/presence', 'reloadDelay')],
  [presence, 'missed for some {30 seconds}', c('presence/views', 'checkInterval')],
  [presence, 'spread over {2 seconds}', c('presence/views', 'spread')],
  [presence, 'leaves {10 seconds} after that', c('presence/postponed-leaves', 'grace')],
  [presence, 'for versions every {30 seconds}', c('presence/views', 'checkInterval')],
  [presence, 'in a message for up to {500 rooms}', c('presence/messages', 'maxAsked')],
  [presence, 'at most every {50 milliseconds}', c('presence/announcer', 'collectFor')],
  // 3.5 intervals of 2 seconds: docs/scale-out.md.
  [presence, 'after {7 seconds} and more', c('cluster/membership', 'leaseIntervals') * 2_000],
  [http, 'with 1 to {100} names', c('http/operation-schemas', 'maxChannels')],
  [http, '| `idempotencyTtl` | `{300000}`', c('cluster/once', 'defaultTtl')],
  [http, 'A key is 1 to {255 characters}', c('http/operation-schemas', 'maxKeyLength')],
  [http, 'the key is free after {30 seconds}', c('cluster/once', 'lease')],
  [streams, 'published to 1 to {20} channels', c('http/stream-route', 'maxStreamChannels')],
  [streams, 'The name of a channel, 1 to {20} times', c('http/stream-route', 'maxStreamChannels')],
  [streams, 'A comment is sent every {20 seconds}', streamDefaults.heartbeat],
  [streams, 'a read timeout of more than {20 seconds}', streamDefaults.heartbeat],
  [streams, '`retry` is {2} to', c('protocol/stream-events', 'minRetry') / 1_000],
  [streams, 'to {5 seconds}, at random', c('protocol/stream-events', 'maxRetry')],
  [streams, 'text of at most {1,024 characters}', c('protocol/stream-cursor', 'maxCursorLength')],
  [streams, 'A ticket is valid for {30 seconds}', c('auth/ticket', 'ticketLifetime') * 1_000],
  [streams, 'does not read takes {32 KiB}', c('transport/outgoing-queue', 'resumeBytes')],
  [client, '| `timeout` | {10,000}', c('client/over-http', 'defaultTimeout')],
  [client, '| `silence` | {60,000}', c('client/over-http', 'defaultSilence')],
  [client, 'up to {a minute}', c('client/http-channel', 'longestDelay')],
  [client, 'while {100 messages} wait', c('client/message-queue', 'maxWaiting')],
  [client, 'allows a user {ten} streams', streamDefaults.maxStreamsPerKey],
  [streams, '| `maxStreams` | {1,000}', streamDefaults.maxStreams],
  [streams, '| `maxStreamsPerKey` | {10}', streamDefaults.maxStreamsPerKey],
  [streams, '| `heartbeat` | {20,000}', streamDefaults.heartbeat]
]

/** What has no constant: other software, what was measured (the tests of memory and the benches have it), and what is a promise. */
const elsewhere: ReadonlyArray<readonly [page: Page, text: string]> = [
  [recovery, 'A stock client comes back 10 to 20 seconds'],
  [presence, 'Stock clients come back 10 to 20 seconds'],
  [recovery, 'a text of at most 64 characters'],
  [recovery, 'about 100 bytes until it expires'],
  [engines, 'up to 4,600 bytes'],
  [engines, 'its JSON and up to 80 bytes'],
  [engines, 'up to 350 bytes'],
  [engines, 'one message of about 60 bytes']
]

/** Paragraphs that tell what was measured. */
const measured = /^(?:In one run |- Servers before 2\.10 |\| (?:A user comes|1,000 users come|A client begins|10,000 users) )/

t.test('figures in the text', async (t) => {
  const known = new Map<string, string[]>(pages.map((page) => [page, elsewhere.filter(([on]) => on === page).map(([, text]) => text)]))
  for (const [page, text, value] of figures) {
    const plain = text.replace(/[{}]/g, '')
    t.ok(texts.get(page)!.includes(plain), `${page} says "${plain}"`)
    const figure = read(/\{(.*?)\}/.exec(text)![1]!)
    t.ok(Math.abs(figure - value) < 1e-9 * value, `${page}: "${plain}": ${figure} there, ${value} in the code`)
    known.get(page)!.push(plain)
  }
  for (const page of pages) {
    let isCode = false
    for (const [i, line] of texts.get(page)!.split('\n').entries()) {
      if (line.startsWith('```')) isCode = !isCode
      // Tables of fields have their own test.
      if (isCode || measured.test(line) || /^\| `[\w.]+` \| (?:`|\d|none|the channel)/.test(line)) continue
      const spans = known.get(page)!.flatMap((text) => indexesOf(line, text).map((index) => [index, index + text.length] as const))
      const found = [...line.matchAll(/\d[\d,.]* (?:MiB|KiB|bytes|characters|messages|users|rooms|seconds|milliseconds|years|%)/g)]
      const unknown = found.filter(({ index, 0: text }) => !spans.some(([from, to]) => index >= from && index + text.length <= to))
      t.same(unknown.map(([text]) => text), [], `${page}:${i + 1}: each figure is held against the code`)
    }
  }
})

/** The rows of a table of fields: name, default, meaning. */
function fieldsOf (page: Page, title: string, which = 0): Array<[name: string, byDefault: string, meaning: string]> {
  const tables = [...texts.get(page)!.matchAll(new RegExp(`^\\| ${title} \\| Default \\| Meaning \\|\\n\\|[-|]+\\n((?:\\|.*\\n)+)`, 'gm'))]
  return tables[which]![1]!.trim().split('\n').map((line) => line.slice(2, -2).split(' | ') as [string, string, string])
}

t.test('fields of history, recover and presence', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(scPlugin, { authKey: 'a secret of tests that has more than thirty-two bytes' })
  app.scChannel('all', { history: {}, recover: {}, presence: {} })
  const { channels: [declared] } = app.scDeclarations()
  const { latest, ...recover } = declared!.recover!
  t.equal(latest, false)
  const all: Record<string, object> = { history: declared!.history!, recover, presence: declared!.presence! }
  const found = new Map<string, string[]>(Object.keys(all).map((field) => [field, []]))
  const number = (text: string): number => Number(text.replaceAll(',', ''))
  let count = 0
  const rows = [...fieldsOf(recovery, 'Field'), ...fieldsOf(presence, 'Field').map(([name, ...rest]) => [`\`presence.${name.slice(1)}`, ...rest] as const)]
  for (const [shown, byDefault, meaning] of rows) {
    const [field, name] = shown.replaceAll('`', '').split('.') as [string, string | undefined]
    const value = (all[field] as Record<string, number>)[name ?? '']
    if (name === undefined || typeof value !== 'number') continue
    found.get(field)!.push(name)
    t.equal(number(byDefault), value, `default of ${field}.${name}`)
    const [, least, most] = /(?:^|[^\d,])([\d,]*\d) to ([\d,]*\d|`limit`)/.exec(meaning) ?? /at least ([\d,]*\d)/.exec(meaning) ?? []
    if (!t.ok(least, `${field}.${name} says its range`)) continue
    const declare = (n: number) => () => app.scChannel(`channel/${count++}`, { history: {}, recover: true, [field]: { [name]: n } } as never)
    const highest = most === undefined ? Number.MAX_SAFE_INTEGER : most === '`limit`' ? declared!.recover!.limit : number(most)
    t.doesNotThrow(declare(number(least!)), `${field}.${name}: the least`)
    t.throws(declare(number(least!) - 1), { code: 'SC_ERR_CONTRACT' }, `${field}.${name}: less`)
    t.doesNotThrow(declare(highest), `${field}.${name}: the most`)
    t.throws(declare(highest + 1), { code: 'SC_ERR_CONTRACT' }, `${field}.${name}: more`)
  }
  for (const [field, names] of found) t.same(names.sort(), Object.entries(all[field]!).filter(([, value]) => typeof value === 'number').map(([name]) => name).sort(), `${field} has these numbers`)
  for (const [file, name, rows] of [['exchange/history', 'serverNumbers', fieldsOf(recovery, 'Query')], ['handlers/history-query', 'queryLimits', fieldsOf(recovery, 'Field', 1)]] as const) {
    const [, byDefault, meaning] = rows.find(([name]) => name === '`limit`')!
    t.same([number(byDefault), number(/1 to ([\d,]*\d)/.exec(meaning)![1]!)], [c(file, `${name}.default`), c(file, `${name}.most`)], `${name}: limit`)
  }
})
