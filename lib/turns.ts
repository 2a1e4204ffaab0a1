let turn = 0
let counting = false

function end (): void {
  counting = false
  turn = (turn + 1) & 0x3fffffff
}

/** The number of this turn of the event loop: all that is read in it, from whichever connection, gets the same. */
export function currentTurn (): number {
  if (!counting) {
    counting = true
    setImmediate(end)
  }
  return turn
}
