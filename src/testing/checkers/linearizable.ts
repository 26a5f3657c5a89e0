/**
 * Checks linearizability: every operation on a key must seem to happen at one moment between its call and its return.
 *
 * The search is that of Wing and Gong with the memory of visited states of Lowe ("Testing for linearizability",
 * 2017), key by key.
 */
import { isDeepStrictEqual } from "node:util";
import { checkInteger } from "../../data/checks.ts";
import { encodeValue } from "../../data/encoding.ts";
import { type Breach, shown } from "./breach.ts";

/** An operation on a key, as its caller has observed it. */
export interface Operation<In = unknown, Out = unknown> {
  /** Name of the register, entity or object. Operations on different keys are independent. */
  readonly key: string;
  /** Argument of the operation. */
  readonly input: In;
  /** Result of the operation, if it has returned. */
  readonly output?: Out | undefined;
  /** Time of the call. Two operations are concurrent unless the `to` of one is smaller than the other's `from`. */
  readonly from: number;
  /**
   * Time of the return, in the unit of `from`: ms, or numbers of events. `undefined`: the outcome is unknown; the
   * operation may have happened at any time after `from`, or never.
   */
  readonly to?: number | undefined;
  /** Name of the caller, for reports. */
  readonly by?: string | undefined;
}

/**
 * The object as it would behave if operations came one after the other. `apply` must not change the state it gets.
 * States that could be sent in a message are compared as values. Other states, such as instances of a class, are
 * compared by identity, with which the search visits more states.
 */
export interface SequentialModel<State, In, Out> {
  /** Returns the state of a key before its first operation. */
  readonly initial: (key: string) => State;
  /** Returns the next state and the output of an operation. */
  readonly apply: (state: State, input: In) => { readonly state: State; readonly output: Out };
  /** Returns true if an observed output is allowed. Default: deep equality with the output of the model. */
  readonly fits?: ((observed: Out | undefined, output: Out) => boolean) | undefined;
}

/** Options of {@link checkLinearizable}. */
export interface LinearizableOptions {
  /** Maximum number of states that are visited for one key, 1 or more. Default: 1,000,000. */
  readonly states?: number | undefined;
}

/**
 * Input of an operation on a register: `read` returns its value, `write` replaces it, `swap` replaces `from` by `to`.
 */
export type RegisterInput<V> =
  | { readonly type: "read" }
  | { readonly type: "write"; readonly value: V }
  | { readonly type: "swap"; readonly from: V; readonly to: V };

/**
 * Makes the model of a register for {@link checkLinearizable}: `read` returns its value, `write` returns nothing,
 * `swap` returns true if the value was `from`.
 *
 * @example
 * ```ts
 * import { register } from "@catga/catga/testing";
 *
 * const { initial, apply } = register(1);
 * console.log(apply(initial("price"), { type: "swap", from: 1, to: 2 })); // { state: 2, output: true }
 * ```
 */
export function register<V>(initial: V): SequentialModel<V, RegisterInput<V>, V | boolean | undefined> {
  return {
    initial: () => initial,
    apply: (value, input) => {
      if (input.type === "read") return { state: value, output: value };
      if (input.type === "write") return { state: input.value, output: undefined };
      const fits = isDeepStrictEqual(value, input.from);
      return { state: fits ? input.to : value, output: fits };
    },
  };
}

/**
 * Returns a breach for each key whose operations cannot be explained by any order of them, according to a model of
 * one key. Leave out operations that certainly did not happen. Throws a `RangeError` if a key has too many states for
 * an answer: many operations of unknown outcome on one key.
 *
 * @example
 * ```ts
 * import { checkLinearizable, register } from "@catga/catga/testing";
 *
 * const stale = checkLinearizable([
 *   { key: "price", by: "a", input: { type: "write", value: 2 }, from: 1, to: 2 },
 *   { key: "price", by: "b", input: { type: "read" }, output: 1, from: 3, to: 4 },
 * ], register(1));
 * console.log(stale.map(({ subject }) => subject)); // [ "price" ]
 * ```
 * @decides a history is linearizable
 */
export function checkLinearizable<State, In, Out>(
  operations: readonly Operation<In, Out>[],
  model: SequentialModel<State, In, Out>,
  { states = 1_000_000 }: LinearizableOptions = {},
): Breach[] {
  checkInteger("checkLinearizable: states", states, 1, Number.MAX_SAFE_INTEGER);
  return [...Map.groupBy(operations, ({ key }) => key)].flatMap(([key, own]) => {
    const found = search(key, own, model, states);
    return found === undefined ? [] : [found];
  });
}

/** The call or the return of an operation, in the list of operations that are not explained yet. */
interface SearchPlace {
  readonly n: number;
  /** For a call, the place of its return; `undefined` for a return, and for a call of unknown outcome. */
  readonly end: SearchPlace | undefined;
  readonly isCall: boolean;
  before: SearchPlace | undefined;
  after: SearchPlace | undefined;
}

