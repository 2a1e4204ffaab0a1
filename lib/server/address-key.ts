import { BlockList, isIP, isIPv4 } from 'node:net'

/** Addresses of networks that are not the Internet: often a proxy's, and then those of all its clients. */
const privateNetworks = new BlockList()
for (const [address, prefix] of [['10.0.0.0', 8], ['172.16.0.0', 12], ['192.168.0.0', 16], ['127.0.0.0', 8], ['169.254.0.0', 16], ['100.64.0.0', 10]] as const) {
  privateNetworks.addSubnet(address, prefix, 'ipv4')
}
for (const [address, prefix] of [['::1', 128], ['fc00::', 7], ['fe80::', 10]] as const) privateNetworks.addSubnet(address, prefix, 'ipv6')

/**
 * What counts as one address: an IPv4 address, the /64 of an IPv6 address, which is what one customer has at least. An IPv6
 * address that stands for one of IPv4 is that one. What is no address at all, such as a name that a proxy sent, is all one.
 */
export function addressKey (ip: string): string {
  if (!ip.includes(':')) return isIPv4(ip) ? ip : 'unknown'
  const [address] = ip.split('%', 1) as [string]
  if (isIP(address) !== 6) return 'unknown'
  const groups = groupsOf(address)
  if (groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0)) return [groups[6]! >> 8, groups[6]! & 255, groups[7]! >> 8, groups[7]! & 255].join('.')
  return `${groups.slice(0, 4).map((group) => group.toString(16)).join(':')}::`
}

/** The eight numbers of a valid IPv6 address. */
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

/** Whether a key is that of a private network or of this machine. */
export function isPrivate (key: string): boolean {
  if (key.includes(':')) return key === '0:0:0:0::' || privateNetworks.check(key, 'ipv6')
  return key !== 'unknown' && privateNetworks.check(key, 'ipv4')
}
