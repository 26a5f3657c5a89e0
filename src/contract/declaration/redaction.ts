/**
 * Members of payloads that tools hide: the option `redact` of contracts, the header that stores it with each message,
 * and the values without these members. The paths come with the stored message, which any client may have written: so
 * their number and length are limited, and paths that cannot be read hide the whole payload.
 */
import { show } from "../../data/checks.ts";
import { printableJson } from "../../data/printable.ts";
import type { Context } from "../calls/context.ts";
import { type AnyContract, isRunMessage } from "./contract.ts";
import type { RunEntry, RunInfo } from "../calls/flow.ts";
import { batchOf } from "./handler.ts";

/**
 * Path of a member of a payload, for the option `redact`. The first name is a member of the payload; a dot leads to a
 * member of that member. A path passes through arrays; `**.name` is a member at any depth.
 */
export type RedactedPath<In> = unknown extends In ? string
  : In extends object ? `**.${string}` | `${MemberOf<In>}` | `${MemberOf<In>}.${string}`
  : string;

/** The names of the members of a payload, or of the items of an array. */
export type MemberOf<In> = In extends readonly (infer Item)[] ? Extract<keyof Item, string>
  : In extends ReadonlyMap<unknown, unknown> | ReadonlySet<unknown> ? string
  : In extends object ? Extract<keyof In, string>
  : never;

/**
 * Name of a stored message's header with the paths of hidden members, as JSON; for an entity's events, the paths by
 * event name.
 */
export const REDACT_HEADER = "catga-redact";

/**
 * Returns the paths of hidden members, frozen; `undefined` for an empty list. Throws a `TypeError` unless all are valid
 * paths. `at`: text at the beginning of the error.
 */
export function frozenPaths(at: string, redact: readonly string[] | undefined): readonly string[] | undefined {
  if (redact === undefined) return undefined;
  const wrong = whyNoPaths(redact);
  if (wrong !== undefined) throw new TypeError(`${at}: redact${wrong}`);
  return redact.length === 0 ? undefined : Object.freeze([...redact]);
}

/**
 * Returns the members of a stored message that tools hide, by its headers; `undefined`: none. A header that cannot be
 * read hides the whole payload. In a message of a workflow's run all values are hidden; tools show them in the run's
 * timeline, where they know the workflow's `redact`.
 */
export function redactionOf(
  headers: Readonly<Record<string, string>> | undefined,
  contract: string,
): Redaction | undefined {
  if (isRunMessage(contract)) return OF_RUNS;
  const text = headers?.[REDACT_HEADER];
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value)) return whyNoPaths(value) === undefined ? value : "all";
    if (typeof value !== "object" || value === null) return "all";
    // events of one command share a header, so this event may have no paths in it
    const event = contract.slice(contract.indexOf(".") + 1);
    if (!Object.hasOwn(value, event)) return undefined;
    const own: unknown = (value as Record<string, unknown>)[event];
    return whyNoPaths(own) === undefined ? own as readonly string[] : "all";
  } catch {
    return "all";
  }
}

/** Members of the entries of workflow runs, and of the messages of runs' timers, whose values come from the program. */
const OF_RUNS: Redaction = ["input", "outcome", "value", "error", "start"];

/** Contract and headers of a stored message, from which follows which members of its payload tools hide. */
interface RedactedMessage {
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly contract: string;
}

/**
 * Returns the payload of a message as tools show it: in full with `secrets`, else without the members that its contract
 * hides. If the contract hides any member, a payload that could not be parsed, or is only the beginning of a payload,
 * is hidden as a whole.
 */
export function shownPayload(payload: string, about: RedactedMessage, secrets: boolean): string;
export function shownPayload(payload: unknown, about: RedactedMessage, secrets: boolean): unknown;
export function shownPayload(payload: unknown, { headers, contract }: RedactedMessage, secrets: boolean): unknown {
  if (secrets) return payload;
  const redaction = redactionOf(headers, contract);
  return redaction !== undefined && typeof payload === "string" ? HIDDEN : redacted(payload, redaction);
}

/**
 * Returns the payload of a message as a behavior may log it: without the members that `redact` of its contract names,
 * and without the members that the message's header names, which come from the sender's contract. Each message of a
 * batch has its own header.
 */
export function loggedPayload(
  { name, options }: AnyContract,
  payload: unknown,
  ctx: Pick<Context, "headers">,
): unknown {
  const hidden = (given: unknown, headers: Readonly<Record<string, string>>) =>
    redacted(redacted(given, options.redact), redactionOf(headers, name));
  const batch = batchOf(payload);
  if (batch === undefined) return hidden(payload, ctx.headers);
  return batch.map((member) => ({ ...member, payload: hidden(member.payload, member.headers) }));
}

/**
 * Returns the value of an entry of a run's timeline as tools show it: in full with `secrets`, else without hidden
 * members.
 */
export function shownEntryValue({ redact }: RunInfo, { type, value }: RunEntry, secrets: boolean): unknown {
  if (secrets || redact === undefined) return value;
  if (type !== "skipped") return redacted(value, redact);
  const { value: given, reason } = value as { readonly value: unknown; readonly reason: string };
  return { value: redacted(given, redact), reason };
}

/**
 * Returns what a run shows as tools show it, as a text: in full with `secrets`, else without hidden members; empty: it
 * shows nothing.
 */
export function shownView({ redact, view }: Pick<RunInfo, "redact" | "view">, secrets: boolean): string {
  const value = secrets ? view : redacted(view, redact);
  return value === undefined ? "" : typeof value === "string" ? value : printableJson(value) ?? "";
}

