// Who loses authorization gets no more of what it was for.
import { setTimeout as sleep } from 'node:timers/promises'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { ScRefusal, type ScServerSocket } from '../../lib/index.js'
import { sessionOf } from '../../lib/socket/socket.js'
import { Attacked, attack } from '../helpers/attack.js'
import { RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'
import { Stopwatch } from '../helpers/stopwatch.js'
import { until } from '../helpers/waiting.js'

const attacked = await Attacked.start(t)

attack(t, attacked, [
  {
    what: 'tokens that end while private messages flow',
    async run (t, clients) {
      for (const how of ['expired', 'revoked'] as const) {
        const user = `${how}${clients.version}`
        const end = Math.ceil(Date.now() / 1000) + 2
        const client = await clients.connect('main', { authToken: jwt.sign(how === 'expired' ? { sub: user, exp: end } : { sub: user }, authKey) })
        t.notOk('error' in await client.call('#subscribe', `private/${user}`))
        await client.call('#subscribe', 'public')
        const log: string[] = []
        client.ws.on('message', (data) => {
          const text = data.toString()
          if (text.includes('#kickOut')) log.push('kick-out')
          else if (text.includes('#publish')) log.push(text.includes('private/') ? 'private' : 'public')
        })
        const timer = setInterval(() => {
          for (const channel of [`private/${user}`, 'public']) attacked.ask({ ask: 'publish', server: 'main', channel, data: 1, times: 1 })
        }, 25)
        t.teardown(() => clearInterval(timer))
        await until('messages to flow', () => log.includes('private'))
        const watch = new Stopwatch()
        const from = how === 'expired' ? Math.max(0, end * 1000 - Date.now()) : 0
        if (how === 'revoked') t.equal(await attacked.ask({ ask: 'revoke', user }), 1)
        t.match((await client.event('#kickOut')).data, { channel: `private/${user}` })
        // Pings come every 8 s.
        t.ok(watch.stop() - from < 4_000, `${how}: noticed ${(watch.wall - from).toFixed()} ms after, by itself`)
        const kicked = log.indexOf('kick-out')
        await until('ten public messages after it', () => log.slice(kicked).filter((kind) => kind === 'public').length >= 10)
        clearInterval(timer)
        t.notOk(log.slice(kicked).includes('private'), 'no private message after it')
        if (how === 'revoked') {
          const back = await clients.open()
          t.match(await back.handshake(jwt.sign({ sub: user, iat: Math.floor(Date.now() / 1000) - 10 }, authKey)), { isAuthenticated: false }, 'the old token does not count again')
        }
      }
    }
  }
])

t.test('losing authorization ends delivery', async (t) => {
  const modes = [[true, 'kick'], ['kick', 'kick'], ['suspend', 'suspend'], [false, 'keep']] as const
  for (const [revalidate, effect] of modes) {
    t.test(`revalidate: ${String(revalidate)}`, async (t) => {
      const rechecks: string[] = []
      const { port, sc, nextSocket } = await serve(t, { revalidate }, (app) => {
        app.scHook('subscribe', async ({ socket, channel, revalidation }) => {
          if (revalidation) rechecks.push(channel)
          await sleep(2)
          if (channel.startsWith('user/') && channel !== `user/${String(socket.authToken?.name)}`) throw new ScRefusal('not yours')
        })
      })

      async function subscriber (claims: object = { name: 'ann' }): Promise<[RawClient, ScServerSocket]> {
        const opening = nextSocket()
        const client = await RawClient.connect(t, port, { authToken: jwt.sign(claims, authKey) })
        const socket = await opening
        for (const channel of ['user/ann', 'open']) t.notOk('error' in await client.call('#subscribe', { channel }))
        t.notOk('error' in await client.call('#subscribe', { channel: 'members', waitForAuth: true }))
        return [client, socket]
      }

      /** What still arrives of one message to each channel. */
      async function arriving (client: RawClient, socket: ScServerSocket): Promise<string[]> {
        await client.barrier()
        await until('subscriptions to be checked again', () => sessionOf(socket).activity.isQuiet)
        client.inbox.items.length = 0
        for (const channel of ['user/ann', 'open', 'members']) sc.exchange.publish(channel, channel)
        await client.barrier()
        return client.inbox.items.filter((packet) => packet.event === '#publish').map((packet) => packet.data.channel)
      }

      const loss: Array<[string, (client: RawClient, socket: ScServerSocket) => unknown]> = [
        ['deauthenticate()', (_client, socket) => { socket.deauthenticate() }],
        ['deauthenticateSelf()', (_client, socket) => socket.deauthenticateSelf()],
        ['#removeAuthToken', (client) => client.send({ event: '#removeAuthToken' })],
        ['a bad token', (client) => client.call('#authenticate', 'bad')]
      ]
      for (const [how, lose] of loss) {
        const [client, socket] = await subscriber()
        t.same(await arriving(client, socket), ['user/ann', 'open', 'members'])
        await lose(client, socket)
        const kicks: unknown[] = []
        if (effect === 'kick') {
          for (const channel of ['user/ann', 'members']) kicks.push((await client.inbox.take((packet) => packet.event === '#kickOut' && packet.data.channel === channel, 'a kick-out')).data.channel)
        }
        t.same(await arriving(client, socket), effect === 'keep' ? ['user/ann', 'open', 'members'] : ['open'], how)
        t.same(socket.subscriptions(), effect === 'kick' ? ['open'] : ['user/ann', 'open', 'members'], how)
        if (effect === 'suspend') {
          t.match(await client.call('#authenticate', jwt.sign({ name: 'ann' }, authKey)), { data: { isAuthenticated: true } })
          t.same(await arriving(client, socket), ['user/ann', 'open', 'members'], 'it goes on when the client is who it was')
        }
        client.ws.terminate()
      }

      const [client, socket] = await subscriber()
      socket.setAuthToken({ name: 'ben' }).catch(() => {})
      if (effect === 'kick') t.match((await client.event('#kickOut')).data, { channel: 'user/ann', message: 'not yours' })
      t.same(await arriving(client, socket), effect === 'keep' ? ['user/ann', 'open', 'members'] : ['open', 'members'], 'a changed token')
      t.match(await client.call('#authenticate', jwt.sign({ name: 'ben' }, authKey)), { data: { isAuthenticated: true } })
      t.same(await arriving(client, socket), effect === 'keep' ? ['user/ann', 'open', 'members'] : ['open', 'members'], 'a token of another user from the client')
      if (effect === 'keep') t.same(rechecks, [])
      else t.ok(rechecks.includes('user/ann') && rechecks.includes('open'), 'every subscription is asked about again')

      if (effect === 'keep') return
      const exp = Math.ceil(Date.now() / 1000) + 2
      const [expiring] = await subscriber({ name: 'ann', exp })
      const log: string[] = []
      const watch = new Stopwatch()
      expiring.ws.on('message', (data) => {
        const text = data.toString()
        if (text.includes('#removeAuthToken')) log.push('the end')
        else if (text.includes('"user/ann"') && text.includes('#publish')) log.push('private')
      })
      const timer = setInterval(() => sc.exchange.publish('user/ann', 'private'), 20)
      t.teardown(() => clearInterval(timer))
      await expiring.event('#removeAuthToken')
      const late = Date.now() - exp * 1000
      watch.stop()
      clearInterval(timer)
      for (let i = 0; i < 5; i++) await sc.exchange.publish('user/ann', 'private')
      // Its answer passes no publication.
      await expiring.barrier()
      t.ok(log.includes('private'), 'messages flowed')
      t.ok(late <= 250 + watch.heldUp, `it is told ${late} ms after the end of the token, on a machine that held up this process by ${watch.heldUp.toFixed()} ms`)
      t.equal(log.at(-1), 'the end', 'and none comes after it')
    })
  }
})
