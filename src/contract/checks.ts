/** Checks of what a program passes in. Each error names the option, the value that was given, and what it should be. */
import { isRecord } from "../data/is_record.ts";
import type { Route, RouteName } from "./node_info.ts";

/** Longest timeout: 2^31 - 1 ms, 24.8 days. */
export const MAX_TIMEOUT = 2_147_483_647;

/** Throws if `timeout` or `retries` is invalid; `at` is written before their names. */
export function checkTimes(at: string, options: { timeout?: number | undefined; retries?: number | undefined }): void {
  if (options.timeout !== undefined) checkNumber(`${at}timeout`, options.timeout, 1, MAX_TIMEOUT, "ms");
  if (options.retries !== undefined) checkInteger(`${at}retries`, options.retries, 0, 1_000);
}

/** Throws if `options` is not an object, or has an option that is not known. */
export function checkKnown(at: string, options: object, known: ReadonlySet<string>): void {
  if (!isRecord(options)) {
    throw new TypeError(`${at} takes an object of options; got ${show(options)}`);
  }
  for (const key of Object.keys(options)) {
    if (!known.has(key)) throw new TypeError(`${at}: unknown option ${key}; it takes ${[...known].join(", ")}`);
  }
}

/** Throws if the value is not a number, or is outside of its range. */
export function checkNumber(name: string, value: number, least: number, most: number, unit = ""): void {
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number${unit && ` of ${unit}`}; got ${show(value)}`);
  }
  if (!(value >= least && value <= most)) {
    throw new RangeError(`${name} must be from ${least} to ${most}${unit && ` ${unit}`}; got ${value}`);
  }
}

/** Throws if the value is not a whole number, or is outside of its range. */
export function checkInteger(name: string, value: number, least: number, most: number): void {
  checkNumber(name, value, least, most);
  if (!Number.isInteger(value)) throw new RangeError(`${name} must be a whole number; got ${value}`);
}

/** Throws if the value is neither a strategy nor the name of one. */
export function checkRoute(name: string, value: Route): void {
  if (typeof value === "function" || ROUTES.has(value)) return;
  throw new TypeError(`${name} must be one of ${[...ROUTES].join(", ")}, or a function; got ${show(value)}`);
}

/** Throws if the value cannot be one token of a NATS subject. */
export function checkToken(name: string, value: string): void {
  if (typeof value === "string" && value.length <= MAX_TOKEN && /^[A-Za-z0-9_-]+$/.test(value)) return;
  throw new TypeError(`${name} must be 1 to ${MAX_TOKEN} letters, digits, "-" and "_"; got ${show(value)}`);
}

/** Throws if the value is not an object whose values are strings. */
export function checkStrings(name: string, value: Readonly<Record<string, string>>): void {
  if (!isRecord(value)) {
    throw new TypeError(`${name} must be an object of strings; got ${show(value)}`);
  }
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") throw new TypeError(`${name}.${key} must be a string; got ${show(text)}`);
  }
}

/** Throws if the value is neither `undefined` nor an `AbortSignal`. */
export function checkSignal(at: string, signal: AbortSignal | undefined): void {
  if (signal === undefined || signal instanceof AbortSignal) return;
  throw new TypeError(`${at}: signal must be an AbortSignal; got ${show(signal)}`);
}

/** A value for an error message: short, and with quotes if it is a string. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  if (typeof value === "bigint") return `${value}n`;
  return typeof value === "function" ? "a function" : String(value);
}

/** The greatest number of handlers that may run, or of sends that may be under way, at once. */
export const MAX_CONCURRENCY = 65_536;
const MAX_TOKEN = 64;
const ROUTES: ReadonlySet<RouteName | Route> = new Set<RouteName>([
  "round-robin",
  "local-first",
  "hash",
  "least-loaded",
  "random",
]);
