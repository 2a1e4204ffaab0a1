import type { DeclaredChannel, ScPresenceOptions } from '../../types/contracts.js'
import type { ScPresenceLimits } from '../../types/presence.js'
import type { ChannelPolicy, ChannelRoute, PresenceFunction, PresenceRoute } from '../../types/routes.js'
import { scError, shown } from '../errors.js'
import { checkRanges, type Range } from './ranges.js'

/** The end of the names of channels that tell who is in another one. */
const companionSuffix = '#presence'

const limits: Readonly<Record<keyof ScPresenceLimits, Range>> = { members: [0, 100_000], leaveDelay: [0, 3_600_000], interval: [10, 60_000] }
const functions = ['key', 'data', 'watch'] as const

/** Returns the name of the channel that tells who is in another one. */
export function companionOf (channel: string): string {
  return channel + companionSuffix
}

/** Returns the name of the channel that a companion is about; `undefined` for any other name. */
export function companionBase (name: string): string | undefined {
  return name.endsWith(companionSuffix) ? name.slice(0, -companionSuffix.length) : undefined
}

/** Checks `presence` of a channel's contract. @throws InvalidArgumentsError */
export function checkPresence (pattern: string, presence: boolean | object): void {
  if (typeof presence === 'boolean') return
  const numbers: Record<string, unknown> = {}
  const known = [...functions, 'update', ...Object.keys(limits)]
  for (const [name, value] of Object.entries(presence)) {
    if (!known.includes(name)) throw scError('SC_ERR_CONTRACT', [pattern, `unknown property "${name}" of presence; expected some of ${known.join(', ')}`])
    if (value === undefined) continue
    if (Object.hasOwn(limits, name)) numbers[name] = value
    else if (typeof value !== 'function' && !(name === 'update' && typeof value === 'boolean')) {
      throw scError('SC_ERR_CONTRACT', [pattern, `expected ${name} of presence to be ${name === 'update' ? 'a boolean or a function' : 'a function'}, got ${shown(value)}`])
    }
  }
  checkRanges(pattern, 'presence', numbers, limits)
}

/** Creates the presence of a declared channel, and the route of its companion; `null` where none is declared. */
export function presenceRoute (route: Omit<ChannelRoute, 'presence'>, contract: DeclaredChannel['contract']): PresenceRoute | null {
  const { presence } = contract
  if (presence === undefined || presence === false) return null
  const { key, data, update = false, watch, members = 1_000, leaveDelay = 30_000, interval = 250 }: ScPresenceOptions = presence === true ? {} : presence as ScPresenceOptions
  return {
    key: (key as PresenceFunction | undefined) ?? null,
    data: (data as PresenceFunction | undefined) ?? null,
    update: update as boolean | ChannelPolicy,
    members,
    leaveDelay,
    interval,
    companion: companionRoute(route, (watch as ChannelPolicy | undefined) ?? null)
  }
}

/** Creates the route of `<name>#presence`. Its messages come from the server only, and are the same for all who may see them. */
function companionRoute (route: Omit<ChannelRoute, 'presence'>, watch: ChannelPolicy | null): ChannelRoute {
  return {
    pattern: route.pattern,
    instance: route.instance,
    // The lists of `hooks` are live.
    hooks: Object.defineProperty(Object.create(route.hooks) as ChannelRoute['hooks'], 'publishOut', { value: [] }),
    clientSubscribe: route.clientSubscribe || watch !== null,
    clientPublish: false,
    validateMessage: null,
    subscribe: watch ?? route.subscribe,
    publish: null,
    deliver: null,
    // A client that lost a message would have a wrong list: it reconnects and gets a new one.
    slowConsumerPolicy: 'disconnect',
    history: null,
    recover: null,
    presence: null,
    isCompanion: true,
    config: route.config
  }
}
