import type { Redis } from 'ioredis'
import type { EngineStore } from '../remote/engine.js'
import { Script } from './script.js'

/** Keys: the key. Arguments: the value, its ttl. Returns the value that the key has, or nothing if it got this one. */
const addScript = `
local value = redis.call('GET', KEYS[1])
if value then return value end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
`

/** Keys: the key. Arguments: the expected value, the new one ('' for none), its ttl. Returns 1 if the key had the expected value. */
const replaceScript = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
`

/** The store on one connection: a string for each key, which expires by itself. */
export class ConnectionStore implements EngineStore {
  readonly #client: Redis
  readonly #add = new Script(addScript)
  readonly #replace = new Script(replaceScript)

  constructor (client: Redis) {
    this.#client = client
  }

  async add (topic: string, value: string, ttl: number): Promise<string | null> {
    return await this.#add.run(this.#client, [topic], [value, ttl]) as string | null
  }

  async replace (topic: string, expected: string, value: string | null, ttl: number): Promise<boolean> {
    return await this.#replace.run(this.#client, [topic], [expected, value ?? '', ttl]) === 1
  }
}
