/** Runs the handler of an entity's command on given events, for tests. */
import { decodeText, encodeValue } from "../data/encoding.ts";
import { checkKnown, freezePlain, isRecord, show } from "../data/checks.ts";
import type { AnyCode } from "../error.ts";
import type { Context } from "./context.ts";
import type { AnyContract } from "./contract.ts";
import { applied, Deciding, type EntityDefinition, initialState } from "./entity_definition.ts";
import type { Handler } from "./handler.ts";
import { isFailure, type Result } from "./result.ts";
import { firstIssue, validate } from "./schema.ts";

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
export async function decideByValues<State>(
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
