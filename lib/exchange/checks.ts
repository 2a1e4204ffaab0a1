import { channelNameError, isChannelName } from '../protocol/names.js'

/** Checks the name of a channel that the application gave. @throws InvalidActionError for any other value */
export function checkName (channel: unknown, action: string, { maxChannelNameLength }: { readonly maxChannelNameLength: number }): void {
  if (!isChannelName(channel, maxChannelNameLength)) throw channelNameError(channel, maxChannelNameLength, action)
}
