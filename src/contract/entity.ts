/**
 * Entities: things with an id whose state is computed from their stored events, and which change by one command at a
 * time. This file has the declarations that programs use; the folder `entities/` loads and stores entities.
 */
import type { AnyCode } from "../error.ts";
import type { AnyContract } from "./contract.ts";
import { checkFunction, checkInteger, checkKnown, checkObject, isToken, show } from "../data/checks.ts";
import type { Context } from "./context.ts";
import {
  checkName,
  type EmittedEvent,
  entityEvent,
  type HandlerFn,
  handlerOf,
  type KeyedCommand,
} from "./definition.ts";
import { decideByValues, type Decision, type DecisionOptions, type Given } from "./entity_decision.ts";
import type { CommandHandlerOptions, EntityBody, EntityContext, Handler } from "./handler.ts";
import type { EntityDefinition, Loaded } from "./entity_definition.ts";
import type { RedactedPath } from "./redaction.ts";
import type { Failure } from "./result.ts";
import type { MaybePromise, Schema } from "./schema.ts";
import type { SendableName } from "./sendable.ts";
import { workflowOf } from "./workflow.ts";

/** Options of {@link entity}, which defines a type of entity. */
export interface EntityOptions<State> {
  /** Makes the state of an entity that has no events yet, as plain data. Catga freezes the state. */
  initial: (id: string) => State;
  /**
   * Version of the `apply` functions. Raise it when they compute another state from the same events: stored snapshots
   * of another version are then ignored. Default: 1.
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
    options?: CommandHandlerOptions<NoInfer<F>>,
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
      const full: EntityEvent<State, In, Payload> = Object.freeze({
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
