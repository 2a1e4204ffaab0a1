import { createHash } from 'node:crypto'

/** A script. It is sent once on each connection, because a restarted server has none; after that, only its hash is. */
export class Script {
  readonly #text: string
  readonly #sha: string
  #isLoaded = false

  constructor (text: string) {
    this.#text = text
    this.#sha = createHash('sha1').update(text).digest('hex')
  }

  run<Answer> (target: { evalsha: (...args: Arguments) => Answer, eval: (...args: Arguments) => Answer }, keys: readonly string[], args: ReadonlyArray<string | number>): Answer {
    if (this.#isLoaded) return target.evalsha(this.#sha, keys.length, ...keys, ...args)
    this.#isLoaded = true
    return target.eval(this.#text, keys.length, ...keys, ...args)
  }
}

type Arguments = [script: string, keys: number, ...args: Array<string | number>]
