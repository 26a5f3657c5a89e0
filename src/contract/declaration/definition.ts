/**
 * Defines contracts: `command`, `query`, `event` and `stream`, their options, and the handlers that they make. The
 * folder `streams/`, loaded when a stream is first read or handled, sends and receives the items of streams.
 */
import type { Context } from "../calls/context.ts";
import { checkBehaviors } from "./behavior.ts";
import {
  type AnyContract,
  type Contract,
  type ContractOptions,
  type DurableContractOptions,
  isContractName,
  isRunMessage,
  type Kind,
  MAX_CONCURRENCY,
  MAX_NAME_LENGTH,
} from "./contract.ts";
import { checkInteger, checkKnown, isRecord, show } from "../../data/checks.ts";
import type { AnyCode } from "../../error.ts";
import type { Failure } from "../calls/result.ts";
import type { MaybePromise, Schema } from "../schemas/schema.ts";
import {
  type AnyCommandOptions,
  type CommandOptions,
  contractOptions,
  type DurableCommandOptions,
  type DurableEventOptions,
  type DurableKeyedCommandOptions,
  type EventOptions,
  type IdempotentCommandOptions,
  type Keyed,
  type KeyedCommandOptions,
  type Keyless,
  type PlainCommandOptions,
  type QueryOptions,
  type RequestOptions,
  type UnorderedIdempotentCommandOptions,
  type UnorderedKeyedCommandOptions,
} from "./contract_options.ts";
import type { SendableName } from "../calls/sendable.ts";
import {
  type Batch,
  type BatchSettings,
  BEGINS,
  type CommandHandlerOptions,
  type EventHandlerOptions,
  type Handler,
  type HandlerBody,
  type HandlerOptions,
  isHandler,
  type SubscriptionOptions,
  subscriptionSettings,
} from "./handler.ts";
import { WINDOW } from "./defaults.ts";

/** A command or a query, which a program can `send`. */
export interface RequestContract<
  K extends "command" | "query",
  In,
  Out,
  F extends string = AnyCode,
  Payload = In,
  Returned = Out,
> extends Contract<K, In, Out, F> {
  /**
   * Makes the contract's handler from `fn`, which returns the value or `fail(…)`, or throws; it may be async. Pass the
   * handler to `catga`, which takes one handler for each command or query.
   */
  handle(
    fn: (payload: Payload, ctx: Context) => MaybePromise<Returned | Failure<F>>,
    options?: HandlerOptions<F>,
  ): Handler;
}

/** A command (a message that changes something), made by {@link command}. */
export interface Command<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>
  extends RequestContract<"command", In, Out, F, Payload, Returned> {}

/** A durable command: `enqueue` can store it. */
export interface DurableCommand<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>
  extends Command<In, Out, F, Payload, Returned> {
  /** The contract's options, which include `durable`. */
  readonly options: DurableContractOptions;
  /** Makes the command's handler. The option `retry` applies only to messages that were enqueued. */
  handle(
    fn: (payload: Payload, ctx: Context) => MaybePromise<Returned | Failure<F>>,
    options?: CommandHandlerOptions<F, Payload>,
  ): Handler;
}

/**
 * A durable command with a `key` that is not idempotent: `enqueue` can store it, and an entity may have the handler for
 * it.
 */
export interface DurableKeyedCommand<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>
  extends DurableCommand<In, Out, F, Payload, Returned> {
  /** The contract's options, which include `durable` and `key`. */
  readonly options: DurableContractOptions & KeyedContractOptions;
}

/** A command with a `key` that is not idempotent: an entity may have the handler for it. */
export interface KeyedCommand<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>
  extends Command<In, Out, F, Payload, Returned> {
  /** The contract's options, which include `key`. */
  readonly options: KeyedContractOptions;
}

