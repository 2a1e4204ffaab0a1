import type { Broker } from '../../types/broker.js'
import type { SuiteNode } from './suite-node.js'

/** Options of `brokerSuite`. */
export interface BrokerSuiteOptions {
  /** Creates a broker that is not started. All brokers of a suite must use the same engine. */
  create (): Broker | Promise<Broker>
  /** Stops the engine, and restarts it empty. Without it, the cases of outages are skipped. */
  outage?: { down (): Promise<void>, up (): Promise<void> }
  /** Milliseconds to wait for each expected event. @default 5000 */
  patience?: number
}

/** What the cases of a suite share. */
export interface SuiteTools {
  /** Runs a case with started nodes (one if the broker is not shared), and always stops them. */
  withNodes (count: number, run: (nodes: SuiteNode[], prefix: string) => Promise<void>): Promise<void>
  /** Waits until something is so. */
  until (what: string, met: () => boolean, within?: number): Promise<void>
  readonly outage: BrokerSuiteOptions['outage']
}

/** A test case of the suite, for any test runner: `for (const { name, run } of brokerSuite(…)) test(name, run)`. */
export interface BrokerCase {
  readonly name: string
  /** Runs the case. Rejects with an `AssertionError` when the broker violates a rule. */
  readonly run: () => Promise<void>
}
