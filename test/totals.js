// What tap counted in a run, read from the file it wrote (TAP_OUTPUT_FILE).
import { readFileSync } from 'node:fs'

/** tap's own totals, which it writes at the end of its output; `null` when there are none. */
export function readTotals (file) {
  let text
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return null
  }
  const line = text.match(/^# \{ total: .*\}$/gm)?.at(-1)
  if (line === undefined) return null
  const count = (name) => Number(line.match(new RegExp(`\\b${name}: (\\d+)`))?.[1] ?? 0)
  const skipped = Array.from(text.matchAll(/^ *ok \d+ (?:- )?(.* # SKIP.*)$/gm), (match) => match[1])
  return { pass: count('pass'), fail: count('fail'), skip: count('skip'), todo: count('todo'), skipped, failed: failuresOf(text) }
}

/** What failed, each as "file > test > assertion": TAP tells a test's own result after those of its parts, less indented. */
function failuresOf (text) {
  const failures = []
  let parts = []
  for (const [, indent, description] of text.matchAll(/^( *)not ok \d+(?: - )?(.*)$/gm)) {
    if (/ # (TODO|SKIP)\b/i.test(description)) continue
    const name = description.replace(/ # time=.*| *\{$/g, '')
    const inside = parts.filter((part) => part.depth > indent.length)
    for (const part of inside) {
      part.depth = indent.length
      part.path.unshift(name)
    }
    if (inside.length === 0) parts.push({ depth: indent.length, path: [name] })
    if (indent.length > 0) continue
    failures.push(...parts.map(({ path }) => shorten(path.join(' > '))))
    parts = []
  }
  return failures
}

/** Both ends: what failed, and why. */
function shorten (text) {
  return text.length <= 600 ? text : `${text.slice(0, 300)} … ${text.slice(-300)}`
}
