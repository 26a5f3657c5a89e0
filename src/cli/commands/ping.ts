/** `ping`: measures the round trip time to each node. */
import { setTimeout as wait } from "node:timers/promises";
import type { NodeInfo } from "../../../mod.ts";
import { printable } from "../../data/printable.ts";
import { ClusterView } from "../cluster/cluster_view.ts";
import { showMillis } from "../terminal/duration.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import { noNodes } from "./nodes.ts";
import type { NoAnswer, Pong } from "../../dashboard/dashboard_source.ts";
import type { ClusterAsker } from "../cluster/cluster_link.ts";
import { Listing } from "../terminal/listing.ts";

/** The `ping` command of the tool. */
export const ping: CliCommand = {
  name: "ping",
  words: "[NODE]",
  summary: "pings each node: whether it answers, and how fast",
  flags: ["count", "timeout"],
  more: `
Pings each node as nodes ping each other: --count times (5), 100 ms apart, and
waits for each answer up to --timeout (1s). The node's event loop answers: while
a handler computes the answer is late, a frozen process does not answer. BUSY
and QUEUED are the load now. NOTE is "nobody there" if no process subscribes to
the node's subject: it has ended, and its record will be removed soon.

The exit code is 1 if a ping was not answered.`,
  async run([id], flags, terminal) {
    const count = flags.number("count", 1, 1_000) ?? 5;
    const limit = flags.duration("timeout") ?? 1_000;
    return await ClusterView.during(flags, terminal, async (view) => {
      const all = await view.nodes();
      const found = id === undefined ? all : all.filter((info) => info.id === id);
      if (found.length === 0) {
        const others = all.map((info) => info.id).join(", ");
        const none = printable(`no node ${id} in the namespace ${view.namespace}; there are ${others}`);
        terminal.say(all.length === 0 ? noNodes(view) : none);
        return FAILED;
      }
      const pinger = view.asker();
      try {
        await view.transport.flush();
        const how = { count, limit, signal: terminal.signal };
        const rows = await Promise.all(found.map((info) => pings(pinger, info, how)));
        const listing = new Listing(terminal, flags.has("json"), COLUMNS);
        for (const row of rows) listing.add(row, cells(row));
        listing.end();
        return rows.every(({ sent, answered }) => sent === answered) ? DONE : FAILED;
      } finally {
        pinger[Symbol.dispose]();
      }
    });
  },
};

/** The results of the pings to one node. */
interface PingRow {
  readonly node: string;
  readonly service: string;
  readonly sent: number;
  readonly answered: number;
  /** Shortest round trip to the node, in ms. */
  readonly min?: number;
  /** Median round trip to the node, in ms. */
  readonly median?: number;
  readonly max?: number;
  readonly load?: { readonly inFlight: number; readonly queued: number };
  readonly note?: "no answer" | "nobody there";
}

async function pings(
  pinger: ClusterAsker,
  { id: node, service, endpoint }: NodeInfo,
  { count, limit, signal }: { count: number; limit: number; signal: AbortSignal },
): Promise<PingRow> {
  const echoes: (Pong | NoAnswer)[] = [];
  // the first ping warms up the route, and is not counted
  if (count > 1) await pinger.ping(endpoint, limit);
  while (echoes.length < count && !signal.aborted) {
    if (echoes.length > 0) await wait(100);
    echoes.push(await pinger.ping(endpoint, limit));
  }
  const pongs = echoes.filter((echo) => echo.type === "pong");
  const times = pongs.map(({ ms }) => Math.round(ms * 1_000) / 1_000).sort((a, b) => a - b);
  const bounced = echoes.some(({ type }) => type === "bounce");
  const common = { node, service, sent: echoes.length, answered: pongs.length };
  const note = pongs.length < echoes.length ? { note: bounced ? "nobody there" : "no answer" } as const : {};
  const last = pongs.at(-1);
  if (last === undefined) return { ...common, ...note };
  const [inFlight, queued] = last.load;
  const median = times[times.length >> 1];
  return { ...common, min: times[0], median, max: times[times.length - 1], load: { inFlight, queued }, ...note };
}

const COLUMNS = ["NODE", "SERVICE", ">ANSWERED", ">MIN", ">MEDIAN", ">MAX", ">BUSY", ">QUEUED", "NOTE"];

function cells({ node, service, sent, answered, min, median, max, load, note }: PingRow): string[] {
  const times = [min, median, max].map((ms) => (ms === undefined ? "-" : showMillis(ms)));
  const [busy, queued] = [load?.inFlight ?? "-", load?.queued ?? "-"];
  return [node, service, `${answered}/${sent}`, ...times, `${busy}`, `${queued}`, note ?? ""];
}
