/** `true` when two types are the same, `never` otherwise. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : never

/** Compiles only when the types are the same: `equal<A, B>(true)`. */
export declare function equal<A, B> (same: Equal<A, B>): void

/** Compiles only when the value has exactly the type: `exactly<A>()(value)`. */
export declare function exactly<A> (): <B>(value: B, ...same: [Equal<A, B>] extends [never] ? ['the types differ', B] : []) => void
