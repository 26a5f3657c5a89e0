/** `nodes`: lists the nodes of a namespace, once or whenever they change. */
import type { NodeInfo } from "../../../mod.ts";
import { drivenWorkflow } from "../../contract/declaration/workflow.ts";
import { readRecord } from "../../cluster/membership/node_record.ts";
import { printable, printableJson } from "../../data/printable.ts";
import { ClusterView } from "../cluster/cluster_view.ts";
import type { Flags } from "../terminal/flags.ts";
import { showDuration } from "../terminal/duration.ts";
import { type CliCommand, DONE } from "../terminal/cli_command.ts";
import { dim, type Terminal } from "../terminal/terminal.ts";
import { Listing } from "../terminal/listing.ts";
import { table } from "../terminal/table.ts";
import { aborted } from "../../ports/clock.ts";

/**
 * The `nodes` command of the tool.
 * @decides `catga nodes`: its columns, and `--watch`
 */
export const nodes: CliCommand = {
  name: "nodes",
  summary: "lists the nodes, what they handle, and their load",
  flags: ["watch"],
  more: `
Reads the records of the nodes, without joining the cluster.

BUSY counts running handlers and waiting sends, QUEUED requests that wait for
admission. Both, and SEEN, are from the record, which each node writes every
10 s. A node that was killed is listed until the other nodes have noticed, 1 to
3 s later; a frozen one for 30 s: \`ping\` shows at once that it is frozen.

With --watch the table is updated until Ctrl-C. With --json, or if standard
output is not a terminal, each change is a line instead: join, update or leave.`,
  async run(_, flags, terminal) {
    return await ClusterView.during(flags, terminal, async (view) => {
      if (flags.has("watch")) return await follow(view, flags, terminal);
      const listing = new Listing(terminal, flags.has("json"), COLUMNS);
      for (const info of await view.nodes()) listing.add(info, cells(info));
      listing.end(noNodes(view));
      return DONE;
    });
  },
};

/**
 * Returns the names that programs declare, for the names of contracts in a record: a workflow's name stands for the
 * contracts that drive its runs.
 */
export function declaredNames(handles: readonly string[]): string[] {
  return [...new Set(handles.map((name) => drivenWorkflow(name) ?? name))].sort();
}

/** Returns the text that the tool prints for a namespace without nodes. */
export function noNodes({ place }: ClusterView): string {
  return `no nodes ${place}; if some run, catga doctor says why`;
}

const COLUMNS = ["NODE", "SERVICE", ">BUSY", ">QUEUED", ">SEEN", ">UP", "HANDLES"];

function cells({ id, service, load, lastSeen, startedAt, handles, unready }: NodeInfo): string[] {
  const now = Date.now();
  const names = declaredNames(handles).join(" ") || "-";
  return [
    id,
    service,
    `${load.inFlight}`,
    `${load.queued}`,
    showDuration(now - lastSeen),
    showDuration(now - startedAt),
    unready === undefined ? names : `not ready (${unready}): ${names}`,
  ];
}

/** Shows the nodes, and their changes, until Ctrl-C. Resolves with the exit code. */
async function follow(view: ClusterView, flags: Flags, terminal: Terminal): Promise<number> {
  const { signal } = terminal;
  const bucket = await view.bucket("nodes");
  if (bucket === undefined) {
    terminal.say(`no node has run ${view.place}; catga doctor says more`);
    return DONE;
  }
  const found = new Map<string, NodeInfo>();
  const live = terminal.columns !== undefined && !flags.has("json");
  const draw = () => {
    const sorted = [...found.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    const title = `${sorted.length} node${sorted.length === 1 ? "" : "s"} in ${view.namespace} at ${view.address}`;
    const rest = dim(terminal, `${title}, ${new Date().toLocaleTimeString("en-GB")}; Ctrl-C ends this`);
    terminal.write(`\x1b[H\x1b[2J${[...table(terminal, COLUMNS, sorted.map(cells)), "", rest].join("\n")}\n`);
  };
  const show = (type: "join" | "update" | "leave", node: NodeInfo) => {
    if (type === "leave") found.delete(node.id);
    else found.set(node.id, node);
    if (live) return;
    if (flags.has("json")) return terminal.write(`${printableJson({ type, node })}\n`);
    if (type !== "update") {
      const time = new Date().toISOString();
      terminal.write(`${time}  ${type.padEnd(5)}  ${printable(node.id)}  ${printable(node.service)}\n`);
    }
  };
  const listed = bucket.watch("", (change) => {
    const before = found.get(change.key);
    if (change.type !== "put") return before && show("leave", before);
    const info = readRecord(change.key, change.value);
    if (typeof info !== "string") show(before?.endpoint === info.endpoint ? "update" : "join", info);
  }, { signal });
  await listed.catch((error) => {
    if (!signal.aborted) throw error;
  });
  if (live) draw();
  // the table is drawn again every second, because ages change, too
  const timer = live ? setInterval(draw, 1_000) : undefined;
  await aborted(signal);
  clearInterval(timer);
  return DONE;
}
