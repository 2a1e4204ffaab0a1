import t from 'tap'
import { channelNameError, isChannelName, isLocalEvent, isReservedEvent } from '../../lib/protocol/names.js'

t.test('events that a socket has for itself, and their private twins, never come from the wire', async (t) => {
  const names = ['subscribe', 'unsubscribe', 'connect', 'disconnect', 'connectAbort', 'close', 'message', 'error', 'authStateChange',
    'authTokenSigned', 'authenticate', 'deauthenticate', 'badAuthToken', 'raw']
  for (const name of names) {
    t.ok(isLocalEvent(name), name)
    t.ok(isLocalEvent(`_${name}`), `_${name}`)
  }
  for (const name of ['', '_', 'chat', 'Close', '__close', 'toString']) t.notOk(isLocalEvent(name), name)
})

t.test('names that start with # are the protocol\'s', async (t) => {
  t.same(['#', '#publish', '##'].map(isReservedEvent), [true, true, true])
  t.same(['', 'a#', 'publish', '"', '$'].map(isReservedEvent), [false, false, false, false, false])
})

t.test('a channel has a name of 1 to so many bytes', async (t) => {
  t.equal(isChannelName('', 9), false)
  t.equal(isChannelName('a', 1), true)
  t.equal(isChannelName('a'.repeat(9), 9), true)
  t.equal(isChannelName('a'.repeat(10), 9), false)
  t.equal(isChannelName('€€€', 9), true)
  t.equal(isChannelName('€€€', 8), false)
  t.equal(isChannelName('€€€a', 9), false)
  t.equal(isChannelName('ä'.repeat(5), 9), false)
  t.equal(isChannelName('ä'.repeat(4), 9), true)
  for (const wrong of [undefined, null, 7, ['a'], {}]) t.equal(isChannelName(wrong, 9), false)
})

t.test('control characters and halves of characters are in no channel name', async (t) => {
  for (const char of ['\0', '\n', '\x1f', '\x7f', '\ud800', '\udbff', '\udc00', '\udfff', '\udc00\ud800', '\ud83d\ud83d\ude00']) {
    t.equal(isChannelName(`a${char}b`, 99), false, escape(char))
    t.equal(isChannelName(char, 99), false, `only ${escape(char)}`)
  }
  for (const char of [' ', '~', '\x80', 'ÿ', '\ud7ff', '\ue000', '😀', '😀😀']) t.equal(isChannelName(`a${char}b`, 99), true, escape(char))
})

t.test('a wrong name is told from what is no name at all', async (t) => {
  t.match(channelNameError('', 255, 'subscribe'), { code: 'SC_ERR_CHANNEL_NAME', message: /subscribe.*255/ })
  t.match(channelNameError(7, 255, 'subscribe'), { code: 'SC_ERR_CHANNEL_TYPE', message: /subscribe.*number/ })
})
