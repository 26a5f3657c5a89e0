/** Going back in the log. */
import { endOf, sequenceOf } from "../format/position.ts";
import type { SubscriptionRecord } from "../format/subscription_record.ts";
import type { CapableNode } from "./capable_nodes.ts";

/** The record of a subscription that has gone back to `to`: categories that no live node handles are left out. */
export function rewound(
  record: SubscriptionRecord,
  stream: string,
  to: number,
  nodes: readonly CapableNode[],
): SubscriptionRecord {
  const progress = record.streams[stream];
  // from the message's first event on, if it is not its last
  const whole = to === endOf(sequenceOf(to)) ? to : endOf(Math.max(0, sequenceOf(to) - 1));
  const read = Math.min(progress?.read ?? 0, sequenceOf(whole) === 0 ? 0 : whole);
  const began = Object.entries(record.began)
    .filter(([category]) => nodes.some(({ categories }) => categories.has(category)))
    .map(([category, position]) => [category, Math.min(position, read)]);
  return {
    ...record,
    generation: record.generation + 1,
    takeovers: 0,
    began: Object.fromEntries(began),
    rewind: undefined,
    streams: {
      ...record.streams,
      [stream]: {
        created: read === 0 ? "" : progress?.created ?? "",
        read,
        time: 0,
        open: (progress?.open ?? []).filter(([position]) => position <= read),
      },
    },
  };
}
