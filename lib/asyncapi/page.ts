import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { ScAsyncApiOptions } from '../../types/asyncapi.js'
import '../../types/asyncapi.js'
import { scError } from '../errors.js'
import { SentText } from './texts.js'

const require = createRequire(import.meta.url)

/**
 * The Content-Security-Policy. `unsafe-eval`: the viewer's parser compiles schemas to code. Nothing is loaded from other hosts.
 */
const policy = "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

/**
 * Adds the routes of the document and, depending on `exposeRoute`, of the page. They are hidden from OpenAPI documents.
 * @param version returns the version of the document's content: when it changes the document is serialized again
 */
export async function addPage (fastify: FastifyInstance, { routePrefix = '/asyncapi', exposeRoute = true, hooks = {}, info }: ScAsyncApiOptions, version: () => string): Promise<void> {
  if (exposeRoute === false) return
  const hidden = { ...hooks, schema: { hide: true } as object }

  const json = new SentText('application/json; charset=utf-8', () => JSON.stringify(fastify.asyncapi()), version)
  const yaml = new SentText('application/yaml; charset=utf-8', () => fastify.asyncapi({ yaml: true }), version)
  fastify.get(`${routePrefix}.json`, hidden, (request, reply) => { json.send(request, reply) })
  fastify.get(`${routePrefix}.yaml`, hidden, (request, reply) => { yaml.send(request, reply) })
  if (exposeRoute === 'document') return

  const script = find('@asyncapi/react-component/browser/standalone/index.js')
  const style = find('@asyncapi/react-component/styles/default.min.css')
  find('@fastify/static')
  const { default: fastifyStatic } = await import('@fastify/static')

  await fastify.register(async (page) => {
    // @fastify/static can decorate replies only once; the application may have registered it already.
    if (!page.hasReplyDecorator('sendFile')) await page.register(fastifyStatic, { root: dirname(script), serve: false })
    const send = (reply: FastifyReply, root: string, file: string): FastifyReply => reply.sendFile(file, root, { maxAge: '1d' })

    const html = pageHtml(info?.title ?? 'fastify-socketcluster', `${page.prefix}${routePrefix}`)
    page.get(routePrefix, hidden, (_request, reply) => {
      reply.header('content-security-policy', policy).header('x-content-type-options', 'nosniff').type('text/html; charset=utf-8').send(html)
    })
    page.get(`${routePrefix}/viewer.js`, hidden, (_request, reply) => send(reply, dirname(script), 'index.js'))
    page.get(`${routePrefix}/viewer.css`, hidden, (_request, reply) => send(reply, dirname(style), 'default.min.css'))
    page.get(`${routePrefix}/start.js`, hidden, (_request, reply) => {
      reply.type('text/javascript; charset=utf-8').send(startScript)
    })
  })
}

function find (file: string): string {
  try {
    return require.resolve(file)
  } catch (cause) {
    const [name] = file.match(/^@[^/]+\/[^/]+/) as RegExpMatchArray
    throw scError('SC_ERR_OPTIONS', [`The page of fastify-socketcluster/asyncapi needs ${name}: run "npm install ${name}", or set the option exposeRoute to 'document'`], { cause })
  }
}

/** Returns the HTML of the page. Its links are relative, so that it works behind a proxy that adds a prefix. */
function pageHtml (title: string, path: string): string {
  const base = path.slice(path.lastIndexOf('/') + 1)
  return `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>${escapeHtml(title)}</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="${escapeHtml(base)}/viewer.css">
  <style>body { margin: 0; font-family: system-ui, sans-serif }</style>
</head>
<body>
  <div id="asyncapi" data-document="${escapeHtml(base)}.json"></div>
  <noscript>The document is at <a href="${escapeHtml(base)}.json">${escapeHtml(base)}.json</a></noscript>
  <script src="${escapeHtml(base)}/viewer.js"></script>
  <script src="${escapeHtml(base)}/start.js"></script>
</body>
</html>
`
}

const startScript = `const place = document.getElementById('asyncapi')
fetch(place.dataset.document)
  .then((response) => {
    if (!response.ok) throw new Error('HTTP status ' + response.status)
    return response.json()
  })
  .then((schema) => AsyncApiStandalone.render({ schema, config: { show: { sidebar: true, errors: true }, expand: { messageExamples: true } } }, place))
  .catch((err) => { place.textContent = 'The document cannot be shown: ' + err.message })
`

function escapeHtml (text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
  return text.replace(/[&<>"]/g, (char) => entities[char] as string)
}
