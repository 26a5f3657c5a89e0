/** `rewind`: lets a subscription handle the log's messages again, from a position on. */
import { ClusterView } from "../cluster/cluster_view.ts";
import { UsageError } from "../terminal/flags.ts";
import { readDuration } from "../terminal/duration.ts";
import { type CliCommand, DONE } from "../terminal/cli_command.ts";
import { print } from "../terminal/listing.ts";
import { findSubscription } from "../terminal/subscription_name.ts";

/** The `rewind` command of the tool. */
export const rewind: CliCommand = {
  name: "rewind",
  words: "SUBSCRIPTION TO",
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
    return await ClusterView.during(flags, terminal, async (view) => {
      const administration = view.administration();
      const info = findSubscription(await administration.subscriptions(), word, flags);
      const { service, name, leader } = info;
      const rewound = await administration.rewind(service, name, place);
      const shown = place instanceof Date ? place.toISOString() : place;
      const labels = rewound.map((its) => `${service}/${its}`).join(" and ");
      const text = `requested: ${labels} ${rewound.length === 1 ? "goes" : "go"} on from ${shown}`;
      print(terminal, flags.has("json"), { rewound: { service, name, to: shown } }, text);
      if (leader === undefined) terminal.say("no node leads it now: the next one that does carries it out");
      return DONE;
    });
  },
};

function readPlace(text: string): "start" | number | Date {
  if (text === "start") return text;
  if (/^\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  const ago = /[a-z]$/.test(text) ? readDuration(text) : undefined; // a number without a unit is a position
  if (ago !== undefined && ago < Date.now()) return new Date(Date.now() - ago);
  // only times of ISO 8601 are accepted: each runtime parses other texts in its own way
  const time = /^\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:?\d\d)?)?$/.test(text) ? new Date(text) : undefined;
  // the parsed day is compared with the text, because runtimes parse 2026-02-31 as 3 March
  const day = new Date(text.slice(0, 10));
  if (time !== undefined && !Number.isNaN(time.getTime()) && day.getUTCDate() === Number(text.slice(8, 10))) {
    return time;
  }
  throw new UsageError(
    `TO is start, a position, a time like 2026-05-01T12:00:00Z, or how long ago: 15m; got ${JSON.stringify(text)}`,
  );
}
