/** Defining contracts: `command`, `query` and `event`, their options, and the handlers that they make. */
import type { Context } from "./context.ts";
import type { Route } from "./node_info.ts";
import { checkBehaviors } from "./behavior.ts";
import { checkInteger, checkKnown, MAX_CONCURRENCY, show } from "./checks.ts";
import type { AnyCode } from "../error.ts";
import type { Failure } from "./result.ts";
import type { MaybePromise, Schema } from "./schema.ts";
import { type AnyContract, type Contract, isContractName, MAX_NAME_LENGTH } from "./contract.ts";
import { contractOptions } from "./contract_options.ts";
import type { SendableName } from "./sendable.ts";
import type { CommandHandlerOptions, Handler, HandlerBody, HandlerOptions, SubscriptionOptions } from "./handler.ts";
import { subscriptionSettings } from "./subscription_settings.ts";

/** Options of {@link event}. `In` is what a sender gives, `Payload` what the handler gets. */
export interface EventOptions<In, Payload = In> {
  /** Checks the payload where it is sent and parses it where it is handled (`INVALID_MESSAGE`); none. */
  input?: Schema<In, Payload> | undefined;
  /**
   * Kept in the log until every subscription has handled it: `publish` is ok when it is stored; `false`. `keep`: how long it stays, in ms,
   * 120,000 at least, or `Infinity`; 7 days.
   */
  durable?: boolean | { keep?: number | undefined } | undefined;
  /** Of a durable event: those of one key are handled one at a time, in the order in which they were stored, in each subscription; none. */
  key?: ((payload: NoInfer<In>) => string) | undefined;
}

/**
 * Options of {@link query}. `Returned` is what the handler returns, `Out` what the sender gets, `F` the codes that the handler may
 * fail with.
 */
export interface QueryOptions<In, Out, F extends string = AnyCode, Payload = In, Returned = Out>
  extends Pick<EventOptions<In, Payload>, "input"> {
  /** Checks the answer where it is made and parses it where it arrives (`INVALID_RESPONSE`); none. */
  output?: Schema<Returned, Out> | undefined;
  /**
   * The codes that the handler may fail with, for contracts whose types come from schemas. A handler that fails with another one
   * (of plain JavaScript, or by throwing) is an `INVALID_RESPONSE`; Catga's own codes may always be passed on. Any code.
   */
  failures?: readonly F[] | undefined;
  /** The routing key of a payload: the `hash` strategy sends the same key to the same node; none. */
  key?: ((payload: NoInfer<In>) => string) | undefined;
  /** How a node is chosen; the app's, or `"hash"` when `ordered`. */
  route?: Route | undefined;
  /**
   * The messages of one key run one at a time, in the order in which they arrive at the key's node; `false`. The route is
   * `"hash"`, so a `key` is needed, here or in each send.
   */
  ordered?: boolean | undefined;
  /** How long a send may take, retries included, in ms: 1 to 2^31 - 1; the app's. */
  timeout?: number | undefined;
  /** How many further attempts after the first: 0 to 1,000; the app's. */
  retries?: number | undefined;
}

/** Options of {@link command}. */
export interface CommandOptions<In, Out, F extends string = AnyCode, Payload = In, Returned = Out>
  extends QueryOptions<In, Out, F, Payload, Returned> {
  /**
   * One recorded result for each message id, which every sender with that id gets, from whichever node; `false`. The command
   * is sent again when its node is lost. After a crash, a pause of more than 15 s, or more than 4 s without a connection, the handler
   * may run again: fence what it changes with `ctx.fence`. The same id with another payload is `ID_REUSED`. `ttl`: how long a
   * result is kept, in ms, 1,000 at least; a day.
   */
  idempotent?: boolean | { ttl?: number | undefined } | undefined;
  /**
   * Of an idempotent command: the message id of a payload, 1 to 256 characters, for sends without an `id` of their own. Called
   * where it is sent, with a payload that fits `input`; what else it returns or throws is `INVALID_MESSAGE`. None.
   */
  id?: ((payload: NoInfer<In>) => string) | undefined;
  /**
   * May be stored by `enqueue`, and is then run at least once, whatever its service; `false`. `keep`: how long it stays in the log, in ms,
   * 120,000 at least, or `Infinity`; 7 days.
   */
  durable?: boolean | { keep?: number | undefined } | undefined;
}

/** A command or a query. */
export interface RequestContract<
  K extends "command" | "query",
  In,
  Out,
  F extends string = AnyCode,
  Payload = In,
  Returned = Out,
> extends Contract<K, In, Out, F> {
  /**
   * Makes the handler: `fn` returns the value or `fail(…)`, or throws; sync or async. Pass it to `catga`, which takes one
   * handler for this contract.
   */
  handle(
    fn: (payload: Payload, ctx: Context) => MaybePromise<Returned | Failure<F>>,
    options?: K extends "command" ? CommandHandlerOptions : HandlerOptions,
  ): Handler;
}

/** A command: {@link command} makes it. */
export interface Command<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>
  extends RequestContract<"command", In, Out, F, Payload, Returned> {}

