import type { ScStream } from '../../types/exchange.js'
import type { ScConsumerStats, ScProcedureRequest, ScSocketStreams, SocketEventObjects, SocketEvents } from '../../types/server.js'
import { checkText } from '../arguments.js'
import type { StreamSet } from '../stream-set.js'

/** Events that clients transmit, by name. */
export type ReceiverObjects = Record<string, unknown>
/** Events that clients call, by name. */
export type ProcedureObjects = Record<string, ScProcedureRequest>

/** The stream sets of a socket. Each set is created when first used. */
export interface StreamSource {
  /** Streams of local events. */
  readonly listenerStreams: StreamSet<SocketEventObjects>
  /** Streams of transmitted events. */
  readonly receiverStreams: StreamSet<ReceiverObjects>
  /** Streams of calls. */
  readonly procedureStreams: StreamSet<ProcedureObjects>
}

/** The stream methods of a socket, with SocketCluster's names. */
export abstract class SocketStreams implements ScSocketStreams {
  readonly #source: StreamSource

  constructor (source: StreamSource) {
    this.#source = source
  }

  listener<E extends keyof SocketEvents> (event: E): ScStream<SocketEventObjects[E]> {
    checkText('listener', 'event', event)
    return this.#source.listenerStreams.of(event)
  }

  receiver (event: string): ScStream<unknown> {
    checkText('receiver', 'event', event)
    return this.#source.receiverStreams.of(event)
  }

  procedure (event: string): ScStream<ScProcedureRequest> {
    checkText('procedure', 'event', event)
    return this.#source.procedureStreams.of(event)
  }

  getListenerBackpressure (event: string): number { return this.#source.listenerStreams.backpressure(event) }
  getAllListenersBackpressure (): number { return this.#source.listenerStreams.backpressure() }
  closeListener (event: string): void { this.#source.listenerStreams.stop(false, event) }
  closeAllListeners (): void { this.#source.listenerStreams.stop(false) }
  killListener (event: string): void { this.#source.listenerStreams.stop(true, event) }
  killAllListeners (): void { this.#source.listenerStreams.stop(true) }
  killListenerConsumer (consumerId: number): void { this.#source.listenerStreams.killConsumer(consumerId) }
  getListenerConsumerStats (consumerId: number): ScConsumerStats | undefined { return this.#source.listenerStreams.consumerStats(consumerId) }
  getListenerConsumerStatsList (event: string): ScConsumerStats[] { return this.#source.listenerStreams.consumerStatsList(event) }
  getAllListenersConsumerStatsList (): ScConsumerStats[] { return this.#source.listenerStreams.consumerStatsList() }
  getListenerConsumerCount (event: string): number { return this.#source.listenerStreams.consumerCount(event) }
  getAllListenersConsumerCount (): number { return this.#source.listenerStreams.consumerCount() }
  getListenerConsumerBackpressure (consumerId: number): number { return this.#source.listenerStreams.consumerBackpressure(consumerId) }
  hasListenerConsumer (event: string, consumerId: number): boolean { return this.#source.listenerStreams.hasConsumer(consumerId, event) }
  hasAnyListenerConsumer (consumerId: number): boolean { return this.#source.listenerStreams.hasConsumer(consumerId) }

  closeReceiver (event: string): void { this.#source.receiverStreams.stop(false, event) }
  closeAllReceivers (): void { this.#source.receiverStreams.stop(false) }
  killReceiver (event: string): void { this.#source.receiverStreams.stop(true, event) }
  killAllReceivers (): void { this.#source.receiverStreams.stop(true) }
  killReceiverConsumer (consumerId: number): void { this.#source.receiverStreams.killConsumer(consumerId) }
  getReceiverConsumerStats (consumerId: number): ScConsumerStats | undefined { return this.#source.receiverStreams.consumerStats(consumerId) }
  getReceiverConsumerStatsList (event: string): ScConsumerStats[] { return this.#source.receiverStreams.consumerStatsList(event) }
  getAllReceiversConsumerStatsList (): ScConsumerStats[] { return this.#source.receiverStreams.consumerStatsList() }
  getReceiverBackpressure (event: string): number { return this.#source.receiverStreams.backpressure(event) }
  getAllReceiversBackpressure (): number { return this.#source.receiverStreams.backpressure() }
  getReceiverConsumerBackpressure (consumerId: number): number { return this.#source.receiverStreams.consumerBackpressure(consumerId) }
  hasReceiverConsumer (event: string, consumerId: number): boolean { return this.#source.receiverStreams.hasConsumer(consumerId, event) }
  hasAnyReceiverConsumer (consumerId: number): boolean { return this.#source.receiverStreams.hasConsumer(consumerId) }

  closeProcedure (event: string): void { this.#source.procedureStreams.stop(false, event) }
  closeAllProcedures (): void { this.#source.procedureStreams.stop(false) }
  killProcedure (event: string): void { this.#source.procedureStreams.stop(true, event) }
  killAllProcedures (): void { this.#source.procedureStreams.stop(true) }
  killProcedureConsumer (consumerId: number): void { this.#source.procedureStreams.killConsumer(consumerId) }
  getProcedureConsumerStats (consumerId: number): ScConsumerStats | undefined { return this.#source.procedureStreams.consumerStats(consumerId) }
  getProcedureConsumerStatsList (event: string): ScConsumerStats[] { return this.#source.procedureStreams.consumerStatsList(event) }
  getAllProceduresConsumerStatsList (): ScConsumerStats[] { return this.#source.procedureStreams.consumerStatsList() }
  getProcedureBackpressure (event: string): number { return this.#source.procedureStreams.backpressure(event) }
  getAllProceduresBackpressure (): number { return this.#source.procedureStreams.backpressure() }
  getProcedureConsumerBackpressure (consumerId: number): number { return this.#source.procedureStreams.consumerBackpressure(consumerId) }
  hasProcedureConsumer (event: string, consumerId: number): boolean { return this.#source.procedureStreams.hasConsumer(consumerId, event) }
  hasAnyProcedureConsumer (consumerId: number): boolean { return this.#source.procedureStreams.hasConsumer(consumerId) }
}
