import { inspect, type InspectOptions } from 'node:util'

/**
 * Says what an object of a class looks like in a console, in a log line and as JSON: sockets and servers lead to keys, tokens
 * and headers, and are printed by accident in many ways. What must not be found by somebody who looks at the object's own
 * properties either belongs into private fields.
 */
export function printAs<T extends object> (type: abstract new (...args: never) => T, name: string, summary: (value: T) => object): void {
  const toJSON = function (this: T): object {
    // The prototype itself is looked at too, by who walks through everything.
    return this === type.prototype ? {} : summary(this)
  }
  Object.defineProperty(type.prototype, 'toJSON', { value: toJSON, configurable: true, writable: true })
  Object.defineProperty(type.prototype, inspect.custom, {
    value (this: T, _depth: number, options: InspectOptions) { return `${name} ${inspect(toJSON.call(this), options)}` },
    configurable: true,
    writable: true
  })
}

/** Adds fields that can be read by name and that nothing prints or enumerates. */
export function withHidden<T extends object, H extends object> (value: T, hidden: H): T & H {
  for (const name of Object.keys(hidden) as Array<keyof H & string>) {
    Object.defineProperty(value, name, { get: () => hidden[name], configurable: true })
  }
  return value as T & H
}
