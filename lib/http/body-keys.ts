import { Transform, type Readable, type TransformCallback } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import { fewestCharacters, hasMoreKeys } from '../protocol/count-keys.js'

/** Passes a body on, and fails at its end if the text has more than `max` different keys: before it is parsed. */
class KeyCheck extends Transform {
  readonly #chunks: Buffer[] = []
  readonly #max: number
  readonly #refused: () => Error

  constructor (max: number, refused: () => Error) {
    super()
    this.#max = max
    this.#refused = refused
  }

  override _transform (chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#chunks.push(chunk)
    done(null, chunk)
  }

  override _flush (done: TransformCallback): void {
    done(hasMoreKeys(Buffer.concat(this.#chunks).toString(), this.#max) ? this.#refused() : null)
  }
}

/**
 * Returns the body to parse, which fails if it has more than `max` different keys. A body that is too short for so many is returned
 * as it is. Fastify limits the size of what it reads.
 * @param body the body that Fastify or a `preParsing` hook gives
 * @param refused makes the error
 */
export function checkKeys (request: FastifyRequest, body: Readable, max: number, refused: () => Error): Readable {
  if (max === 0 || (body === request.raw && Number(request.headers['content-length']) < fewestCharacters(max))) return body
  const checked = new KeyCheck(max, refused)
  // Not `pipeline`, which would destroy the connection before the error is answered.
  body.once('error', (err) => checked.destroy(err))
  return body.pipe(checked)
}
