import { randomBytes } from 'node:crypto'
import { readPositioned } from '../remote/history/positioned.js'
import type { StoredFrame } from '../remote/history/stored.js'

/**
 * A frame as the stream keeps it: the number of messages, and the frame with its position as every node reads it.
 *
 *     <number of messages> sc2 <epoch> <offset of the first message> <check> <time in milliseconds> <frame>
 *
 * NATS does not count the messages of a channel, so the publishing node gives them their offsets. The stream takes a frame only if
 * it follows the frame that the node has counted from.
 *
 * A history begins with a frame without messages when it is read before anything was published. It holds the epoch, so that a
 * position before the first message exists.
 */
export interface KeptFrame extends StoredFrame {
  /** The sequence in the stream. */
  readonly seq: number
  readonly epoch: string
  /** The offset of the first message. */
  readonly first: number
}

/** The last frame of a channel, as the next one needs it. */
export type LastFrame = Pick<KeptFrame, 'seq' | 'epoch' | 'last' | 'time'>

const noCheck = '-'
const number = /^(\d{1,2}) /

/** Returns the last frame of a channel without any: the start of a new history. */
export function newHistory (): LastFrame {
  return { seq: 0, epoch: randomBytes(6).toString('base64url'), last: 0, time: 0 }
}

/** @param last the frame before it. @param frame the frame, with `count` messages; empty without any */
export function keptText ({ epoch, last }: LastFrame, count: number, check: string, time: number, frame: string): string {
  return `${count} sc2 ${epoch} ${last + 1} ${count === 0 ? noCheck : check} ${time} ${frame}`
}

/** Reads a frame; `null` for a text of another form. */
export function readKept (text: string, seq: number): KeptFrame | null {
  const published = publishedText(text)
  const positioned = published === null ? null : readPositioned(published)
  if (positioned === null) return null
  const { epoch, first, check, time, frame } = positioned
  const count = Number(text.slice(0, text.indexOf(' ')))
  return { seq, epoch, first, last: first + count - 1, count, check: count === 0 ? '' : check, time, text: frame }
}

/** Returns the frame with its position as nodes read it; `null` for a text that the stream did not publish. */
export function publishedText (text: string): string | null {
  const match = number.exec(text)
  return match === null ? null : text.slice(match[0].length)
}
