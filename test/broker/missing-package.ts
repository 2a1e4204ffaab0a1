// Starts the brokers where the packages of their engines cannot be found, and tells its parent what they say.
import { register } from 'node:module'
import { natsBroker } from '../../lib/broker/nats/index.js'
import { redisBroker } from '../../lib/broker/redis/index.js'

register(`data:text/javascript,${encodeURIComponent(`export async function resolve (specifier, context, next) {
  if (specifier === 'ioredis' || specifier === '@nats-io/transport-node') throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
  return next(specifier, context)
}`)}`)

const sink = { publication () {}, state () {}, gap () {}, control () {} }
const errors: string[] = []
for (const broker of [redisBroker(), natsBroker()]) {
  try {
    await broker.start(sink, { id: 'n1', prefix: 'sc' })
  } catch (err) {
    errors.push(String(err))
  }
}
process.send!(errors, () => process.disconnect())
