export type * from '../../types/testing.js'
export { brokerSuite, hostileChannelNames, type BrokerCase, type BrokerSuiteOptions } from './broker-suite.js'
export { injectSC } from './inject.js'