/** Returns what is pending of a run as tools show it: in full with `secrets`, else without hidden members. */
export function shownPending({ redact, pending }: RunInfo, secrets: boolean): RunInfo["pending"] {
  if (secrets || redact === undefined) return pending;
  return pending.map((step) =>
    step.progress === undefined ? step : { ...step, progress: redacted(step.progress, redact) }
  );
}

/** Text that is shown in place of a hidden member. */
export const HIDDEN = "(hidden)";

/** Maximum number of paths of a contract. */
export const MAX_PATHS = 32;
/** Maximum length of a path, in characters. */
export const MAX_PATH_LENGTH = 256;

/** Paths of the members to hide; `all`: the whole payload is hidden. */
type Redaction = readonly string[] | "all";

/** Beginning of a path that names a member at any depth. */
const ANYWHERE = "**.";
/** Maximum depth to which a payload is searched; deeper parts are hidden. */
const MAX_DEPTH = 256;

/**
 * Returns, for an error message behind `redact`, what the value should be if it is not a valid list of paths;
 * `undefined`: it is valid.
 */
export function whyNoPaths(value: unknown): string | undefined {
  if (!Array.isArray(value)) return ` must be an array of paths, like ["card.number"]; got ${show(value)}`;
  if (value.length > MAX_PATHS) return ` must be at most ${MAX_PATHS} paths; got ${value.length}`;
  const at = value.findIndex((path) => !isPath(path));
  if (at < 0) return undefined;
  return `[${at}] must be a path of 1 to ${MAX_PATH_LENGTH} characters, like "card.number"; got ${show(value[at])}`;
}

function isPath(path: unknown): boolean {
  if (typeof path !== "string" || path.length > MAX_PATH_LENGTH) return false;
  const names = (path.startsWith(ANYWHERE) ? path.slice(ANYWHERE.length) : path).split(".");
  if (path.startsWith(ANYWHERE) && names.length > 1) return false;
  return names.every((name) => name !== "" && name !== "**");
}

/**
 * Returns a copy of a payload with {@link HIDDEN} in place of the members on these paths. A path consists of names of
 * members, joined by dots; `*` matches any name, a path goes through arrays, sets and maps, and `**.name` is a member
 * with this name at any depth. An instance of a class that has such members becomes a plain object.
 */
export function redacted(value: unknown, redaction: Redaction | undefined): unknown {
  if (redaction === undefined || value === undefined) return value;
  if (redaction === "all") return HIDDEN;
  return new Redactor(redaction).without(value);
}

/**
 * Copies one payload without its hidden members. Each object is copied once for the same paths, however often it occurs
 * in the payload.
 */
class Redactor {
  readonly #anywhere = new Set<string>();
  readonly #paths: string[] = [];
  /**
   * Copies made so far, by object and paths; {@link HIDDEN} while an object is being copied, because it may contain
   * itself.
   */
  readonly #copies = new Map<object, Map<string, unknown>>();

  constructor(paths: readonly string[]) {
    for (const path of paths) {
      if (path.startsWith(ANYWHERE)) this.#anywhere.add(path.slice(ANYWHERE.length));
      else this.#paths.push(path);
    }
  }

  /**
   * Copies a value without its hidden members. `paths`: the paths of the hidden members as seen from this value, except
   * those of the form `**.name`.
   */
  without(value: unknown, paths: readonly string[] = this.#paths, depth = 0): unknown {
    if (typeof value !== "object" || value === null) return value;
    if (paths.length === 0 && this.#anywhere.size === 0) return value;
    if (depth > MAX_DEPTH) return HIDDEN;
    let copies = this.#copies.get(value);
    if (copies === undefined) this.#copies.set(value, copies = new Map());
    const way = JSON.stringify(paths);
    if (!copies.has(way)) {
      copies.set(way, HIDDEN);
      copies.set(way, this.#copy(value, paths, depth));
    }
    return copies.get(way);
  }

  #copy(value: object, paths: readonly string[], depth: number): unknown {
    const through = (inner: unknown) => this.without(inner, paths, depth + 1);
    const member = (name: unknown, inner: unknown) => this.#member(name, inner, paths, depth);
    if (Array.isArray(value)) return value.map(through);
    if (value instanceof Set) return new Set([...value].map(through));
    if (value instanceof Map) return new Map([...value].map(([key, inner]) => [through(key), member(key, inner)]));
    if (value instanceof Error || ArrayBuffer.isView(value)) return value;
    const { toJSON } = value as { readonly toJSON?: unknown };
    if (typeof toJSON === "function") {
      const json: unknown = toJSON.call(value, "");
      // a `Date` becomes a text
      if (json !== value) return typeof json === "object" && json !== null ? through(json) : value;
    }
    const members = Object.entries(value);
    if (members.length === 0) return value;
    return Object.fromEntries(members.map(([name, inner]) => [name, member(name, inner)]));
  }

  #member(name: unknown, inner: unknown, paths: readonly string[], depth: number): unknown {
    if (typeof name === "string" && this.#anywhere.has(name)) return HIDDEN;
    const left: string[] = [];
    for (const path of paths) {
      const end = path.indexOf(".");
      const first = end < 0 ? path : path.slice(0, end);
      if (first !== "*" && first !== name) continue;
      if (end < 0) return HIDDEN;
      left.push(path.slice(end + 1));
    }
    return this.without(inner, left, depth + 1);
  }
}
