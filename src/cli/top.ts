/** `top`: what each node and each contract does in a second, as it changes. */
import { setTimeout as wait } from "node:timers/promises";
import type { NodeInfo } from "../../mod.ts";
import { readRecord } from "../cluster/membership/node_record.ts";
import type { NodeStats } from "../contract/node_stats.ts";
import { printable, printableJson } from "../data/printable.ts";
import {
  type ClusterRates,
  clusterRates,
  type ContractRates,
  type NodeRates,
  type NodeSample,
} from "./cluster_rates.ts";
import { ClusterView } from "./cluster_view.ts";
import { type Command, DONE, FAILED } from "./command.ts";
import { disposing } from "./disposing.ts";
import { showDuration, showMillis } from "./duration.ts";
import type { Flags } from "./flags.ts";
import { readNodeStats } from "./node_stats.ts";
import { noNodes } from "./nodes.ts";
import type { Pinger } from "./pinger.ts";
import { table } from "./table.ts";
import { dim, type Terminal } from "./terminal.ts";

/** The command. */
export const top: Command = {
  name: "top",
  least: 0,
  most: 0,
  summary: "shows what nodes and contracts do in a second",
  flags: ["once", "timeout"],
  more: `
Asks each node once a second what it has counted, and shows the differences,
the busiest contracts first, until Ctrl-C. Nodes count anyway, and send nothing
unless they are asked. HANDLED counts runs of handlers that ended, SENT requests
that ended at their sender, both for each second. P50 and P99 are of requests
from other processes, from their arrival to the end of their handler. FAILED is
failures of handlers and refusals, with their codes; IN HAND and QUEUED are now.

A node has --timeout (900ms) to answer; what takes longer delays the next
update. With --once one second is measured and shown. With --json, or if
standard output is not a terminal, each update is one line. The exit code with
--once is 1 if a node did not answer.`,
  async run(_, flags, terminal) {
    return await disposing(ClusterView.open(flags, terminal), (view) => follow(view, flags, terminal));
  },
};

async function follow(view: ClusterView, flags: Flags, terminal: Terminal): Promise<number> {
  const bucket = await view.bucket("nodes");
  if (bucket === undefined) {
    terminal.say(`${noNodes(view)}, and there has been none`);
    return FAILED;
  }
  const once = flags.has("once");
  const end = new AbortController();
  const signal = AbortSignal.any([...(once ? [] : [terminal.signal]), view.refused, end.signal]);
  const nodes = new Map<string, NodeInfo>();
  const pinger = view.pinger();
  try {
    await bucket.watch("", (change) => {
      const info = change.type === "put" ? readRecord(change.key, change.value) : undefined;
      if (typeof info === "object") nodes.set(change.key, info);
      else nodes.delete(change.key);
    }, { signal });
    await view.transport.flush();
    if (once && nodes.size === 0) {
      terminal.say(noNodes(view));
      return FAILED;
    }
    const answers = new Answers(pinger, flags.duration("timeout") ?? LIMIT);
    const pause = () => wait(INTERVAL, undefined, { signal }).catch(() => {}); // aborted: looked at below
    let next = pause();
    await answers.ask(nodes.values()); // nothing to compare it with yet
    while (!signal.aborted) {
      await next;
      if (signal.aborted) break;
      next = pause();
      const samples = await answers.ask(nodes.values());
      if (signal.aborted) break;
      show(clusterRates(samples), view, flags, terminal);
      if (once) return samples.every(({ now }) => now !== undefined) ? DONE : FAILED;
    }
    return view.refused.aborted ? FAILED : DONE;
  } catch (error) {
    if (!signal.aborted) throw error;
    return view.refused.aborted ? FAILED : DONE;
  } finally {
    end.abort();
    pinger[Symbol.dispose]();
  }
}

/** The last answer of each process. */
class Answers {
  readonly #pinger: Pinger;
  readonly #limit: number;
  #last: ReadonlyMap<string, NodeStats> = new Map();

  /** `limit`: how long a node has to answer, in ms. */
  constructor(pinger: Pinger, limit: number) {
    this.#pinger = pinger;
    this.#limit = limit;
  }

  /** Asks all of them at once. */
  async ask(nodes: Iterable<NodeInfo>): Promise<NodeSample[]> {
    const before = this.#last;
    const last = new Map<string, NodeStats>();
    const samples = await Promise.all([...nodes].map(async ({ id, service, endpoint }): Promise<NodeSample> => {
      const told = await this.#pinger.stats(endpoint, this.#limit);
      const stats = told.type === "stats" ? readNodeStats(endpoint, told.stats) : undefined;
      if (typeof stats === "object") {
        last.set(endpoint, stats);
        return { id, service, before: before.get(endpoint), now: stats };
      }
      return { id, service, note: stats ?? (told.type === "bounce" ? "nobody there" : "no answer") };
    }));
    this.#last = last;
    return samples;
  }
}

