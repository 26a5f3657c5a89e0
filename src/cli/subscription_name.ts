/** Which subscription a word means. */
import type { SubscriptionInfo } from "../../mod.ts";
import { type Flags, UsageError } from "./flags.ts";

/**
 * The subscription of a name, or of `SERVICE/NAME`; with `--service`, of that service. Throws a {@link UsageError} if there is none, or several
 * services have one.
 */
export function findSubscription(
  all: readonly SubscriptionInfo[],
  word: string,
  flags: Flags,
): SubscriptionInfo {
  const slash = word.indexOf("/");
  const service = slash < 0 ? flags.text("service") : word.slice(0, slash);
  const name = word.slice(slash + 1);
  const found = all.filter((info) => info.name === name && (service === undefined || info.service === service));
  if (found.length === 1) return found[0];
  const labels = (infos: readonly SubscriptionInfo[]) => infos.map((info) => `${info.service}/${info.name}`).join(", ");
  if (found.length > 1) {
    throw new UsageError(`several services have a subscription ${name}: give one of ${labels(found)}`);
  }
  throw new UsageError(`there is no subscription ${word}; there are ${labels(all) || "none"}`);
}
