let turn = 0
let counting = false

function end (): void {
  counting = false
  turn = (turn + 1) & 0x3fffffff
}

/**
 * Returns the number of the current turn of the event loop. All data read in one turn, from any connection, gets the same number.
 */
export function currentTurn (): number {
  if (!counting) {
    counting = true
    setImmediate(end)
  }
  return turn
}
