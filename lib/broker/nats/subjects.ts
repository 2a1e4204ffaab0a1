const plain = /^[A-Za-z0-9_-]+$/

/**
 * Encodes a channel name as one token of a NATS subject. Letters, digits, `_` and `-` stay; every other byte of the UTF-8 form
 * becomes `=XX`. So `.`, `*` and `>` have no special meaning, and two names never get the same token.
 */
export function subjectToken (channel: string): string {
  if (plain.test(channel)) return channel
  let token = ''
  for (const byte of Buffer.from(channel, 'utf8')) {
    if ((byte >= 97 && byte <= 122) || (byte >= 65 && byte <= 90) || (byte >= 48 && byte <= 57) || byte === 95 || byte === 45) token += String.fromCharCode(byte)
    else token += byte < 16 ? `=0${byte.toString(16).toUpperCase()}` : `=${byte.toString(16).toUpperCase()}`
  }
  return token
}
