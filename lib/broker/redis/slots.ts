/** Number of slots of a Redis Cluster. */
export const slotCount = 16_384

/** Lookup table of CRC16 (XMODEM), one entry for each byte. */
const table = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) !== 0 ? (crc << 1) ^ 0x1021 : crc << 1
  return crc & 0xffff
})

/** The text in the first pair of braces, which alone decides about the slot; `null` when there is none. */
function hashTag (topic: string): string | null {
  const open = topic.indexOf('{')
  const close = open === -1 ? -1 : topic.indexOf('}', open + 1)
  return close > open + 1 ? topic.slice(open + 1, close) : null
}

/** Returns the beginning of keys that belong to a topic only and are in its slot. */
export function keyTag (topic: string): string {
  if (hashTag(topic) !== null) return `${topic}:h`
  // Braces around a topic make it the hash tag, unless it has a closing brace.
  if (!topic.includes('}')) return `{${topic}}:h`
  return `{${slotTag(slotOf(topic))}}:${topic}:h`
}

/** A short text for each slot that is in this slot. Made when the first one is needed. */
let slotTags: string[] | null = null

function slotTag (slot: number): string {
  if (slotTags === null) {
    slotTags = []
    for (let n = 0, found = 0; found < slotCount; n++) {
      const text = n.toString(36)
      const of = slotOf(text)
      if (slotTags[of] !== undefined) continue
      slotTags[of] = text
      found++
    }
  }
  return slotTags[slot]!
}

/** The slot of a topic: the hash of the text in the first pair of braces, or of the whole topic when there is none. */
export function slotOf (topic: string): number {
  const hashed = hashTag(topic) ?? topic
  let crc = 0
  for (const byte of Buffer.from(hashed)) crc = ((crc << 8) ^ table[(crc >> 8) ^ byte]!) & 0xffff
  return crc % slotCount
}

/** The address of a master. */
export interface MasterAddress {
  readonly host: string
  readonly port: number
}

/** The masters of a cluster, and the master of each slot. */
export interface SlotMap {
  readonly masters: MasterAddress[]
  /** Index into `masters` for each slot. */
  readonly owner: Uint16Array
  /** A text that is equal for equal maps. */
  readonly fingerprint: string
}

/**
 * Parses the reply of `CLUSTER SLOTS`. An empty host stands for the node that was asked.
 * @throws Error when a slot has no master
 */
export function readSlots (reply: unknown, asked: MasterAddress, translate: (address: MasterAddress) => MasterAddress): SlotMap {
  const masters: MasterAddress[] = []
  const known = new Map<string, number>()
  const owner = new Uint16Array(slotCount)
  const lines: string[] = []
  let covered = 0
  for (const [start, end, [host, port]] of reply as Array<[number, number, [string | null, number]]>) {
    const address = translate({ host: host === null || host === '' || host === '?' ? asked.host : String(host), port: Number(port) })
    const key = `${address.host}:${address.port}`
    let index = known.get(key)
    if (index === undefined) {
      index = masters.push(address) - 1
      known.set(key, index)
    }
    owner.fill(index, Number(start), Number(end) + 1)
    covered += Number(end) - Number(start) + 1
    lines.push(`${start}-${end} ${key}`)
  }
  if (covered !== slotCount) throw new Error(`the cluster serves ${covered} of ${slotCount} slots`)
  return { masters, owner, fingerprint: lines.sort().join('\n') }
}
