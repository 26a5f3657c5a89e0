/** What a handler of a durable contract says about its subscription: the check of these options, and their defaults. */
import { checkTimes } from "./checks.ts";
import { checkInteger, checkKnown, checkNumber, checkToken, show } from "../data/checks.ts";
import type { AnyContract } from "./contract.ts";
import type { SubscriptionOptions, SubscriptionSettings } from "./handler.ts";

/**
 * The settings of a handler's subscription; `undefined` for a contract that is not durable, whose handlers take none of these options.
 * Throws a `TypeError` or `RangeError` for an invalid one. `at`: how messages begin.
 */
export function subscriptionSettings(
  at: string,
  { kind, name: category, options: { durable, timeout: ofContract } }: AnyContract,
  options: SubscriptionOptions,
): SubscriptionSettings | undefined {
  if (!durable) {
    const foreign = ONLY_DURABLE.find((option) => options[option] !== undefined);
    if (foreign === undefined) return undefined;
    throw new TypeError(`${at}: ${foreign} is of a durable ${kind}: give ${category} durable: true, too`);
  }
  const { name = category.replaceAll(".", "-"), from = "now", each = "service", retry = {}, timeout = ofContract } =
    options;
  checkToken(`${at}: name`, name);
  if (from !== "now" && from !== "start") {
    throw new TypeError(`${at}: from must be "now" or "start"; got ${show(from)}`);
  }
  if (typeof retry !== "object" || retry === null) {
    throw new TypeError(`${at}: retry must be { attempts, delay }; got ${show(retry)}`);
  }
  checkKnown(`${at}: retry`, retry, RETRY_OPTIONS);
  const { attempts = 10, delay = [1_000, 300_000] } = retry;
  checkInteger(`${at}: retry.attempts`, attempts, 1, 1_000);
  if (!Array.isArray(delay) || delay.length !== 2) {
    throw new TypeError(`${at}: retry.delay must be [first, longest] in ms, like [1_000, 300_000]; got ${show(delay)}`);
  }
  const [first, longest] = delay;
  checkNumber(`${at}: retry.delay[0]`, first, 1, MAX_PAUSE, "ms");
  checkNumber(`${at}: retry.delay[1]`, longest, first, MAX_PAUSE, "ms");
  checkTimes(`${at}: `, { timeout });
  return Object.freeze({ name, from, each, attempts, delay: Object.freeze([first, longest] as const), timeout });
}

const ONLY_DURABLE = ["name", "from", "retry", "timeout"] as const;
const RETRY_OPTIONS = new Set(["attempts", "delay"]);
/** The longest pause between attempts, in ms: a day. */
const MAX_PAUSE = 86_400_000;
