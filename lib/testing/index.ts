export type * from '../../types/testing.js'
export { brokerSuite, type BrokerCase, type BrokerSuiteOptions } from './broker-suite.js'
export { hostileChannelNames } from './hostile-names.js'
export { injectSC } from './inject.js'
