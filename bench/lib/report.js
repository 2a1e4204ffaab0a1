import { everyone } from '../works/servers.js'
import { median, spread } from './statistics.js'

const number = (value) => value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
const percent = (share) => `${(share * 100).toFixed(0)} %`
const met = (value) => value === undefined ? '' : value ? 'yes' : '**no**'
const budgetText = (budget) => typeof budget === 'object' ? `≤ ${budget.ratio} × ${titleOf(budget.of)}` : budget ?? ''
const titleOf = (name) => everyone.find((server) => server.name === name).title

/** For the terminal. */
export function printTables (summary) {
  for (const work of [...summary.comparisons, ...summary.variants]) {
    console.log(`\n${work.title}, ${work.unit}`)
    for (const [name, values] of Object.entries(work.values)) {
      const ratio = work.ratios[name]
      console.log(`  ${titleOf(name).padEnd(24)}${number(median(values)).padStart(8)}  ± ${percent(spread(values)).padStart(4)}${ratio === undefined ? '' : `   ${ratio.toFixed(2)} × bare ws`}`)
    }
    if (work.ours !== undefined) console.log(`  budget ${budgetText(work.budget)}: ${work.ours.toFixed(2)}, ${work.met ? 'met' : 'not met'}`)
  }
  for (const work of summary.series) {
    console.log(`\n${work.title}${work.unit && `, ${work.unit}`}`)
    for (const [label, values] of Object.entries(work.rows)) console.log(`  ${label.padEnd(28)}${number(median(values)).padStart(8)}  ± ${percent(spread(values)).padStart(4)}`)
    if (work.met !== undefined) console.log(`  budget ${work.budget}: ${work.met ? 'met' : 'not met'}`)
  }
}

/** `RESULTS.md`. */
export function resultsPage (summary) {
  return `# Benchmark results

Written by \`npm run bench\` on ${summary.date}, in ${summary.seconds} s. Do not edit.

- Machine: ${summary.machine}.
- Versions: ${Object.entries(summary.versions).map(([title, version]) => `${title} ${version}`).join(', ')}.
- Numbers are the CPU time of the server's process, user and system, for each operation: medians of ${summary.reps} runs, each with a new process, and half the distance between the least and the greatest as ±. They hold on a busy machine better than wall time does, but compare ratios, not numbers of two machines.${summary.pinned
  ? ' The server had one core, the load another.'
  : ' The processes could not be tied to cores.'}
- Ratios are medians of the ratios within a repetition, in which the servers ran one after the other.
- Bare ws is a server written by hand on ws: \`JSON.parse\`, \`JSON.stringify\`, \`send\`, and nothing else: no hooks, no limits, no heartbeat. fastify-socketcluster has all of its limits on.

## Compared

${table(['work', ...everyone.map(({ title }) => title), 'budget', 'reached', 'met'], summary.comparisons.map(comparisonRow))}

Ratios to bare ws:

${table(['work', ...everyone.map(({ title }) => title)], summary.comparisons.map(ratioRow))}

## TLS and compression

${table(['work', 'bare ws', 'fastify-socketcluster', 'ratio'], summary.variants.map((work) => [`${work.title}, ${work.unit}`, cell(work.values.ws), cell(work.values.ours), work.ratios.ours?.toFixed(2) ?? '']))}

## Growth

${table(['work', '', 'median', '±', 'budget', 'met'], summary.series.flatMap(seriesRows))}
`
}

function comparisonRow (work) {
  return [`${work.title}, ${work.unit}`, ...everyone.map(({ name }) => cell(work.values[name])), budgetText(work.budget), work.ours?.toFixed(2) ?? '', met(work.met)]
}

function ratioRow (work) {
  return [work.title, ...everyone.map(({ name }) => work.ratios[name]?.toFixed(2) ?? '')]
}

function seriesRows (work) {
  return Object.entries(work.rows).map(([label, values], i) => [
    i === 0 ? `${work.title}${work.unit && `, ${work.unit}`}` : '', label, number(median(values)), percent(spread(values)), i === 0 ? budgetText(work.budget) : '', i === 0 ? met(work.met) : ''
  ])
}

function cell (values) {
  return values === undefined ? '' : `${number(median(values))} ± ${percent(spread(values))}`
}

function table (head, rows) {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}
