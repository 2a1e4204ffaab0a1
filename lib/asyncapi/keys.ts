/** Keys of a document's objects: made of names, in the letters that AsyncAPI allows, and each only once. */
export class Keys {
  readonly #taken = new Set<string>()

  make (name: string): string {
    const base = name.replace(/[^A-Za-z0-9_.-]+/g, '.').replace(/^\.+|\.+$/g, '') || 'unnamed'
    let key = base
    // Names that every object has count as taken: one of them would make no key, and tools trip over others.
    for (let i = 2; this.#taken.has(key) || key in Object.prototype; i++) key = `${base}-${i}`
    this.#taken.add(key)
    return key
  }
}

/** A `$ref` inside the document. */
export function reference (...path: string[]): { $ref: string } {
  return { $ref: pointer(...path) }
}

/** A JSON pointer, as a URI fragment. */
export function pointer (...path: string[]): string {
  return '#/' + path.map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1').replaceAll('%', '%25')).join('/')
}
