/** The options of contracts: which ones each kind takes, and the check of all of them. */
import { checkKnown, checkNumber, checkRoute, checkTimes, MAX_TIMEOUT, show } from "./checks.ts";
import type { ContractOptions, Kind } from "./contract.ts";

/** The options of a contract, frozen, without those that are `undefined`. Throws a `TypeError` or `RangeError` for an invalid one. */
export function contractOptions(kind: Kind, name: string, options: object | undefined): ContractOptions {
  if (options === undefined) return NO_OPTIONS;
  const at = `contract ${name}`;
  checkKnown(at, options, OPTIONS[kind]);
  const { input, output, key, route, ordered, timeout, retries, idempotent, failures, id, durable } =
    options as ContractOptions;
  for (const [option, schema] of [["input", input], ["output", output]] as const) {
    if (schema !== undefined && typeof schema?.["~standard"]?.validate !== "function") {
      throw new TypeError(
        `${at}: ${option} must be a Standard Schema validator (zod, valibot, arktype, effect, …); got ${show(schema)}`,
      );
    }
  }
  if (key !== undefined && typeof key !== "function") {
    throw new TypeError(`${at}: key must be a function of the payload that returns a string; got ${show(key)}`);
  }
  if (route !== undefined) checkRoute(`${at}: route`, route);
  checkTimes(`${at}: `, { timeout, retries });
  if (ordered !== undefined && typeof ordered !== "boolean") {
    throw new TypeError(`${at}: ordered must be true or false; got ${show(ordered)}`);
  }
  if (ordered && route !== undefined && route !== "hash") {
    throw new TypeError(`${at}: ordered needs the route "hash", which it has by itself; got ${show(route)}`);
  }
  if (idempotent !== undefined) checkIdempotent(at, idempotent);
  if (failures !== undefined) checkFailures(at, failures);
  if (id !== undefined) checkId(at, id, idempotent);
  if (durable !== undefined) checkDurable(at, durable);
  if (kind === "event" && key !== undefined && !durable) {
    throw new TypeError(`${at}: key is of a durable event: give it durable: true, too`);
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  if (typeof idempotent === "object") given.idempotent = Object.freeze({ ...idempotent });
  if (typeof durable === "object") given.durable = Object.freeze({ ...durable });
  if (failures !== undefined) given.failures = Object.freeze([...failures]);
  return Object.freeze(given);
}

function checkFailures(at: string, failures: readonly string[]): void {
  if (Array.isArray(failures) && failures.every((code) => typeof code === "string" && code !== "")) return;
  throw new TypeError(`${at}: failures must be an array of codes, like ["SOLD_OUT"]; got ${show(failures)}`);
}

function checkId(at: string, id: unknown, idempotent: ContractOptions["idempotent"]): void {
  if (typeof id !== "function") {
    throw new TypeError(`${at}: id must be a function of the payload that returns a string; got ${show(id)}`);
  }
  if (!idempotent) throw new TypeError(`${at}: id is of an idempotent command: give it idempotent: true, too`);
}

function checkIdempotent(at: string, idempotent: NonNullable<ContractOptions["idempotent"]>): void {
  if (typeof idempotent === "boolean") return;
  if (typeof idempotent !== "object" || idempotent === null) {
    throw new TypeError(`${at}: idempotent must be true, false or { ttl }; got ${show(idempotent)}`);
  }
  checkKnown(`${at}: idempotent`, idempotent, IDEMPOTENT_OPTIONS);
  if (idempotent.ttl !== undefined) checkNumber(`${at}: idempotent.ttl`, idempotent.ttl, 1_000, MAX_TIMEOUT, "ms");
}

const IDEMPOTENT_OPTIONS = new Set(["ttl"]);

function checkDurable(at: string, durable: NonNullable<ContractOptions["durable"]>): void {
  if (typeof durable === "boolean") return;
  if (typeof durable !== "object" || durable === null) {
    throw new TypeError(`${at}: durable must be true, false or { keep }; got ${show(durable)}`);
  }
  checkKnown(`${at}: durable`, durable, DURABLE_OPTIONS);
  if (durable.keep !== undefined && durable.keep !== Infinity) {
    checkNumber(`${at}: durable.keep`, durable.keep, LEAST_KEEP, MAX_KEEP, "ms");
  }
}

const DURABLE_OPTIONS = new Set(["keep"]);
/** The shortest: a publish is repeated for 105 s, and a server that restarts forgets the ids of what has expired. In ms. */
const LEAST_KEEP = 120_000;
/** The longest time that a message is kept without `Infinity`, in ms: 100 years. */
const MAX_KEEP = 36_525 * 86_400_000;
/** How long a durable message is kept without `keep`, in ms: 7 days. */
export const KEEP = 7 * 86_400_000;

/** How long the messages of a durable contract are kept, in ms; `Infinity`: for good. */
export function keepOf({ durable }: ContractOptions): number {
  return (typeof durable === "object" ? durable.keep : undefined) ?? KEEP;
}

const EVENT_OPTIONS = new Set(["input", "durable", "key"]);
const QUERY_OPTIONS = new Set(["input", "output", "failures", "key", "route", "ordered", "timeout", "retries"]);
const OPTIONS: Readonly<Record<Kind, ReadonlySet<string>>> = {
  event: EVENT_OPTIONS,
  query: QUERY_OPTIONS,
  command: new Set([...QUERY_OPTIONS, "idempotent", "id", "durable"]),
};

const NO_OPTIONS: ContractOptions = Object.freeze({});
