import { join } from 'node:path'
import Fastify from 'fastify'
import t from 'tap'
import scAsyncApi from '../../lib/asyncapi/index.js'
import { scPlugin } from '../../lib/index.js'
import { channels, events } from '../../examples/demo/contract.js'
import { screenshotFolder, startChromium } from '../helpers/chromium.js'

t.test('the page shows what is declared, with nothing from elsewhere', async (t) => {
  const openBrowser = await startChromium(t)
  if (openBrowser === null) {
    t.comment('skipped: no Chromium on this machine')
    return
  }
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(scPlugin, { authKey: 'a secret of tests that has more than thirty-two bytes' })
  await app.register(scAsyncApi, { info: { title: 'Demo chat', version: '1.0.0' } })
  for (const [name, contract] of Object.entries(events)) app.scEvent(name, contract, (async () => ({})) as never)
  app.scChannel('room/:id', channels['room/:id'])
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })

  const browser = await openBrowser({ viewport: { width: 1200, height: 1400 } })
  const page = await browser.newPage()
  const troubles: string[] = []
  const foreign: string[] = []
  page.on('pageerror', (err) => troubles.push(String(err)))
  page.on('console', (message) => { if (message.type() === 'error') troubles.push(message.text()) })
  page.on('request', (request) => { if (!request.url().startsWith(origin) && !request.url().startsWith('data:')) foreign.push(request.url()) })

  await page.goto(`${origin}/asyncapi`)
  t.equal(await page.title(), 'Demo chat')
  const say = page.locator('#operation-reply-say')
  await say.getByText('Say something in a room you are in').first().waitFor()
  const folder = await screenshotFolder(t)
  await page.screenshot({ path: join(folder, 'asyncapi-top.png') })
  await say.scrollIntoViewIfNeeded()
  // The schema of the event's data: its properties, and a rule.
  await say.getByText('Expand all').filter({ visible: true }).first().click()
  await say.getByText('room', { exact: true }).filter({ visible: true }).first().waitFor()
  await say.getByText('text', { exact: true }).filter({ visible: true }).first().waitFor()
  const shown = await say.innerText()
  t.match(shown, /characters/, 'the lengths of the schema')
  await say.screenshot({ path: join(folder, 'asyncapi-say.png') })
  t.same(foreign, [], 'no request leaves the application')
  t.same(troubles, [], 'nothing failed in the page')
})
