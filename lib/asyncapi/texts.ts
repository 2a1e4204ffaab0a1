import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'

interface Text {
  readonly version: string
  readonly text: string
  readonly etag: string
}

/** The text of a document for responses. It is cached, because serializing takes much longer than a request. */
export class SentText {
  readonly #type: string
  readonly #write: () => string
  readonly #version: () => string
  #text: Text | null = null

  /** @param version when its result changes the text is serialized again: the server's address is unknown until it listens */
  constructor (type: string, write: () => string, version: () => string) {
    this.#type = type
    this.#write = write
    this.#version = version
  }

  send (request: FastifyRequest, reply: FastifyReply): void {
    const version = this.#version()
    if (this.#text?.version !== version) {
      const text = this.#write()
      this.#text = { version, text, etag: `"${createHash('sha256').update(text).digest('base64url')}"` }
    }
    const { text, etag } = this.#text!
    reply.header('etag', etag).header('cache-control', 'no-cache')
    if (knows(request.headers['if-none-match'], etag)) reply.code(304).send()
    else reply.type(this.#type).send(text)
  }
}

/** Whether an `If-None-Match` header contains the ETag, so that the client has the current text (RFC 9110, section 13.1.2). */
function knows (header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  return header.trim() === '*' || header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag)
}
