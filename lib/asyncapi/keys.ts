/** Creates unique keys for a document's objects from names, with the characters that AsyncAPI allows. */
export class Keys {
  readonly #taken = new Set<string>()

  make (name: string): string {
    const base = name.replace(/[^A-Za-z0-9_.-]+/g, '.').replace(/^\.+|\.+$/g, '') || 'unnamed'
    let key = base
    // Names of `Object.prototype` count as taken: `__proto__` would not become a key, and tools may fail on the others.
    for (let i = 2; this.#taken.has(key) || key in Object.prototype; i++) key = `${base}-${i}`
    this.#taken.add(key)
    return key
  }
}

/** Returns a `$ref` into the document. */
export function reference (...path: string[]): { $ref: string } {
  return { $ref: pointer(...path) }
}

/** Returns a JSON pointer as a URI fragment. */
export function pointer (...path: string[]): string {
  return '#/' + path.map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1').replaceAll('%', '%25')).join('/')
}
