// `npm run bench:micro`: the parts of a message's way, each on its own, without sockets.
import Fastify from 'fastify'
import { Bench } from 'tinybench'
import { Type } from 'typebox'
import { prepare } from './lib/prepare.js'

await prepare()
const { jsonCodec, toJson } = await import('../dist/lib/protocol/codec.js')
const { inspect } = await import('../dist/lib/protocol/inspect.js')
const { ackText, eventText, parsePacket, publishText } = await import('../dist/lib/protocol/packets.js')
const { SharedMessage } = await import('../dist/lib/transport/shared-message.js')
const { runHooks } = await import('../dist/lib/lifecycle/run.js')
const { defaultOptions } = await import('../dist/lib/options.js')
const { isLocalEvent } = await import('../dist/lib/protocol/names.js')
const { Inbound } = await import('../dist/lib/socket/inbound.js')
const { createSession } = await import('../dist/lib/socket/socket.js')
const { Deadlines } = await import('../dist/lib/deadlines.js')
const { compileValidator } = await import('../dist/lib/contracts/validators.js')
const { compileSerializer } = await import('../dist/lib/contracts/serializers.js')

const data = { from: 'LqKtAABXRb5lTmVJAAAB', text: 'a line of chat as people write it', at: 1735689600000 }
const json = JSON.stringify(data)
const text = JSON.stringify({ event: 'chat', data, cid: 42 })
const bytes = Buffer.from(text)
const value = JSON.parse(text)
const packet = publishText('room/1', json)

const schema = { type: 'object', required: ['from', 'text', 'at'], properties: { from: { type: 'string' }, text: { type: 'string', maxLength: 500 }, at: { type: 'integer' } } }
const typeboxSchema = Type.Object({ from: Type.String(), text: Type.String({ maxLength: 500 }), at: Type.Integer() })
const app = Fastify()
// A context gets its serializer compiler with its first route.
app.get('/', { schema: { response: { 200: schema } } }, async () => data)
await app.ready()
const validator = (schema) => compileValidator({ schema, instance: app, part: 'data', url: 'chat', compiler: undefined, formatter: undefined })
const validateTypebox = validator(typeboxSchema)
const validateAjv = validator(schema)
const serialize = compileSerializer(schema, app, 'chat', 'chat')
for (const validate of [validateTypebox, validateAjv]) {
  if (validate(data).error !== undefined || validate({}).error === undefined) throw new Error('a validator does not do what it should')
}

const deadlines = new Deadlines(5000)
const request = {}
const syncHooks = [() => {}, () => {}]
const asyncHooks = [async () => {}, async () => {}]
const noHooks = []

/** The way in of a real socket, with all limits on, up to where an event is dispatched; the rate is one that is never reached. */
function wayIn (dispatch) {
  const options = { ...defaultOptions, inboundRate: 1e9, inboundBurst: 1e9, inboundByteRate: 1e12, inboundByteBurst: 1e12 }
  const port = { open: true, bufferedBytes: 0, send () {}, publish: () => true, close () {}, terminate () {}, pause () {}, resume () {} }
  const socket = createSession('id', { options, codec: jsonCodec, plainJson: true }, port, { ip: '127.0.0.1', raw: {} })
  socket.opened()
  return new Inbound(socket, { dispatch, tokens: { dropExpired () {} }, rates: { take: () => 0 } })
}

/** The same without any guard. */
function unguarded (text, dispatch) {
  const { event, data, cid } = JSON.parse(text)
  if (!isLocalEvent(event)) dispatch(null, { kind: 'event', event, data, cid })
}

/** Calls in one measured stretch: one alone takes less time than reading the clock. */
const batch = 200
let sink // what is thrown away may be optimized away
const bench = new Bench({ time: 300, warmupTime: 100 })
function add (name, fn) {
  bench.add(name, () => {
    for (let i = 0; i < batch; i++) sink = fn() ?? sink
  })
}

add('decode: bytes of a packet to its value', () => jsonCodec.decode(bytes))
add('inspect: depth, nodes and keys of a value', () => inspect(value, 32, 10_000))
add('parse: value to packet', () => parsePacket(value, 128))
add('validate: TypeBox schema', () => validateTypebox(data))
add('validate: JSON schema with Ajv', () => validateAjv(data))
add('hooks: none', () => runHooks('emit', noHooks, app, request, deadlines))
add('hooks: two that return nothing', () => runHooks('emit', syncHooks, app, request, deadlines))
add('encode: data to JSON', () => toJson(data))
add('serialize: data by its response schema', () => serialize(data))
add('packet: an ack around JSON', () => ackText(42, json))
add('packet: an event around JSON', () => eventText('chat', json, 42))
add('packet: a publication around JSON', () => publishText('room/1', json))
add('packet: a publication by JSON.stringify of all', () => JSON.stringify({ event: '#publish', data: { channel: 'room/1', data } }))
add('frame: the shared one of a publication', () => new SharedMessage(packet).frame)
const dispatch = (_socket, packet) => { sink = packet }
const inbound = wayIn(dispatch)
const guarded = 'a message in, with all guards'
const bare = 'a message in, without any'
add(guarded, () => { if (inbound.onArrival(text.length)) inbound.onMessage(text, text.length) })
add(bare, () => unguarded(text, dispatch))
bench.add('hooks: two async', async () => {
  for (let i = 0; i < batch; i++) await runHooks('emit', asyncHooks, app, request, deadlines)
})
await bench.run()
deadlines.clear()
await app.close()

const nanoseconds = {}
for (const { name, result } of bench.tasks) {
  if (result.error) throw result.error
  nanoseconds[name] = result.latency.p50 * 1e6 / batch
  console.log(`${name.padEnd(50)}${nanoseconds[name].toFixed(0).padStart(8)} ns  ± ${result.latency.rme.toFixed(1)} %`)
}
console.log(`\nAll guards of a message together: ${(nanoseconds[guarded] - nanoseconds[bare]).toFixed(0)} ns (budget 300): size, depth, nodes and keys, names, rate, what waits on hooks.`)
