/** A frame with its position, as it arrived from the engine. */
export interface Arrival {
  readonly epoch: string
  /** The offset of the first message. */
  readonly first: number
  readonly check: string
  readonly time: number
  /** The messages; `null` instead of one that cannot be used. */
  readonly messages: ReadonlyArray<string | null>
}

/** A frame that arrived and that this process cannot read: nobody knows how many messages it has. */
export interface Unreadable extends Pick<Arrival, 'epoch' | 'first'> {
  readonly messages: null
}
