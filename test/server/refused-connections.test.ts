// Connections that are refused before the upgrade.
import { connect } from 'node:net'
import t from 'tap'
import { Attacked, attack } from '../helpers/attack.js'
import { RawClient } from '../helpers/raw.js'
import { until } from '../helpers/waiting.js'

const attacked = await Attacked.start(t)

attack(t, attacked, [
  {
    what: 'floods of connections',
    versions: [2],
    async run (t, clients) {
      const served = await Promise.all([clients.connect('full'), clients.connect('full')])
      const outcomes = await Promise.all(Array.from({ length: 200 }, () => clients.open('full').then(() => 'open', (err: Error) => err.message)))
      const accepted = outcomes.filter((outcome) => outcome === 'open').length
      t.ok(accepted > 0 && accepted <= 10, `${accepted} of 200 were let in, and wait for their handshakes`)
      t.ok(outcomes.every((outcome) => outcome === 'open' || /503/.test(outcome)), 'the others got 503')
      for (const client of served) t.equal((await client.call('echo', 'served')).data, 'served')
      await until('the idle ones to be gone after handshakeTimeout', async () => (await attacked.stats('full')).pendingClients === 0)
      const open: RawClient[] = []
      for (let i = 0; i < 23; i++) open.push(await clients.connect('full'))
      await t.rejects(clients.open('full'), /503/, 'maxConnectionsPerIp')
      const freed = Promise.all(open.splice(0, 10).map((client) => client.close()))
      await freed
      t.equal((await (await clients.connect('full')).call('echo', 1)).data, 1, 'there is room again')
      const socket = connect(attacked.ports.full, '127.0.0.1')
      t.teardown(() => socket.destroy())
      for (const client of [...open, ...served]) client.ws.terminate()
    }
  },
  {
    what: 'origins',
    versions: [2],
    async run (t, clients) {
      for (const origin of [undefined, 'https://good.example', 'HTTPS://GOOD.EXAMPLE', 'https://good.example:443']) {
        await clients.open('origin', origin === undefined ? {} : { origin })
      }
      for (const origin of ['null', 'https://good.example:444', 'http://good.example', 'https://good.example.evil.org', 'https://evilgood.example', 'https://good.exampl', 'https://x.good.example', 'https://good.example@evil.org',
        'https://user:pass@good.example', 'https://evil.org/?https://good.example', 'good.example', '*', 'file://', 'javascript:alert(1)', 'https://good.example/path', 'https://good.example#x', `https://${'x'.repeat(5_000)}`, '://', 'https://[::1']) {
        await t.rejects(clients.open('origin', { origin }), /403/, origin.slice(0, 40))
      }
    }
  }
])
