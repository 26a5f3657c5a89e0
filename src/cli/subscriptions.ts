/** `subscriptions`: how far each subscription is; removes one that nobody handles any more. */
import type { SubscriptionInfo } from "../../mod.ts";
import { printable, printableJson } from "../data/printable.ts";
import { ClusterView } from "./cluster_view.ts";
import { type Command, DONE } from "./command.ts";
import { disposing } from "./disposing.ts";
import { showDuration } from "./duration.ts";
import { UsageError } from "./flags.ts";
import { findSubscription } from "./subscription_name.ts";
import { table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

/** The command. */
export const subscriptions: Command = {
  name: "subscriptions",
  words: "[remove NAME]",
  least: 0,
  most: 2,
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
    return await disposing(ClusterView.open(flags, terminal), async (view) => {
      const administration = view.administration();
      const all = await administration.subscriptions();
      const json = flags.has("json");
      if (name !== undefined) {
        const found = findSubscription(all, name, flags);
        const parked = await administration.remove(found.service, found.name);
        const { service, name: removed } = found;
        if (json) terminal.write(`${printableJson({ removed: { service, name: removed, parked } })}\n`);
        else terminal.write(`removed ${printable(`${service}/${removed}`)} with ${parked} parked messages\n`);
        return DONE;
      }
      const service = flags.text("service");
      const shown = all.filter((info) => service === undefined || info.service === service);
      if (json) { for (const info of shown) terminal.write(`${printableJson(info)}\n`); }
      else if (shown.length === 0) {
        terminal.say(`no subscriptions in the namespace ${view.namespace} at ${view.address}`);
      } else terminal.write(`${lines(shown, terminal).join("\n")}\n`);
      return DONE;
    });
  },
};

function lines(infos: readonly SubscriptionInfo[], terminal: Terminal): string[] {
  const columns = [
    { title: "SERVICE" },
    { title: "NAME" },
    { title: "LAG", align: "right" },
    { title: "OLDEST", align: "right" },
    { title: "RETRYING", align: "right" },
    { title: "DEAD", align: "right" },
    { title: "LEADER" },
    { title: "CONTRACTS" },
  ] as const;
  return table(
    terminal,
    columns,
    infos.map(({ service, name, lag, oldest, retrying, dead, leader, abandoned, contracts }) => [
      service,
      name,
      `${lag}`,
      oldest === 0 ? "-" : showDuration(oldest),
      `${retrying}`,
      `${dead}`,
      abandoned ? "(abandoned)" : leader ?? "-",
      contracts.join(" ") || "-",
    ]),
  );
}
