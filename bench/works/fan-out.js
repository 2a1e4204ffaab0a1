import { both, everyone } from './servers.js'

const subscribers = 1000
const channel = 'bench'

/** @param {number} rounds publishes or bursts in one measured stretch */
const fanOut = (burst, rounds) => async (run) => {
  await run.load.open(subscribers)
  await run.load.subscribe(() => [channel])
  const times = run.quick ? Math.ceil(rounds / 2) : rounds
  const publish = async () => {
    for (let i = 0; i < times; i++) await run.publish([channel], subscribers, burst)
    return times * burst * subscribers
  }
  await publish()
  await publish()
  return run.stretches(publish)
}

export const fanOutWorks = [
  {
    id: 'fanout-1',
    title: 'fan-out to 1,000, one publish at a time',
    unit: 'µs a delivery',
    servers: everyone,
    budget: { ratio: 0.75, of: 'ws' },
    measure: fanOut(1, 14)
  },
  {
    id: 'fanout-8',
    title: 'fan-out to 1,000, 8 publishes in a burst',
    unit: 'µs a delivery',
    servers: everyone,
    budget: { ratio: 0.15, of: 'ws' },
    measure: fanOut(8, 5)
  }
]

export const fanOutVariants = [
  {
    id: 'fanout-tls',
    title: 'fan-out to 1,000 over TLS',
    unit: 'µs a delivery',
    servers: both({ tls: true }),
    measure: fanOut(1, 10)
  },
  {
    id: 'fanout-tls-8',
    title: 'fan-out to 1,000 over TLS, 8 in a burst',
    unit: 'µs a delivery',
    servers: both({ tls: true }),
    measure: fanOut(8, 5)
  },
  {
    id: 'fanout-deflate',
    title: 'fan-out to 1,000 with compression',
    unit: 'µs a delivery',
    servers: both({ deflate: true }),
    measure: fanOut(1, 5)
  }
]
