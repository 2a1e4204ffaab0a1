import { scError, typeName } from '../errors.js'
import { fillPattern, parameter } from './fill-pattern.js'

// find-my-way splits a path at these three characters and decodes it. Channel names are plain text, so control characters replace
// them in the router; no channel name has control characters.
const special = /[%?#]/g
const replaced = /[\u0001-\u0003]/g // eslint-disable-line no-control-regex
const swapped = /[%?#\u0001-\u0003]/ // eslint-disable-line no-control-regex
const foreign = /[\u0001-\u0003]/ // eslint-disable-line no-control-regex
const replacements: Readonly<Record<string, string>> = { '%': '\u0001', '?': '\u0002', '#': '\u0003', '\u0001': '%', '\u0002': '?', '\u0003': '#' }
const swap = (char: string): string => replacements[char] as string

/** Whether `toPath` leaves a name unchanged, and `fromPath` its parameters. */
export function isPlain (name: string): boolean {
  return !swapped.test(name)
}

/** Whether a name contains one of the replacements itself; no pattern matches such a name. */
export function isForeign (name: string): boolean {
  return foreign.test(name)
}

/** Turns a channel name or a pattern into a path for the router. */
export function toPath (name: string): string {
  return '/' + name.replace(special, swap)
}

/** Reverts `toPath` in a parameter. */
export function fromPath (text: string): string {
  return text.replace(replaced, swap)
}

const paramName = /^[A-Za-z_]\w*$/
const controls = /[\u0000-\u001f\u007f]/ // eslint-disable-line no-control-regex

/**
 * Returns the names of a pattern's parameters, `'*'` for the wildcard.
 * @throws InvalidArgumentsError for a pattern that is empty, has an invalid parameter, or has a `*` before its end
 */
export function patternParams (pattern: unknown): string[] {
  if (typeof pattern !== 'string') throw scError('SC_ERR_CONTRACT', [String(pattern), `expected the pattern to be a string, got ${typeName(pattern)}`])
  if (pattern === '' || controls.test(pattern)) throw scError('SC_ERR_CONTRACT', [pattern, 'expected a non-empty pattern without control characters'])
  const names: string[] = []
  for (const { 0: text, 1: name, index } of pattern.matchAll(parameter)) {
    if (text === '::') continue
    if (pattern[index + text.length] === ':') throw scError('SC_ERR_CONTRACT', [pattern, `expected the parameter "${name ?? ''}" to end at "/", "-", "." or the end of the pattern`])
    if (name === undefined || !paramName.test(name) || name === '__proto__') {
      throw scError('SC_ERR_CONTRACT', [pattern, `expected a parameter name of letters, digits and "_" after ":", got "${name ?? ''}"; a plain colon is written "::"`])
    }
    if (names.includes(name)) throw scError('SC_ERR_CONTRACT', [pattern, `the parameter "${name}" occurs twice`])
    names.push(name)
  }
  const star = pattern.indexOf('*')
  if (star !== -1) {
    if (star !== pattern.length - 1 || (star > 0 && pattern[star - 1] !== '/')) throw scError('SC_ERR_CONTRACT', [pattern, 'expected "*" only as the last segment'])
    names.push('*')
  }
  return names
}

/**
 * Returns the channel name for a pattern and its parameters: `channelName('room/:id', { id: '7' })` is `'room/7'`.
 * @throws InvalidArgumentsError when a parameter is missing, empty, or contains a `/`, which would match another pattern
 */
export function channelName (pattern: string, params?: Readonly<Record<string, unknown>>): string {
  return fillPattern(pattern, params, (reason) => scError('SC_ERR_CONTRACT', [pattern, reason]))
}
