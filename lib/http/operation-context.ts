import AjvCompiler from '@fastify/ajv-compiler'
import type { FastifyError, FastifyInstance, FastifySchemaCompiler } from 'fastify'
import { formatErrors } from '../contracts/validators.js'
import { httpError } from './error-response.js'

const buildAjv = AjvCompiler()

/**
 * Gives the routes of operations a context in which requests mean the same whatever the application has set for its own routes: only
 * JSON, validated by Ajv without coercion, and answers that say why a request was not understood. Hooks, and how their errors are
 * answered, are those of the application.
 */
export function prepareContext (instance: FastifyInstance): void {
  const body = buildAjv({}, { customOptions: { coerceTypes: false, useDefaults: false, removeAdditional: false } })
  // Everything in a query is text, so only numbers change.
  const query = buildAjv({}, { customOptions: { coerceTypes: true, useDefaults: false, removeAdditional: false } })
  instance.setValidatorCompiler(((route) => (route.httpPart === 'querystring' ? query : body)(route)) as FastifySchemaCompiler<unknown>)
  instance.setSerializerCompiler(() => toJson)
  instance.setSchemaErrorFormatter(formatErrors)
  instance.removeAllContentTypeParsers()
  const { onProtoPoisoning, onConstructorPoisoning } = instance.initialConfig
  instance.addContentTypeParser('application/json', { parseAs: 'string' }, instance.getDefaultJsonParser(onProtoPoisoning ?? 'error', onConstructorPoisoning ?? 'error'))
  instance.setErrorHandler((error: FastifyError, request, reply) => {
    if (!isFastifys(error)) throw error
    const { statusCode, headers, body } = httpError(error, request.log, { origin: 'own' })
    return reply.code(statusCode).headers(headers).send(body)
  })
}

/** Fastify serializes the error of a hook by the route's schema. Its fields are those of its prototype, which JSON leaves out. */
function toJson (value: unknown): string {
  if (!(value instanceof Error)) return JSON.stringify(value)
  const { statusCode, code, error, message } = value as Error & { statusCode?: unknown, code?: unknown, error?: unknown }
  return JSON.stringify({ statusCode, code, error, message })
}

/** Whether Fastify refused a request because of its body, its query or its headers. */
function isFastifys (error: FastifyError): boolean {
  return error.validation !== undefined || (typeof error.code === 'string' && error.code.startsWith('FST_ERR_CTP_'))
}
