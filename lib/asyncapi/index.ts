import type { AddressInfo } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { AsyncApiDocument, ScAsyncApiOptions } from '../../types/asyncapi.js'
import type { ScDeclarations } from '../../types/contracts.js'
import '../../types/fastify.js'
import { scError } from '../errors.js'
import { checkOptions } from './options.js'
import { buildDocument } from './document.js'
import type { ServerFacts } from './servers.js'
import { addPage } from './page.js'
import { loadYaml } from './yaml.js'

export type * from '../../types/asyncapi.js'

async function asyncapiFn (fastify: FastifyInstance, options: ScAsyncApiOptions): Promise<void> {
  checkOptions(options)
  let declarations: ScDeclarations | null = null
  const toYaml = await loadYaml()

  function asyncapi ({ yaml = false }: { yaml?: boolean } = {}): AsyncApiDocument | string {
    if (declarations === null) throw scError('SC_ERR_BEFORE_READY', ['asyncapi'])
    const document = buildDocument(declarations, options, facts(fastify))
    return yaml ? toYaml(document) : document
  }
  fastify.decorate('asyncapi', asyncapi as FastifyInstance['asyncapi'])
  fastify.addHook('onReady', async () => {
    declarations = fastify.scDeclarations()
    // A declaration that cannot be documented must fail the start of the application, not the first request.
    buildDocument(declarations, options, facts(fastify))
  })
  await addPage(fastify, options, () => facts(fastify).host)
}

function facts ({ scServer, server }: FastifyInstance): ServerFacts {
  const { path, allowClientPublish } = scServer.options
  const address = server.address() as AddressInfo | string | null
  const port = typeof address === 'object' && address !== null ? `:${address.port}` : ''
  return { path, allowClientPublish, host: `localhost${port}`, secure: (server as unknown) instanceof TlsServer }
}

/**
 * A plugin that documents the declared events and channels as AsyncAPI 3.1: `app.asyncapi()`, `/asyncapi.json`, `/asyncapi.yaml`,
 * and a page at `/asyncapi`. Register it after `fastify-socketcluster`. The page needs `@asyncapi/react-component` and
 * `@fastify/static`.
 *
 * ```ts
 * await app.register(scPlugin)
 * await app.register(scAsyncApi, { info: { title: 'Chat', version: '1.0.0' } })
 * ```
 */
export const scAsyncApi = fp(asyncapiFn, { fastify: '>=5.8.1 <6', name: 'fastify-socketcluster-asyncapi', dependencies: ['fastify-socketcluster'] })

export { scAsyncApi as default, scAsyncApi as 'module.exports' }
