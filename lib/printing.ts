import { inspect, type InspectOptions } from 'node:util'

/**
 * Defines how objects of a class are printed by a console, a log line and as JSON. Sockets and servers refer to keys, tokens and
 * headers, and are easily printed by accident. Data that must not be readable from the object's own properties belongs in private
 * fields.
 */
export function printAs<T extends object> (type: abstract new (...args: never) => T, name: string, summary: (value: T) => object): void {
  const toJSON = function (this: T): object {
    // Code that inspects all properties also calls it on the prototype.
    return this === type.prototype ? {} : summary(this)
  }
  Object.defineProperty(type.prototype, 'toJSON', { value: toJSON, configurable: true, writable: true })
  Object.defineProperty(type.prototype, inspect.custom, {
    value (this: T, _depth: number, options: InspectOptions) { return `${name} ${inspect(toJSON.call(this), options)}` },
    configurable: true,
    writable: true
  })
}

/** Adds non-enumerable fields, which are readable by name but not printed. */
export function withHidden<T extends object, H extends object> (value: T, hidden: H): T & H {
  for (const name of Object.keys(hidden) as Array<keyof H & string>) {
    Object.defineProperty(value, name, { get: () => hidden[name], configurable: true })
  }
  return value as T & H
}
