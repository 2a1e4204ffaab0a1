import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'

interface Text {
  readonly version: string
  readonly text: string
  readonly etag: string
}

/** A document as it is sent: written once, since that takes much longer than asking for it. */
export class SentText {
  readonly #type: string
  readonly #write: () => string
  readonly #version: () => string
  #text: Text | null = null

  /** @param version when it is another one the text is written again: the address of a server is not known before it listens */
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

/** Whether the client has it already (RFC 9110, section 13.1.2). */
function knows (header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  return header.trim() === '*' || header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag)
}
