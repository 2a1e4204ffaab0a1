// `npm run demo`: builds the demo, serves it, and says where.
import { join } from 'node:path'
import { buildDemo, here } from './build.js'

await buildDemo()
const { createDemo, rooms } = await import('./dist/server.js')
const { app, moderatorCode, operatorKey } = await createDemo({
  publicDir: join(here, 'public'),
  scriptDir: join(here, 'dist/browser'),
  moderatorCode: process.env.MODERATOR_CODE,
  logLevel: process.env.LOG_LEVEL
})
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => app.close())
}
const host = process.env.HOST ?? 'localhost'
await listen(Number(process.env.PORT ?? 8000))
const { port } = app.server.address()
console.log(`The chat is at http://${host}:${port}/ (moderators log in with the code ${moderatorCode})`)
console.log(`An announcement in all rooms, over HTTP:\n  ${announcement()}`)

/** A line for a shell. */
function announcement () {
  const body = JSON.stringify({ channels: rooms.map(({ id }) => `room/${id}`), data: { notice: { text: 'Tea is ready' } } })
  return `curl http://${host}:${port}/operator/publish -H 'authorization: Bearer ${operatorKey}' -H 'content-type: application/json' -d '${body}'`
}

/** The port that was asked for, or a free one when somebody has it. */
async function listen (port) {
  try {
    await app.listen({ port, host })
  } catch (err) {
    if (err.code !== 'EADDRINUSE') throw err
    await app.listen({ port: 0, host })
  }
}
