// No imports: browsers load this file with the typed client.

/** Matches a doubled colon, which is literal, or a parameter: a colon and the text up to the end of its name. */
export const parameter = /::|:([^/.:-]*)/g

/** Whether a pattern has parameters or a wildcard. */
export function hasParams (pattern: string): boolean {
  return pattern === '*' || pattern.endsWith('/*') || pattern.replaceAll('::', '').includes(':')
}

/**
 * Returns the channel name for a pattern and its parameters. Throws the error that `fail` creates from the reason when a
 * parameter is invalid.
 */
export function fillPattern (pattern: string, params: Readonly<Record<string, unknown>> | undefined, fail: (reason: string) => Error): string {
  const value = (name: string): string => {
    const given = params !== undefined && Object.hasOwn(params, name) ? params[name] : undefined
    if (typeof given !== 'string' && typeof given !== 'number') throw fail(`expected the parameter "${name}" to be a string, got ${given === null ? 'null' : typeof given}`)
    const text = String(given)
    if (text === '') throw fail(`expected the parameter "${name}" not to be empty`)
    if (name !== '*' && text.includes('/')) throw fail(`expected the parameter "${name}" to be text without "/", got "${text}"`)
    return text
  }
  const star = pattern === '*' || pattern.endsWith('/*')
  const name = (star ? pattern.slice(0, -1) : pattern).replace(parameter, (text, param: string) => text === '::' ? ':' : value(param))
  return star ? name + value('*') : name
}
