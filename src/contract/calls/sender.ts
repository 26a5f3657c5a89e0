/** The methods that an app and a handler's context share: sends, locks, the cache and entities. */
import type { AnyCode } from "../../error.ts";
import type { Contract, ContractOptions, DurableContract, Kind, PublishableEvent } from "../declaration/contract.ts";
import type { AnyEntity, LoadedEntity, LoadOptions } from "../declaration/entity_definition.ts";
import type {
  AnyWorkflow,
  Askable,
  AskOptions,
  ResultOptions,
  Signal,
  StartAndTell,
  StartOptions,
  TellOptions,
  WorkflowContract,
} from "./flow.ts";
import type { ProgramCode } from "../declaration/program_types.ts";
import type { EnqueueOptions, PublishOptionsOf } from "./durable_messages.ts";
import type { BroadcastOptions, SendArgs, SendOptions, StreamOptions } from "./send_options.ts";
import type { Result } from "./result.ts";
import type { Cache, Lock, LockOptions } from "./shared_state.ts";

/**
 * Options of `sendAll`: the options of each send, and the maximum number of sends in progress at once.
 * @decides options of `sendAll`; answers of `broadcast`
 */
export interface SendAllOptions extends Omit<SendOptions, "id" | "firstSent"> {
  /**
   * Maximum number of sends in progress at once: 1 to 65,536. Default: 512, as many as fit into one network message.
   */
  concurrency?: number | undefined;
}

/** One node's result of a broadcast. */
export interface BroadcastResult<T, F extends string = AnyCode> {
  /** The node's id. */
  readonly node: string;
  /** The node's answer, or the error of the request to the node. */
  readonly result: Result<T, F>;
}

/**
 * State that an app and a handler's context share with the other nodes: locks, a cache and entities. It is kept in
 * JetStream, or in memory without NATS.
 */
export interface Sharing {
  /**
   * A cache: values that all nodes share.
   *
   * @example
   * ```ts
   * import { catga } from "@catga/catga";
   *
   * await using app = await catga();
   * const rate = await app.cache.getOrSet("rate:eur", () => 1.1, { ttl: 60_000 });
   * console.log(rate); // 1.1
   * ```
   */
  readonly cache: Cache;
  /**
   * Takes a lock of the cluster, or several at once (in sorted order, all or none). Waiting is first come, first
   * served; a lock is not reentrant. With `ctx.lock`, the lock is released when the handler ends, and the wait ends
   * with the message's deadline.
   *
   * A lock is held for `ttl` and renewed while its process runs. A process that is paused for longer loses it and
   * cannot notice: only the resource itself can refuse such a process, by `lock.token`, which grows with each
   * acquisition.
   *
   * Rejects with a `CatgaError`: `LOCK_TIMEOUT`, `CANCELLED`, `DEADLOCK` (its holder waits, directly or through others,
   * for this very handler), `UNAVAILABLE`, `BUCKET_MISMATCH`, `CLOSED`; with a `TypeError` or `RangeError` for an
   * option out of range, and for a key that is no well-formed string of at most 4,032 characters.
   *
   * @example
   * ```ts
   * import { catga } from "@catga/catga";
   *
   * await using app = await catga();
   * {
   *   await using lock = await app.lock("order:42", { timeout: 1_000 });
   *   console.log(lock.token > 0, lock.signal.aborted); // true false
   * }
   * ```
   */
  lock(key: string | readonly string[], options?: LockOptions): Promise<Lock>;
  /**
   * Reads an entity: its state (the initial state if it has no events), and the number of its events. Any node may read
   * it. Rejects with `UNAVAILABLE` if the store of the events does not answer, with `FORGOTTEN` if the entity was
   * forgotten, and with an error that an `apply` function throws; in a handler's context also when the message is
   * aborted, with the reason.
   *
   * @example
   * ```ts
   * import { catga, entity, query, unwrap } from "@catga/catga";
   *
   * const Cart = entity("Cart", { initial: () => ({ items: [] as string[] }) });
   * const CountItems = query<{ cartId: string }, number>("CountItems");
   * const countItems = CountItems.handle(async ({ cartId }, ctx) => (await ctx.load(Cart, cartId)).state.items.length);
   * await using app = await catga({ handlers: countItems });
   * console.log(unwrap(await app.send(CountItems, { cartId: "c-1" }))); // 0
   * ```
   */
  load<State>(entity: AnyEntity<State>, id: string, options?: LoadOptions): Promise<LoadedEntity<State>>;
}

