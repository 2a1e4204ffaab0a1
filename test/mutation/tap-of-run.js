// Loader hooks: a file of tests that is imported for a run (`?run=3`) is evaluated again, and gets the `tap` of that run. What it
// imports is there already.

/** Files of tests as the loaders below gave them: they do not change. */
const loaded = new Map()
const query = /\?run=\d+$/

export async function resolve (specifier, context, next) {
  if (specifier === 'tap' && query.test(context.parentURL ?? '')) return { url: new URL('current-tap.js', import.meta.url).href, format: 'module', shortCircuit: true }
  return next(specifier, context)
}

export async function load (url, context, next) {
  if (!query.test(url)) return next(url, context)
  const file = url.replace(query, '')
  let source = loaded.get(file)
  if (source === undefined) loaded.set(file, source = await next(file, context))
  return source
}
