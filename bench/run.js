// `npm run bench`: see `--help`.
import { parseArgs } from 'node:util'
import { prepare } from './lib/prepare.js'

const options = {
  only: { type: 'string', describe: 'ids of works, or the beginnings of ids, with commas between' },
  servers: { type: 'string', describe: 'ws, fastify-websocket, socketcluster14, socketcluster20, socketio, ours; with commas between' },
  reps: { type: 'string', describe: 'how often each work is run at each server (3; with --quick 1)' },
  quick: { type: 'boolean', describe: 'shorter, with fewer connections, without TLS and compression: to see that it works, not to quote' },
  json: { type: 'boolean', describe: 'print all values as JSON' },
  profile: { type: 'boolean', describe: 'write a CPU profile of each work into bench/profiles/, and print where the time went (our server, if no other is named)' },
  heap: { type: 'boolean', describe: 'with --profile: a heap snapshot at the end of each work too' },
  list: { type: 'boolean', describe: 'print the works and end' },
  help: { type: 'boolean', describe: 'print this and end' }
}
const { values } = parseArgs({ options })

if (values.help) {
  console.log('npm run bench -- [options]\nRuns each work at our server and its rivals. A full run writes bench/RESULTS.md and docs/assets/bench.svg.\n')
  for (const [name, { describe }] of Object.entries(options)) console.log(`  --${name.padEnd(10)}${describe}`)
} else {
  if (!values.list) await prepare()
  const { main } = await import('./lib/main.js')
  await main(values)
}