function search<State, In, Out>(
  key: string,
  operations: readonly Operation<In, Out>[],
  model: SequentialModel<State, In, Out>,
  most: number,
): Breach | undefined {
  const fits = model.fits ?? ((observed, output) => isDeepStrictEqual(observed, output));
  const head = listOf(operations);
  const visited = new Set<string>();
  const stateText = stateTexts();
  const chosen: { readonly place: SearchPlace; readonly state: State }[] = [];
  let [state, done] = [model.initial(key), 0n];
  let longest: { readonly order: readonly number[]; readonly stuck: number } | undefined;
  let place = head.after;
  // the list has no return any more: only operations of unknown outcome are left, which need not have happened
  while (place !== undefined) {
    if (place.isCall) {
      const { input, output, to } = operations[place.n];
      const next = model.apply(state, input);
      if (to === undefined || fits(output, next.output)) {
        const then = done | 1n << BigInt(place.n);
        const visit = `${then.toString(36)} ${stateText(next.state)}`;
        if (!visited.has(visit)) {
          if (visited.size === most) throw tooMany(key, operations, most);
          visited.add(visit);
          chosen.push({ place, state });
          [state, done] = [next.state, then];
          take(place);
          place = head.after;
          continue;
        }
      }
      place = place.after;
      continue;
    }
    if (longest === undefined || chosen.length > longest.order.length) {
      longest = { order: chosen.map(({ place }) => place.n), stuck: place.n };
    }
    const last = chosen.pop();
    if (last === undefined) return broken(key, operations, longest);
    state = last.state;
    done &= ~(1n << BigInt(last.place.n));
    putBack(last.place);
    place = last.place.after;
  }
  return undefined;
}

/**
 * Makes a function that returns a text for each state, by which the search recognizes a state: equal texts only for
 * equal states. A state that has no text, such as an instance of a class, gets a number.
 */
function stateTexts(): (state: unknown) => string {
  const numbers = new Map<unknown, number>();
  return (state) => {
    if (state === undefined) return "";
    try {
      return encodeValue(state, "state");
    } catch {
      const number = numbers.get(state) ?? numbers.size;
      numbers.set(state, number);
      return `#${number}`;
    }
  };
}

/**
 * Sorts the calls and returns of operations by time. At one time calls come before returns: an operation that is called
 * at the very time at which another returns counts as concurrent with it.
 */
function listOf(operations: readonly Operation[]): SearchPlace {
  const events = operations.flatMap(({ from, to }, n) => {
    const end: SearchPlace | undefined = to === undefined
      ? undefined
      : { n, end: undefined, isCall: false, before: undefined, after: undefined };
    const call: SearchPlace = { n, end, isCall: true, before: undefined, after: undefined };
    return [{ at: from, place: call }, ...end === undefined ? [] : [{ at: to!, place: end }]];
  });
  events.sort((a, b) => a.at - b.at || Number(b.place.isCall) - Number(a.place.isCall));
  const head: SearchPlace = { n: -1, end: undefined, isCall: false, before: undefined, after: undefined };
  let last = head;
  for (const { place } of events) {
    last.after = place;
    place.before = last;
    last = place;
  }
  return head;
}

function take(call: SearchPlace): void {
  for (const place of call.end === undefined ? [call] : [call, call.end]) {
    place.before!.after = place.after;
    if (place.after !== undefined) place.after.before = place.before;
  }
}

function putBack(call: SearchPlace): void {
  for (const place of call.end === undefined ? [call] : [call.end, call]) {
    place.before!.after = place;
    if (place.after !== undefined) place.after.before = place;
  }
}

function broken(
  key: string,
  operations: readonly Operation[],
  { order, stuck }: { readonly order: readonly number[]; readonly stuck: number },
): Breach {
  const describe = ({ by, input, output, from, to }: Operation) => {
    const result = to === undefined ? "unknown" : shown(output);
    return `${by === undefined ? "" : `${by}: `}${shown(input)} → ${result} (${from} to ${to ?? "?"})`;
  };
  const before = order.slice(-MAX_SHOWN).map((n) => describe(operations[n]));
  const left = order.length > MAX_SHOWN ? `${order.length - MAX_SHOWN} more, ` : "";
  const then = order.length === 0 ? "as the first operation" : `behind ${left}${before.join(", ")}`;
  return {
    promise: "one key: linearizable",
    subject: key,
    text: `no order explains ${describe(operations[stuck])}: at best ${then}`,
    at: operations[stuck].to,
  };
}

function tooMany(key: string, operations: readonly Operation[], most: number): RangeError {
  const unknown = operations.filter(({ to }) => to === undefined).length;
  return new RangeError(
    `checkLinearizable: ${key} has more than ${most} states (${operations.length} operations, ${unknown} of unknown ` +
      `outcome); use more keys, fewer operations, or a greater limit: { states }`,
  );
}

const MAX_SHOWN = 5;
