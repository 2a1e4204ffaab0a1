import { createServer } from 'node:http'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Parser } from '@asyncapi/parser'
import { Validator } from '@seriousme/openapi-schema-validator'
import type { BrowserContextOptions, Page } from 'playwright-core'
import { create } from 'socketcluster-client'
import tap from 'tap'
import { screenshotFolder, startChromium } from './helpers/chromium.js'
import { runCurl } from './helpers/curl.js'
import { type Program, startProgram } from './helpers/program.js'

const script = fileURLToPath(new URL('../examples/demo/start.js', import.meta.url))
const said = /^The chat is at (http:\/\/\S+:(\d+)\/)/
const moderatorCode = 'moderate-me'

const startDemo = (t: Parameters<typeof startProgram>[0], port = 0): Promise<Program> => startProgram(t, [script], said, { PORT: String(port), HOST: '127.0.0.1', MODERATOR_CODE: moderatorCode })

tap.test('the demo takes the port it is told, and a free one when somebody has that', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => { other.close() })
  const { port } = other.address() as AddressInfo

  const elsewhere = await startDemo(t, port)
  t.not(Number(elsewhere.line[2]), port)
  const response = await fetch(elsewhere.line[1]!)
  t.equal(response.status, 200)
  t.match(await response.text(), /<title>Rooms<\/title>/)
  t.equal(await elsewhere.stop(), 0, 'it ends by itself when asked to')

  other.close()
  const there = await startDemo(t, port)
  t.equal(Number(there.line[2]), port)
  t.equal(await there.stop(), 0)
})

tap.test('the line that is printed announces something in all rooms, and the key is good for nothing else', async (t) => {
  const { line } = await startProgram(t, [script], /^ {2}(curl (http:\/\/\S+?:(\d+)\/operator)\/publish -H '(authorization: Bearer \w+)' .*)$/, { PORT: '0', HOST: '127.0.0.1' })
  const [, command, operator, port, key] = line
  const socket = create({ hostname: '127.0.0.1', port: Number(port), autoReconnect: false })
  t.teardown(() => { socket.disconnect() })
  await socket.invoke('login', { name: 'Ada' })
  const channel = socket.subscribe('room/lobby', { waitForAuth: true })
  await channel.listener('subscribe').once(20_000)
  const notice = channel.once(20_000)
  const stdout = await runCurl(command!)
  if (stdout === null) return t.pass('curl is not installed')
  t.match(JSON.parse(stdout), { results: [{ channel: 'room/lobby' }, { channel: 'room/kitchen' }, { channel: 'room/workshop' }] })
  t.strictSame(await notice, { notice: { text: 'Tea is ready' } })
  const [name, value] = key!.split(': ') as [string, string]
  const publish = async (channel: string, headers: Record<string, string>): Promise<number> => (await fetch(`${operator}/publish`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify({ channel, data: { notice: { text: 'x' } } }) })).status
  t.strictSame([await publish('room/lobby', {}), await publish('other', { [name]: value }), await publish('room/lobby', { [name]: `${value}x` })], [403, 403, 403])
  t.equal((await fetch(`${operator}/sockets`, { headers: { [name]: value } })).status, 404)
})

tap.test('the document of the demo is one that the official parser has nothing to say of', async (t) => {
  const { line } = await startDemo(t)
  for (const form of ['json', 'yaml']) {
    const response = await fetch(new URL(`/asyncapi.${form}`, line[1]))
    t.equal(response.status, 200)
    const { document, diagnostics } = await new Parser().parse(await response.text())
    t.same(diagnostics, [])
    t.ok(document!.allOperations().length >= 4, `${document!.allOperations().length} operations`)
  }
})

tap.test('the OpenAPI document of the demo is valid, and has what can be called over HTTP', async (t) => {
  const { line } = await startDemo(t)
  const response = await fetch(new URL('/openapi.json', line[1]))
  t.equal(response.status, 200)
  const document = await response.json() as { paths: object }
  const { valid, errors } = await new Validator().validate(structuredClone(document))
  t.ok(valid, JSON.stringify(errors))
  t.strictSame(Object.keys(document.paths), ['/operator/publish'])
  t.match(document.paths, { '/operator/publish': { post: { operationId: 'scPublish', security: [{ operator: [] }] } } })
})

