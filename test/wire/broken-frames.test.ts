// Frames that break the rules of websockets, or their limits.
import { deflateRawSync } from 'node:zlib'
import t from 'tap'
import { Attacked, attack, outcome } from '../helpers/attack.js'
import { closeFrame, frame } from '../helpers/raw.js'

const attacked = await Attacked.start(t)

attack(t, attacked, [
  {
    what: 'messages that are too long, in too many pieces, or never end',
    versions: [2],
    async run (t, clients) {
      const shell = '{"event":"echo","data":"","cid":"x"}'
      const exact = shell.replace('""', `"${'x'.repeat(65_536 - shell.length)}"`)
      t.match(await outcome(clients, 'main', exact), { rid: 'x' }, 'exactly the limit')
      t.match(await outcome(clients, 'main', exact + ' '), { code: 1009 })
      const pieces = await clients.netConnect()
      pieces.socket.write(Buffer.concat([frame('{', { fin: false }), ...Array.from({ length: 256 }, () => frame(' '.repeat(255), { opcode: 0, fin: false })), frame('}', { opcode: 0 })]))
      t.equal((await pieces.closeFrame()).code, 1008)
      for (const length of [2n ** 63n, 2n ** 63n - 1n, 2n ** 53n, 65_537n]) {
        const liar = await clients.netConnect()
        liar.socket.write(frame('x', { length }))
        t.equal((await liar.closeFrame()).code, 1009, String(length))
      }
      const unfinished = await clients.netConnect('impatient')
      unfinished.socket.write(frame('{"event":', { fin: false }))
      t.equal((await unfinished.closeFrame()).code, 4001)
    }
  },
  {
    what: 'violations of RFC 6455',
    versions: [2],
    async run (t, clients) {
      const text = '{"event":"echo"}'
      const cases: Array<[string, Buffer, number]> = [
        ['unmasked', frame(text, { masked: false }), 1002],
        ['RSV1', frame(text, { rsv: 4 }), 1002],
        ['RSV2', frame(text, { rsv: 2 }), 1002],
        ['RSV3', frame(text, { rsv: 1 }), 1002],
        ['bad UTF-8', frame(Buffer.from([0xc3, 0x28])), 1007],
        ['UTF-8 of a surrogate', frame(Buffer.from([0xed, 0xa0, 0x80])), 1007],
        ['oversize ping', frame('x'.repeat(126), { opcode: 9 }), 1002],
        ['ping in pieces', frame('x', { opcode: 9, fin: false }), 1002],
        ['opcode 3', frame(text, { opcode: 3 }), 1002],
        ['opcode 11', frame(text, { opcode: 11 }), 1002],
        ['stray continuation', frame(text, { opcode: 0 }), 1002],
        ['a message inside a message', Buffer.concat([frame('a', { fin: false }), frame('b')]), 1002],
        ['close code 1005', closeFrame(1005), 1002],
        ['close code 999', closeFrame(999), 1002],
        ['close code 5000', closeFrame(5000), 1002],
        ['a close of one byte', frame('x', { opcode: 8 }), 1002],
        ['a close reason of bad UTF-8', frame(Buffer.from([3, 232, 0xff]), { opcode: 8 }), 1007]
      ]
      for (const [name, bytes, code] of cases) {
        const client = await clients.netConnect()
        client.socket.write(bytes)
        client.packet({ event: '#publish', data: { channel: 'x' }, cid: 'after' })
        t.equal((await client.closeFrame()).code, code, name)
        t.notOk(client.frames.items.some(({ payload }) => payload.includes('after')))
        client.socket.destroy()
      }
      // A length that says less than what follows: the rest is read as the next frame.
      const client = await clients.netConnect()
      client.socket.write(frame('x'.repeat(200), { length: 5n }))
      await client.closed
      const rude = await clients.netConnect()
      rude.socket.resetAndDestroy()
      // Control frames in numbers.
      const pinging = await clients.netConnect()
      pinging.socket.write(Buffer.concat(Array.from({ length: 5_000 }, () => frame('p', { opcode: 9 }))))
      pinging.socket.write(Buffer.concat(Array.from({ length: 5_000 }, () => frame('p', { opcode: 10 }))))
      // The server is in the middle of them: it answers, or has enough.
      await pinging.frames.take(({ opcode }) => opcode === 8 || opcode === 10, 'a pong or a close')
      pinging.socket.destroy()
    }
  },
  {
    what: 'a client that goes on writing after its mistake',
    versions: [2],
    async run (t, clients) {
      const { rss } = await attacked.ask({ ask: 'collect' })
      const body = Buffer.alloc(32 * 1024 * 1024)
      // It does not read before all is written, as a client that is busy with a large message.
      const busy = await clients.netConnect()
      busy.socket.pause()
      busy.socket.write(frame('', { length: BigInt(body.length) }))
      await new Promise<void>((resolve, reject) => busy.socket.write(body, (err) => { err ? reject(err) : resolve() }))
      busy.socket.resume()
      t.equal((await busy.closeFrame()).code, 1009, 'is told the code')
      await busy.closed
      // One that never stops and never reads is dropped.
      const endless = await clients.netConnect()
      endless.socket.pause()
      endless.socket.write(frame('', { length: 2n ** 53n }))
      const write = (): void => { endless.socket.write(body.subarray(0, 65_536), (err) => { if (!err) write() }) }
      write()
      await endless.closed
      t.equal((await attacked.stats('main')).clients, 0, 'none of them is left')
      const written = (body.length + endless.socket.bytesWritten) / 1024 / 1024
      const grown = await attacked.grownBy(rss, written / 4)
      t.comment(`${grown.toFixed(1)} MB more memory after ${written.toFixed()} MB that were discarded`)
      t.ok(grown < written / 4)
    }
  },
  {
    what: 'a compression bomb',
    versions: [2],
    async run (t, clients) {
      const bomb = deflateRawSync(Buffer.alloc(50 * 1024 * 1024, 0x20), { level: 9 })
      t.ok(bomb.length < 60_000)
      const { rss } = await attacked.ask({ ask: 'collect' })
      const plain = await clients.netConnect()
      plain.socket.write(frame(bomb, { rsv: 4 }))
      t.equal((await plain.closeFrame()).code, 1002, 'without compression')
      for (let i = 0; i < 5; i++) {
        const client = await clients.connect('deflate', { perMessageDeflate: true })
        ;(client.ws as any)._socket.write(frame(bomb, { rsv: 4 }))
        t.equal((await client.closed).code, 1009, 'with compression')
      }
      const grown = await attacked.grownBy(rss, 20)
      t.comment(`${grown.toFixed(1)} MB more memory after 250 MB of bombs`)
      t.ok(grown < 20)
    }
  }
])
