/** One line on standard error that tells what is being run. */
export class Progress {
  #all
  #done = 0
  #started = Date.now()

  constructor (all) {
    this.#all = all
  }

  next (what) {
    this.#done++
    const line = `[${this.#done}/${this.#all}] ${Math.round((Date.now() - this.#started) / 1000)} s  ${what}`
    process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${line}` : `${line}\n`)
  }

  /** Makes room for other output. */
  clear () {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
  }
}
