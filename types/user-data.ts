/**
 * The type of data that belongs to the application: data of events and answers, messages, arguments of listeners, schemas.
 * A contract replaces it with its own types; without one only the application knows the type.
 *
 * This is the only place with `any`. A lint rule forbids it everywhere else, so that nothing goes unchecked by accident.
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type UserData = any

/** A listener of any event. Its arguments depend on the event. */
export type AnyListener = (...args: UserData[]) => unknown