/**
 * Methods that send messages. A failure of a send comes back as a result; misuse (an unknown option, a wrong kind of
 * contract) throws a `TypeError` or `RangeError`.
 */
export interface Sender extends Sharing {
  /**
   * Sends a command or a query to one node that handles it, and resolves with its answer. At the `timeout` at the
   * latest it resolves with `TIMEOUT` (a query), `OUTCOME_UNKNOWN` (a command that was sent) or `UNAVAILABLE` (a
   * message that was not sent).
   *
   * @example
   * ```ts
   * import { catga, query } from "@catga/catga";
   *
   * const Greet = query<{ name: string }, string>("Greet");
   * await using app = await catga({ handlers: Greet.handle(({ name }) => `hello ${name}`) });
   * const result = await app.send(Greet, { name: "tea" }, { timeout: 1_000 });
   * if (result.ok) console.log(result.value);
   * else console.error(result.error.code, result.error.message);
   * ```
   */
  send<In, Out, F extends string>(
    contract: Contract<"command" | "query", In, Out, F>,
    ...args: SendArgs<In>
  ): Promise<Result<Out, F | ProgramCode>>;
  /**
   * Sends many payloads of one contract, each as `send` does with these options, and resolves with their results in the
   * order of the payloads. A failed send does not affect the others. A payload is read when it can be sent: a generator
   * is not read ahead, and an iterable that is not an array is read no further once a send has failed because the
   * caller gave up or the app has stopped. Rejects for misuse.
   *
   * @example
   * ```ts
   * import { catga, query } from "@catga/catga";
   *
   * const Square = query<number, number>("Square");
   * await using app = await catga({ handlers: Square.handle((n) => n * n) });
   * const results = await app.sendAll(Square, [1, 2, 3]);
   * console.log(results.map((result) => result.value)); // [ 1, 4, 9 ]
   * ```
   */
  sendAll<In, Out, F extends string>(
    contract: Contract<"command" | "query", In, Out, F>,
    payloads: Iterable<NoInfer<In>>,
    options?: SendAllOptions,
  ): Promise<Result<Out, F | ProgramCode>[]>;
  /**
   * Reads a stream: returns its items in order, each once; a failure is thrown as a `CatgaError` after the items before
   * it. The first `next()` sends the request. `break`, `return()`, the signal and the death of the reader's process
   * also end the handler. `STREAM_BROKEN`: the stream's node died; `DRAINING`: the node shuts down; `details.received`:
   * number of items received. A stream is read once: a second iteration, after the first has ended, throws a
   * `TypeError`.
   *
   * @example
   * ```ts
   * import { catga, stream } from "@catga/catga";
   *
   * const Letters = stream<{ word: string }, string>("Letters");
   * const letters = Letters.handle(function* ({ word }) {
   *   yield* word;
   * });
   * await using app = await catga({ handlers: letters });
   * for await (const letter of app.stream(Letters, { word: "tea" })) console.log(letter); // t, then e, then a
   * ```
   */
  stream<In, Item, F extends string>(
    contract: Contract<"stream", In, Item, F>,
    ...args: SendArgs<In, StreamOptions>
  ): AsyncIterableIterator<Item>;
  /**
   * Publishes an event: one node of each service that has handlers for the event gets it, and so does every node that
   * has handlers with `each: "node"`, at most once. The result is ok when this process is connected and has accepted
   * the event, even if no node handles it: the event is sent at the end of this turn of the event loop, or of the next.
   * {@link Catga.drain} waits until the network has it; `process.exit` right after the ok may lose it.
   *
   * A durable event is ok when it is stored; each subscription then handles it at least once. `UNAVAILABLE`: the event
   * is not stored. `OUTCOME_UNKNOWN` or `CANCELLED`: it may be stored, so publish it again with the same `id`.
   * `INVALID_MESSAGE` and `TOO_LARGE`: this payload cannot be published.
   *
   * @example
   * ```ts
   * import { catga, event } from "@catga/catga";
   *
   * const Brewed = event<{ tea: string }>("Brewed");
   * const heard = Promise.withResolvers<string>();
   * await using app = await catga({ handlers: Brewed.on(({ tea }) => heard.resolve(tea)) });
   * const published = await app.publish(Brewed, { tea: "assam" });
   * console.log(published.ok, await heard.promise); // true assam
   * ```
   */
  publish<In, O extends ContractOptions>(
    contract: PublishableEvent<In> & { readonly options: O },
    ...args: SendArgs<In, PublishOptionsOf<O>>
  ): Promise<Result<void, never>>;
  /**
   * Stores a durable command (`durable: true`). The result is ok when the command is stored: a node that handles it
   * runs it later, at least once. An `idempotent` command that is enqueued with an `id` has one result, which `send`
   * with that id also gets. With `delay`, `at` or `cron` the command is stored as a schedule, which its `id` names: the
   * same id again replaces the schedule. Failures: as of a durable event in {@link Sender.publish}; and `NO_HANDLER`
   * without `nats` if this app has no handler.
   *
   * @example
   * ```ts
   * import { catga, command } from "@catga/catga";
   *
   * const SendMail = command<{ to: string }>("SendMail", { durable: true });
   * const sent = Promise.withResolvers<string>();
   * await using app = await catga({ handlers: SendMail.handle(({ to }) => sent.resolve(to)) });
   * const stored = await app.enqueue(SendMail, { to: "ann@example.com" }, { id: "welcome-ann" });
   * console.log(stored.ok, await sent.promise); // true ann@example.com
   * ```
   */
  enqueue<In>(
    contract: DurableContract<"command", In>,
    ...args: SendArgs<In, EnqueueOptions>
  ): Promise<Result<void, never>>;
  /**
   * Cancels the scheduled message, or the scheduled start of a workflow, with this `id`. Resolves with `true`: it will
   * not happen; with `false`: it has happened already, or never existed. Rejects with `UNAVAILABLE` if the log does not
   * answer, and with `OUTCOME_UNKNOWN` if the outcome of the removal is unknown.
   */
  unschedule(contract: DurableContract<"event" | "command", never> | AnyWorkflow, id: string): Promise<boolean>;
  /**
   * Sends a message to every node that handles it, this node included, and waits for the answer of each: one attempt
   * each, without retries. Resolves with an empty array if no node handles it. An idempotent command runs once for its
   * id on every node, where its `ctx.id` is `<id>@<node>`.
   *
   * @example
   * ```ts
   * import { catga, query } from "@catga/catga";
   * import { MemoryNetwork } from "@catga/catga/testing";
   *
   * const Uptime = query<void, number>("Uptime");
   * const network = new MemoryNetwork();
   * await using _a = await catga({ network, id: "a", handlers: Uptime.handle(() => 7) });
   * await using b = await catga({ network, id: "b", handlers: Uptime.handle(() => 9) });
   * for (const { node, result } of await b.broadcast(Uptime)) console.log(node, result.value); // a 7, then b 9
   * ```
   */
  broadcast<In, Out, F extends string>(
    contract: Contract<Kind, In, Out, F>,
    ...args: SendArgs<In, BroadcastOptions>
  ): Promise<BroadcastResult<Out, F | ProgramCode>[]>;
  /**
   * Starts a run of a workflow. The result is ok, with the id of the run, when the start is stored: from then on the
   * run continues to its end, whichever process dies. A second start with the same id and input returns the same run;
   * with another input it fails with `ID_REUSED`. Ends within the app's `timeout` and 1 s; after `OUTCOME_UNKNOWN` the
   * start may be stored: start again with the same id. No node needs to handle the workflow yet: the run waits for one;
   * without `nats` there is no other, and a start without a handler fails with `NO_HANDLER`.
   *
   * @example
   * ```ts
   * import { catga, unwrap, workflow } from "@catga/catga";
   *
   * const Nightly = workflow<void, number>("Nightly");
   * const nightly = Nightly.handle(async (flow) => {
   *   const rows = await flow.step("export", () => 7);
   *   await flow.sleep("pause", 10);
   *   return rows;
   * });
   * await using app = await catga({ handlers: nightly });
   * const run = unwrap(await app.start(Nightly));
   * console.log(unwrap(await app.result(Nightly, run))); // 7
   * ```
   */
  start<In, Out, F extends string>(
    workflow: WorkflowContract<In, Out, F>,
    ...args: SendArgs<In, StartOptions>
  ): Promise<Result<string, never>>;
  /**
   * Starts a run and tells it a signal, stored together; or, if the run is there already, with the same input, tells it
   * the signal. `NO_RUN`: that run has ended. Give the signal an `id` if you may have to repeat the call.
   */
  start<In, Out, F extends string, T>(
    workflow: WorkflowContract<In, Out, F>,
    input: NoInfer<In>,
    options: StartOptions & StartAndTell<T>,
  ): Promise<Result<string, never>>;
  /**
   * Resolves with the result of a run as soon as the run has ended. Resolves with `NOT_ENDED` after the `timeout`, or
   * when the `signal` aborts; the run then continues. `NO_RUN`: the run was never started, or was removed when the
   * workflow's `keep` had passed since its end.
   */
  result<Out, F extends string>(
    workflow: WorkflowContract<never, Out, F>,
    run: string,
    options?: ResultOptions,
  ): Promise<Result<Out, F>>;
  /**
   * Sends a signal to a run, before or while the run waits for it. The result is ok when the signal is stored.
   * `NO_RUN`: the run was never started, or has ended. Ends within the app's `timeout` and 1 s; after `OUTCOME_UNKNOWN`
   * tell it again with the same `id`.
   *
   * @example
   * ```ts
   * import { catga, unwrap, workflow } from "@catga/catga";
   *
   * const Approval = workflow<void, string>("Approval");
   * const Approved = Approval.signal<{ by: string }>("Approved");
   * const approval = Approval.handle(async (flow) => (await flow.wait(Approved)).by);
   * await using app = await catga({ handlers: approval });
   * const run = unwrap(await app.start(Approval));
   * unwrap(await app.tell(Approved, run, { by: "ada" }));
   * console.log(unwrap(await app.result(Approval, run))); // ada
   * ```
   */
  tell<T>(signal: Signal<T, unknown>, run: string, ...args: SendArgs<T, TellOptions>): Promise<Result<void, never>>;
  /**
   * Asks a run a question, before or while the run waits for it, and resolves with the run's answer, or with a failure
   * that the run gave. `NOT_ANSWERED`: the run has ended, or begun anew, without answering it. `NO_RUN`: the run was
   * never started, or had ended before. `NOT_ENDED`: there is no answer within the `timeout`; the run may still answer:
   * ask again with the same `id`, which asks once.
   *
   * @example
   * ```ts
   * import { catga, unwrap, workflow } from "@catga/catga";
   *
   * const Order = workflow<void, string>("Order");
   * const Move = Order.question<{ to: string }, { fee: number }, "TOO_LATE">("Move");
   * const order = Order.handle(async (flow) => {
   *   const asked = await flow.wait(Move);
   *   asked.answer({ fee: 3 });
   *   return asked.input.to;
   * });
   * await using app = await catga({ handlers: order });
   * const run = unwrap(await app.start(Order));
   * console.log(unwrap(await app.ask(Move, run, { to: "Riga" }))); // { fee: 3 }
   * ```
   */
  ask<In, Out, F extends string>(
    question: Askable<In, Out, F>,
    run: string,
    ...args: SendArgs<In, AskOptions>
  ): Promise<Result<Out, F>>;
  /**
   * Completes a callback of a run (`flow.callback`) with a value, or with `fail(code, message)`. The result is ok when
   * that is stored, and again if the call is repeated with an equal value. `CALLBACK_ENDED`: it was completed with
   * another one, or its time, or its run, is over. `NO_CALLBACK`: no run has made this token, or that run was removed.
   * Ends within the app's `timeout` and 1 s; after `OUTCOME_UNKNOWN` complete it again.
   *
   * @example
   * ```ts
   * import { catga, unwrap, workflow } from "@catga/catga";
   *
   * const Order = workflow<void, number>("Order");
   * const asked = Promise.withResolvers<string>();
   * const order = Order.handle(async (flow) => {
   *   const paid = flow.callback<{ cents: number }>("paid", { timeout: 3_600_000 });
   *   await flow.step("ask for payment", () => asked.resolve(paid.token));
   *   return unwrap(await paid.result).cents;
   * });
   * await using app = await catga({ handlers: order });
   * const run = unwrap(await app.start(Order));
   * unwrap(await app.complete(await asked.promise, { cents: 700 }));
   * console.log(unwrap(await app.result(Order, run))); // 700
   * ```
   */
  complete(token: string, value?: unknown): Promise<Result<void, never>>;
  /**
   * Cancels a run, which ends with `CANCELLED`. The result is ok when the request is stored: running steps are then
   * aborted, and finished steps are undone. `NO_RUN`: the run was never started, or has ended. Ends within the app's
   * `timeout` and 1 s; after `OUTCOME_UNKNOWN` cancel it again.
   */
  cancel(workflow: WorkflowContract<never, unknown>, run: string, reason: string): Promise<Result<void, never>>;
}
