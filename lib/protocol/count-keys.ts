const quote = 0x22
const backslash = 0x5c
const colon = 0x3a

/** Number of characters hashed at the start of a key and at its end. */
const looked = 16

/** One bit for each 16-bit hash. Shared between calls: counting is synchronous and never re-entered. */
const seen = new Uint32Array(2_048)
/** Random, so that a client cannot prepare keys with colliding hashes. */
const seed = Math.floor(Math.random() * 0x7fffffff)

/** The length of the shortest JSON text that can have more than `max` different keys. */
export function fewestCharacters (max: number): number {
  // Only one key can be empty (`"":0,`); every other member takes at least 6 characters.
  return max * 6
}

/**
 * Whether a JSON text has more than `max` different keys. Called before the text is parsed: each new key costs the parser a
 * microsecond, a hundred times as much as a repeated one. It compares hashes, so it may count too few keys but never too many.
 */
export function hasMoreKeys (text: string, max: number): boolean {
  if (text.length < fewestCharacters(max)) return false
  seen.fill(0)
  const { length } = text
  let count = 0
  for (let at = 0; at < length; at++) {
    if (text.charCodeAt(at) !== quote) continue
    // Hash the string from here to its closing quote.
    const start = ++at
    let hash = seed
    let char = text.charCodeAt(at)
    while (char !== quote && char !== backslash && at - start < looked && at < length) {
      hash = Math.imul(hash ^ char, 0x01000193)
      char = text.charCodeAt(++at)
    }
    if (char !== quote) {
      at = endOfString(text, at)
      if (at === -1) return false
      for (let i = Math.max(start, at - looked); i < at; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
    }
    let next = text.charCodeAt(at + 1)
    if (next <= 0x20) {
      let after = at + 1
      while (next <= 0x20) next = text.charCodeAt(++after)
      if (next === colon) at = after
    }
    if (next !== colon) continue
    hash = Math.imul(hash ^ (at - start), 0x01000193)
    hash = (hash ^ (hash >>> 15)) & 0xffff
    const word = hash >>> 5
    const bit = 1 << (hash & 31)
    if ((seen[word]! & bit) !== 0) continue
    seen[word]! |= bit
    if (++count > max) return true
  }
  return false
}

/** Index of the closing quote, or -1 when the string does not end. */
function endOfString (text: string, from: number): number {
  let at = from
  while (at < text.length) {
    for (let plain = 0; plain < looked; plain++, at++) {
      const char = text.charCodeAt(at)
      if (char === quote) return at
      if (char !== backslash) continue
      plain = 0
      at++
    }
    // Long strings rarely have escapes: `indexOf` is much faster than checking each character.
    const found = text.indexOf('"', at)
    if (found === -1) return -1
    let before = found
    while (before > at && text.charCodeAt(before - 1) === backslash) before--
    if ((found - before) % 2 === 0) return found
    at = found + 1
  }
  return -1
}