tap.test('a chat between browsers', { timeout: 110_000 }, async (t) => {
  const open = await startChromium(t)
  if (open === null) return t.plan(0, 'chromium is not installed')
  const { line } = await startDemo(t)
  const url = line[1]!
  const folder = await screenshotFolder(t)
  const problems: string[] = []

  const visit = async (options: BrowserContextOptions): Promise<Page> => {
    const page = await (await open(options)).newPage()
    page.on('pageerror', (err) => problems.push(err.message))
    page.on('console', (message) => { if (message.type() === 'error') problems.push(message.text()) })
    await page.goto(url)
    return page
  }
  const ada = await visit({ viewport: { width: 1_180, height: 720 }, colorScheme: 'light' })
  const grace = await visit({ viewport: { width: 390, height: 780 }, colorScheme: 'dark', hasTouch: true, isMobile: true })

  // Login: wrong code, taken name, then right.
  await ada.getByLabel('Your name').fill('Ada')
  await ada.getByText('I am a moderator').click()
  await ada.getByLabel('Moderator code').fill('guessed')
  await ada.getByRole('button', { name: 'Come in' }).click()
  await ada.getByRole('alert').getByText('That is not the moderator code').waitFor()
  await ada.screenshot({ path: join(folder, 'login.png') })
  await ada.getByLabel('Moderator code').fill(moderatorCode)
  await ada.getByRole('button', { name: 'Come in' }).click()
  await ada.getByRole('heading', { name: 'Lobby' }).waitFor()

  // The documentation is linked where it is served.
  const { asyncapi } = await (await fetch(`${url}features`)).json() as { asyncapi: boolean }
  t.equal(await ada.getByRole('link', { name: 'API' }).isVisible(), asyncapi)
  t.equal((await fetch(`${url}asyncapi`)).status, asyncapi ? 200 : 404)

  await grace.getByLabel('Your name').fill('ada')
  await grace.getByRole('button', { name: 'Come in' }).click()
  await grace.getByRole('alert').getByText('Somebody is called ada already').waitFor()
  await grace.screenshot({ path: join(folder, 'login-phone.png') })
  await grace.getByLabel('Your name').fill('<b>')
  await grace.getByRole('button', { name: 'Come in' }).click()
  await grace.getByRole('alert').getByText('A name has 1 to 24 letters').waitFor()
  await grace.getByLabel('Your name').fill('Grace')
  await grace.getByRole('button', { name: 'Come in' }).click()
  await grace.getByRole('heading', { name: 'Lobby' }).waitFor()
  await people(ada).filter({ hasText: 'Grace' }).waitFor()
  await people(grace).filter({ hasText: 'Ada' }).waitFor()

  // Messages both ways, as text and never as HTML.
  await say(ada, 'Hello, Grace! <img src=x onerror=alert(1)>')
  await messages(grace).getByText('Hello, Grace! <img src=x onerror=alert(1)>').waitFor()
  t.equal(await grace.locator('#messages img').count(), 0)
  await say(grace, 'Hello, Ada. This arrived through a websocket, a declared event and a channel.')
  await messages(ada).getByText('Hello, Ada.').waitFor()

  // Who is typing, and that they stopped.
  await grace.getByLabel('Message', { exact: true }).pressSequentially('I am wri')
  await ada.getByText('Grace is typing').waitFor()
  t.equal(await grace.locator('#typing').textContent(), '', 'nobody is told of their own typing')
  await shoot(t, ada, folder, 'chat')
  await shoot(t, grace, folder, 'chat-phone')
  await grace.getByLabel('Message', { exact: true }).fill('')
  await ada.getByText('Grace is typing').waitFor({ state: 'detached' })

  // Another room: its own messages, and people move with it.
  await grace.getByRole('button', { name: 'Kitchen' }).click()
  await grace.getByRole('heading', { name: 'Kitchen' }).waitFor()
  await people(ada).filter({ hasText: 'Grace' }).waitFor({ state: 'detached' })
  await messages(grace).getByText('Nobody has said anything yet').waitFor()
  await say(ada, 'Only the lobby hears this')
  await say(grace, 'Only the kitchen hears this')
  await ada.getByRole('button', { name: 'Kitchen' }).click()
  await messages(ada).getByText('Only the kitchen hears this').waitFor()
  t.equal(await messages(ada).getByText('Only the lobby hears this').count(), 0)
  t.equal(await messages(grace).getByText('Only the lobby hears this').count(), 0)

  // Kick-out: only a moderator has the button; the other is told, gone, and may not come back at once.
  t.equal(await grace.getByRole('button', { name: 'Kick out Ada' }).count(), 0)
  await ada.getByRole('button', { name: 'Kick out Grace' }).click()
  await grace.getByRole('alert').getByText('Ada kicked you out of the room').waitFor()
  t.equal(await grace.getByRole('button', { name: 'Send' }).isVisible(), false)
  await people(ada).filter({ hasText: 'Grace' }).waitFor({ state: 'detached' })
  await messages(ada).getByText('Ada kicked out Grace').waitFor()
  await shoot(t, ada, folder, 'kicked')
  await shoot(t, grace, folder, 'kicked-phone')
  await grace.getByRole('button', { name: 'Lobby' }).click()
  await messages(grace).getByText('Only the lobby hears this').waitFor()
  await grace.getByRole('button', { name: 'Kitchen' }).click()
  await grace.getByRole('alert').getByText(/You were kicked out and can come back in \d+ s/).waitFor()
  await grace.getByRole('button', { name: 'Lobby' }).click()

  // The token outlives the page, until logout.
  await grace.reload()
  await messages(grace).getByText('Only the lobby hears this').waitFor()
  await grace.getByRole('button', { name: 'Log out' }).click()
  await grace.getByLabel('Your name').waitFor()
  await grace.reload()
  await grace.getByRole('button', { name: 'Come in' }).waitFor()

  // Pictures are no proof of looks, but an empty page is smaller.
  for (const name of ['login', 'chat', 'chat-phone', 'kicked', 'kicked-phone']) t.ok((await stat(join(folder, `${name}.png`))).size > 10_000, name)
  t.strictSame(problems, [], 'no script failed and no file was missing')
})

