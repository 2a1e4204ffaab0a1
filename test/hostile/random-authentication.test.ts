import { once } from 'node:events'
import fc from 'fast-check'
import t from 'tap'
import type { AuthEngine, ScServerSocket } from '../../lib/index.js'
import { Inbox, RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

// A socket's token against a model of it: attempts of every kind, in the handshake and after, that overlap with what the
// application decides. MODEL_SEED, MODEL_PATH and MODEL_RUNS replay a failure: the seed and the path are printed with it.

/** What the engine and then the hooks say of a token; what is slow waits until the test lets it go on. */
interface Token {
  verified: 'good' | 'bad' | 'early' | 'slowly good' | 'slowly bad'
  hooks: 'pass' | 'refuse' | 'bad' | 'slowly pass' | 'slowly refuse' | 'slowly bad' | 'set another'
}

type Step =
  | { do: 'authenticate', token: Token }
  /** Calls of the client that say who it is when they run. */
  | { do: 'who' | 'remove' }
  /** What waits goes on. */
  | { do: 'go on' }
  | { do: 'setAuthToken' | 'deauthenticate' | 'revoke current' | 'revoke candidate' | 'revoke candidate here' | 'revoke socket' | 'expire' }

const token: fc.Arbitrary<Token> = fc.record({
  verified: fc.constantFrom('good', 'good', 'good', 'bad', 'early', 'slowly good', 'slowly good', 'slowly bad'),
  hooks: fc.constantFrom('pass', 'pass', 'refuse', 'bad', 'slowly pass', 'slowly pass', 'slowly refuse', 'slowly bad', 'set another')
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('authenticate' as const), token }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('who' as const, 'who' as const, 'remove' as const) }) },
  { weight: 6, arbitrary: fc.constant({ do: 'go on' as const }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constantFrom('setAuthToken', 'deauthenticate', 'revoke current', 'revoke candidate', 'revoke candidate here', 'revoke socket', 'expire') }) }
) as fc.Arbitrary<Step>
const sequence = fc.record({ version: fc.constantFrom(1 as const, 2 as const), handshake: fc.option(token), steps: fc.array(step, { maxLength: 16, size: 'max' }) })
type Sequence = typeof sequence extends fc.Arbitrary<infer T> ? T : never

/** The state machine that a socket's token is: one attempt at a time, in the order of the packets; the newest decision counts. */
class Model {
  user: string | null = null
  #decisions = 0
  readonly revoked = new Set<string>()
  readonly answers: string[] = []
  /** How often a token was found bad, and not overtaken. */
  bad = 0
  attempt: { token: Token, name: string, began: number, at: 'engine' | 'hooks' } | null = null
  #waiting: Array<() => void> = []
  #sets = 0
  expired = false

