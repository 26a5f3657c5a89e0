/**
 * Entities: things with an id whose state is computed from their stored events, and which change by one command at a
 * time. This file has the declarations that programs use, and `decide`, which runs a handler on given events in a test;
 * the folder `entities/` loads and stores entities.
 */
import type { AnyCode } from "../../error.ts";
import type { AnyContract } from "./contract.ts";
import {
  checkFunction,
  checkInteger,
  checkKnown,
  checkObject,
  freezePlain,
  isRecord,
  isToken,
  show,
} from "../../data/checks.ts";
import type { Context } from "../calls/context.ts";
import { STUCK } from "./contract.ts";
import {
  checkName,
  type EmittedEvent,
  entityEvent,
  frozenContract,
  type HandlerFn,
  handlerOf,
  type KeyedCommand,
} from "./definition.ts";
import type { CommandHandlerOptions, EntityBody, EntityContext, Handler } from "./handler.ts";
import { applied, Deciding, type EntityDefinition, initialState, type Loaded } from "./entity_definition.ts";
import type { RedactedPath } from "./redaction.ts";
import { type Failure, isFailure, type Result } from "../calls/result.ts";
import { firstIssue, type MaybePromise, type Schema, validate } from "../schemas/schema.ts";
import type { SendableName } from "../calls/sendable.ts";
import { workflowOf } from "./workflow.ts";
import { decodeText, encodeValue } from "../../data/encoding.ts";

/** Options of {@link entity}, which defines a type of entity. */
export interface EntityOptions<State> {
  /** Makes the state of an entity that has no events yet, as plain data. Catga freezes the state. */
  initial: (id: string) => State;
  /**
   * Version of the `apply` functions. Raise it when they compute another state from the same events: stored snapshots
   * of another version are then ignored, as are those of a program whose `initial` returned other members or other
   * kinds of values. Default: 1.
   */
  version?: number | undefined;
}

/** Options of an entity's `event`. */
export interface EntityEventOptions<In, Payload = In> {
  /**
   * Checks the payload when the event is emitted, and parses it when the event is applied or handled: transforms of the
   * schema bring old events into today's shape. The schema must be synchronous. Default: none.
   */
  input?: Schema<In, Payload> | undefined;
  /**
   * Paths of members that tools hide (the command line, the dashboard, listings of dead letters): up to 32 paths, each
   * of up to 256 characters. The paths are stored with each event. If an entity has an event with hidden members, tools
   * hide the state in its snapshot, too. Default: none.
   */
  redact?: readonly RedactedPath<NoInfer<In>>[] | undefined;
}

/** An event of an entity. It is durable, and its key is the entity's id. Only commands of the entity emit it. */
export interface EntityEvent<State, In = void, Payload = In> extends EmittedEvent<In, Payload> {
  /** Compile time only: carries the type of the state. */
  readonly "~state": (state: State) => State;
  /** Pairs this event with a payload, for the option `given` of {@link Entity.decide} in tests. */
  of(...args: undefined extends In ? [payload?: NoInfer<In>] : [payload: NoInfer<In>]): Given<State>;
}

/**
 * A handler of a command, made by an entity's `handle`. Its type parameters let {@link Entity.decide} check a test's
 * values.
 */
export interface EntityHandler<State, In, Returned, F extends string = AnyCode> extends Handler {
  /** Compile time only, never has a value: carries the types. */
  readonly "~decides"?: (state: State, payload: In) => Returned | Failure<F>;
}

