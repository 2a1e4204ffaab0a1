import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { BlockList } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { Admission } from '../../lib/server/admission.js'
import { addressKey, isPrivate } from '../../lib/server/address-key.js'
import { startApp } from '../helpers/app.js'
import { type Cleanup, NetClient, RawClient } from '../helpers/raw.js'
import { serve, type Served } from '../helpers/serve.js'
import type { ScPluginOptions } from '../../lib/index.js'

/** Behind a proxy that is trusted, so that tests can come from anywhere. */
const start = (t: Cleanup, options: ScPluginOptions): Promise<Served> => serve(t, options, undefined, { trustProxy: '127.0.0.1' })
const from = (address: string): { headers: Record<string, string> } => ({ headers: { 'x-forwarded-for': address } })
const refused = (t: Cleanup, port: number, address: string): Promise<string> =>
  RawClient.open(t, port, from(address)).then(() => 'accepted', (err: Error) => err.message)

t.test('what counts as one address', (t) => {
  for (const [ip, key] of [
    ['203.0.113.9', '203.0.113.9'], ['::ffff:203.0.113.9', '203.0.113.9'], ['::ffff:cb00:7109', '203.0.113.9'], ['0:0:0:0:0:FFFF:203.0.113.9', '203.0.113.9'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::'], ['2001:DB8:1:2::', '2001:db8:1:2::'], ['2001:0db8:0001:0002::7', '2001:db8:1:2::'], ['2001:db8::1', '2001:db8:0:0::'],
    ['fe80::1%eth0', 'fe80:0:0:0::'], ['::1', '0:0:0:0::'], ['nonsense', 'unknown'], ['x'.repeat(5_000), 'unknown'], ['1:2', 'unknown'], ['', 'unknown']
  ] as const) t.equal(addressKey(ip), key, ip)
  for (const ip of ['127.0.0.1', '10.1.2.3', '192.168.0.1', '172.20.0.1', '100.64.0.1', '::1', 'fe80::1', 'fd00::1', '::ffff:127.0.0.1']) t.ok(isPrivate(addressKey(ip)), ip)
  for (const ip of ['203.0.113.9', '2001:db8::1', 'unknown', '172.32.0.1']) t.notOk(isPrivate(addressKey(ip)), ip)
  fc.assert(fc.property(fc.ipV6(), (ip) => {
    const key = addressKey(ip)
    t.ok(key === 'unknown' ? false : typeof isPrivate(key) === 'boolean', ip)
  }))
  t.end()
})

t.test('private addresses are those of the private networks, to their last address', (t) => {
  const networks = new BlockList()
  for (const [address, prefix] of [['10.0.0.0', 8], ['172.16.0.0', 12], ['192.168.0.0', 16], ['127.0.0.0', 8], ['169.254.0.0', 16], ['100.64.0.0', 10]] as const) {
    networks.addSubnet(address, prefix, 'ipv4')
  }
  for (let first = 0; first < 256; first++) {
    for (let second = 0; second < 256; second++) {
      const ip = `${first}.${second}.255.7`
      if (isPrivate(ip) !== networks.check(ip, 'ipv4')) t.fail(ip)
    }
  }
  for (const [address, prefix] of [['::1', 128], ['fc00::', 7], ['fe80::', 10]] as const) networks.addSubnet(address, prefix, 'ipv6')
  for (let group = 0; group < 0x1_00_00; group++) {
    const ip = `${group.toString(16)}:7::7`
    if (isPrivate(addressKey(ip)) !== networks.check(ip, 'ipv6')) t.fail(ip)
  }
  t.ok(isPrivate(addressKey('::1')))
  t.end()
})

t.test('silent connections of one address do not keep others out', async (t) => {
  const { port, sc } = await start(t, { maxPendingHandshakes: 5 })
  const silent: RawClient[] = []
  for (let i = 0; i < 5; i++) silent.push(await RawClient.open(t, port, from('2001:db8:1:2::' + i)))
  t.match(await refused(t, port, '2001:db8:1:2:ffff::1'), /503/, 'it has all places and gets no more')
  const others = await Promise.all(['203.0.113.1', '203.0.113.2'].map((address) => RawClient.open(t, port, from(address))))
  t.equal((await silent[0]!.closed).code, 1013, 'the oldest made room')
  t.equal((await silent[1]!.closed).code, 1013, 'and the next')
  for (const other of others) await other.handshake()
  t.equal(sc.stats().pendingClients, 3)
  t.equal(sc.stats().refusedConnections, 1)
})

t.test('an address with as few pending handshakes as all others takes nobody\'s place', async (t) => {
  const { port } = await start(t, { maxPendingHandshakes: 2 })
  for (const address of ['203.0.113.1', '203.0.113.2']) await RawClient.open(t, port, from(address))
  t.match(await refused(t, port, '203.0.113.3'), /503/)
})

t.test('a connection that is closed counts until it is gone', async (t) => {
  const { port, sc } = await start(t, { maxConnections: 10, maxConnectionsPerIp: 4 })
  const closes: Array<(client: NetClient) => void> = [
    // The server closes: it is asked to, or because of what came, or because of a limit. None of them answers the close.
    (client) => {
      client.packet({ event: '#handshake', data: {}, cid: 1 })
      client.packet({ event: '#disconnect', data: { code: 1000 } })
    },
    (client) => client.packet({ event: 'before the handshake' }),
    (client) => client.packet(Array.from({ length: 100 }, () => ({}))),
    (client) => {
      client.packet({ event: '#handshake', data: {}, cid: 1 })
      client.packet(Array.from({ length: 100 }, () => ({})))
    }
  ]
  const closing: NetClient[] = []
  for (const close of closes) {
    const client = await NetClient.open(t, port, { headers: ['X-Forwarded-For: 203.0.113.1'] })
    close(client)
    await client.closeFrame()
    closing.push(client)
  }
  t.match(await refused(t, port, '203.0.113.1'), /503/, 'it has as many as it may')
  t.equal(await refused(t, port, '203.0.113.2'), 'accepted')
  t.equal(sc.clientsCount, 0)
  for (const client of closing) client.socket.destroy()
  while (await refused(t, port, '203.0.113.1') !== 'accepted') await new Promise(setImmediate)
  t.pass('there is room again')
})

t.test('open connections of one address leave some for others', async (t) => {
  const { port } = await start(t, { maxConnections: 10 })
  for (let i = 0; i < 8; i++) await RawClient.connect(t, port, from('203.0.113.1'))
  await RawClient.connect(t, port, from('203.0.113.2'))
  t.match(await refused(t, port, '203.0.113.1'), /503/)
  await RawClient.connect(t, port, from('203.0.113.3'))
  t.match(await refused(t, port, '203.0.113.4'), /503/, 'all are taken')
})

t.test('a proxy that is not trusted may have all', async (t) => {
  const { port } = await serve(t, { maxConnections: 10, connectionRate: 0.001, connectionBurst: 1 })
  for (let i = 0; i < 10; i++) await RawClient.connect(t, port, from('203.0.113.1'))
  t.match(await refused(t, port, '203.0.113.1'), /503/)
})

t.test('the rate of connections', async (t) => {
  const { port, sc, logs } = await startApp(t, { connectionRate: 0.01, connectionBurst: 20 }, undefined, { trustProxy: '127.0.0.1' })
  const told: any[] = []
  const listener = (message: unknown): void => { told.push(message) }
  subscribe('sc:upgrade:refused', listener)
  t.teardown(() => unsubscribe('sc:upgrade:refused', listener))
  for (let i = 0; i < 20; i++) await RawClient.connect(t, port, from('203.0.113.1'))
  await RawClient.connect(t, port, from('203.0.113.1'))
  for (let i = 0; i < 5; i++) t.match(await refused(t, port, '203.0.113.1'), /429/)
  await RawClient.connect(t, port, from('203.0.113.2'))
  await RawClient.connect(t, port, from('10.0.0.1'))
  t.equal(sc.stats().refusedConnections, 5)
  t.equal(told.length, 5)
  t.match(told[0], { address: '203.0.113.1', error: { code: 'SC_ERR_CONNECTION_RATE' } })
  const lines = logs.filter(({ msg }) => msg === 'connections are refused')
  t.ok(lines.length >= 1 && lines.length < 5, 'the log is bounded')
  t.match(lines[0], { level: 40, address: '203.0.113.1' })
  t.notOk(logs.some(({ level }) => level >= 50))
})

t.test('a refusal is an ordinary answer', async (t) => {
  const { port } = await start(t, { maxConnectionsPerIp: 1 })
  await RawClient.connect(t, port, from('2001:db8:1:2::1'))
  const { headers, body } = await new Promise<{ headers: Record<string, unknown>, body: string }>((resolve, reject) => {
    RawClient.open(t, port, from('2001:db8:1:2::2')).then(() => reject(new Error('accepted')), () => {})
    import('ws').then(({ WebSocket }) => {
      const ws = new WebSocket(`ws://127.0.0.1:${port}/socketcluster/`, from('2001:db8:1:2::3'))
      ws.on('error', () => {})
      ws.on('unexpected-response', (_request, response) => {
        let body = ''
        response.on('data', (chunk: Buffer) => { body += chunk.toString() })
        response.on('end', () => resolve({ headers: response.headers, body }))
      })
    }, reject)
  })
  t.equal(headers['retry-after'], '10')
  t.match(JSON.parse(body), { statusCode: 503, code: 'SC_ERR_CONNECTIONS', error: 'Service Unavailable', message: /maxConnectionsPerIp/ })
})

t.test('whatever comes and goes, it is counted', (t) => {
  const addresses = ['203.0.113.1', '203.0.113.2', '2001:db8::1', '10.0.0.1', undefined]
  const steps = fc.array(fc.record({ address: fc.constantFrom(...addresses), what: fc.constantFrom('connect', 'shake', 'leave'), at: fc.nat() }), { maxLength: 200 })
  fc.assert(fc.property(steps, (steps) => {
    const admission = new Admission({ maxConnections: 20, maxConnectionsPerIp: 0, maxPendingHandshakes: 8, connectionRate: 0, connectionBurst: 1 })
    let sockets: Array<{ address: string | undefined, pending: boolean }> = []
    for (const { address, what, at } of steps) {
      const pending = sockets.filter((socket) => socket.pending)
      const socket = sockets[at % Math.max(1, sockets.length)]
      if (what === 'connect') {
        if (admission.ask(address) !== undefined) continue
        const crowds = admission.crowded(address)
        if (crowds !== undefined) {
          const loser = pending.find((other) => crowds(other.address))!
          t.ok(loser, 'somebody makes room')
          t.ok(pending.filter((other) => other.address === loser.address).length > pending.filter((other) => other.address === address).length + 1, 'who has more')
          admission.gone(loser.address, true)
          sockets = sockets.filter((other) => other !== loser)
        }
        admission.connected(address)
        sockets.push({ address, pending: true })
      } else if (what === 'shake' && socket?.pending === true) {
        admission.shookHands(socket.address)
        socket.pending = false
      } else if (what === 'leave' && socket !== undefined) {
        admission.gone(socket.address, socket.pending)
        sockets = sockets.filter((other) => other !== socket)
      }
      if (sockets.length > 20 || sockets.filter((other) => other.pending).length > 8) t.fail('over a limit')
      const public1 = sockets.filter((other) => other.address === '203.0.113.1').length
      if (public1 > 18) t.fail('one address has nearly all')
    }
    for (const { address, pending } of sockets) admission.gone(address, pending)
    t.equal(admission.size, 0, 'nothing is kept of those who left')
  }), { numRuns: 100 })
  t.end()
})
