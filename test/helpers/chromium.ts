import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium, type BrowserContext, type BrowserContextOptions } from 'playwright-core'

interface Cleanup {
  teardown (fn: () => Promise<void> | void): void
}

/** Opens a browser context with its own storage, like a separate user. */
export type OpenBrowser = (options?: BrowserContextOptions) => Promise<BrowserContext>

/** Starts a headless Chromium; `null` if none is installed. `SC_CHROMIUM` is the path of one outside the usual places. */
export async function startChromium (t: Cleanup): Promise<OpenBrowser | null> {
  const executablePath = [process.env.SC_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(isExecutable)
  if (executablePath === undefined) {
    if (process.env.SC_REQUIRE_SERVERS === '1') throw new Error('expected a Chromium, got none at its usual places; name it by SC_CHROMIUM')
    return null
  }
  // Without these arguments Chromium looks up hosts of its vendor at every start.
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage']
  const browser = await chromium.launch({ executablePath, args })
  t.teardown(() => browser.close())
  return async (options = {}) => {
    const context = await browser.newContext(options)
    context.setDefaultTimeout(60_000)
    return context
  }
}

/** Returns a folder for a test's files. `SC_SCREENSHOTS` is the path of a folder to keep. */
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
