// How much of lib/ the tests have to run, all of them together: less fails.
import { readFileSync, rmSync } from 'node:fs'

/** Percent of each kind. They only go up. */
export const wanted = { statements: 98, branches: 95 }

/**
 * What is wrong with the coverage in a summary that tap wrote; nothing when it is enough. The file is removed, so that no later
 * run is judged by it.
 */
export function coverageFailures (file, thresholds = wanted) {
  let total
  try {
    total = JSON.parse(readFileSync(file, 'utf8')).total
    rmSync(file)
  } catch {
    return [`coverage: tap wrote no summary to ${file}`]
  }
  return Object.entries(thresholds)
    // Where nothing is covered, the number is the text "Unknown".
    .filter(([kind, percent]) => !(total[kind]?.pct >= percent))
    .map(([kind, percent]) => `coverage: ${total[kind]?.pct} % of the ${kind} are run by tests, expected at least ${percent} %`)
}
