import type { HookName, HookRequests } from './hooks.js'
import type { EventContext } from './routes.js'
import type { ScServer, ScServerSocket } from './server.js'
import type { CheckedEvent, InferChannels, ParamsArgument, ScChannelContract, ScDeclarations, ScEventCaller, ScEventData, ScEventSchema, ScReply, ScTypedChannel } from './contracts.js'

// These interfaces are outside FastifyInstance and marked `in out`, so that the compiler compares two instances by their type
// providers and not by all of their methods, which would cost seconds per program. It takes all type providers for equal, so
// instances stay assignable.

interface DeclareEvent<in out TypeProvider> {
  // Without NoInfer the compiler would infer through the computed types and through `this`, which is as slow.
  <This, const S extends ScEventSchema, const R extends ScReply<TypeProvider, S>> (
    this: This,
    name: string,
    contract: S & CheckedEvent<NoInfer<S>>,
    handler: (this: NoInfer<This>, data: NoInfer<ScEventData<TypeProvider, S>>, context: EventContext<ScEventCaller<NoInfer<S>>>) => R | Promise<R>
  ): This
}

interface DeclareChannel<in out TypeProvider> {
  <This, const P extends string, const M = undefined> (this: This, pattern: P, contract: ScChannelContract<TypeProvider, P, M>): This
}

declare module 'fastify' {
  // The type parameters must have the names that Fastify gives them.
  // eslint-disable-next-line @typescript-eslint/no-unused-vars
  interface FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider> {
    /** The realtime server. */
    scServer: ScServer

    /**
     * Declares an event that clients may send, with a schema of its data or a contract. `handler` receives validated data. The
     * client receives the returned value as the answer, or the thrown error.
     *
     * @throws InvalidArgumentsError if the name is empty, reserved or already declared, or the contract is invalid
     * @throws InvalidActionError when the server is already ready
     */
    scEvent: DeclareEvent<TypeProvider>

    /**
     * Declares channels by a pattern: `'news'`, `'room/:id'`, `'logs/*'`. As in Fastify's routes, static text takes precedence
     * over parameters, and parameters over `*`. `::` stands for a colon.
     *
     * @throws InvalidArgumentsError if the pattern is invalid or already declared, or the contract is invalid
     * @throws InvalidActionError when the server is already ready
     */
    scChannel: DeclareChannel<TypeProvider>

    /**
     * Adds a hook for the events and channels of this context and its child contexts. A hook that throws blocks the action.
     * `handshakeSC` and `authenticate` hooks can only be added in the context that registers the plugin.
     *
     * @throws InvalidArgumentsError for an unknown hook name
     * @throws InvalidActionError when the server is already ready
     */
    scHook<N extends HookName> (name: N, hook: (this: NoInfer<this>, request: HookRequests<ScServerSocket>[N]) => void | Promise<void>): this

    /**
     * Returns a channel of the exchange with the message type of its contract: `app.scChannelOf(channels, 'room/:id', { id })`.
     *
     * @throws InvalidArgumentsError if a parameter is missing, empty, or would change what the pattern matches
     */
    scChannelOf<C, P extends keyof C & string> (channels: C, pattern: P, ...params: ParamsArgument<P>): ScTypedChannel<InferChannels<C>[P]>

    /** Returns all declarations of `scEvent` and `scChannel`, for documents and tools. Complete once the application is ready. */
    scDeclarations (): ScDeclarations
  }
}