/** Options of a command that an entity may handle: with a `key`, and not idempotent. */
export interface KeyedContractOptions extends ContractOptions {
  /** Makes the key of a payload: the id of the entity that handles the command. */
  readonly key: (payload: never) => string;
  /** Must be false or absent, because the entity itself records the results of its commands. */
  readonly idempotent?: false | undefined;
}

/** A query (a message that reads something), made by {@link query}. */
export interface Query<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>
  extends RequestContract<"query", In, Out, F, Payload, Returned> {}

/** An event (a message that reports something), made by {@link event}; programs publish it and subscribe to it. */
export interface EventContract<In = void, Payload = In> extends Contract<"event", In, void> {
  /**
   * Makes a handler of the event; an event may have any number of handlers. The return value of `fn` is ignored; an
   * error that `fn` throws is logged.
   */
  on(fn: (payload: Payload, ctx: Context) => unknown, options?: EventHandlerOptions): Handler;
}

/** A durable event (stored until all its subscriptions have handled it), made by {@link event}. */
export interface DurableEvent<In = void, Payload = In> extends EventContract<In, Payload> {
  /** The contract's options, which include `durable`. */
  readonly options: DurableContractOptions;
  /**
   * Makes a handler of the event; an event may have any number of handlers. Give each its own `name`: handlers without
   * one are one subscription, and run again together if one of them fails. The return value of `fn` is ignored, except
   * `fail(…)`: after a failure, returned or thrown, the event is tried again, and after the last attempt becomes a dead
   * letter.
   *
   * @example
   * ```ts
   * import { catga, event } from "@catga/catga";
   *
   * const Paid = event<{ order: string }>("Paid", { durable: true });
   * const mailed = Promise.withResolvers<string>();
   * const mail = Paid.on(({ order }) => mailed.resolve(order), { name: "mail" });
   * const ship = Paid.on(({ order }) => console.log("ship", order), { name: "ship" });
   * await using app = await catga({ handlers: [mail, ship] });
   * await app.publish(Paid, { order: "7" });
   * console.log(await mailed.promise); // 7
   * ```
   */
  on(fn: (payload: Payload, ctx: Context) => unknown, options?: SubscriptionOptions<Payload>): Handler;
  /**
   * Makes a handler that gets several events in one call: up to `max` (1 to 1,000; default: 500), after waiting up to
   * `within` ms for more events (0 to 60,000; default: 20). If a batch fails, each of its events is handled alone, and
   * only the run of the single event counts as an attempt; `batch.fail` fails one event of a batch.
   */
  onBatch(
    fn: (batch: Batch<Payload>, ctx: Context) => unknown,
    options?: Omit<SubscriptionOptions<Payload>, "ahead"> & {
      max?: number | undefined;
      within?: number | undefined;
    },
  ): Handler;
}

/** An event of an entity: only commands of the entity emit it; programs cannot publish it. */
export interface EmittedEvent<In, Payload = In> extends DurableEvent<In, Payload> {
  /**
   * Compile time only, never has a value: its text appears in the compiler's error when the event is passed to
   * `publish`, and names the reason.
   */
  readonly "~emitted"?: "only commands of its entity emit it: send one of them";
  /**
   * Makes a handler of the event; an event may have any number of handlers. After a failure the event is tried again,
   * and after the last attempt becomes a dead letter. `ctx.key` is the entity's id.
   */
  on(
    fn: (payload: Payload, ctx: Context & { readonly key: string }) => unknown,
    options?: SubscriptionOptions<Payload>,
  ): Handler;
}

