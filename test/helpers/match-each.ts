import type { Test } from 'tap'

/**
 * Asserts that each value matches its pattern and that there are no more values: `t.match` alone accepts an array longer than its
 * pattern.
 */
export function matchEach (t: Test, got: readonly unknown[], patterns: readonly unknown[], message?: string): void {
  t.match(got, patterns, ...message === undefined ? [] : [message])
  t.equal(got.length, patterns.length, message === undefined ? 'and there are no more' : `${message}: and there are no more`)
}
