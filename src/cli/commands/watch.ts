/** `watch`: prints events as they are published. */
import { shownPayload } from "../../contract/declaration/redaction.ts";
import { eventSubject, nodeOf } from "../../contract/nodes/subjects.ts";
import type { EventFrame } from "../../cluster/wire/frame.ts";
import { readEventFrame } from "../../cluster/wire/frame_reader.ts";
import { listed, printable, printableJson } from "../../data/printable.ts";
import { COMMANDS, readAnnouncement } from "../../contract/nodes/announcement.ts";
import { covers } from "../../nats/stream/subject_filter.ts";
import { ClusterView } from "../cluster/cluster_view.ts";
import type { Violation } from "../../ports/transport.ts";
import { disposing } from "../cluster/connection.ts";
import { UsageError } from "../terminal/flags.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import { bold, dim, type Terminal } from "../terminal/terminal.ts";
import { aborted } from "../../ports/clock.ts";

/** The `watch` command of the tool. */
export const watch: CliCommand = {
  name: "watch",
  words: "[NAME]",
  summary: "prints events that are not kept, as they come",
  needsNats: "events that are not kept never leave the process of a file",
  flags: ["count", "show-secrets"],
  more: `
Shows events that are not kept. Durable events are in the log, the end of which
\`catga dashboard\` shows; those of entities are shown by \`catga entity\`.

Subscribes outside of the services' queue groups, so no service misses an event.
A name may have the wildcards of NATS: \`watch 'orders.*'\`, \`watch 'orders.>'\`.
Ends at Ctrl-C, or after --count events. A broadcast event goes to each node
directly, and is not shown. Each line is the time of arrival, the event, the
node that published it, and the payload.`,
  async run([name = ">"], flags, terminal) {
    if (!/^[\w-]+(\.[\w-]+)*$/.test(name.replaceAll(/(?<=^|\.)(\*|>$)(?=\.|$)/g, "x"))) {
      throw new UsageError(
        `${JSON.stringify(name)} is not the name of an event, such as OrderCreated, orders.* or orders.>`,
      );
    }
    let left = flags.number("count", 1, Number.MAX_SAFE_INTEGER) ?? Infinity;
    const enough = new AbortController();
    return await disposing(ClusterView.open(flags, terminal, ofEvents), async (view) => {
      const prefix = eventSubject(view.namespace);
      const json = flags.has("json");
      view.events.subscribe(prefix + name, {}, ({ subject, data }) => {
        if (!subject.startsWith(prefix)) return;
        const event = subject.slice(prefix.length);
        let frame: EventFrame;
        try {
          frame = readEventFrame(data);
        } catch (error) {
          return terminal.say(printable(`${event}: a message that is not an event: ${(error as Error).message}`));
        }
        const { sender, sentAt, meta: { seq, ...meta }, payloads } = frame;
        const about = { contract: event, headers: meta.headers };
        for (const [index, whole] of (payloads.length === 0 ? [undefined] : payloads).entries()) {
          if (left-- <= 0) break;
          const payload = shownPayload(whole, about, view.showSecrets);
          const id = meta.id ?? `${sender}.e${seq}.${index}`;
          if (json) {
            terminal.write(`${printableJson({ event, sentAt, sender, ...meta, id, payload })}\n`);
            continue;
          }
          const time = dim(terminal, clock(new Date()));
          const text = payload === undefined ? "" : `  ${printableJson(payload)}`;
          terminal.write(`${time}  ${bold(terminal, printable(event))}  ${nodeOf(sender)}${text}\n`);
        }
        if (left <= 0) enough.abort();
      });
      await view.transport.flush();
      // a permission that it needs was denied, and the error says so
      if (view.refused.aborted) return FAILED;
      terminal.say(
        `listening for ${name === ">" ? "all events that are not kept" : name} in ${view.namespace} at ${view.address}`,
      );
      view.transport.onStatus(({ state }) => {
        if (state === "disconnected") {
          terminal.say("the connection to NATS is lost: events are missed until it is back");
        }
        if (state === "connected") terminal.say("connected to NATS again");
      });
      if (name !== ">") sayDurable(view, name, terminal);
      await aborted(AbortSignal.any([terminal.signal, enough.signal, view.refused]));
      return view.refused.aborted ? FAILED : DONE;
    });
  },
};

/** Returns true if a denied permission ends the command, because it is needed for more than {@link sayDurable}. */
function ofEvents({ operation, subject }: Violation): boolean {
  return operation === "subscribe" && subject.startsWith("catga.");
}

/**
 * Prints a line if nodes handle durable events of this name, because `watch` does not show durable events. Prints
 * nothing if the nodes cannot be read, for example for lack of a permission. Waits for the nodes until the connection
 * ends.
 */
async function sayDurable(view: ClusterView, name: string, terminal: Terminal): Promise<void> {
  const nodes = await view.nodes().catch(() => []);
  const durable = nodes.flatMap(({ service, subscriptions = [] }) =>
    subscriptions.map((text) => readAnnouncement(service, text))
  )
    .filter(({ service, category }) => service !== COMMANDS && covers(name, category))
    .map(({ category }) => category);
  const events = [...new Set(durable)].sort();
  if (events.length === 0) return;
  terminal.say(printable(
    `not shown, because nodes handle them as durable: ${listed(events)}; ` +
      "`catga dashboard` shows them, `catga entity` those of an entity",
  ));
}

/** Formats a local time, as `14:03:22.417`. */
function clock(date: Date): string {
  return `${date.toLocaleTimeString("en-GB")}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
