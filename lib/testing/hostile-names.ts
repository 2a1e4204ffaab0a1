/** Channel names with a special meaning for an engine, a language or a protocol. A broker must treat them like any other name. */
export const hostileChannelNames: readonly string[] = [
  'a.b', 'a.*', 'a.>', '*', '>', '$SYS.x', '_INBOX.x', '.', '..', 'a..b', ' ', 'a b', 'a\tb', '__proto__', 'constructor', 'toString',
  'hasOwnProperty', 'a/b', 'a:b', 'a=b', 'a=2E', '=2E', 'a[b', 'a?b', 'h?llo', 'a\\b', 'a%b', 'a"b', "a'b", '{a}', '{a}b', '{}', 'A', 'a', '0', '-1',
  'é', 'e\u0301', 'Ω', '名前', '🙂', '\u202Eabc', '\uFEFF', 'null', 'undefined', 'x'.repeat(255), 'é'.repeat(127)
]
