import AjvCompiler from '@fastify/ajv-compiler'
import type { FastifyInstance, FastifySchemaCompiler, FastifySchemaValidationError } from 'fastify'
import { Compile } from 'typebox/compile'
import type { ScSchemaErrorFormatter, ScValidatorCompiler } from '../../types/validation.js'
import type { Checked } from '../../types/routes.js'
import { scError } from '../errors.js'
import { atOnce, promiseOf } from '../promises.js'
import { presentError } from '../protocol/wire-errors.js'
import { isInstance, readable } from '../untrusted.js'

/** The part of a declaration that a schema validates; also the first word of the error messages. */
export type SchemaPart = 'data' | 'message' | 'params'

/** What is needed to compile a validator. */
export interface ValidatorRequest {
  readonly schema: unknown
  readonly instance: FastifyInstance
  readonly part: SchemaPart
  /** Passed to compilers as the url of the route. */
  readonly url: string
  readonly compiler: ScValidatorCompiler | undefined
  readonly formatter: ScSchemaErrorFormatter | undefined
}

/** Validates data. The result has the checked value, or an error. */
export type Validate = (data: unknown) => Checked | Promise<Checked>

/** The result of a compiler; functions of Ajv have `schemaEnv` and `errors`. */
interface CompiledSchema {
  (data: unknown, parent?: unknown): unknown
  schemaEnv?: unknown
  errors?: unknown
}

/**
 * Compiles the validator of a schema. The compiler is the first of these: the given one; the context's own, if the application
 * set one that does not coerce values; TypeBox for TypeBox schemas; Ajv with the context's schemas and without coercion.
 * Fastify's default compiler is not used for socket data. It is made for query strings and would turn `null` into `''` and `'5'`
 * into `5`.
 * @throws the error of the compiler
 */
export function compileValidator (request: ValidatorRequest): Validate {
  const { part, formatter } = request
  const format: ScSchemaErrorFormatter = formatter ?? formatErrors
  const compiled = compileSchema(request)

  function check (data: unknown): Checked | Promise<Checked> {
    const holder = { data }
    try {
      // Ajv can only replace a root value when it knows the parent.
      const result = compiled.schemaEnv === undefined ? compiled(data) : compiled(data, { parentData: holder, parentDataProperty: 'data' })
      if (result === true) return { value: holder.data }
      const running = promiseOf(result)
      if (running !== undefined) {
        // An async validator resolves with the data itself, so the result only tells whether it passed.
        return running.then(
          (passed) => passed === false ? refuse(compiled.errors) : { value: holder.data },
          (err: unknown) => isAjvFailure(err) ? refuse(err.errors) : { error: asFault(err) }
        )
      }
      if (result === false) return refuse(compiled.errors)
      if (typeof result === 'object' && result !== null) {
        const { error } = result as { error?: unknown }
        if (error) return refuse(error)
        if ('value' in result) return { value: result.value }
      }
      return { value: holder.data }
    } catch (err) {
      return { error: asFault(err) }
    }
  }

  /** Turns validation errors into a result. Never throws, whatever a compiler or formatter of the application returns. */
  function refuse (errors: unknown): Checked {
    try {
      const isList = Array.isArray(errors)
      const formatted: unknown = isList ? format(errors as FastifySchemaValidationError[], part) : errors
      let error = toError(atOnce('the schemaErrorFormatter', formatted))
      if (!Object.isExtensible(error)) error = Object.assign(new Error(error.message), { ...error, name: error.name }) as Error & Record<string, unknown>
      if (isList) error.validation = errors
      else error.validation ??= []
      error.statusCode ??= 400
      error.code ??= 'FST_ERR_VALIDATION'
      error.validationContext = part
      return { error }
    } catch (err) {
      return { error: asFault(err) }
    }
  }

  return function validate (data) {
    if (data !== undefined) return check(data)
    // As in Fastify, missing data are validated as null, unless the schema accepts undefined.
    const first = check(undefined)
    if (first instanceof Promise) return first
    return first.error === undefined ? first : check(null)
  }
}

function isAjvFailure (err: unknown): err is { errors: unknown } {
  try {
    return typeof err === 'object' && err !== null && Array.isArray((err as { errors?: unknown }).errors) && (err as { errors: unknown[] }).errors.every((error) => !isInstance(error, Error))
  } catch {
    return false
  }
}

/**
 * Returns the error for what a validator threw instead of reporting invalid data. Clients see it only if it is meant for them.
 */
function asFault (thrown: unknown): Error {
  return isInstance(thrown, Error) && presentError(thrown, 'thrown') !== undefined ? thrown : scError('SC_ERR_INTERNAL', [], { cause: thrown })
}

