import { cpus, release, totalmem, type } from 'node:os'

/** What the numbers depend on. */
export function machine () {
  return `${cpus()[0]?.model.trim() ?? process.arch}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GB, ${type()} ${release()}, Node.js ${process.version}`
}