/** A query: {@link query} makes it. */
export interface Query<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>
  extends RequestContract<"query", In, Out, F, Payload, Returned> {}

/** An event: {@link event} makes it. */
export interface EventContract<In = void, Payload = In> extends Contract<"event", In, void> {
  /**
   * Makes a handler; an event may have any number of them. What it returns is ignored, and what it throws is logged. Of a durable event:
   * what it throws, and `fail(…)`, is tried again, and becomes a dead letter in the end.
   */
  on(fn: (payload: Payload, ctx: Context) => unknown, options?: SubscriptionOptions): Handler;
}

/**
 * Defines a command: a message that changes something. Catga never runs it twice: when it may have run, the sender gets
 * `OUTCOME_UNKNOWN`.
 *
 * The types are the type arguments, or those of the schemas in `options`; the third are the codes that the handler may fail with
 * (`command<In, Out, "SOLD_OUT" | "TOO_MANY">`, or `failures` in the options), any code without it. The name is one or more tokens of letters, digits,
 * `-` and `_`, joined by dots, 256 characters at most. Throws a `TypeError` for an invalid name, and a `TypeError` or
 * `RangeError` for an invalid option.
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
  options?: CommandOptions<In, Out, F, Payload, Returned>,
): Command<In, Out, F, Payload, Returned> {
  const contract: Command<In, Out, F, Payload, Returned> = Object.freeze({
    kind: "command",
    name: checkName(name),
    options: contractOptions("command", name, options),
    handle: (fn: HandlerFn, options?: CommandHandlerOptions) => handler(contract, "handle", fn, options),
  });
  return contract;
}

/**
 * Defines a query: a message that reads something. It may run more than once, when a node is lost or silent.
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
  const contract: Query<In, Out, F, Payload, Returned> = Object.freeze({
    kind: "query",
    name: checkName(name),
    options: contractOptions("query", name, options),
    handle: (fn: HandlerFn, options?: CommandHandlerOptions) => handler(contract, "handle", fn, options),
  });
  return contract;
}

/**
 * Defines an event: a message that reports something. Each service that has handlers for it gets it at most once, and so
 * does each node that has handlers with `each: "node"`.
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
  options?: EventOptions<In, Payload>,
): EventContract<In, Payload> {
  const contract: EventContract<In, Payload> = Object.freeze({
    kind: "event",
    name: checkName(name),
    options: contractOptions("event", name, options),
    on: (fn: HandlerFn, options?: SubscriptionOptions) => handler(contract, "on", fn, options),
  });
  return contract;
}

/** Defines an event of an entity, for `entity(…).event`: durable for good, with the entity's id as its key. */
export function entityEvent<In, Payload>(
  name: string,
  entity: string,
  input: Schema<In, Payload> | undefined,
): EventContract<In, Payload> {
  const contract: EventContract<In, Payload> = Object.freeze({
    kind: "event",
    name: checkName(name),
    options: Object.freeze({ ...contractOptions("event", name, { input, durable: { keep: Infinity } }), entity }),
    on: (fn: HandlerFn, options?: SubscriptionOptions) => handler(contract, "on", fn, options),
  });
  return contract;
}

const HANDLER_OPTIONS = {
  handle: new Set(["behaviors", "concurrency", "retry"]),
  on: new Set(["behaviors", "concurrency", "each", "name", "from", "retry", "timeout"]),
};

function checkName(name: string): string {
  if (typeof name === "string" && isContractName(name)) return name;
  throw new TypeError(
    `a contract's name is one or more tokens of letters, digits, "-" and "_", joined by dots, ${MAX_NAME_LENGTH} ` +
      `characters at most, like "orders.Create"; got ${show(name)}`,
  );
}

function handler(
  contract: AnyContract,
  method: "handle" | "on",
  fn: HandlerFn,
  options: SubscriptionOptions = {},
): Handler {
  const at = `${contract.name}.${method}`;
  if (typeof fn !== "function") throw new TypeError(`${at} takes a function; got ${show(fn)}`);
  checkKnown(at, options, HANDLER_OPTIONS[method]);
  const { behaviors = [], concurrency, each = "service" } = options;
  checkBehaviors(`${at}: behaviors`, behaviors);
  if (concurrency !== undefined) checkInteger(`${at}: concurrency`, concurrency, 1, MAX_CONCURRENCY);
  if (each !== "service" && each !== "node") {
    throw new TypeError(`${at}: each must be "service" or "node"; got ${show(each)}`);
  }
  const body: HandlerBody = {
    // the payload that arrives has the type of this contract: its schema or its type arguments say so
    fn: fn as HandlerBody["fn"],
    behaviors: Object.freeze([...behaviors]),
    concurrency,
    each,
    subscription: subscriptionSettings(at, contract, options),
  };
  return Object.freeze({ contract, "~handler": Object.freeze(body) });
}

/** The function of a handler of any contract. */
type HandlerFn = (payload: never, ctx: Context) => unknown;
