/** `subscriptions`: shows the progress of each subscription, and removes a subscription that no node handles. */
import type { SubscriptionInfo } from "../../mod.ts";
import { ClusterView } from "./cluster_view.ts";
import { UsageError } from "./flags.ts";
import { readDuration, showDuration } from "./duration.ts";
import { type CliCommand, DONE } from "./cli_command.ts";
import { Listing, print } from "./listing.ts";
import { findSubscription } from "./subscription_name.ts";

/** The `subscriptions` command of the tool. */
export const subscriptions: CliCommand = {
  name: "subscriptions",
  words: "[remove NAME]",
  summary: "lists how far each subscription is; removes one",
  flags: ["service"],
  more: `
LAG counts messages of the log that it has not read, each with 1 to 512 events;
OLDEST is the age of the oldest message that it has not handled; RETRYING counts
what waits for its next attempt, or behind such a message of its key; DEAD its
dead letters (\`catga dead\`). The service of queued commands is @, and their
subscription has the name of the command.

A subscription without a node that handles it is abandoned: it was renamed, or
its service does not run. \`subscriptions remove NAME\` removes such a one with
its dead letters. NAME is its name, or SERVICE/NAME.`,
  async run([verb, name], flags, terminal) {
    if (verb !== undefined && (verb !== "remove" || name === undefined)) {
      throw new UsageError("usage: catga subscriptions [remove NAME]");
    }
    return await ClusterView.during(flags, terminal, async (view) => {
      const administration = view.administration();
      const all = await administration.subscriptions();
      const json = flags.has("json");
      if (name !== undefined) {
        const { service, name: removed } = findSubscription(all, name, flags);
        const parked = await administration.remove(service, removed);
        const text = `removed ${service}/${removed} with ${parked} parked message${parked === 1 ? "" : "s"}`;
        print(terminal, json, { removed: { service, name: removed, parked } }, text);
        return DONE;
      }
      const only = flags.text("service");
      const listing = new Listing(terminal, json, COLUMNS);
      for (const info of all) if (only === undefined || info.service === only) listing.add(info, cells(info));
      const match = only === undefined ? "" : " match";
      listing.end(`no subscriptions${match} ${view.place}`);
      return DONE;
    });
  },
};

const COLUMNS = ["SERVICE", "NAME", ">LAG", ">OLDEST", ">RETRYING", ">DEAD", "LEADER", "CONTRACTS"];

function cells(info: SubscriptionInfo): string[] {
  const { service, name, lag, oldest, retrying, dead, leader, abandoned, contracts } = info;
  return [
    service,
    name,
    `${lag}`,
    oldest === 0 ? "-" : showDuration(oldest),
    `${retrying}`,
    `${dead}`,
    abandoned ? "(abandoned)" : leader ?? "-",
    contracts.join(" ") || "-",
  ];
}

// `rewind`: lets a subscription handle the log's messages again, from a position on.

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
      await administration.rewind(service, name, place);
      const shown = place instanceof Date ? place.toISOString() : place;
      const text = `requested: ${service}/${name} goes on from ${shown}`;
      print(terminal, flags.has("json"), { rewound: { service, name, to: shown } }, text);
      if (leader === undefined) terminal.say("no node leads it now: the next one that does carries it out");
      return DONE;
    });
  },
};

function readPlace(text: string): "start" | number | Date {
  if (text === "start") return text;
  if (/^\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  const ago = readDuration(text);
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