tap.test('a page that was cut off catches up, and its user was never away', { timeout: 110_000 }, async (t) => {
  const open = await startChromium(t)
  if (open === null) return t.plan(0, 'chromium is not installed')
  const { line } = await startDemo(t)
  const folder = await screenshotFolder(t)
  const problems: string[] = []
  const visit = async (name: string, query: string, options: BrowserContextOptions = {}): Promise<Page> => {
    const page = await (await open(options)).newPage()
    page.on('pageerror', (err) => problems.push(err.message))
    await page.goto(`${line[1]!}${query}`)
    await page.getByLabel('Your name').fill(name)
    await page.getByRole('button', { name: 'Come in' }).click()
    await page.getByRole('heading', { name: 'Lobby' }).waitFor()
    return page
  }
  const happened = (page: Page, text: string | RegExp): Promise<void> => page.locator('#recovery').getByText(text).waitFor()
  const texts = (page: Page): Promise<string[]> => page.locator('.message .text').allTextContents()
  const ada = await visit('Ada', '?cut=500')
  const grace = await visit('Grace', '?cut=1', { viewport: { width: 390, height: 780 }, colorScheme: 'dark', hasTouch: true, isMobile: true })
  for (const page of [ada, grace]) for (const name of ['Ada', 'Grace']) await people(page).filter({ hasText: name }).waitFor()

  // What is said before, while and after the page is cut off comes once, in order; what was missed is marked.
  await say(ada, 'before')
  await messages(grace).getByText('before').waitFor()
  await ada.getByRole('button', { name: 'Cut my connection' }).click()
  await ada.getByRole('button', { name: /Come back now \(\d+ s\)/ }).waitFor()
  await happened(ada, 'What is said now, you miss')
  await ada.locator('#connection').getByText('Cut off').waitFor()
  const missed = Array.from({ length: 12 }, (_, i) => `missed ${i + 1}`)
  for (const text of missed) await say(grace, text)
  t.same(await texts(ada), ['before'])
  t.equal(await ada.getByRole('button', { name: 'Send' }).isDisabled(), true)
  t.equal(await people(grace).filter({ hasText: 'Ada' }).count(), 1, 'who is cut off is not away')
  await shoot(t, ada, folder, 'cut')
  await ada.getByRole('button', { name: 'Come back now' }).click()
  await happened(ada, /^12 messages missed, all recovered in \d+ ms$/)
  await shoot(t, ada, folder, 'recovered')
  await say(grace, 'after')
  await messages(ada).getByText('after').waitFor()
  const all = ['before', ...missed, 'after']
  t.same(await texts(ada), all)
  t.same(await texts(grace), all)
  t.same(await ada.locator('.message.recovered .text').allTextContents(), missed)
  t.equal(await people(grace).filter({ hasText: 'Ada' }).count(), 1)

  // It comes back by itself too, and a page that missed nothing says so.
  await grace.getByRole('button', { name: 'Cut my connection' }).click()
  await happened(grace, 'Nothing was missed')
  await shoot(t, grace, folder, 'nothing-missed-phone')
  await say(grace, 'there again')
  await messages(ada).getByText('there again').waitFor()

  // A newcomer reads what the server remembers; who leaves is gone.
  const mary = await visit('Mary', '')
  await messages(mary).getByText('there again').waitFor()
  t.same(await texts(mary), [...all, 'there again'])
  await people(ada).filter({ hasText: 'Mary' }).waitFor()
  await mary.getByRole('button', { name: 'Log out' }).click()
  await people(ada).filter({ hasText: 'Mary' }).waitFor({ state: 'detached' })
  await grace.close()
  await people(ada).filter({ hasText: 'Grace' }).waitFor({ state: 'detached' })
  t.equal(await people(ada).filter({ hasText: 'Ada' }).count(), 1)
  t.strictSame(problems, [])
})

const messages = (page: Page) => page.getByRole('log')
const people = (page: Page) => page.locator('#people li')

async function say (page: Page, text: string): Promise<void> {
  await page.getByLabel('Message', { exact: true }).fill(text)
  await page.getByRole('button', { name: 'Send' }).click()
  await messages(page).getByText(text).waitFor()
}

/** A picture of the page, which must fit its window. */
async function shoot (t: Pick<typeof tap, 'equal'>, page: Page, folder: string, name: string): Promise<void> {
  await page.screenshot({ path: join(folder, `${name}.png`) })
  t.equal(await page.evaluate('document.documentElement.scrollWidth > innerWidth'), false, `${name} needs no sideways scrolling`)
}
