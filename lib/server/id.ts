import { randomBytes } from 'node:crypto'

const idBytes = 15
const idsPerDraw = 256

// Random bytes are drawn for many ids at a time: a draw costs more than an id.
let pool = Buffer.alloc(0)
let used = 0

/** Returns a random id of 20 URL-safe characters (120 random bits). */
export function generateId (): string {
  if (used === pool.length) {
    pool = randomBytes(idBytes * idsPerDraw)
    used = 0
  }
  const id = pool.toString('base64url', used, used + idBytes)
  used += idBytes
  return id
}
