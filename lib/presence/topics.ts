/** Control characters are not allowed in channel names: neither clients nor applications can publish to these topics. */
const prefix = '\u0001presence:'

/** Returns the topic on which nodes tell each other who comes and leaves. */
export function topicOf (channel: string): string {
  return prefix + channel
}

/** Whether the engine delivers this on a topic of presence. */
export function isTopic (name: string): boolean {
  return name.charCodeAt(0) === 1 && name.startsWith(prefix)
}

/** Returns the channel that a topic is about. */
export function channelOf (topic: string): string {
  return topic.slice(prefix.length)
}
