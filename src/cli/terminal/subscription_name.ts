/** Finds the subscription that an argument of the command line names. */
import type { SubscriptionInfo } from "../../../mod.ts";
import type { Flags } from "./flags.ts";
import { OF_ENTITIES } from "../../contract/nodes/announcement.ts";

/**
 * Finds the subscription that an argument names: `NAME`, in the service of `--service` if it is given, or
 * `SERVICE/NAME`. A subscription to events of entities is found by its plain name if no other subscription has that
 * name. Throws an `Error` if no subscription matches, or subscriptions of several services do.
 * @decides the subscription that a word means
 */
export function findSubscription(all: readonly SubscriptionInfo[], word: string, flags: Flags): SubscriptionInfo {
  const slash = word.indexOf("/");
  const service = slash < 0 ? flags.text("service") : word.slice(0, slash);
  const name = word.slice(slash + 1);
  const named = (name: string) =>
    all.filter((info) => info.name === name && (service === undefined || info.service === service));
  const exact = named(name);
  const found = exact.length > 0 ? exact : named(name + OF_ENTITIES);
  if (found.length === 1) return found[0];
  const labels = (infos: readonly SubscriptionInfo[]) => infos.map((info) => `${info.service}/${info.name}`).join(", ");
  if (found.length > 1) {
    throw new Error(`several services have a subscription ${name}: give one of ${labels(found)}`);
  }
  throw new Error(`there is no subscription ${word}; there are ${labels(all) || "none"}`);
}
