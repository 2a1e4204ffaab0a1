import type { Guarded } from '../barrier.js'

/** Gathers packets and passes them on as one array. */
export class OutboundBatch {
  #packets: unknown[] = []
  #timer: NodeJS.Timeout | NodeJS.Immediate | null = null

  /** @param duration in milliseconds; `null` gathers until the end of the current turn of the event loop */
  constructor (readonly guarded: Guarded, readonly duration: number | null, readonly send: (packets: unknown[]) => void) {}

  add (packet: unknown): void {
    this.#packets.push(packet)
    if (this.#timer !== null) return
    const flush = (): void => {
      try {
        this.flush()
      } catch (err) {
        this.guarded.fault(err)
      }
    }
    this.#timer = this.duration === null ? setImmediate(flush) : setTimeout(flush, this.duration)
  }

  flush (): void {
    if (this.#timer === null) return
    this.cancel()
    const packets = this.#packets
    this.#packets = []
    this.send(packets)
  }

  cancel (): void {
    if (this.duration === null) clearImmediate(this.#timer as NodeJS.Immediate)
    else clearTimeout(this.#timer as NodeJS.Timeout)
    this.#timer = null
  }
}
