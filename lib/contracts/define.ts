import type { ChannelContracts, CheckedChannel, CheckedEvent, EventContracts } from '../../types/contracts.js'

/**
 * Defines event contracts that server and client share. Returns the object unchanged; it adds only types.
 *
 * ```ts
 * export const events = defineEvents({ chat: { data: Type.Object({ text: Type.String() }), response: Type.String() } })
 * app.scEvent('chat', events.chat, handler)                 // server
 * typedClient<{ events: typeof events }>(socket).invoke('chat', { text: 'hi' })   // client
 * ```
 */
export function defineEvents<const C extends EventContracts> (contracts: C & { readonly [Name in keyof C]: CheckedEvent<C[Name]> }): C {
  return contracts
}

/**
 * Defines channel contracts, by pattern, that server and client share. Returns the object unchanged. Policies belong to the
 * server and are added there: `app.scChannel('room/:id', { ...channels['room/:id'], subscribe })`.
 */
export function defineChannels<const C extends ChannelContracts> (contracts: C & { readonly [Pattern in keyof C]: CheckedChannel<C[Pattern]> }): C {
  return contracts
}
