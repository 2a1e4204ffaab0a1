import type { DeclaredEvent } from '../../types/contracts.js'

/** The schema of the body of error responses. */
export const errorSchema = {
  description: 'The error of the call',
  type: 'object',
  properties: {
    statusCode: { type: 'integer' },
    error: { type: 'string', description: 'The text of the status' },
    message: { type: 'string' },
    name: { type: 'string', description: 'The name of the error' },
    code: { anyOf: [{ type: 'string' }, { type: 'integer' }] },
    errorId: { type: 'string', description: 'The id of the log line, for an error whose details are hidden' }
  },
  required: ['statusCode', 'error', 'message', 'name'],
  additionalProperties: true
} as const

/**
 * Whether the schemas of an event are JSON Schema, so that the errors are documented as JSON Schema beside them. Document builders
 * for other schema libraries accept only schemas of their own.
 */
export function documentsErrors ({ contract: { data, response } }: DeclaredEvent): boolean {
  const given = [data, response].filter((schema) => schema !== undefined)
  return given.length !== 0 && given.every((schema) => typeof schema !== 'object' || schema === null || !('~standard' in schema || '_zod' in schema))
}

/** Returns the schema of an event's route, which documents the event. */
export function routeSchema (event: DeclaredEvent): object {
  const { name, contract } = event
  const { data, summary, description, tags, deprecated, hide } = contract
  return {
    operationId: name,
    ...(summary === undefined ? {} : { summary }),
    ...(description === undefined ? {} : { description }),
    ...(tags === undefined ? {} : { tags }),
    ...(deprecated === undefined ? {} : { deprecated }),
    ...(hide === true ? { hide } : {}),
    ...(data === undefined ? {} : { body: data }),
    ...responsesOf(event)
  }
}

function responsesOf (event: DeclaredEvent): object {
  const { response } = event.contract
  if (!documentsErrors(event)) return response === undefined ? {} : { response: { 200: response } }
  return {
    response: {
      200: response ?? { description: 'The answer of the event' },
      ...(response === undefined ? { 204: { description: 'The event has no answer', type: 'null' } } : {}),
      default: errorSchema
    }
  }
}
