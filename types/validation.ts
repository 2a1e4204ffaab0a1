import type { FastifySchemaCompiler, FastifySchemaValidationError } from 'fastify'
import type { UserData } from './user-data.js'

/** How a declared event is run: by the plugin's own hooks, or by the context's real Fastify hooks as if it were a request. */
export type ScLifecycle = 'own' | 'request'

/** Makes the Error for data that does not fit, as Fastify's `schemaErrorFormatter` does. `dataVar` is `'data'`, `'message'` or `'params'`. */
export type ScSchemaErrorFormatter = (errors: FastifySchemaValidationError[], dataVar: string) => Error

/** Makes the validator of a schema, as Fastify's `setValidatorCompiler` takes it. `'context'` is the one of the Fastify context, whatever it does to the data. */
export type ScValidatorCompiler = FastifySchemaCompiler<UserData> | 'context'