/**
 * Defines a command: a message that changes something. Catga never runs it twice: if it may have run, the sender gets
 * `OUTCOME_UNKNOWN`.
 *
 * The types come from the type arguments, or from the schemas in `options`. The third type argument, or `failures` in
 * the options, names the codes that the handler may fail with (`command<In, Out, "SOLD_OUT" | "TOO_MANY">`); without
 * it, any code. The name is one or more tokens of letters, digits, `-` and `_`, joined by dots, 256 characters at most.
 * Throws a `TypeError` for an invalid name, and a `TypeError` or `RangeError` for an invalid option.
 *
 * @example
 * ```ts
 * import { catga, command } from "@catga/catga";
 *
 * const CreateOrder = command<{ sku: string }, { orderId: string }>("CreateOrder");
 * await using app = await catga({ handlers: CreateOrder.handle(({ sku }) => ({ orderId: `${sku}-1` })) });
 * const result = await app.send(CreateOrder, { sku: "tea" });
 * console.log(result.ok && result.value.orderId); // tea-1
 * ```
 */
export function command<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>(
  name: SendableName<In, Returned>,
  options: PlainCommandOptions<In, Out, F, Payload, Returned>,
): Command<In, Out, F, Payload, Returned>;
/**
 * Defines an idempotent command that is neither durable nor ordered. The compiler tries one overload after the other,
 * and infers the types from the schemas for each: so the most frequent combinations of options come first.
 */
export function command<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>(
  name: SendableName<In, Returned>,
  options: UnorderedIdempotentCommandOptions<In, Out, F, Payload, Returned>,
): Command<In, Out, F, Payload, Returned>;
/** Defines a command that has a key, and is neither ordered nor idempotent nor durable. */
export function command<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>(
  name: SendableName<In, Returned>,
  options: UnorderedKeyedCommandOptions<In, Out, F, Payload, Returned>,
): KeyedCommand<In, Out, F, Payload, Returned>;
/** Defines an idempotent command that is not durable. */
export function command<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>(
  name: SendableName<In, Returned>,
  options: IdempotentCommandOptions<In, Out, F, Payload, Returned>,
): Command<In, Out, F, Payload, Returned>;
/** Defines a durable command that has a key, and is not idempotent. */
export function command<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>(
  name: SendableName<In, Returned>,
  options: DurableKeyedCommandOptions<In, Out, F, Payload, Returned>,
): DurableKeyedCommand<In, Out, F, Payload, Returned>;
/** Defines a durable command. */
export function command<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>(
  name: SendableName<In, Returned>,
  options: DurableCommandOptions<In, Out, F, Payload, Returned>,
): DurableCommand<In, Out, F, Payload, Returned>;
/** Defines a command that has a key, and is neither idempotent nor durable. */
export function command<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>(
  name: SendableName<In, Returned>,
  options: KeyedCommandOptions<In, Out, F, Payload, Returned>,
): KeyedCommand<In, Out, F, Payload, Returned>;
/**
 * Defines any command. This last overload takes every option, because the compiler reports only the errors of the last
 * overload. Only this overload can be called without options: if several could be, the compiler would report a type
 * that cannot be sent several times.
 */
export function command<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>(
  name: SendableName<In, Returned>,
  options?: CommandOptions<In, Out, F, Payload, Returned>,
): Command<In, Out, F, Payload, Returned>;
export function command<In, Out, F extends string, Payload, Returned>(
  name: string,
  options?: AnyCommandOptions<In, Out, F, Payload, Returned>,
): Command<In, Out, F, Payload, Returned> {
  return requestContract("command", checkName(name), options);
}

/**
 * Defines a query: a message that reads something. It may run more than once, if a node is lost or does not answer.
 *
 * Types and errors as for {@link command}.
 *
 * @example
 * ```ts
 * import { catga, query } from "@catga/catga";
 *
 * const CountOrders = query<void, number>("CountOrders");
 * await using app = await catga({ handlers: CountOrders.handle(() => 3) });
 * const { value } = await app.send(CountOrders);
 * console.log(value); // 3
 * ```
 */
export function query<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>(
  name: SendableName<In, Returned>,
  options?: QueryOptions<In, Out, F, Payload, Returned>,
): Query<In, Out, F, Payload, Returned> {
  return requestContract("query", checkName(name), options);
}

