import { BlockList, isIP, isIPv4 } from 'node:net'

/** Private networks. Such an address often belongs to a proxy, and then to all of the proxy's clients. */
const privateNetworks = new BlockList()
for (const [address, prefix] of [['10.0.0.0', 8], ['172.16.0.0', 12], ['192.168.0.0', 16], ['127.0.0.0', 8], ['169.254.0.0', 16], ['100.64.0.0', 10]] as const) {
  privateNetworks.addSubnet(address, prefix, 'ipv4')
}
for (const [address, prefix] of [['::1', 128], ['fc00::', 7], ['fe80::', 10]] as const) privateNetworks.addSubnet(address, prefix, 'ipv6')

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

/** Whether a key belongs to a private network or to this machine. */
export function isPrivate (key: string): boolean {
  if (key.includes(':')) return key === '0:0:0:0::' || privateNetworks.check(key, 'ipv6')
  return key !== 'unknown' && privateNetworks.check(key, 'ipv4')
}
