import type { FastifyInstance } from 'fastify'
import type { AsyncApiPlace, ScAsyncApiOptions } from '../../types/asyncapi.js'
import { scError } from '../errors.js'
import { type Keys, pointer, reference } from './keys.js'

type Json = Record<string, unknown>

/** Keywords whose value is data, in which `$ref` and `$id` mean nothing. */
const dataKeywords = new Set(['const', 'enum', 'default', 'examples', 'example'])
/** Keywords whose value has names of the author's as keys. */
const tableKeywords = new Set(['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas', 'dependencies'])

/**
 * The schemas of a document, below `components/schemas`. A schema that is used twice is there once. References, to ids of
 * `addSchema`, to parts of the schema or to itself, become pointers into the document.
 */
export class Schemas {
  readonly components: Record<string, unknown> = {}
  readonly #keys: Keys
  readonly #transform: ScAsyncApiOptions['transform']
  readonly #known = new Map<object, string>()

  constructor (keys: Keys, transform: ScAsyncApiOptions['transform']) {
    this.#keys = keys
    this.#transform = transform
  }

  /** Adds a schema of a declaration and gives what refers to it. `instance` knows the shared schemas it may use. */
  add (name: string, schema: unknown, instance: FastifyInstance, place: AsyncApiPlace): { $ref: string } {
    return reference('components', 'schemas', this.#add(name, this.toJson(schema, place), instance, place))
  }

  /** A schema as plain JSON Schema. */
  toJson (schema: unknown, place: AsyncApiPlace): unknown {
    const json = this.#transform === undefined ? schema : this.#transform(schema, place)
    const standard = (json as { '~standard'?: { jsonSchema?: { input: (options: object) => unknown, output: (options: object) => unknown } } } | null)?.['~standard']?.jsonSchema
    if (standard !== undefined) return standard[place.part === 'response' || place.part === 'errors' ? 'output' : 'input']({ target: 'draft-07' })
    if (typeof json === 'boolean' || (typeof json === 'object' && json !== null)) return json
    throw scError('SC_ERR_CONTRACT', [place.name, `the ${place.part} schema is no JSON Schema; see the option transform of fastify-socketcluster/asyncapi`])
  }

  #add (name: string, schema: unknown, instance: FastifyInstance, place: AsyncApiPlace): string {
    const known = typeof schema === 'object' && schema !== null ? this.#known.get(schema) : undefined
    if (known !== undefined) return known
    // Functions, symbols and what else is not JSON has no place in a document.
    // AsyncAPI allows booleans inside of schemas, but not as a whole payload.
    const copy: unknown = schema === true ? {} : schema === false ? { not: {} } : JSON.parse(JSON.stringify(schema))
    const key = this.#keys.make(idOf(copy) ?? name)
    // Before its contents, which may refer to it.
    if (typeof schema === 'object' && schema !== null) this.#known.set(schema, key)
    // Holds the place, so that shared schemas it uses come after it.
    this.components[key] = undefined
    const ids = new Map<string, string[]>()
    collectIds(copy, [], ids)
    this.components[key] = this.#rewrite(copy, key, ids, instance, place)
    return key
  }

  /** Makes every `$ref` a pointer into the document, and drops the ids, which are of no more use. */
  #rewrite (value: unknown, key: string, ids: Map<string, string[]>, instance: FastifyInstance, place: AsyncApiPlace): unknown {
    if (Array.isArray(value)) return value.map((item) => this.#rewrite(item, key, ids, instance, place))
    if (typeof value !== 'object' || value === null) return value
    const result: Json = {}
    let target: { $ref: string } | undefined
    for (const [name, item] of Object.entries(value)) {
      if (name === '$id' || name === '$anchor' || name === '$schema') continue
      if (name === '$ref' && typeof item === 'string') {
        target = { $ref: this.#resolve(item, key, ids, instance, place) }
      } else if (dataKeywords.has(name)) {
        if (!holdsReference(item)) result[name] = item
      } else if (tableKeywords.has(name) && typeof item === 'object' && item !== null && !Array.isArray(item)) {
        result[name] = Object.fromEntries(Object.entries(item).map(([entry, schema]) => [entry, this.#rewrite(schema, key, ids, instance, place)]))
      } else {
        result[name] = this.#rewrite(item, key, ids, instance, place)
      }
    }
    if (target === undefined) return result
    if (Object.keys(result).length === 0) return target
    // Tools do not read what stands beside a $ref.
    return { ...result, allOf: [target, ...(result.allOf as unknown[] | undefined ?? [])] }
  }

  #resolve (ref: string, key: string, ids: Map<string, string[]>, instance: FastifyInstance, place: AsyncApiPlace): string {
    const own = ids.get(ref) ?? ids.get(ref.replace(/#$/, ''))
    if (own !== undefined) return pointer('components', 'schemas', key, ...own)
    const hash = ref.indexOf('#')
    const [id, fragment] = hash === -1 ? [ref, ''] : [ref.slice(0, hash), ref.slice(hash + 1)]
    const base = id === '' ? [] : ids.get(id)
    if (base !== undefined) return join(pointer('components', 'schemas', key, ...base), fragment)
    const shared = instance.getSchema(id)
    if (shared === undefined) throw scError('SC_ERR_CONTRACT', [place.name, `the ${place.part} schema refers to "${ref}", which addSchema does not know in its context`])
    const component = this.#add(id, shared, instance, place)
    const anchors = new Map<string, string[]>()
    collectIds(shared, [], anchors)
    const anchored = fragment === '' || fragment.startsWith('/') ? undefined : anchors.get(`#${fragment}`)
    if (anchored !== undefined) return pointer('components', 'schemas', component, ...anchored)
    return join(pointer('components', 'schemas', component), fragment)
  }
}

/** Whether data has a `$ref` in it. Tools follow it even there, so such data cannot be in a document. */
export function holdsReference (data: unknown): boolean {
  if (typeof data !== 'object' || data === null) return false
  return '$ref' in data || Object.values(data).some(holdsReference)
}

function join (base: string, fragment: string): string {
  return fragment.startsWith('/') ? base + fragment : base
}

function idOf (schema: unknown): string | undefined {
  const id = (schema as { $id?: unknown } | null)?.$id
  return typeof id === 'string' ? id : undefined
}

/** Where in a schema its ids and anchors are. */
function collectIds (value: unknown, path: string[], ids: Map<string, string[]>): void {
  if (typeof value !== 'object' || value === null) return
  if (!Array.isArray(value)) {
    const { $id, $anchor } = value as Json
    if (typeof $id === 'string') ids.set($id.replace(/#$/, ''), path)
    if (typeof $anchor === 'string') ids.set(`#${$anchor}`, path)
  }
  for (const [name, item] of Object.entries(value)) {
    if (!dataKeywords.has(name)) collectIds(item, [...path, name], ids)
  }
}
