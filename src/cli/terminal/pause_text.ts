/** A pause by an operator, as the tool prints it. */
import type { SubscriptionPause } from "../../contract/nodes/node_info.ts";
import { dateOf } from "../../ports/clock.ts";

/** Says since when something is paused, until when, and why. */
export function pauseText({ since, until, reason }: SubscriptionPause): string {
  const [from, to] = [since, until].map((time) => time === undefined ? undefined : dateOf(time).toISOString());
  const why = reason === undefined ? "" : `: ${reason}`;
  return `paused by an operator since ${from}${to === undefined ? "" : `, until ${to}`}${why}`;
}
