/** `rewind`: has a subscription handle again what stands behind a place in the log. */
import { printable, printableJson } from "../data/printable.ts";
import { ClusterView } from "./cluster_view.ts";
import { type Command, DONE } from "./command.ts";
import { disposing } from "./disposing.ts";
import { readDuration } from "./duration.ts";
import { UsageError } from "./flags.ts";
import { findSubscription } from "./subscription_name.ts";

/** The command. */
export const rewind: Command = {
  name: "rewind",
  words: "SUBSCRIPTION TO",
  least: 2,
  most: 2,
  summary: "has a subscription handle messages again",
  flags: ["service"],
  more: `
TO is where it goes on: start (the oldest message in the log), a position (what
stands behind it is handled), a time (2026-05-01T12:00:00Z), or how long ago
(90s, 15m, 24h). SUBSCRIPTION is its name, or SERVICE/NAME.

The request is recorded; the node that leads the subscription waits for what is
being handled, and begins there. Retries and dead letters behind that place are
dropped, because their messages are handled anew.`,
  async run([word, to], flags, terminal) {
    const place = readPlace(to);
    return await disposing(ClusterView.open(flags, terminal), async (view) => {
      const administration = view.administration();
      const info = findSubscription(await administration.subscriptions(), word, flags);
      const { service, name, leader } = info;
      await administration.rewind(service, name, place);
      const shown = place instanceof Date ? place.toISOString() : place;
      if (flags.has("json")) terminal.write(`${printableJson({ rewound: { service, name, to: shown } })}\n`);
      else terminal.write(`requested: ${printable(`${service}/${name}`)} goes on from ${shown}\n`);
      if (leader === undefined) terminal.say("no node leads it now: the next one that does carries it out");
      return DONE;
    });
  },
};

function readPlace(text: string): "start" | number | Date {
  if (text === "start") return text;
  if (/^\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  const ago = readDuration(text);
  if (ago !== undefined) return new Date(Date.now() - ago);
  // other texts than ISO 8601 are read in a way of each runtime's own
  const time = /^\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:?\d\d)?)?$/.test(text) ? new Date(text) : undefined;
  if (time !== undefined && !Number.isNaN(time.getTime())) return time;
  throw new UsageError(
    `TO is start, a position, a time like 2026-05-01T12:00:00Z, or how long ago: 15m; got ${JSON.stringify(text)}`,
  );
}
