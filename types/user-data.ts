/**
 * What belongs to the application and is only handed on: data of events and answers, messages, arguments of listeners, schemas.
 * Where there is a contract, its types stand in the place of this one; elsewhere only the application knows what it is.
 *
 * It is the one place where `any` is written: a lint rule refuses it everywhere else, so that nothing goes unchecked by accident.
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type UserData = any

/** A listener of whatever event: what it is called with depends on the event's name. */
export type AnyListener = (...args: UserData[]) => unknown
