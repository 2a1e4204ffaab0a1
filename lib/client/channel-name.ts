import { fillPattern } from '../contracts/fill-pattern.js'

/** Parameters of a channel's pattern. */
export type Params = Readonly<Record<string, unknown>>

/** Returns the name of a channel. @throws InvalidArgumentsError for parameters that do not fit the pattern */
export function nameOf (pattern: string, params: Params | undefined): string {
  return fillPattern(pattern, params, (reason) => Object.assign(new Error(`Channel "${pattern}": ${reason}`), { name: 'InvalidArgumentsError' }))
}
