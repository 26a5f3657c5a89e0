/** The options that a handler of a durable contract has for its subscription: their check, and their defaults. */
import { type AnyContract, checkTimes } from "./contract.ts";
import { DEFAULT_RETRY } from "./defaults.ts";
import { checkDelay, checkInteger, checkKnown, checkNumber, checkObject, checkToken, show } from "../data/checks.ts";
import type { BatchSettings, SubscriptionOptions, SubscriptionSettings } from "./handler.ts";

/**
 * Returns the settings of a handler's subscription; `undefined` for a contract that is not durable. Throws a
 * `TypeError` or `RangeError` for an invalid option. `at`: text at the beginning of the error. `batches`: true for a
 * handler that gets its events in batches, which only durable events can have.
 */
export function subscriptionSettings(
  at: string,
  { kind, name: category, options: { durable, timeout: ofContract } }: AnyContract,
  options: SubscriptionOptions & Partial<BatchSettings>,
  batches = false,
): SubscriptionSettings | undefined {
  if (!durable) {
    if (batches) throw new TypeError(`${at} is of a durable event: give ${category} durable: true, too`);
    const foreign = ONLY_DURABLE.find((option) => options[option] !== undefined);
    if (foreign === undefined) return undefined;
    throw new TypeError(
      kind === "query" || kind === "stream"
        ? `${at}: a ${kind} takes no ${foreign}; the behavior retry() runs its handler again`
        : `${at}: ${foreign} is of a durable ${kind}: give ${category} durable: true, too`,
    );
  }
  const { name = category.replaceAll(".", "-"), from = "now", each = "service", retry = {}, timeout = ofContract } =
    options;
  checkToken(`${at}: name`, name);
  if (from !== "now" && from !== "start") {
    throw new TypeError(`${at}: from must be "now" or "start"; got ${show(from)}`);
  }
  checkObject(`${at}: retry`, retry, "{ attempts, delay, outage }");
  checkKnown(`${at}: retry`, retry, RETRY_OPTIONS);
  const endless = each === "node" && (["attempts", "outage"] as const).find((option) => retry[option] !== undefined);
  if (endless) {
    throw new TypeError(`${at}: retry.${endless} has no meaning with each: "node", which retries without end`);
  }
  const { attempts = DEFAULT_RETRY.attempts, delay = DEFAULT_RETRY.delay, outage = OUTAGE } = retry;
  checkInteger(`${at}: retry.attempts`, attempts, 1, 1_000);
  checkDelay(at, delay, MAX_PAUSE);
  checkNumber(`${at}: retry.outage`, outage, 0, MAX_OUTAGE, "ms");
  checkTimes(`${at}: `, { timeout });
  const { max = 500, within = 20 } = options;
  checkInteger(`${at}: max`, max, 1, 1_000);
  checkNumber(`${at}: within`, within, 0, 60_000, "ms");
  const batch = batches ? { batch: Object.freeze({ max, within }) } : {};
  const pauses = Object.freeze([...delay] as const);
  return Object.freeze({ ...batch, name, from, each, attempts, delay: pauses, outage, timeout });
}

const ONLY_DURABLE = ["name", "from", "retry", "timeout"] as const;
const RETRY_OPTIONS = new Set(["attempts", "delay", "outage"]);
/** Longest pause that may be set between attempts, in ms: a day. */
const MAX_PAUSE = 86_400_000;
/** Default of the option `outage`, in ms: 7 days. */
const OUTAGE = 7 * MAX_PAUSE;
/** Maximum of the option `outage`, in ms: ten years. */
const MAX_OUTAGE = 3_660 * MAX_PAUSE;
