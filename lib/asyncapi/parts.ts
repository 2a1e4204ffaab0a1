import type { DeclaredChannel, ScDocumentation } from '../../types/contracts.js'
import { parameter } from '../contracts/fill-pattern.js'
import { companionOf } from '../contracts/presence.js'
import { holdsReference } from './schemas.js'

/* Parts of the objects of a document, from the contract of a declaration. */

export function documentation ({ summary, description }: ScDocumentation): { summary?: string, description?: string } {
  return { ...(summary === undefined ? {} : { summary }), ...(description === undefined ? {} : { description }) }
}

export function tagsOf ({ tags }: ScDocumentation): { tags?: Array<{ name: string }> } {
  return tags === undefined || tags.length === 0 ? {} : { tags: tags.map((name) => ({ name })) }
}

// AsyncAPI has no `deprecated` field on operations.
export function deprecation ({ deprecated }: ScDocumentation): { 'x-deprecated'?: true } {
  return deprecated === true ? { 'x-deprecated': true } : {}
}

export function examples (payloads: readonly unknown[] | undefined): { examples?: Array<{ payload: unknown }> } {
  const shown = (payloads ?? []).filter((payload) => !holdsReference(payload))
  return shown.length === 0 ? {} : { examples: shown.map((payload) => ({ payload })) }
}

export function errorSchema (name: string): object {
  return { type: 'object', properties: { name: { const: name }, message: { type: 'string' } }, required: ['name', 'message'] }
}

/**
 * Converts a pattern to an address with `{parameters}`. `names` maps the pattern's names to those of the address: `*` needs
 * another one.
 */
export function addressOf (pattern: string): { address: string | null, names: Record<string, string> } {
  const names: Record<string, string> = {}
  let text = pattern.replace(parameter, (match, name: string) => {
    if (match === '::') return ':'
    names[name] = name
    return `{${name}}`
  })
  if (text.endsWith('*')) {
    let wildcard = 'wildcard'
    while (Object.hasOwn(names, wildcard)) wildcard += '_'
    names['*'] = wildcard
    text = `${text.slice(0, -1)}{${wildcard}}`
  }
  const plain = pattern.replace(parameter, '')
  return /[{}?#]/.test(plain) ? { address: null, names: {} } : { address: text, names }
}

/** Describes the presence of a channel: the pattern of the channels on which clients see it, and its limits. */
export function presenceOf (pattern: string, { members, leaveDelay, interval }: NonNullable<DeclaredChannel['presence']>): object {
  return { pattern: companionOf(pattern), members, leaveDelay, interval }
}

export function recoveryOf ({ latest, ...limits }: NonNullable<DeclaredChannel['recover']>): object | 'latest' {
  return latest ? 'latest' : limits
}
