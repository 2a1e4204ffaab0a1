import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { NetClient, RawClient, closeFrame, frame } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'

// Compressed frames that are whole, cut, flipped and mislabelled, in any split and any number to a segment, before and after
// the handshake: nothing of it is uncaught, every connection ends, and others are served. COMPRESSED_SEED, COMPRESSED_PATH and
// COMPRESSED_RUNS replay a failure.

const runs = Number(process.env.COMPRESSED_RUNS ?? 1_500)
const seed = Number(process.env.COMPRESSED_SEED ?? Date.now() % 0x7fffffff)

const deflate = (text: string | Buffer): Buffer => deflateRawSync(text, { finishFlush: 2 }).subarray(0, -4)

const text = fc.oneof(
  fc.constantFrom('{"event":"#handshake","data":{},"cid":1}', '{"event":"echo","data":1,"cid":2}', '[]', 'text', '{'),
  fc.integer({ min: 1, max: 20_000 }).map((length) => JSON.stringify({ event: 'echo', data: 'x'.repeat(length), cid: 3 })),
  fc.integer({ min: 60_000, max: 300_000 }).map((length) => 'y'.repeat(length))
)
const message = fc.oneof(
  { weight: 6, arbitrary: text.map((text) => frame(deflate(text), { rsv: 4 })) },
  { weight: 2, arbitrary: fc.record({ text, rest: fc.uint8Array({ maxLength: 60 }) }).map(({ text, rest }) => frame(Buffer.concat([deflate(text), rest]), { rsv: 4 })) },
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => frame(Buffer.from(bytes), { rsv: 4 })) },
  { weight: 2, arbitrary: fc.record({ text, cut: fc.double({ min: 0, max: 1, noNaN: true }) }).map(({ text, cut }) => { const all = deflate(text); return frame(all.subarray(0, Math.floor(all.length * cut)), { rsv: 4 }) }) },
  { weight: 2, arbitrary: fc.record({ text, rsv: fc.integer({ min: 0, max: 7 }), opcode: fc.integer({ min: 0, max: 15 }), fin: fc.boolean(), masked: fc.boolean() }).map(({ text, ...form }) => frame(deflate(text), form)) },
  { weight: 1, arbitrary: fc.constant(deflate('\ud800')).map((bytes) => frame(Buffer.concat([bytes, Buffer.from([0xff])]), { rsv: 4 })) },
  { weight: 1, arbitrary: fc.constantFrom(closeFrame(1000), closeFrame(7), frame('', { opcode: 9 }), frame('x'.repeat(126), { opcode: 9 })) }
)
const attack = fc.record({
  handshake: fc.boolean(),
  messages: fc.array(message, { minLength: 1, maxLength: 12 }),
  flips: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 2 }),
  cut: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }),
  splits: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 }),
  end: fc.constantFrom('nothing', 'destroy', 'end')
})

t.test(`${runs} attacks, seed ${seed}`, { timeout: runs > 1_500 ? 0 : 100_000 }, async (t) => {
  const uncaught: unknown[] = []
  const onUncaught = (err: unknown): void => { uncaught.push(err) }
  process.on('uncaughtException', onUncaught)
  process.on('unhandledRejection', onUncaught)
  const { port, sc } = await serve(t, { perMessageDeflate: true, connectionRate: 0, maxConnections: 0, maxPendingHandshakes: 0, maxConnectionsPerIp: 0, handshakeTimeout: 1_000 } as object)
  sc.on('handshake', (socket) => { socket.on('echo', (data, res) => res(null, data)) })
  const result = await fc.check(fc.asyncProperty(attack, async ({ handshake, messages, flips, cut, splits, end }) => {
    const client = await NetClient.open(null, port, { headers: ['Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover'] })
    if (handshake) client.socket.write(frame(deflate('{"event":"#handshake","data":{},"cid":1}'), { rsv: 4 }))
    let bytes = Buffer.concat(messages)
    for (const flip of flips) bytes[Math.floor(flip * (bytes.length - 1))]! ^= 1 << Math.floor(flip * 1e6) % 8
    if (cut !== undefined) bytes = bytes.subarray(0, Math.ceil(bytes.length * cut))
    let at = 0
    for (const split of [...splits, 1].sort()) {
      const next = Math.floor(split * bytes.length)
      if (next > at) client.socket.write(bytes.subarray(at, next))
      at = next
      await new Promise((resolve) => setImmediate(resolve))
    }
    if (end === 'destroy') client.socket.destroy()
    else if (end === 'end') client.socket.end()
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
    client.socket.destroy()
    await client.closed
    if (uncaught.length !== 0) throw new Error(`uncaught: ${String((uncaught[0] as Error)?.stack ?? uncaught[0])}`)
  }), { seed, numRuns: runs, path: process.env.COMPRESSED_PATH, interruptAfterTimeLimit: runs > 1_500 ? undefined : 15_000, endOnFailure: true })
  if (result.failed) t.fail(`COMPRESSED_SEED=${seed} COMPRESSED_PATH=${String(result.counterexamplePath)}`, { error: String((result.errorInstance as Error | null)?.message) })
  else t.pass(`${result.numRuns} attacks`)
  await until('nobody to be left', () => sc.stats().clients + sc.stats().pendingClients === 0)
  t.match(sc.stats(), { clients: 0, pendingClients: 0, faults: 0 }, 'nobody is left, and none of it was a fault of ours')
  t.same(uncaught, [])
  const client = await RawClient.connect(t, port, { perMessageDeflate: true })
  t.equal((await client.call('echo', 'alive')).data, 'alive')
})
