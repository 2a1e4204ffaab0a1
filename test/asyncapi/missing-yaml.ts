// Documents an application where the package `yaml` cannot be found, and tells its parent what comes of it.
import { register } from 'node:module'
import Fastify from 'fastify'

register(`data:text/javascript,${encodeURIComponent(`export async function resolve (specifier, context, next) {
  if (specifier === 'yaml') throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
  return next(specifier, context)
}`)}`)

const { scPlugin } = await import('../../lib/index.js')
const { scAsyncApi } = await import('../../lib/asyncapi/index.js')
const app = Fastify()
await app.register(scPlugin, { authKey: 'a secret of tests that has more than thirty-two bytes' })
await app.register(scAsyncApi, { exposeRoute: 'document' })
await app.ready()
const errors: string[] = []
try {
  app.asyncapi({ yaml: true })
} catch (err) {
  errors.push(String(err))
}
const [json, yaml] = await Promise.all(['json', 'yaml'].map((type) => app.inject(`/asyncapi.${type}`)))
process.send!({ errors, json: json!.statusCode, yaml: [yaml!.statusCode, yaml!.json().message] }, () => process.disconnect())
