import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

// These look at what is built, as an application has it: `npm test` builds before it runs the tests.
const root = fileURLToPath(new URL('..', import.meta.url))

function run (code: string, type: 'commonjs' | 'module'): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, [`--input-type=${type}`, '-e', code], { cwd: root, encoding: 'utf8', env: { PATH: process.env.PATH } })
  if (status !== 0) throw new Error(stderr)
  return stdout.trim()
}

t.test('require() gives the plugin, with the other exports as its properties', async (t) => {
  const code = `
    const plugin = require('fastify-socketcluster')
    const app = require('fastify')()
    app.register(plugin, { authKey: 'a key that is long enough for this test' }).ready().then(() => {
      console.log(typeof plugin, typeof app.scServer.exchange.publish, typeof plugin.defineEvents, plugin.ScServerSocket.OPEN)
      return app.close()
    })`
  t.equal(run(code, 'commonjs'), 'function function function open')
})

t.test('import gives the plugin as default and by name', async (t) => {
  const code = `
    import plugin, { scPlugin, defaultOptions } from 'fastify-socketcluster'
    console.log(plugin === scPlugin, defaultOptions.path)`
  t.equal(run(code, 'module'), 'true /socketcluster/')
})

t.test('every entry point loads', async (t) => {
  const code = `
    const names = ['redis', 'nats', 'client', 'http', 'asyncapi', 'testing']
    const loaded = await Promise.all(names.map((name) => import('fastify-socketcluster/' + name)))
    console.log(loaded.map((module) => Object.keys(module).length > 0).join())`
  t.equal(run(code, 'module'), 'true,true,true,true,true,true')
})