/** A type of entity (things whose state is computed from their events), made by {@link entity}. */
export interface Entity<State> {
  /** The name of the type of entity. */
  readonly name: string;
  /** Internal: the initial state, events and version of the type of entity. */
  readonly "~entity": EntityDefinition<State>;
  /**
   * The event `<Entity>.forgotten`, the only event left of an entity after `forget`. A handler that keeps data about
   * entities (a read model) removes its data about this entity.
   */
  readonly forgotten: EmittedEvent<{ readonly id: string }>;
  /**
   * Defines an event of the entity, called `<Entity>.<name>`. `apply` returns the state after the event, computed from
   * the state before it and the payload; it must be pure. The state that it gets is frozen (except a `Map` or `Set` in
   * it: copy it). Throws a `TypeError` for an invalid or repeated name.
   */
  event<In = void, Payload = In>(
    name: SendableName<In>,
    apply: {
      (state: State, payload: NoInfer<Payload>): State;
      /**
       * Compile time only, never has a value: its text appears in the compiler's error, and names the right order of
       * arguments.
       */
      readonly input?: "apply is the second argument, input an option: event(name, apply, { input })";
    },
    options?: EntityEventOptions<In, Payload>,
  ): EntityEvent<State, In, Payload>;
  /**
   * Makes the handler of a command whose `key` is the entity's id. The events that `decide` emits are stored together
   * or not at all, and the command is applied once for its message id; the value or failure that `decide` returns is
   * the command's result. `decide` runs again if another command has changed the entity before the events are stored:
   * put side effects into a subscription to the events. A command with `durable: true` may be enqueued, too: it then
   * runs later, and is applied once.
   */
  handle<In, Out, F extends string, Payload, Returned>(
    command: KeyedCommand<In, Out, F, Payload, Returned>,
    decide: (entity: Loaded<State>, payload: Payload, ctx: Context) => MaybePromise<Returned | Failure<NoInfer<F>>>,
    options?: CommandHandlerOptions<NoInfer<F>, NoInfer<Payload>>,
  ): EntityHandler<State, In, Returned, F>;
  /**
   * Runs the handler of a command on given events, for tests: without an app, and without storing anything. Rejects
   * with an error that `apply`, a schema or the handler throws.
   */
  decide<In, Returned, F extends string>(
    handler: EntityHandler<State, In, Returned, F>,
    options: DecisionOptions<State, In>,
  ): Promise<Decision<State, Returned, F>>;
}

/**
 * Defines a type of entity, whose state is computed from its events. The name is one token of letters, digits, `-` and
 * `_`, 64 characters at most; it must not end with `-run`, the suffix of stored workflow runs. Throws a `TypeError` for
 * an invalid name or option.
 *
 * @example
 * ```ts
 * import { catga, command, entity, fail, unwrap } from "@catga/catga";
 *
 * const Cart = entity("Cart", { initial: () => ({ items: [] as string[] }) });
 * const ItemAdded = Cart.event<{ sku: string }>("ItemAdded", (cart, { sku }) => ({ items: [...cart.items, sku] }));
 * const AddItem = command<{ cartId: string; sku: string }, number>("AddItem", { key: ({ cartId }) => cartId });
 * const addItem = Cart.handle(AddItem, (cart, { sku }) => {
 *   if (cart.state.items.length === 3) return fail("FULL", "a cart takes three items");
 *   cart.emit(ItemAdded, { sku });
 *   return cart.state.items.length;
 * });
 * await using app = await catga({ handlers: addItem });
 * console.log(unwrap(await app.send(AddItem, { cartId: "c-1", sku: "tea" }))); // 1
 * ```
 */
