import type { Test } from 'tap'

/** Each matches its pattern, and there are no more: `t.match` alone lets an array be longer than its pattern. */
export function matchEach (t: Test, got: readonly unknown[], patterns: readonly unknown[], message?: string): void {
  t.match(got, patterns, ...message === undefined ? [] : [message])
  t.equal(got.length, patterns.length, message === undefined ? 'and there are no more' : `${message}: and there are no more`)
}
