import type { BrokerPosition } from '../../types/broker.js'

const pattern = /^([\w-]{1,24})\.(\d{1,15})\.([\w-]{0,8})$/

/** The longest text of a position. */
const maxPositionLength = 49

/** A position as applications and clients get it. */
export function positionText ({ epoch, offset, check }: BrokerPosition): string {
  return `${epoch}.${offset}.${check}`
}

/** Reads the text of a position; `null` for any other text. */
export function parsePosition (text: string): BrokerPosition | null {
  const match = text.length > maxPositionLength ? null : pattern.exec(text)
  return match === null ? null : { epoch: match[1]!, offset: Number(match[2]), check: match[3]! }
}
