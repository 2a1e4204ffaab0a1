import { isIP, isIPv4 } from 'node:net'

/**
 * Returns the key under which the connections of an address are counted: the address itself for IPv4, the /64 network for IPv6,
 * because a customer gets at least a /64. An IPv4-mapped IPv6 address counts as IPv4. Anything that is not an address, such as a
 * name sent by a proxy, has the key `unknown`.
 */
export function addressKey (ip: string): string {
  if (!ip.includes(':')) return isIPv4(ip) ? ip : 'unknown'
  const [address] = ip.split('%', 1) as [string]
  if (isIP(address) !== 6) return 'unknown'
  const groups = groupsOf(address)
  if (groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0)) return [groups[6]! >> 8, groups[6]! & 255, groups[7]! >> 8, groups[7]! & 255].join('.')
  return `${groups.slice(0, 4).map((group) => group.toString(16)).join(':')}::`
}

/** Returns the eight groups of a valid IPv6 address. */
function groupsOf (address: string): number[] {
  const [head, tail] = address.split('::').map((part) => part === ''
    ? []
    : part.split(':').flatMap((group) => {
      if (!group.includes('.')) return [Number.parseInt(group, 16)]
      const [a, b, c, d] = group.split('.').map(Number) as [number, number, number, number]
      return [(a << 8) | b, (c << 8) | d]
    })) as [number[], number[] | undefined]
  if (tail === undefined) return head
  return [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail]
}

/**
 * Whether a key belongs to a private network or to this machine. Such an address often belongs to a proxy, and then to all of the
 * proxy's clients. A `BlockList` would make an object outside the heap for each check.
 */
export function isPrivate (key: string): boolean {
  if (key.includes(':')) return key === '0:0:0:0::' || isPrivateGroup(Number.parseInt(key, 16))
  switch (Number.parseInt(key, 10)) {
    case 10: case 127: return true
    case 100: return secondOf(key) >= 64 && secondOf(key) < 128
    case 169: return secondOf(key) === 254
    case 172: return secondOf(key) >= 16 && secondOf(key) < 32
    case 192: return secondOf(key) === 168
    default: return false
  }
}

/** Returns the second number of an IPv4 address. */
function secondOf (key: string): number {
  return Number.parseInt(key.slice(key.indexOf('.') + 1), 10)
}

/** Whether an IPv6 address with this first group is in fc00::/7 or fe80::/10. */
function isPrivateGroup (group: number): boolean {
  return (group & 0xfe00) === 0xfc00 || (group & 0xffc0) === 0xfe80
}
