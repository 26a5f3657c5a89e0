/**
 * Entries of runs as they are read: whoever may write to a run's subject decides what the run does (docs/security.md),
 * but what is malformed neither ends a node, nor has one spin, nor hides the run from operators. What is no entry is
 * passed over as a whole.
 */
import { isCount, isRecord, isToken } from "../data/checks.ts";
import type { Entry } from "./journal.ts";

/** The entry that a payload is; `undefined`: it is none, or a member of it is invalid. */
export function entryOf(payload: unknown): Entry | undefined {
  if (!isRecord(payload) || typeof payload.t !== "string") return undefined;
  // those of a later version are left to the journal, which ignores them
  const members = Object.hasOwn(MEMBERS, payload.t) ? MEMBERS[payload.t as Entry["t"]] : {};
  for (const [member, isValid] of Object.entries(members)) if (!isValid(payload[member])) return undefined;
  // each member is checked
  return payload as unknown as Entry;
}

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === "string";
const isTime: Check = Number.isFinite;
const maybe = (check: Check): Check => (value) => value === undefined || check(value);
const isError: Check = (error) => isRecord(error) && isText(error.code) && isText(error.message);
const isOutcome: Check = (outcome) =>
  isRecord(outcome) && (outcome.ok === true || (outcome.ok === false && isError(outcome.error)));
const isParent: Check = (parent) =>
  isRecord(parent) && isToken(parent.workflow) && isText(parent.run) &&
  isText(parent.step);
const isFlag: Check = (value) => typeof value === "boolean";
const scheduled = maybe(isFlag);
const step = isText;

const MEMBERS: { readonly [T in Entry["t"]]: Readonly<Record<string, Check>> } = {
  started: { by: isText, version: isCount, keep: isTime, timeout: maybe(isTime), parent: maybe(isParent) },
  signalled: { by: isText, signal: isText, id: maybe(isText) },
  cancelled: { by: isText, code: isText, reason: isText },
  told: { by: isText, step, workflow: isText, run: isText, outcome: isOutcome },
  retried: { by: isText },
  skipped: { by: isText, step, reason: isText },
  held: {},
  done: { step, outcome: isOutcome },
  failed: { step, error: isError, next: maybe(isTime), scheduled },
  slept: { step, until: isTime, scheduled },
  woken: { step },
  waits: { step, signal: isText, until: maybe(isTime), scheduled },
  took: { step, n: maybe(isCount) },
  child: { step, workflow: isText, run: isText },
  limited: {},
  failing: { error: isError },
  undone: { step },
  ended: { outcome: isOutcome, until: isTime },
};
