const quote = 0x22
const backslash = 0x5c
const colon = 0x3a

/** Characters of a key that are looked at one by one, at its begin and at its end. */
const looked = 16

/** One bit for each hash of 16 bits; shared, since counting is synchronous and never re-entered. */
const seen = new Uint32Array(2_048)
/** So that nobody can prepare keys which look like one. */
const seed = Math.floor(Math.random() * 0x7fffffff)

/**
 * Whether a JSON text has more than `max` different keys, before it is parsed: each of them costs the parser a microsecond, a
 * hundred times what a known one does. Counts a few too little, since it keeps hashes instead of keys; never too much.
 */
export function hasMoreKeys (text: string, max: number): boolean {
  // The shortest is `"":0,`, and there are no more different ones of that length than of the longer ones.
  if (text.length < max * 6) return false
  seen.fill(0)
  const { length } = text
  let count = 0
  for (let at = 0; at < length; at++) {
    if (text.charCodeAt(at) !== quote) continue
    // The string from here to its end.
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

/** Where the quote is that ends the string; -1 when none does. */
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
    // Long texts seldom have escapes: a search is much faster than a look at each character.
    const found = text.indexOf('"', at)
    if (found === -1) return -1
    let before = found
    while (before > at && text.charCodeAt(before - 1) === backslash) before--
    if ((found - before) % 2 === 0) return found
    at = found + 1
  }
  return -1
}
