import fc from 'fast-check'
import t from 'tap'
import { hasMoreKeys } from '../../lib/protocol/count-keys.js'

/** `count` different keys, made by their number. */
function object (count: number, key: (n: number) => string = (n) => `k${n}`, between = ''): string {
  return `{${Array.from({ length: count }, (_item, n) => `${JSON.stringify(key(n))}${between}:0`).join(',')}}`
}

const shapes: Record<string, (n: number) => string> = {
  short: (n) => `k${n}`,
  numbers: (n) => String(n),
  'of 15 characters': (n) => `k${n}`.padEnd(15, '.'),
  'of 16 characters': (n) => `k${n}`.padEnd(16, '.'),
  'of 17 characters': (n) => `k${n}`.padEnd(17, '.'),
  'long, different at the beginning': (n) => `k${n}`.padEnd(100, '.'),
  'long, different at the end': (n) => `k${n}`.padStart(100, '.'),
  'with quotes': (n) => `"${n}"`,
  'that end in a backslash': (n) => `k${n}\\`,
  'long, with quotes': (n) => `${'x'.repeat(50)}"${n}`,
  'long, with a backslash at the end': (n) => `${'x'.repeat(50)}${n}\\`,
  'long, with two backslashes at the end': (n) => `${'x'.repeat(50)}${n}\\\\`,
  'with line ends': (n) => `${n}\n`,
  'different in length only': (n) => 'x'.repeat(n)
}

for (const [name, key] of Object.entries(shapes)) {
  t.test(`keys ${name} are counted`, async (t) => {
    const text = object(100, key)
    t.equal(hasMoreKeys(text, 100), false, 'a hundred are not more than a hundred')
    // Hashes are kept instead of keys, so that a few may look like one.
    t.equal(hasMoreKeys(text, 95), true, 'they are more than 95')
  })
}

t.test('white space before the colon changes nothing', async (t) => {
  for (const between of [' ', '\n', ' \r\n\t ']) {
    t.equal(hasMoreKeys(object(50, undefined, between), 48), true, JSON.stringify(between))
    t.equal(hasMoreKeys(object(50, undefined, between), 50), false)
  }
})

t.test('a key counts once, however often it comes', async (t) => {
  t.equal(hasMoreKeys(`[${Array.from({ length: 1_000 }, () => '{"a":1,"b":2}').join()}]`, 2), false)
})

t.test('each count starts anew', async (t) => {
  t.equal(hasMoreKeys(object(100), 95), true)
  t.equal(hasMoreKeys(object(100), 95), true, 'the keys that were seen before are as new')
})

t.test('texts that are no keys do not count', async (t) => {
  t.equal(hasMoreKeys(`[${Array.from({ length: 500 }, (_item, n) => `"k${n}"`).join()}]`, 5), false, 'in an array')
  t.equal(hasMoreKeys(`[${Array.from({ length: 500 }, (_item, n) => `"k${n}" `).join()}]`, 5), false, 'with white space behind')
  t.equal(hasMoreKeys(`{"a":${JSON.stringify(object(500))}}`, 5), false, 'JSON inside of a text')
  t.equal(hasMoreKeys(JSON.stringify({ a: Array.from({ length: 200 }, (_item, n) => `\\" : ${n} \\\\`) }), 2), false, 'with quotes inside')
})

t.test('a text that ends in the middle of a string has no more', async (t) => {
  const whole = object(50, shapes['long, with quotes'])
  for (let end = whole.length - 130; end < whole.length; end++) t.type(hasMoreKeys(whole.slice(0, end), 1_000 / 24), 'boolean')
  for (const end of ['"', '"abc', `"${'x'.repeat(100)}`, `"${'x'.repeat(100)}\\`, `"${'x'.repeat(100)}\\"`, '"\\', `"${'x'.repeat(100)}":`]) t.equal(hasMoreKeys(`{"a":0,${end}`, 1), end.endsWith(':'), end)
})

t.test('a text that is too short for so many is not looked at', async (t) => {
  // Six characters for each is the least: this is not JSON, but it is counted from there on.
  t.equal(hasMoreKeys('"":"a":', 1), true)
  t.equal(hasMoreKeys('"":"a":', 2), false)
})

t.test('never more than there are, for any value', async (t) => {
  fc.assert(fc.property(fc.json({ maxDepth: 5 }), (text) => {
    const keys = new Set<string>()
    JSON.parse(text, (key, value) => { keys.add(key); return value })
    return !hasMoreKeys(text, keys.size)
  }))
})

t.test('and nearly all of them, for any object', async (t) => {
  fc.assert(fc.property(fc.uniqueArray(fc.string({ maxLength: 60 }), { minLength: 40, maxLength: 60 }), fc.boolean(), (keys, spaced) => {
    const text = JSON.stringify(Object.fromEntries(keys.map((key) => [`x${key}`, 0])), null, spaced ? 1 : 0)
    // Texts of few characters are not looked at; 30 are far from that.
    return hasMoreKeys(text, 30)
  }))
})
