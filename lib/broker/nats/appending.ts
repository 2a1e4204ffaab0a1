import type { MsgHdrs } from '@nats-io/transport-node'
import { keptText, type LastFrame } from './kept-frame.js'
import { status, statusOf, textOf, type Requests } from './requests.js'
import { apiError, checked, type ApiAnswer } from './stream.js'

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
 * @returns its sequence; `'taken'` if it would not follow that one, and `'no stream'` if there is none. @throws Error of JetStream
 */
export async function append (requests: Requests, headers: MakeHeaders, subject: string, last: LastFrame, { count, check, text }: NewFrame): Promise<number | 'taken' | 'no stream'> {
  const answer = await requests.ask(subject, keptText(last, count, check, text), headers('Nats-Expected-Last-Subject-Sequence', String(last.seq)))
  if (statusOf(answer) === status.noResponders) return 'no stream'
  const stored = JSON.parse(textOf(answer)) as ApiAnswer & { seq: number }
  return stored.error?.err_code === apiError.wrongLastSequence ? 'taken' : checked(stored).seq
}
