import type { FastifySchemaCompiler, FastifySchemaValidationError } from 'fastify'
import type { UserData } from './user-data.js'

/** How a declared event runs: with the plugin's own hooks, or as a request with the Fastify hooks of its context. */
export type ScLifecycle = 'own' | 'request'

/** Creates the error of invalid data, like Fastify's `schemaErrorFormatter`. `dataVar` is `'data'`, `'message'` or `'params'`. */
export type ScSchemaErrorFormatter = (errors: FastifySchemaValidationError[], dataVar: string) => Error

/**
 * A validator compiler as passed to Fastify's `setValidatorCompiler`. `'context'` uses the compiler of the Fastify context,
 * including its coercion.
 */
export type ScValidatorCompiler = FastifySchemaCompiler<UserData> | 'context'
