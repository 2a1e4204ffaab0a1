import type { MsgHdrs } from '@nats-io/transport-node'
import { keptText, type LastFrame } from './kept-frame.js'
import { status, statusOf, textOf, type Requests } from './requests.js'
import { apiError, checked, type ApiAnswer } from './stream-api.js'

/** A frame to append: the number of its messages, their check and the text. */
export interface NewFrame {
  readonly count: number
  readonly check: string
  readonly text: string
}

/** The start of a history: a frame without messages. */
export const startFrame: NewFrame = { count: 0, check: '', text: '' }

/** Creates headers with one field. */
export type MakeHeaders = (name: string, value: string) => MsgHdrs

/**
 * Appends a frame directly after another one.
 * @returns it as the last frame; `'taken'` if it would not follow that one, and `'no stream'` if there is none. @throws Error of JetStream
 */
export async function append (requests: Requests, headers: MakeHeaders, subject: string, last: LastFrame, { count, check, text }: NewFrame): Promise<LastFrame | 'taken' | 'no stream'> {
  // The clocks of processes differ, but a message is never older than the one before it.
  const time = Math.max(Date.now(), last.time)
  const answer = await requests.ask(subject, keptText(last, count, check, time, text), headers('Nats-Expected-Last-Subject-Sequence', String(last.seq)))
  if (statusOf(answer) === status.noResponders) return 'no stream'
  const stored = JSON.parse(textOf(answer)) as ApiAnswer & { seq: number }
  if (stored.error?.err_code === apiError.wrongLastSequence) return 'taken'
  return { seq: checked(stored).seq, epoch: last.epoch, last: last.last + count, time }
}