export function entity<State>(name: string, options: EntityOptions<State>): Entity<State> {
  if (!isToken(name, 64)) {
    throw new TypeError(`an entity's name is 1 to 64 letters, digits, "-" and "_", like "Cart"; got ${show(name)}`);
  }
  const at = `entity ${name}`;
  const workflow = workflowOf(name);
  if (workflow !== undefined) {
    throw new TypeError(
      `${at}: that is the type of the runs of the workflow ${workflow}; choose a name without -run at its end`,
    );
  }
  if (name === STUCK) throw new TypeError(`${at}: that is the type of the notes of stuck runs; choose another name`);
  checkObject(`${at}: options`, options, "{ initial }");
  checkKnown(at, options, ENTITY_OPTIONS);
  const { initial, version = 1 } = options;
  checkFunction(`${at}: initial`, initial, "a function that returns the first state");
  checkInteger(`${at}: version`, version, 1, Number.MAX_SAFE_INTEGER);
  const definition: EntityDefinition<State> = { name, initial, version, events: new Map() };
  const made: Entity<State> = Object.freeze({
    name,
    "~entity": definition,
    forgotten: entityEvent<{ readonly id: string }, { readonly id: string }>(`${name}.forgotten`, name, {}),
    event: <In, Payload>(
      event: string,
      apply: (state: State, payload: Payload) => State,
      options: EntityEventOptions<In, Payload> = {},
    ) => {
      checkKnown(`${at}: event ${show(event)}`, options, EVENT_OPTIONS);
      if (typeof apply !== "function") {
        throw new TypeError(`${at}: event ${show(event)} needs a function that applies it; got ${show(apply)}`);
      }
      if (event === "forgotten") throw new TypeError(`${at}: forgotten is the event that every entity has`);
      if (definition.events.has(`${name}.${event}`)) throw new TypeError(`${at} has an event ${event} already`);
      const contract = entityEvent<In, Payload>(checkName(`${name}.${event}`), name, options);
      const full: EntityEvent<State, In, Payload> = frozenContract({
        ...contract,
        "~state": (state: State) => state,
        of: (payload?: unknown) => Object.freeze({ event: contract.name, payload }),
      });
      // the cast is safe: the event's type arguments say which payload `apply` gets
      definition.events.set(contract.name, {
        contract: full,
        apply: apply as (state: State, payload: unknown) => State,
      });
      return full;
    },
    handle: (command: AnyContract, decide: EntityBody["decide"], options?: CommandHandlerOptions) =>
      entityHandler(definition as EntityDefinition<unknown>, command, decide, options),
    decide: (handler: Handler, options: DecisionOptions<State, unknown>) =>
      decideByValues(definition, handler, options),
  }) as Entity<State>;
  return made;
}

function entityHandler(
  definition: EntityDefinition<unknown>,
  contract: AnyContract,
  decide: EntityBody["decide"],
  options: CommandHandlerOptions | undefined,
): Handler {
  const at = `${definition.name}.handle`;
  if (contract?.kind !== "command") {
    const got = contract?.kind === undefined ? show(contract) : `${contract.kind} ${contract.name}`;
    throw new TypeError(`${at} takes a command; got ${got}`);
  }
  const { name, options: { key, idempotent } } = contract;
  if (key === undefined) {
    throw new TypeError(
      `${at} ${name}: the command needs a key, which is the entity's id, as key: (payload) => payload.id`,
    );
  }
  if (idempotent) {
    throw new TypeError(
      `${at} ${name}: commands of an entity remember their results by themselves: leave idempotent out`,
    );
  }
  if (typeof decide !== "function") throw new TypeError(`${at} ${name} takes a function; got ${show(decide)}`);
  const entity: EntityBody = Object.freeze({ definition, decide });
  // the cast is safe: the context belongs to a running app, which loads and stores entities
  const fn: HandlerFn = (payload, ctx) => (ctx as EntityContext)["~decide"](entity, payload);
  const { "~handler": body } = handlerOf(contract, "handle", fn, options, `${at} ${name}`);
  return Object.freeze({ contract, "~handler": Object.freeze({ ...body, entity }) });
}

const ENTITY_OPTIONS = new Set(["initial", "version"]);
const EVENT_OPTIONS = new Set(["input", "redact"]);

/** An event with its payload, made by an entity event's `of`, as input of a test. */
export interface Given<State> {
  /** The name of the event's contract. */
  readonly event: string;
  /** The payload in the form in which it would be stored. */
  readonly payload: unknown;
  /** Compile time only, never has a value: carries the type of the state. */
  readonly "~state"?: (state: State) => State;
}

/** Input of an entity's `decide` in a test: earlier events and the command. */
export interface DecisionOptions<State, In> {
  /** Events of the entity before the command, oldest first. Default: none. */
  given?: readonly Given<State>[] | undefined;
  /** The payload of the command. */
  when: In;
  /**
   * Members of the context that the handler reads, with stand-ins for the methods that it calls; reading another member
   * throws. Default: none.
   */
  ctx?: Partial<Context> | undefined;
}

