/** Checks of what contracts, sends and apps have in common. */
import { checkInteger, checkNumber, MAX_TIMEOUT, show } from "../data/checks.ts";
import type { Route, RouteName } from "./node_info.ts";

/** Throws if `timeout` or `retries` is invalid; `at` is written before their names. */
export function checkTimes(at: string, options: { timeout?: number | undefined; retries?: number | undefined }): void {
  if (options.timeout !== undefined) checkNumber(`${at}timeout`, options.timeout, 1, MAX_TIMEOUT, "ms");
  if (options.retries !== undefined) checkInteger(`${at}retries`, options.retries, 0, 1_000);
}

/** Throws if the value is neither a strategy nor the name of one. */
export function checkRoute(name: string, value: Route): void {
  if (typeof value === "function" || ROUTES.has(value)) return;
  throw new TypeError(`${name} must be one of ${[...ROUTES].join(", ")}, or a function; got ${show(value)}`);
}

/** The greatest number of handlers that may run, or of sends that may be under way, at once. */
export const MAX_CONCURRENCY = 65_536;
const ROUTES: ReadonlySet<RouteName | Route> = new Set<RouteName>([
  "round-robin",
  "local-first",
  "hash",
  "least-loaded",
  "random",
]);
