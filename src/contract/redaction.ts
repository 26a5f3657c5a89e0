/**
 * Members of payloads that tools hide: the option `redact` of contracts, and the header that stores it with each
 * message.
 */
import { show } from "../data/checks.ts";
import { HIDDEN, redacted, type Redaction, whyNoPaths } from "../data/redact.ts";
import type { Context } from "./context.ts";
import { type AnyContract, isRunMessage } from "./contract.ts";
import type { RunEntry, RunInfo } from "./flow.ts";
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
  const expected = whyNoPaths(redact);
  if (expected !== undefined) throw new TypeError(`${at}: redact must be ${expected}; got ${show(redact)}`);
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
