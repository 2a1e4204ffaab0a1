import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium, type BrowserContext, type BrowserContextOptions } from 'playwright-core'

interface Cleanup {
  teardown (fn: () => Promise<void> | void): void
}

/** A user of a browser of their own, as far as storage goes. */
export type OpenBrowser = (options?: BrowserContextOptions) => Promise<BrowserContext>

/** A headless Chromium, or `null` when the machine has none. `SC_CHROMIUM` names one that is not in its usual place. */
export async function startChromium (t: Cleanup): Promise<OpenBrowser | null> {
  const executablePath = [process.env.SC_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(isExecutable)
  if (executablePath === undefined) {
    if (process.env.SC_REQUIRE_SERVERS === '1') throw new Error('expected a Chromium, got none at its usual places; name it by SC_CHROMIUM')
    return null
  }
  // Without these it looks up hosts of its makers with every start.
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage']
  const browser = await chromium.launch({ executablePath, args })
  t.teardown(() => browser.close())
  return async (options = {}) => {
    const context = await browser.newContext(options)
    context.setDefaultTimeout(60_000)
    return context
  }
}

/** A folder for a test's files. `SC_SCREENSHOTS` names one that is kept. */
export async function screenshotFolder (t: Cleanup): Promise<string> {
  const kept = process.env.SC_SCREENSHOTS
  if (kept !== undefined) return kept
  const folder = await mkdtemp(join(tmpdir(), 'sc-screenshots-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

function isExecutable (path: string | undefined): path is string {
  if (path === undefined || path === '') return false
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