/** Makes a command or a query. The caller has checked the name. */
export function requestContract<K extends "command" | "query">(kind: K, name: string, options: object | undefined) {
  const contract = frozenContract({
    kind,
    name,
    options: contractOptions(kind, name, options),
    handle: (fn: HandlerFn, options?: CommandHandlerOptions): Handler => handlerOf(contract, "handle", fn, options),
  });
  return contract;
}

/**
 * Defines an event: a message that reports something. Each service that has handlers for the event gets it at most
 * once, and so does each node that has handlers with `each: "node"`.
 *
 * Types and errors as for {@link command}.
 *
 * @example
 * ```ts
 * import { catga, event } from "@catga/catga";
 *
 * const OrderCreated = event<{ orderId: string }>("OrderCreated");
 * await using app = await catga({ handlers: OrderCreated.on(({ orderId }) => console.log("created", orderId)) });
 * await app.publish(OrderCreated, { orderId: "tea-1" });
 * ```
 */
export function event<In = void, Payload = In>(
  name: SendableName<In>,
  options: DurableEventOptions<In, Payload>,
): DurableEvent<In, Payload>;
/** Defines an event that is not durable. */
export function event<In = void, Payload = In>(
  name: SendableName<In>,
  options?: EventOptions<In, Payload>,
): EventContract<In, Payload>;
export function event<In, Payload>(name: string, options?: EventOptions<In, Payload>): EventContract<In, Payload> {
  return eventContract(checkName(name), contractOptions("event", name, options));
}

/** Makes an event of an entity: kept for ever, with the entity's id as its key. The caller has checked the name. */
export function entityEvent<In, Payload>(
  name: string,
  entity: string,
  given: Pick<DurableEventOptions<In, Payload>, "input" | "redact">,
): EmittedEvent<In, Payload> {
  const options = { ...contractOptions("event", name, given), durable: FOR_GOOD, entity };
  return eventContract(name, Object.freeze(options));
}

/** Makes an event. The caller has checked the name. */
export function eventContract<Options extends ContractOptions>(name: string, options: Options) {
  const contract = frozenContract({
    kind: "event" as const,
    name,
    options,
    on: (fn: HandlerFn, options?: SubscriptionOptions): Handler => handlerOf(contract, "on", fn, options),
    onBatch: (fn: HandlerFn, options?: SubscriptionOptions): Handler => handlerOf(contract, "onBatch", fn, options),
  });
  return contract;
}

/**
 * Freezes a contract. Gives it the methods of other kinds, not enumerable, which throw a `TypeError` that names the
 * right method: programs in JavaScript have no compiler that does.
 */
export function frozenContract<C extends { readonly kind: string; readonly name: string }>(contract: C): C {
  const { kind, name } = contract;
  const [others, right] = kind === "event"
    ? [["handle"], `an event, whose handlers are made by ${name}.on(fn)`]
    : [["on", "onBatch"], `a ${kind}, whose handler is made by ${name}.handle(fn)`];
  for (const method of others) {
    const value = () => {
      throw new TypeError(`${name}.${method}: ${name} is ${right}`);
    };
    Object.defineProperty(contract, method, { value });
  }
  return Object.freeze(contract);
}

/**
 * Wraps the function of a batch handler so that each call first forgets the failures that an earlier call recorded on
 * the same batch.
 */
function beginning(fn: HandlerFn): HandlerFn {
  return (batch: { [BEGINS]?(): void }, ctx: never) => {
    batch[BEGINS]?.();
    return fn(batch as never, ctx);
  };
}

const FOR_GOOD = Object.freeze({ keep: Infinity });

const ON_OPTIONS = new Set(["behaviors", "concurrency", "each", "name", "from", "retry", "timeout", "limit", "fair"]);
const HANDLER_OPTIONS = {
  handle: new Set(["behaviors", "concurrency", "retry", "limit", "fair", "ahead"]),
  on: new Set([...ON_OPTIONS, "ahead"]),
  onBatch: new Set([...ON_OPTIONS, "max", "within"]),
};

