/** What Redis answers when the user of the connection lacks a right. From a script it does not say which one. */
const lacksRight = /^NOPERM |The user executing the script can't /

/** Adds to an error about rights where they are listed. Returns any other error as it is. */
export function withRights (err: Error): Error {
  if (!lacksRight.test(err.message)) return err
  return Object.assign(new Error(`${err.message.replace(/\.$/, '')}; docs/scale-out.md lists the rights that the user of Redis needs`, { cause: err }), { name: err.name })
}