function toError (value: unknown): Error & Record<string, unknown> {
  const read = readable(value)
  return (isInstance(read, Error) ? read : new Error(typeof read === 'string' ? read : 'Invalid data')) as Error & Record<string, unknown>
}

/** Formats errors like Fastify's default formatter: `data/n must be integer, data/t must be string`. */
export function formatErrors (errors: FastifySchemaValidationError[], dataVar: string): Error {
  const error = new Error(errors.map(({ instancePath = '', message = 'is invalid' }) => `${dataVar}${instancePath} ${message}`).join(', '))
  // The name is own and enumerable, so that clients receive it.
  return Object.assign(error, { name: 'ValidationError' })
}

function compileSchema ({ schema, instance, part, url, compiler }: ValidatorRequest): CompiledSchema {
  const definition = { schema, method: 'POST', url, httpPart: part === 'params' ? 'params' : 'body' }
  if (typeof compiler === 'function') return compiler(definition) as CompiledSchema
  const own = instance.validatorCompiler as FastifySchemaCompiler<unknown> | undefined
  if (compiler === 'context') {
    if (own === undefined) throw new Error("the context has no validator compiler; expected validatorCompiler to be a function, got 'context'")
    return own(definition) as CompiledSchema
  }
  if (own !== undefined && !coerces(own)) return own(definition) as CompiledSchema
  if (isTypeBox(schema)) {
    const missing = outsideReferences(schema)
    if (missing.length === 0) return compileTypeBox(schema)
    if (holdsCode(schema)) throw new Error(`a TypeBox schema with a refinement or a codec cannot refer to "${missing[0]}", which was added with addSchema`)
  }
  return ajvOf(instance)(definition) as CompiledSchema
}

const coercion = new WeakMap<object, boolean>()

/** Whether a compiler coerces values, as Fastify's default does. */
function coerces (compiler: FastifySchemaCompiler<unknown>): boolean {
  let answer = coercion.get(compiler)
  if (answer === undefined) {
    answer = false
    try {
      const probe = compiler({ schema: { type: 'object', properties: { n: { type: 'integer' } } }, method: 'POST', url: '', httpPart: 'body' }) as CompiledSchema
      const data = { n: '5' as unknown }
      answer = probe.schemaEnv !== undefined && probe(data) === true && data.n === 5
    } catch {
      // The compiler is for another kind of schema.
    }
    coercion.set(compiler, answer)
  }
  return answer
}

const buildAjv = AjvCompiler()
const ajvCompilers = new WeakMap<object, ReturnType<typeof buildAjv>>()

function ajvOf (instance: FastifyInstance): ReturnType<typeof buildAjv> {
  let compiler = ajvCompilers.get(instance)
  if (compiler === undefined) {
    // Unknown fields are refused where the schema forbids them, not removed. Defaults are filled in.
    compiler = buildAjv(instance.getSchemas() as Record<string, object>, { customOptions: { coerceTypes: false, useDefaults: true, removeAdditional: false } })
    ajvCompilers.set(instance, compiler)
  }
  return compiler
}

function isTypeBox (schema: unknown): schema is object {
  return typeof schema === 'object' && schema !== null && '~kind' in schema
}

function compileTypeBox (schema: object): CompiledSchema {
  const validator = Compile(schema)
  const fill = somewhere(schema, (part) => Object.hasOwn(part, 'default'))
  const failed = (data: unknown): { error: unknown } => ({ error: validator.Errors(data) })
  if (!fill) return (data) => validator.Check(data) ? true : failed(data)
  return (data) => {
    const value = validator.Default(data)
    return validator.Check(value) ? { value } : failed(value)
  }
}

/** Returns the references that the schema itself does not resolve. */
function outsideReferences (schema: object): string[] {
  const inside = new Set<string>()
  const references = new Set<string>()
  somewhere(schema, (part) => {
    const { $id, $defs, $ref } = part as Record<string, unknown>
    if (typeof $id === 'string') inside.add($id)
    if (typeof $defs === 'object' && $defs !== null) for (const name of Object.keys($defs)) inside.add(name)
    if (typeof $ref === 'string' && !$ref.startsWith('#')) references.add($ref)
    return false
  })
  return [...references].filter((reference) => !inside.has(reference))
}

/** Whether the schema has functions of the application that TypeBox runs and Ajv ignores. */
function holdsCode (schema: object): boolean {
  return somewhere(schema, (part) => '~refine' in part || '~codec' in part)
}

function somewhere (value: unknown, test: (part: object) => boolean, seen = new Set<unknown>()): boolean {
  if (typeof value !== 'object' || value === null || seen.has(value)) return false
  seen.add(value)
  return (!Array.isArray(value) && test(value)) || Object.values(value).some((part) => somewhere(part, test, seen))
}
