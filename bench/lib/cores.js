import { execFileSync } from 'node:child_process'
import { availableParallelism } from 'node:os'

export const serverCore = 0
export const loadCore = 1

/** Whether processes can be tied to cores: with two of them, and `taskset`. */
export const canPin = availableParallelism() > 1 && works('taskset', ['-V'])

/** The command that starts a program on one core. */
export function pinned (core, command, args) {
  return canPin ? ['taskset', ['-c', String(core), command, ...args]] : [command, args]
}

/** Ties this process, with all its threads, to the core of the load. */
export function pinLoad () {
  if (canPin) execFileSync('taskset', ['-a', '-c', '-p', String(loadCore), String(process.pid)], { stdio: 'ignore' })
}

function works (command, args) {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
