import type { HookName, HookRequests } from './hooks.js'
import type { EventContext } from './routes.js'
import type { ScServer, ScServerSocket } from './server.js'
import type { CheckedEvent, InferChannels, ParamsArgument, ScChannelContract, ScDeclarations, ScEventData, ScEventSchema, ScReply, ScTypedChannel } from './contracts.js'

// Apart from FastifyInstance, and marked `in out`, so that the compiler compares type providers and not all methods of two
// instances: that would cost it seconds per program. All type providers are alike to it, so instances stay assignable.

interface DeclareEvent<in out TypeProvider> {
  // Without NoInfer the compiler would infer through the computed types and through `this`, which costs as much.
  <This, const S extends ScEventSchema, const R extends ScReply<TypeProvider, S>> (
    this: This,
    name: string,
    contract: S & CheckedEvent<NoInfer<S>>,
    handler: (this: NoInfer<This>, data: NoInfer<ScEventData<TypeProvider, S>>, context: EventContext) => R | Promise<R>
  ): This
}

interface DeclareChannel<in out TypeProvider> {
  <This, const P extends string, const M = undefined> (this: This, pattern: P, contract: ScChannelContract<TypeProvider, P, M>): This
}

declare module 'fastify' {
  // The type parameters must be named as Fastify names them.
  // eslint-disable-next-line @typescript-eslint/no-unused-vars
  interface FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider> {
    /** The realtime server. */
    scServer: ScServer

    /**
     * Declares an event that clients may send, with a schema for its data, or a contract. `handler` gets valid data; what it
     * returns is the answer, what it throws an error answer.
     *
     * @throws InvalidArgumentsError for a name that is empty, reserved or taken, or an unusable contract
     * @throws InvalidActionError when the server is ready
     */
    scEvent: DeclareEvent<TypeProvider>

    /**
     * Declares channels by a pattern: `'news'`, `'room/:id'`, `'logs/*'`. Text before a parameter before `*`, as in routes; `::` is a colon.
     *
     * @throws InvalidArgumentsError for a pattern that is unusable or taken, or an unusable contract
     * @throws InvalidActionError when the server is ready
     */
    scChannel: DeclareChannel<TypeProvider>

    /**
     * Adds a hook for the events and channels of this context and of those inside it. Throwing blocks the action.
     * `handshakeSC` and `authenticate` belong to the context that registers the plugin.
     *
     * @throws InvalidArgumentsError for an unknown name
     * @throws InvalidActionError when the server is ready
     */
    scHook<N extends HookName> (name: N, hook: (this: NoInfer<this>, request: HookRequests<ScServerSocket>[N]) => void | Promise<void>): this

    /**
     * A channel of the exchange with the message type of its contract: `app.scChannelOf(channels, 'room/:id', { id })`.
     *
     * @throws InvalidArgumentsError when a parameter is missing, empty, or would change what the pattern matches
     */
    scChannelOf<C, P extends keyof C & string> (channels: C, pattern: P, ...params: ParamsArgument<P>): ScTypedChannel<InferChannels<C>[P]>

    /** What was declared with `scEvent` and `scChannel`, for documents and tools. Complete once the application is ready. */
    scDeclarations (): ScDeclarations
  }
}
