import type { FastifyInstance } from 'fastify'
import type { AsyncApiPlace, ScAsyncApiOptions } from '../../types/asyncapi.js'
import { scError } from '../errors.js'
import { type Keys, pointer, reference } from './keys.js'

type Json = Record<string, unknown>

/** Keywords with data as their value, where `$ref` and `$id` have no special meaning. */
const dataKeywords = new Set(['const', 'enum', 'default', 'examples', 'example'])
/** Keywords with an object as their value that maps names to schemas. */
const tableKeywords = new Set(['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas', 'dependencies'])

/**
 * The schemas of a document, in `components/schemas`. A schema that is used several times is added once. References to ids of
 * `addSchema`, to parts of the schema and to the schema itself become pointers into the document.
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

  /** Adds a schema of a declaration and returns a reference to it. `instance` has the shared schemas that it may refer to. */
  add (name: string, schema: unknown, instance: FastifyInstance, place: AsyncApiPlace): { $ref: string } {
    return reference('components', 'schemas', this.#add(name, this.toJson(schema, place), instance, place))
  }

  /** Converts a schema to plain JSON Schema. */
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
    // Drops functions, symbols and other values that are not JSON.
    // AsyncAPI allows boolean schemas inside of a schema, but not as the whole payload.
    const copy: unknown = schema === true ? {} : schema === false ? { not: {} } : JSON.parse(JSON.stringify(schema))
    const key = this.#keys.make(idOf(copy) ?? name)
    // Set before the contents are converted, because they may refer to this schema.
    if (typeof schema === 'object' && schema !== null) this.#known.set(schema, key)
    // Reserves the position, so that shared schemas that this one uses come after it.
    this.components[key] = undefined
    const ids = new Map<string, string[]>()
    collectIds(copy, [], ids)
    this.components[key] = this.#rewrite(copy, key, ids, instance, place)
    return key
  }

  /** Converts every `$ref` to a pointer into the document, and removes the ids, which are no longer needed. */
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
    // Tools ignore keywords beside a $ref.
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

/** Whether data contains a `$ref`. Tools resolve references even in data, so a document must not contain such data. */
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

/** Collects the paths of all ids and anchors of a schema. */
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
