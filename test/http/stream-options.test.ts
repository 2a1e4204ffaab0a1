import t from 'tap'
import { checkStreamOptions, streamDefaults } from '../../lib/http/stream-options.js'

t.test('options of streams have defaults, and wrong ones are refused with what was expected', async (t) => {
  for (const none of [undefined, false]) t.equal(checkStreamOptions(none), null)
  for (const all of [true, {}, { maxStreams: undefined, key: undefined }]) t.strictSame(checkStreamOptions(all), streamDefaults)
  const key = (): string => 'k'
  t.strictSame(checkStreamOptions({ maxStreams: 0, maxStreamsPerKey: 3, heartbeat: 1_000, key }), { maxStreams: 0, maxStreamsPerKey: 3, heartbeat: 1_000, key })
  for (const [bad, text] of [
    ['yes', /streams .*true, false or an object, got "yes"/], [[], /got array/], [null, /got null/], [{ other: 1 }, /no option "other"; expected some of maxStreams, maxStreamsPerKey, heartbeat, key/],
    [{ maxStreams: -1 }, /streams\.maxStreams .*from 0 to .*got -1/], [{ maxStreamsPerKey: 1.5 }, /maxStreamsPerKey/], [{ heartbeat: 999 }, /from 1000/], [{ heartbeat: 3e9 }, /heartbeat/], [{ key: 'ip' }, /streams\.key .*a function/]
  ] as const) t.throws(() => checkStreamOptions(bad), { name: 'InvalidOptionsError', message: text })
})
