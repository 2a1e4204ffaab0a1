import { checkText } from '../arguments.js'
import { Emitter } from '../emitter.js'
import type { ScStream } from '../../types/exchange.js'
import type { ScConsumerStats } from '../../types/server.js'
import { type Stream, StreamSet } from '../streams.js'

/** The streams of a socket by SocketCluster's names: its local events, what clients transmit, and what they call. */
export abstract class StreamOwner extends Emitter {
  #receivers: StreamSet | null = null
  #procedures: StreamSet | null = null

  get #listenerSet (): StreamSet { return this.streams }
  get #receiverSet (): StreamSet { return (this.#receivers ??= new StreamSet(this.streamKeeper())) }
  get #procedureSet (): StreamSet { return (this.#procedures ??= new StreamSet(this.streamKeeper())) }

  /** @internal */ activeReceiver (event: string): Stream<any> | undefined { return this.#receivers?.active(event) }
  /** @internal */ activeProcedure (event: string): Stream<any> | undefined { return this.#procedures?.active(event) }

  /** The connection is gone: loops over what the client sent end at once, those over local events when they have read what there is. */
  protected endStreams (): void {
    this.#receivers?.end(true)
    this.#procedures?.end(true)
    // What these hold are the client's messages.
    this.killListener('message')
    this.killListener('raw')
    this.closeStreams()
  }

  listener (event: string): ScStream<any> {
    checkText('listener', 'event', event)
    return this.#listenerSet.of(event)
  }

  receiver (event: string): ScStream<any> {
    checkText('receiver', 'event', event)
    return this.#receiverSet.of(event)
  }

  procedure (event: string): ScStream<any> {
    checkText('procedure', 'event', event)
    return this.#procedureSet.of(event)
  }

  closeListener (event: string): void { this.#listenerSet.stop(false, event) }
  closeAllListeners (): void { this.#listenerSet.stop(false) }
  killListener (event: string): void { this.#listenerSet.stop(true, event) }
  killAllListeners (): void { this.#listenerSet.stop(true) }
  killListenerConsumer (consumerId: number): void { this.#listenerSet.killConsumer(consumerId) }
  getListenerConsumerStats (consumerId: number): ScConsumerStats | undefined { return this.#listenerSet.consumerStats(consumerId) }
  getListenerConsumerStatsList (event: string): ScConsumerStats[] { return this.#listenerSet.consumerStatsList(event) }
  getAllListenersConsumerStatsList (): ScConsumerStats[] { return this.#listenerSet.consumerStatsList() }
  getListenerConsumerCount (event: string): number { return this.#listenerSet.consumerCount(event) }
  getAllListenersConsumerCount (): number { return this.#listenerSet.consumerCount() }
  getListenerConsumerBackpressure (consumerId: number): number { return this.#listenerSet.consumerBackpressure(consumerId) }
  hasListenerConsumer (event: string, consumerId: number): boolean { return this.#listenerSet.hasConsumer(consumerId, event) }
  hasAnyListenerConsumer (consumerId: number): boolean { return this.#listenerSet.hasConsumer(consumerId) }

  closeReceiver (event: string): void { this.#receiverSet.stop(false, event) }
  closeAllReceivers (): void { this.#receiverSet.stop(false) }
  killReceiver (event: string): void { this.#receiverSet.stop(true, event) }
  killAllReceivers (): void { this.#receiverSet.stop(true) }
  killReceiverConsumer (consumerId: number): void { this.#receiverSet.killConsumer(consumerId) }
  getReceiverConsumerStats (consumerId: number): ScConsumerStats | undefined { return this.#receiverSet.consumerStats(consumerId) }
  getReceiverConsumerStatsList (event: string): ScConsumerStats[] { return this.#receiverSet.consumerStatsList(event) }
  getAllReceiversConsumerStatsList (): ScConsumerStats[] { return this.#receiverSet.consumerStatsList() }
  getReceiverBackpressure (event: string): number { return this.#receiverSet.backpressure(event) }
  getAllReceiversBackpressure (): number { return this.#receiverSet.backpressure() }
  getReceiverConsumerBackpressure (consumerId: number): number { return this.#receiverSet.consumerBackpressure(consumerId) }
  hasReceiverConsumer (event: string, consumerId: number): boolean { return this.#receiverSet.hasConsumer(consumerId, event) }
  hasAnyReceiverConsumer (consumerId: number): boolean { return this.#receiverSet.hasConsumer(consumerId) }

  closeProcedure (event: string): void { this.#procedureSet.stop(false, event) }
  closeAllProcedures (): void { this.#procedureSet.stop(false) }
  killProcedure (event: string): void { this.#procedureSet.stop(true, event) }
  killAllProcedures (): void { this.#procedureSet.stop(true) }
  killProcedureConsumer (consumerId: number): void { this.#procedureSet.killConsumer(consumerId) }
  getProcedureConsumerStats (consumerId: number): ScConsumerStats | undefined { return this.#procedureSet.consumerStats(consumerId) }
  getProcedureConsumerStatsList (event: string): ScConsumerStats[] { return this.#procedureSet.consumerStatsList(event) }
  getAllProceduresConsumerStatsList (): ScConsumerStats[] { return this.#procedureSet.consumerStatsList() }
  getProcedureBackpressure (event: string): number { return this.#procedureSet.backpressure(event) }
  getAllProceduresBackpressure (): number { return this.#procedureSet.backpressure() }
  getProcedureConsumerBackpressure (consumerId: number): number { return this.#procedureSet.consumerBackpressure(consumerId) }
  hasProcedureConsumer (event: string, consumerId: number): boolean { return this.#procedureSet.hasConsumer(consumerId, event) }
  hasAnyProcedureConsumer (consumerId: number): boolean { return this.#procedureSet.hasConsumer(consumerId) }
}
