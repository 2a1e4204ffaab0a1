/**
 * A kept frame with messages that were not published, because messages with their keys were published before. The engine does not
 * change a frame, which may be signed; it puts the indexes of these messages in front of it:
 *
 *     -<index>[,<index>…] <frame>
 *
 * The signature does not cover them: whoever can write to the engine can also leave out frames.
 */
const pattern = /^-(\d{1,2}(?:,\d{1,2}){0,63}) /

/** The frame, and the indexes of the messages that do not count. */
export interface KeptText {
  readonly frame: string
  readonly repeats: readonly number[]
}

const none: readonly number[] = []

/** Reads the text of a frame that an engine kept. A text of another form is returned as the frame. */
export function readKept (text: string): KeptText {
  const match = text[0] === '-' ? pattern.exec(text) : null
  return match === null ? { frame: text, repeats: none } : { frame: text.slice(match[0].length), repeats: indexesOf(match[1]!) }
}

/** Reads a list of indexes, as the engine answers with it. */
export function indexesOf (list: string): readonly number[] {
  return list === '' ? none : list.split(',').map(Number)
}

/** Returns the messages of a frame that count. */
export function withoutRepeats (messages: readonly string[], repeats: readonly number[]): readonly string[] {
  return repeats.length === 0 ? messages : messages.filter((_message, i) => !repeats.includes(i))
}