  #decide (user: string | null): void {
    this.#decisions++
    this.user = user
    this.expired = false
  }

  packet (run: () => void): void {
    if (this.attempt !== null) {
      this.#waiting.push(run)
      return
    }
    // The end of a token is noticed by the next packet, and is nobody's decision.
    if (this.expired) {
      this.user = null
      this.expired = false
    }
    run()
  }

  begin (token: Token, name: string): void {
    this.attempt = { token, name, began: this.#decisions, at: 'engine' }
    if (!token.verified.startsWith('slowly')) this.goOn()
  }

  goOn (): void {
    const { attempt } = this
    if (attempt === null) return
    const { token, began } = attempt
    if (attempt.at === 'engine') {
      if (token.verified.endsWith('early')) this.#end(() => this.#decide(null))
      else if (token.verified.endsWith('bad')) this.#end(() => this.#refuse())
      else if (began !== this.#decisions) this.#end(() => {})
      else if (this.revoked.has(attempt.name)) this.#end(() => this.#refuse())
      else {
        attempt.at = 'hooks'
        if (!token.hooks.startsWith('slowly')) this.goOn()
      }
      return
    }
    if (token.hooks === 'set another') {
      this.set()
      this.#end(() => {})
    } else if (token.hooks.endsWith('refuse')) this.#end(() => this.#decide(null))
    else if (token.hooks.endsWith('bad')) this.#end(() => this.#refuse())
    else if (this.revoked.has(attempt.name)) this.#end(() => this.#refuse())
    else this.#end(() => this.#decide(attempt.name))
  }

  #refuse (): void {
    this.bad++
    this.#decide(null)
  }

  #end (decide: () => void): void {
    if (this.attempt!.began === this.#decisions) decide()
    this.attempt = null
    const waiting = this.#waiting
    this.#waiting = []
    for (const run of waiting) this.packet(run)
  }

  set (): void { this.#decide(`set ${++this.#sets}`) }
  deauthenticate (): void { this.#decide(null) }
  /** Nothing is changed, and what is being decided does not count any more. */
  supersede (): void { this.#decisions++ }
  revoke (user: string): void {
    this.revoked.add(user)
    if (this.user === user) this.#decide(null)
  }
}

const running = new Map<string, Run>()

/** One sequence on a socket of its own. */
class Run {
  readonly gates: Array<() => void> = []
  sets = 0
  constructor (readonly tokens: Map<string, Token>) {}
  wait (): Promise<void> { return new Promise((resolve) => this.gates.push(resolve)) }
}

const engine: AuthEngine = {
  verifyToken (signed, _key, _options, callback): any {
    const [id, name] = String(signed).split('/') as [string, string]
    const run = running.get(id)!
    const { verified } = run.tokens.get(name)!
    const answer = (): void => {
      if (verified.endsWith('bad')) callback(Object.assign(new Error('forged'), { name: 'JsonWebTokenError' }))
      else if (verified === 'early') callback(Object.assign(new Error('early'), { name: 'NotBeforeError' }))
      else callback(null, { sub: name, run: id })
    }
    if (verified.startsWith('slowly')) run.wait().then(answer)
    else answer()
  },
  signToken (claims, _key, _options, callback): any { callback(null, String(claims.sub)) }
}

t.test('a socket\'s token follows its model', async (t) => {
  const { sc, port, nextSocket } = await serve(t, { authEngine: engine, authenticateRate: 0, inboundRate: 0, pingTimeoutDisabled: true, ackTimeout: 60_000 })
  sc.addMiddleware('authenticate', (req, next) => {
    const run = running.get(String(req.authToken.run))!
    const { hooks } = run.tokens.get(req.authToken.sub!)!
    const answer = (): void => {
      if (hooks.endsWith('refuse')) next(new Error('refused'))
      else if (hooks.endsWith('bad')) next(new Error('bad'), true)
      else {
        if (hooks === 'set another') req.socket.setAuthToken({ sub: `set ${++run.sets}` })
        next()
      }
    }
    if (hooks.startsWith('slowly')) run.wait().then(answer)
    else answer()
  })
  let count = 0

  async function check ({ version, handshake, steps }: Sequence): Promise<void> {
    const id = String(++count)
    const tokens = new Map<string, Token>()
    const run = new Run(tokens)
    running.set(id, run)
    const model = new Model()
    const client = await RawClient.open(null, port, { version })
    try {
      const named = (token: Token): string => {
        const name = `token ${tokens.size + 1} of ${id}`
        tokens.set(name, token)
        return name
      }
      const connected = nextSocket()
      const begun = once(sc, 'handshake')
      const socket = sc.pendingClients[Object.keys(sc.pendingClients).at(-1)!] ?? (await begun)[0] as ScServerSocket
      const failures: string[] = []
      const received = new Inbox<true>()
      const seen: string[] = []
      const answers: string[] = []
      let bad = 0
      let state = 'unauthenticated'
      socket.on('message', () => received.push(true))
      socket.on('badAuthToken', () => { bad++ })
      socket.on('authenticate', (claims) => { seen.push(`in ${claims?.sub}`) })
      socket.on('deauthenticate', () => { seen.push('out') })
      socket.on('authStateChange', ({ oldState, newState }) => {
        if (oldState !== state || newState === state) failures.push(`a change from ${oldState} to ${newState} while it was ${state}`)
        state = newState
      })
      socket.on('who', (_data, res) => {
        answers.push(socket.authToken?.sub ?? 'nobody')
        res(null, null)
      })
      const settled = async (): Promise<void> => { for (let i = 0; i < 3; i++) await new Promise(setImmediate) }
      const compare = (what: string): void => {
        const user = socket.authToken?.sub ?? null
        if (user !== model.user) failures.push(`${what}: it is ${user}, expected ${model.user}`)
        if ((socket.authState === 'authenticated') !== (model.user !== null)) failures.push(`${what}: it is ${socket.authState}`)
        if (answers.join() !== model.answers.join()) failures.push(`${what}: calls saw ${answers.join()}, expected ${model.answers.join()}`)
        if (socket.state !== 'open') return
        if (bad !== model.bad) failures.push(`${what}: ${bad} bad tokens, expected ${model.bad}`)
        if (state !== socket.authState) failures.push(`${what}: the last change said ${state}`)
        const last = seen.at(-1) ?? 'out'
        if (last !== (user === null ? 'out' : `in ${user}`)) failures.push(`${what}: the last event said "${last}", it is ${user}`)
      }
      const goOn = (): void => {
        run.gates.shift()?.()
        model.goOn()
      }

      const first = handshake === null ? null : named(handshake)
      const shaken = client.call('#handshake', first === null ? {} : { authToken: `${id}/${first}` })
      if (first !== null) model.begin(handshake!, first)
      await received.take(() => true, 'the handshake')
      await settled()
      compare('handshake')
      let opened = model.attempt === null

      const pending: Array<Promise<unknown>> = []
      for (const step of steps) {
        // Before the handshake is done a client has nothing to say.
        if (!opened && model.attempt === null) {
          await shaken
          await connected
          opened = true
        }
        if (!opened && (step.do === 'authenticate' || step.do === 'who' || step.do === 'remove')) continue
        switch (step.do) {
          case 'authenticate': {
            const name = named(step.token)
            pending.push(client.call('#authenticate', `${id}/${name}`))
            model.packet(() => model.begin(step.token, name))
            await received.take(() => true, 'a message')
            break
          }
          case 'who':
            pending.push(client.call('who'))
            model.packet(() => model.answers.push(model.user ?? 'nobody'))
            await received.take(() => true, 'a message')
            break
          case 'remove':
            client.send({ event: '#removeAuthToken' })
            model.packet(() => model.deauthenticate())
            await received.take(() => true, 'a message')
            break
          case 'go on': goOn(); break
          case 'setAuthToken':
            model.set()
            socket.setAuthToken({ sub: `set ${++run.sets}` })
            break
          case 'deauthenticate':
            model.deauthenticate()
            socket.deauthenticate()
            break
          case 'revoke current':
            if (model.user === null) break
            await sc.revoke({ user: model.user })
            model.revoke(model.user)
            break
          case 'revoke candidate':
            if (model.attempt === null) break
            await sc.revoke({ user: model.attempt.name })
            model.revoke(model.attempt.name)
            break
          case 'revoke candidate here':
            if (model.attempt === null) break
            await sc.revoke({ user: model.attempt.name, socketId: socket.id })
            if (model.user === model.attempt.name) model.deauthenticate()
            else model.supersede()
            break
          case 'revoke socket':
            await sc.revoke({ socketId: socket.id })
            model.deauthenticate()
            break
          case 'expire':
            if (model.user === null) break
            socket.authToken!.exp = 1
            model.expired = true
            break
        }
        await settled()
        compare(JSON.stringify(step))
      }
      while (model.attempt !== null) {
        goOn()
        await settled()
      }
      await Promise.all([shaken, ...pending])
      compare('the end')
      if (failures.length !== 0) throw new Error(failures.join('\n'))
    } finally {
      client.ws.terminate()
      running.delete(id)
    }
  }

  const { MODEL_SEED, MODEL_PATH, MODEL_RUNS } = process.env
  await t.resolves(fc.assert(fc.asyncProperty(sequence, check), {
    numRuns: Number(MODEL_RUNS ?? 300),
    ...(MODEL_SEED === undefined ? {} : { seed: Number(MODEL_SEED), path: MODEL_PATH })
  }))
})
