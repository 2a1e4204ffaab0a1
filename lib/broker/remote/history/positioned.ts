/**
 * A frame with the position that the engine gave to its messages, as the engine publishes it:
 *
 *     sc2 <epoch> <offset of the first message> <check> <time in milliseconds> <frame>
 *
 * The engine puts it in front of the frame that a node sent, so a signature does not cover it.
 */
export interface Positioned {
  readonly epoch: string
  /** The offset of the first message. */
  readonly first: number
  readonly check: string
  readonly time: number
  /** The frame, signed or not. */
  readonly frame: string
}

const start = 'sc2 '
const pattern = /^sc2 ([\w-]{1,24}) (\d{1,15}) ([\w-]{1,8}) (\d{1,15}) /

/** Whether a text has the form of a frame with a position. */
export function isPositioned (text: string): boolean {
  return text.startsWith(start)
}

/** Reads a frame with a position; `null` for any other text. */
export function readPositioned (text: string): Positioned | null {
  const match = pattern.exec(text)
  if (match === null) return null
  const [header, epoch, first, check, time] = match
  return { epoch: epoch!, first: Number(first), check: check!, time: Number(time), frame: text.slice(header.length) }
}
