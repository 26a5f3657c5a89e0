/** `nodes`: who is there. */
import type { NodeInfo } from "../../mod.ts";
import { readRecord } from "../cluster/membership/node_record.ts";
import { printable, printableJson } from "../data/printable.ts";
import { ClusterView } from "./cluster_view.ts";
import { type Command, DONE } from "./command.ts";
import { showDuration } from "./duration.ts";
import type { Flags } from "./flags.ts";
import { table } from "./table.ts";
import { dim, type Terminal } from "./terminal.ts";

/** The command. */
export const nodes: Command = {
  name: "nodes",
  least: 0,
  most: 0,
  says: "who is there, what they handle, how loaded they are",
  flags: ["watch"],
  more: `
Reads the records of the nodes, and joins nothing: this program is no node.

BUSY are handlers that run and sends that wait, QUEUED are requests that wait
for their turn; both, and SEEN, are from the record, which a node writes again
every 10 s. A node that was killed is listed until the others have noticed: 1
to 3 s. One that is frozen stays for 30 s; \`ping\` tells at once.

With --watch the table stays and follows; where standard output is no terminal,
and with --json, each change is a line instead: join, update or leave.`,
  async run(_, flags, terminal) {
    await using view = await ClusterView.open(flags, terminal);
    if (flags.has("watch")) return await follow(view, flags, terminal);
    const found = await view.nodes();
    if (flags.has("json")) { for (const info of found) terminal.write(`${printableJson(info)}\n`); }
    else if (found.length === 0) terminal.say(nobody(view));
    else terminal.write(`${lines(found, terminal).join("\n")}\n`);
    return DONE;
  },
};

/** What to say where no node is. */
export function nobody({ namespace, address }: ClusterView): string {
  return `no nodes in the namespace ${namespace} at ${address}`;
}

function lines(nodes: readonly NodeInfo[], terminal: Terminal): string[] {
  const columns = [
    { title: "NODE" },
    { title: "SERVICE" },
    { title: "BUSY", align: "right" },
    { title: "QUEUED", align: "right" },
    { title: "SEEN", align: "right" },
    { title: "UP", align: "right" },
    { title: "HANDLES" },
  ] as const;
  const now = Date.now();
  return table(
    terminal,
    columns,
    nodes.map(({ id, service, load, lastSeen, startedAt, handles }) => [
      id,
      service,
      `${load.inFlight}`,
      `${load.queued}`,
      showDuration(now - lastSeen),
      showDuration(now - startedAt),
      handles.join(" ") || "-",
    ]),
  );
}

/** Shows the nodes until the user has had enough. */
async function follow(view: ClusterView, flags: Flags, terminal: Terminal): Promise<number> {
  const { signal } = terminal;
  const bucket = await view.bucket("nodes");
  if (bucket === undefined) {
    terminal.say(`${nobody(view)}, and there has been none`);
    return DONE;
  }
  const found = new Map<string, NodeInfo>();
  const live = terminal.columns !== undefined && !flags.has("json");
  const draw = () => {
    const sorted = [...found.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    const title = `${sorted.length} node${sorted.length === 1 ? "" : "s"} in ${view.namespace} at ${view.address}`;
    const rest = dim(terminal, `${title}, ${new Date().toLocaleTimeString("en-GB")}; Ctrl-C ends this`);
    terminal.write(`\x1b[H\x1b[2J${[...lines(sorted, terminal), "", rest].join("\n")}\n`);
  };
  const tell = (type: "join" | "update" | "leave", node: NodeInfo) => {
    if (type === "leave") found.delete(node.id);
    else found.set(node.id, node);
    if (live) return;
    if (flags.has("json")) return terminal.write(`${printableJson({ type, node })}\n`);
    if (type !== "update") {
      terminal.write(
        `${new Date().toISOString()}  ${type.padEnd(5)}  ${printable(node.id)}  ${printable(node.service)}\n`,
      );
    }
  };
  const listed = bucket.watch("", (change) => {
    const before = found.get(change.key);
    if (change.type !== "put") return before && tell("leave", before);
    const info = readRecord(change.key, change.value);
    if (typeof info !== "string") tell(before?.endpoint === info.endpoint ? "update" : "join", info);
  }, { signal });
  try {
    await listed;
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  if (live) draw();
  // ages grow, and a change is shown within a second
  const timer = live ? setInterval(draw, 1_000) : undefined;
  await until(signal);
  clearInterval(timer);
  return DONE;
}

/** Resolves when the signal aborts. */
export function until(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