/** The result of an entity's `decide` in a test: the result of the command, its events, and the new state. */
export interface Decision<State, Returned, F extends string = AnyCode> {
  /** The handler's return value, or its failure. */
  readonly result: Result<Returned, F>;
  /** Events that the handler emitted; none if the handler failed. */
  readonly emitted: readonly { readonly event: string; readonly payload: unknown }[];
  /** The state of the entity after the emitted events. */
  readonly state: State;
}

/** Runs the handler of an entity's command on given events; the implementation of `Entity.decide`. */
async function decideByValues<State>(
  definition: EntityDefinition<State>,
  handler: Handler,
  options: DecisionOptions<State, unknown>,
): Promise<Decision<State, never>> {
  const at = `${definition.name}.decide`;
  // a program without types may pass a contract instead of a handler
  const { contract, "~handler": inside } = (handler ?? {}) as Partial<Handler>;
  const body = inside?.entity;
  if (contract === undefined || body?.definition !== definition) {
    throw new TypeError(`${at} takes what ${definition.name}.handle(…) returns; got ${named(handler)}`);
  }
  checkKnown(at, options, DECISION_OPTIONS);
  const { given = [], when, ctx = {} } = options;
  checkGiven(at, given);
  // the context may be an instance of a class, so only these values are refused
  if (typeof ctx !== "object" || ctx === null || Array.isArray(ctx)) {
    throw new TypeError(`${at}: ctx must be an object with members of the context; got ${show(ctx)}`);
  }
  const key = contract.options.key as (payload: unknown) => string;
  const id = key(when);
  const before = stateOf(definition, initialState(definition, id), given);
  const deciding = new Deciding(definition, id, given.length, before);
  const schema = contract.options.input;
  let payload = when;
  if (schema !== undefined) {
    const parsed = await validate(schema, when, "INVALID_MESSAGE", contract.name);
    if (!parsed.ok) throw new TypeError(`${contract.name}: ${firstIssue(parsed.error)}`, { cause: parsed.error.cause });
    payload = parsed.value;
  }
  const returned = await body.decide(deciding, payload, contextOf(ctx));
  deciding.end();
  const result: Result<unknown> = isFailure(returned) ? returned : { ok: true, value: returned };
  const emitted = result.ok ? deciding.emitted.map(({ event, payload }) => ({ event, payload })) : [];
  return { result, emitted, state: stateOf(definition, before, emitted) } as Decision<State, never>;
}

/**
 * Returns the state that the events lead to; their payloads are parsed like payloads of stored events. The states are
 * frozen, as in an app: an `apply` that changes its argument throws.
 */
function stateOf<State>(
  definition: EntityDefinition<State>,
  before: State,
  events: Decision<State, unknown>["emitted"],
): State {
  let state = before;
  for (const { event, payload } of events) {
    const stored = payload === undefined ? undefined : decodeText(encodeValue(payload, `payload of ${event}`));
    state = freezePlain(applied(definition, state, event, stored));
  }
  return state;
}

/** Throws a `TypeError` unless every element of `given` was made by an event's `of`. */
function checkGiven(at: string, given: readonly unknown[]): void {
  if (!Array.isArray(given)) throw new TypeError(`${at}: given must be an array of events; got ${show(given)}`);
  given.forEach((each, index) => {
    if (isRecord(each) && typeof each.event === "string") return;
    throw new TypeError(
      `${at}: given[${index}] must be an event with its payload, as Added.of({ sku: "tea" }); got ${named(each)}`,
    );
  });
}

/** Shows a value in an error message; for a contract, its name. */
function named(value: unknown): string {
  const { kind, name } = (value ?? {}) as Partial<AnyContract>;
  return typeof kind === "string" && typeof name === "string" ? `the ${kind} ${name} itself` : show(value);
}

const DECISION_OPTIONS = new Set(["given", "when", "ctx"]);

/** Makes a context that has only the members of `given`; reading another member throws. */
function contextOf(given: Partial<Context>): Context {
  return new Proxy(given, {
    get: (target, member) => {
      if (member in target) return Reflect.get(target, member);
      throw new TypeError(`decide: the handler reads ctx.${String(member)}: give it in the option ctx`);
    },
  }) as Context;
}
