// Compiles the demo: its server for Node.js, its page for browsers.
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

export const here = fileURLToPath(new URL('.', import.meta.url))

export async function buildDemo () {
  const common = { absWorkingDir: here, bundle: true, format: 'esm', sourcemap: true, logLevel: 'warning' }
  await Promise.all([
    build({ ...common, entryPoints: ['server.ts'], outdir: 'dist', platform: 'node', target: 'node20', packages: 'external' }),
    build({
      ...common,
      entryPoints: { app: 'browser/main.ts' },
      outdir: 'dist/browser',
      platform: 'browser',
      target: 'es2022',
      // The page loads the library's own browser build instead.
      alias: { 'socketcluster-client': '/socketcluster-client.js' },
      external: ['/socketcluster-client.js']
    })
  ])
}