/** Returns the name of a contract; throws a `TypeError` if it is invalid. */
export function checkName(name: string): string {
  const isName = typeof name === "string" && isContractName(name);
  if (isName && isRunMessage(name)) {
    throw new TypeError(`${name} is a message of the runs of a workflow: choose another name`);
  }
  if (isName) return name;
  throw new TypeError(
    `a contract's name is one or more tokens of letters, digits, "-" and "_", joined by dots, ${MAX_NAME_LENGTH} ` +
      `characters at most, like "orders.Create"; got ${show(name)}`,
  );
}

/** Makes the handler of a contract. `at`: text at the beginning of error messages. */
export function handlerOf(
  contract: AnyContract,
  method: "handle" | "on" | "onBatch",
  fn: HandlerFn,
  options: SubscriptionOptions & Partial<BatchSettings> = {},
  at = `${contract.name}.${method}`,
): Handler {
  if (typeof fn !== "function") throw new TypeError(`${at} takes a function; got ${show(fn)}`);
  checkKnown(at, options, HANDLER_OPTIONS[method]);
  const { behaviors = [], concurrency, each = "service" } = options;
  checkBehaviors(`${at}: behaviors`, behaviors);
  if (concurrency !== undefined) checkInteger(`${at}: concurrency`, concurrency, 1, MAX_CONCURRENCY);
  if (each !== "service" && each !== "node") {
    throw new TypeError(`${at}: each must be "service" or "node"; got ${show(each)}`);
  }
  const body: HandlerBody = {
    // the contract's schema or type arguments guarantee the type of the payload
    fn: (method === "onBatch" ? beginning(fn) : fn) as HandlerBody["fn"],
    behaviors: Object.freeze([...behaviors]),
    concurrency,
    each,
    subscription: subscriptionSettings(at, contract, options, method === "onBatch"),
  };
  return Object.freeze({ contract, "~handler": Object.freeze(body) });
}

/** The function of a handler of any contract. */
export type HandlerFn = (payload: never, ctx: never) => unknown;

// The check of a contract that a program passes in: the error says which kind was expected and what was given instead.

/** Throws a `TypeError` unless the value is a contract of one of these kinds. `method`: the method that was called. */
export function checkContract(method: string, contract: AnyContract, ...kinds: Kind[]): void {
  const isOfKind = kinds.includes(contract?.kind);
  if (isOfKind && typeof contract.name === "string" && isRecord(contract.options)) return;
  const wanted = `what ${kinds.map((kind) => `${kind}(…)`).join(" or ")} gives`;
  throw new TypeError(
    `${method}: the first argument must be ${wanted}; got ${isOfKind ? show(contract) : describe(contract)}`,
  );
}

/**
 * Describes, for an error, a value that was passed in place of the expected contract, and says what was probably meant.
 */
export function describe(given: AnyContract): string {
  if (isHandler(given)) return `a handler: give its contract, ${given.contract.name}`;
  if (given?.kind === undefined) return show(given);
  return `${given.kind} ${given.name}: ${VERBS[given.kind] ?? "send"} it`;
}

const VERBS: Readonly<Record<string, string>> = { event: "publish", stream: "stream", workflow: "start" };

/** Options of {@link stream}, which defines a stream. */
export type StreamContractOptions<In, Item, F extends string = AnyCode, Payload = In, Returned = Item> =
  & Omit<RequestOptions<In, Item, F, Payload, Returned>, "output">
  & (Keyed | Keyless)
  & {
    /**
     * Checks each item where the handler makes it, and parses it where it arrives (`INVALID_RESPONSE`). Default: none.
     */
    items?: Schema<Returned, Item> | undefined;
    /**
     * Makes the input with which another node continues when the stream breaks, from the input and the last item, which
     * is `undefined` before the first item. Without this function, a stream that breaks ends with `STREAM_BROKEN`.
     */
    resume?: ((input: NoInfer<In>, last: NoInfer<Item> | undefined) => NoInfer<In>) | undefined;
    /**
     * Maximum time that a reader waits for an item, in ms: 1 to 2^31 - 1; then the stream fails with `TIMEOUT`.
     * Default: 30,000.
     */
    idle?: number | undefined;
    /**
     * How far the handler may be ahead of its reader: `items` (1 to 65,536; default: 256) or `bytes` (1 to 2^26;
     * default: 1,048,576), whichever is reached first; one item may always be on its way.
     */
    window?: { items?: number | undefined; bytes?: number | undefined } | undefined;
  };

