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
