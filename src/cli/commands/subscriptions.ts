/**
 * `subscriptions`: shows the progress of each subscription, pauses and resumes one, and removes a subscription that no
 * node handles.
 */
import type { SubscriptionInfo } from "../../../mod.ts";
import { show } from "../../data/checks.ts";
import { printable } from "../../data/printable.ts";
import { ClusterView } from "../cluster/cluster_view.ts";
import { UsageError } from "../terminal/flags.ts";
import { showDuration } from "../terminal/duration.ts";
import { type CliCommand, DONE } from "../terminal/cli_command.ts";
import { Listing, print } from "../terminal/listing.ts";
import { pauseText } from "../terminal/pause_text.ts";
import { overrideTexts } from "./limits.ts";
import { findSubscription } from "../terminal/subscription_name.ts";

/** The `subscriptions` command of the tool. */
export const subscriptions: CliCommand = {
  name: "subscriptions",
  words: "[VERB NAME]",
  summary: "lists how far each subscription is; pauses one",
  flags: ["service", "reason", "for"],
  more: `
LAG counts messages of the log that it has not read, each with 1 to 512 events;
OLDEST is the age of the oldest message that it has not handled; RETRYING counts
what waits for its next attempt, or behind such a message of its key; DEAD its
dead letters (\`catga dead\`). Below it says what was skipped (\`over\`), is paused,
or left behind. The service of queued commands is @, and their
subscription has the name of the command.

\`subscriptions pause NAME\` has a subscription, or a queued command, hand out
nothing until \`resume NAME\`, over restarts and deploys; or --for 10m. What runs
ends; messages wait in their order, and count. --reason is shown meanwhile.

A subscription without a node that handles it is abandoned: it was renamed, or
its service does not run. \`subscriptions remove NAME\` removes such a one with
its dead letters. NAME is its name, or SERVICE/NAME.`,
  async run([verb, name], flags, terminal) {
    if (verb !== undefined && (!VERBS.has(verb) || name === undefined)) {
      throw new UsageError("usage: catga subscriptions [pause|resume|remove NAME]");
    }
    for (const flag of ["reason", "for"] as const) {
      if (verb !== "pause" && flags.has(flag)) throw new UsageError(`--${flag} is for subscriptions pause`);
    }
    return await ClusterView.during(flags, terminal, async (view) => {
      const administration = view.administration();
      const all = await administration.subscriptions();
      const json = flags.has("json");
      if (name !== undefined && verb !== "remove") {
        const { service, name: own, leader } = findSubscription(all, name, flags);
        const set = verb === "resume"
          ? await administration.resume(service, own)
          : await administration.pause(service, own, { reason: flags.text("reason"), for: flags.duration("for") });
        const done = verb === "resume" ? "resumed" : "paused";
        const text = `${done}: ${set.map((its) => `${service}/${its}`).join(" and ")}`;
        print(terminal, json, { [done]: { service, name: own } }, text);
        if (leader === undefined) terminal.say("no node leads it now: the next one that does follows this");
        return DONE;
      }
      if (name !== undefined) {
        const { service, name: removed } = findSubscription(all, name, flags);
        const parked = await administration.remove(service, removed).catch((error) => {
          // `run` reports a TypeError as an invalid command line; here it says that a node handles the subscription
          throw error instanceof TypeError ? new Error(error.message) : error;
        });
        const text = `removed ${service}/${removed} with ${parked} parked message${parked === 1 ? "" : "s"}`;
        print(terminal, json, { removed: { service, name: removed, parked } }, text);
        return DONE;
      }
      const only = flags.text("service");
      const listing = new Listing(terminal, json, COLUMNS);
      for (const info of all) if (only === undefined || info.service === only) listing.add(info, cells(info));
      const match = only === undefined ? "" : " match";
      listing.end(`no subscriptions${match} ${view.place}`);
      for (const info of json ? [] : all) {
        if (only !== undefined && info.service !== only) continue;
        const { service, name, overrides = [] } = info;
        const ofLimits = overrides.flatMap((each) => overrideTexts(`${service}/${name} ${each.limit}`, each));
        for (const text of [pausedText(info), behindText(info), skippedText(info), ...ofLimits]) {
          if (text !== undefined) terminal.say(printable(text));
        }
      }
      return DONE;
    });
  },
};

/** Says that an operator has paused a subscription, since when and why; `undefined`: it is not paused. */
export function pausedText({ service, name, paused }: SubscriptionInfo): string | undefined {
  if (paused === undefined) return undefined;
  return `${service}/${name}: ${pauseText(paused)}`;
}

/** Names the key that a subscription has left furthest behind; `undefined`: it has left none behind. */
export function behindText({ service, name, behind }: SubscriptionInfo): string | undefined {
  if (behind === undefined) return undefined;
  const { count, contract, key } = behind;
  const others = count === 1 ? "" : ` and of ${count - 1} other key${count === 2 ? "" : "s"}`;
  return `${service}/${name}: later messages of ${contract} with the key ${show(key)}${others} stay in the log until ` +
    "there is room for them";
}

/** Says how many messages limits have skipped; `undefined`: none. */
export function skippedText({ service, name, skipped }: SubscriptionInfo): string | undefined {
  if (skipped === undefined) return undefined;
  return `${service}/${name}: ${skipped} message${skipped === 1 ? "" : "s"} skipped by \`over\` of its limits so far`;
}

const VERBS: ReadonlySet<string> = new Set(["pause", "resume", "remove"]);
const COLUMNS = ["SERVICE", "NAME", ">LAG", ">OLDEST", ">RETRYING", ">DEAD", "LEADER", "CONTRACTS"];

function cells(info: SubscriptionInfo): string[] {
  const { service, name, lag, oldest, retrying, dead, leader, abandoned, paused, contracts } = info;
  return [
    service,
    name,
    `${lag}`,
    oldest === 0 ? "-" : showDuration(oldest),
    `${retrying}`,
    `${dead}`,
    abandoned ? "(abandoned)" : paused === undefined ? leader ?? "-" : `${leader ?? "-"} (paused)`,
    contracts.join(" ") || "-",
  ];
}
