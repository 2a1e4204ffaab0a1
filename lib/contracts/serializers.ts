import type { FastifyInstance } from 'fastify'
import { scError } from '../errors.js'

/** Turns a response into JSON text; empty for no response. */
export type Serialize = (response: unknown) => string

type SerializerCompiler = (definition: { schema: unknown, method: string, url: string, httpStatus: string }) => (response: unknown) => string

/** Compiles the serializer of a response schema with the context's compiler. @throws the error of the compiler */
export function compileSerializer (schema: unknown, instance: FastifyInstance, event: string, url: string): Serialize {
  const compiler = instance.serializerCompiler as SerializerCompiler | undefined
  if (compiler === undefined) throw new Error('the context has no serializer compiler')
  const write = compiler({ schema, method: 'POST', url, httpStatus: '200' })
  const { type } = schema as { type?: unknown }
  // fast-json-stringify writes null as an empty object or array, and undefined as an empty string.
  const needsValue = typeof type === 'string' && type !== 'null'
  return (response) => {
    if (needsValue && (response === undefined || (response === null && (schema as { nullable?: unknown }).nullable !== true))) {
      throw scError('SC_ERR_RESPONSE_INVALID', [event])
    }
    try {
      return write(response) ?? ''
    } catch (cause) {
      throw scError('SC_ERR_RESPONSE_INVALID', [event], { cause })
    }
  }
}