function show(rates: ClusterRates, view: ClusterView, flags: Flags, terminal: Terminal): void {
  const live = terminal.columns !== undefined && !flags.has("json");
  if (!live) return terminal.write(`${printableJson({ at: new Date().toISOString(), ...rates })}\n`);
  const once = flags.has("once");
  // title, two headings, two empty lines, two lines that say what was left out
  const room = once ? Infinity : Math.max(4, (terminal.rows ?? 24) - 7);
  const shownNodes = Math.min(rates.nodes.length, Math.max(2, Math.floor(room / 3)));
  const title = `${rates.nodes.length} nodes in ${view.namespace} at ${view.address}, ` +
    new Date().toLocaleTimeString("en-GB");
  const lines = [
    dim(terminal, once ? title : `${title}; Ctrl-C ends this`),
    ...table(terminal, NODE_COLUMNS, rates.nodes.slice(0, shownNodes).map(nodeCells)),
    ...moreOf(rates.nodes.length - shownNodes, "node", terminal),
    "",
    ...table(terminal, CONTRACT_COLUMNS, rates.contracts.slice(0, room - shownNodes).map(contractCells)),
    ...moreOf(rates.contracts.length - (room - shownNodes) + rates.moreContracts, "contract", terminal),
  ];
  terminal.write(`${once ? "" : "\x1b[H\x1b[2J"}${lines.join("\n")}\n`);
}

function moreOf(count: number, what: string, terminal: Terminal): string[] {
  return count > 0 ? [dim(terminal, `… and ${count} more ${what}${count === 1 ? "" : "s"}`)] : [];
}

const NODE_COLUMNS = [
  { title: "NODE" },
  { title: "SERVICE" },
  { title: "HANDLED/S", align: "right" },
  { title: "SENT/S", align: "right" },
  { title: "FAILED/S", align: "right" },
  { title: "BUSY", align: "right" },
  { title: "QUEUED", align: "right" },
  { title: "CPU", align: "right" },
  { title: "MEMORY", align: "right" },
  { title: "UP", align: "right" },
  { title: "NOTE" },
] as const;

function nodeCells({ node, service, note, up, inFlight, queued, rss, leads = [], rates }: NodeRates): string[] {
  return [
    node,
    service,
    ...[rates?.handled, rates?.sent, rates?.failed].map((rate) => rate === undefined ? "-" : showRate(rate)),
    `${inFlight ?? "-"}`,
    `${queued ?? "-"}`,
    rates === undefined ? "-" : `${Math.round(100 * rates.cpu)} %`,
    rss === undefined ? "-" : `${Math.round(rss / 1e6)} MB`,
    up === undefined ? "-" : showDuration(up),
    note ?? (leads.length === 0 ? "" : `leads ${leads.join(" ")}`),
  ];
}

const CONTRACT_COLUMNS = [
  { title: "CONTRACT" },
  { title: "KIND" },
  { title: "HANDLED/S", align: "right" },
  { title: "SENT/S", align: "right" },
  { title: "P50", align: "right" },
  { title: "P99", align: "right" },
  { title: "IN HAND", align: "right" },
  { title: "QUEUED", align: "right" },
  { title: "NODES", align: "right" },
  { title: "FAILED/S" },
] as const;

function contractCells({ contract, kind, handled, sent, published, ...rest }: ContractRates): string[] {
  const { p50, p99, inHand, queued, nodes, failed } = rest;
  return [
    contract,
    kind,
    showRate(handled),
    showRate(sent + published),
    ...[p50, p99].map((ms) => ms === undefined ? "-" : showMillis(ms)),
    `${inHand}`,
    `${queued}`,
    `${nodes}`,
    Object.entries(failed).map(([code, rate]) => `${printable(code)} ${showRate(rate)}`).join(", "),
  ];
}

/** How often in a second. */
function showRate(rate: number): string {
  if (rate === 0) return "0";
  if (rate < 10) return rate.toFixed(1);
  if (rate < 10_000) return `${Math.round(rate)}`;
  return rate < 1e6 ? `${(rate / 1e3).toFixed(1)}k` : `${(rate / 1e6).toFixed(1)}M`;
}

const INTERVAL = 1_000; // ms between two questions
const LIMIT = 900; // ms: a node that does not answer must not delay the next question
