import { readFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { fileURLToPath } from 'node:url'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { Type } from 'typebox'
import { RawClient } from './helpers/raw.js'
import { authKey, serve } from './helpers/serve.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const page = readFileSync(`${root}docs/architecture.md`, 'utf8')

/** The files that a section of the page names. */
function named (title: string): string[] {
  const section = page.split(/^#+ /m).find((section) => section.startsWith(`${title}\n`))
  if (section === undefined) throw new Error(`docs/architecture.md has no section "${title}"`)
  return [...section.matchAll(/`(lib\/[^/`]+\/[^`]+\.ts)`/g)].map((match) => match[1]!)
}

/** The files in the folders of `lib/` of which something runs during `act`. A timer may fire meanwhile, but not each time. */
async function running (inspector: Session, act: () => Promise<unknown>): Promise<string[]> {
  const times = [await runningOnce(inspector, act), await runningOnce(inspector, act), await runningOnce(inspector, act)]
  return times[0]!.filter((file) => times.every((files) => files.includes(file)))
}

async function runningOnce (inspector: Session, act: () => Promise<unknown>): Promise<string[]> {
  await inspector.post('Profiler.takePreciseCoverage')
  await act()
  const { result } = await inspector.post('Profiler.takePreciseCoverage')
  return result
    .filter(({ url, functions }) => url.startsWith('file:') && functions.some(({ ranges }) => ranges[0]!.count > 0))
    .map(({ url }) => fileURLToPath(url).slice(root.length))
    .filter((path) => /^lib\/[^/]+\//.test(path))
}

t.test('the ways through the code are as docs/architecture.md has them', async (t) => {
  const { port } = await serve(t, {}, (app) => {
    app.scEvent('declared', { data: Type.Object({ n: Type.Number() }), response: Type.Number() }, ({ n }) => n)
    app.register(async (app) => {
      app.scHook('publishIn', () => {})
      app.scHook('publishOut', () => {})
      app.scChannel('hooked', { subscribe () {} })
    })
  })
  const client = await RawClient.connect(t, port)
  const publish = async (channel: string): Promise<void> => {
    const published = client.event('#publish')
    t.equal((await client.call('#publish', { channel, data: 1 })).error, undefined)
    t.same((await published).data, { channel, data: 1 })
  }
  for (const channel of ['room', 'hooked']) await client.call('#subscribe', { channel })
  const token = jwt.sign({ sub: 'ann' }, authKey)
  const ways: Record<string, { act: () => Promise<unknown>, titles: string[] }> = {
    'a publication': { act: () => publish('room'), titles: ['A publication'] },
    'a publication through hooks': { act: () => publish('hooked'), titles: ['A publication', 'Hooks of a publication'] },
    'a declared event': { act: async () => t.equal((await client.call('declared', { n: 1 })).data, 1), titles: ['A declared event'] },
    'a new token': { act: async () => t.match(await client.call('#authenticate', token), { data: { isAuthenticated: true } }), titles: ['A new token'] }
  }
  const inspector = new Session()
  inspector.connect()
  await inspector.post('Profiler.enable')
  // In detail, as the coverage of tests is measured: there is one setting for the whole process.
  await inspector.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  for (const [name, { act, titles }] of Object.entries(ways)) {
    // What is only made once is no part of the way.
    await act()
    const expected = new Set(['The way in', 'The way out', ...titles].flatMap(named))
    t.strictSame((await running(inspector, act)).sort(), [...expected].sort(), name)
  }
})