/** Return type of a handler of a stream: an iterable of items, which may return a failure at its end; or a failure. */
export type Items<Item, F extends string> =
  | AsyncIterable<Item, Failure<F> | void, undefined>
  | Iterable<Item, Failure<F> | void, undefined>;

/** A stream (a request that is answered item by item), made by {@link stream}. */
export interface Stream<In = void, Item = void, F extends string = AnyCode, Payload = In, Returned = Item>
  extends Contract<"stream", In, Item, F> {
  /**
   * Makes the stream's handler from `fn`: an `async function*`, or another function that returns an iterable. `return
   * fail(…)` ends the stream with a failure, which the reader gets after the items before it. When the reader has
   * ended, `ctx.signal` aborts, and the generator ends at its next `yield`: its `finally` runs.
   */
  handle(
    fn: (payload: Payload, ctx: Context) => MaybePromise<Items<Returned, NoInfer<F>> | Failure<NoInfer<F>>>,
    options?: HandlerOptions<NoInfer<F>>,
  ): Handler;
}

/**
 * Defines a stream: a request whose handler answers with items, one after the other, no faster than the reader reads.
 * The reader gets the items in order, each once, or an error.
 *
 * Types and errors as for {@link command}; the second type argument is the type of an item.
 *
 * @example
 * ```ts
 * import { catga, fail, stream } from "@catga/catga";
 *
 * const Count = stream<{ to: number }, number, "TOO_FAR">("Count");
 * const count = Count.handle(async function* ({ to }) {
 *   for (let n = 1; n <= to; n++) yield n;
 *   if (to > 2) return fail("TOO_FAR", `cannot count to ${to}`);
 * });
 * await using app = await catga({ handlers: count });
 * for await (const n of app.stream(Count, { to: 2 })) console.log(n); // 1, then 2
 * ```
 * @decides streams are declared: `stream()`
 */
export function stream<In = void, Item = void, F extends string = AnyCode, Payload = In, Returned = Item>(
  name: SendableName<In, Returned>,
  options?: StreamContractOptions<In, Item, F, Payload, Returned>,
): Stream<In, Item, F, Payload, Returned> {
  const contract: Stream<In, Item, F, Payload, Returned> = frozenContract({
    kind: "stream",
    name: checkName(name),
    options: contractOptions("stream", name, options),
    handle: (fn: HandlerFn, options?: HandlerOptions) => {
      const items: HandlerFn = (payload, ctx) => (ctx as StreamingContext)["~items"](fn, payload);
      return handlerOf(contract, "handle", typeof fn === "function" ? items : fn, options);
    },
  });
  return contract;
}

/** The context that a running app gives to handlers of streams, with the method that sends their items. */
export interface StreamingContext extends Context {
  /**
   * Calls the handler of a stream and sends its items. Resolves with the number of items, or with the failure that the
   * handler returned.
   */
  "~items"(fn: HandlerFn, payload: unknown): Promise<unknown>;
}

/** Limits how far a handler may be ahead of its reader. */
export interface Window {
  readonly items: number;
  readonly bytes: number;
}

/** Returns how far the handler of a contract may be ahead of its reader: the contract's `window`, with defaults. */
export function windowOf({ options: { window } }: AnyContract): Window {
  return { items: window?.items ?? WINDOW.items, bytes: window?.bytes ?? WINDOW.bytes };
}
