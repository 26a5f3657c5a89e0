/** `top`: shows the rates of each node and each contract live. */
import { setTimeout as wait } from "node:timers/promises";
import type { NodeInfo } from "../../../mod.ts";
import type { Violation } from "../../ports/transport.ts";
import { readRecord } from "../../cluster/membership/node_record.ts";
import type { Alarm } from "../../contract/nodes/alarms.ts";
import type { NodeStats } from "../../contract/nodes/node_stats.ts";
import { printable, printableJson } from "../../data/printable.ts";
import {
  type ClusterRates,
  clusterRates,
  type ContractRow,
  type NodeRates,
  type NodeSample,
} from "../cluster/cluster_rates.ts";
import { ClusterView } from "../cluster/cluster_view.ts";
import type { Flags } from "../terminal/flags.ts";
import { showDuration, showMillis } from "../terminal/duration.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import { disposing } from "../cluster/connection.ts";
import type { CountedStats, NoAnswer, Pong, SourceAsker } from "../../dashboard/dashboard_source.ts";
import type { ClusterAsker } from "../cluster/cluster_link.ts";
import { noNodes } from "./nodes.ts";
import { dim, SEVERITIES, type Terminal } from "../terminal/terminal.ts";
import { cut, table } from "../terminal/table.ts";

/** The `top` command of the tool. */
export const top: CliCommand = {
  name: "top",
  summary: "shows what nodes and contracts do in a second",
  flags: ["once", "timeout"],
  more: `
Asks each node once a second what it has counted, and shows the differences,
the busiest contracts first, until Ctrl-C. Nodes count anyway, and send nothing
unless they are asked. HANDLED counts runs of handlers that ended, SENT requests
that ended at their sender, both for each second. P50 and P99 are how long runs
took, from arrival (or the send in the same process) to their handler's end.
FAILED is failures and refusals, with their codes; IN HAND and QUEUED are now.
NODES have handled or sent it. Alarms stand above: what is wrong, since when,
and the page that says what to do.

A node has --timeout (900ms) to answer; what takes longer delays the next
update. With --once one second is measured and shown. With --json, or if
standard output is not a terminal, each update is one line. The exit code with
--once is 1 if a node did not answer.`,
  async run(_, flags, terminal) {
    // a denied permission ends `top` only if it is for the bucket of nodes or outside of the JetStream API: the other
    // sources of alarms are optional
    const needed = ({ subject }: Violation) => !subject.startsWith("$JS.API.") || subject.includes("_nodes");
    return await disposing(ClusterView.open(flags, terminal, needed), (view) => follow(view, flags, terminal));
  },
};

async function follow(view: ClusterView, flags: Flags, terminal: Terminal): Promise<number> {
  const bucket = await view.bucket("nodes");
  if (bucket === undefined) {
    terminal.say(`no node has run ${view.place}; catga doctor says more`);
    return FAILED;
  }
  const once = flags.has("once");
  const end = new AbortController();
  const signal = AbortSignal.any([...(once ? [] : [terminal.signal]), view.refused, end.signal]);
  const nodes = new Map<string, NodeInfo>();
  const { AlarmWatch } = await import("../../dashboard/collecting/alarm_watch.ts");
  const answers = new Answers(view.asker(), flags.duration("timeout") ?? ANSWER_TIMEOUT);
  const alarms = new AlarmWatch(view, answers);
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
    const pause = () => wait(INTERVAL, undefined, { signal }).catch(() => {}); // an abort is handled by the loop below
    let next = pause();
    // the first answers of the nodes: rates are computed from their differences to later answers
    await answers.ask(nodes.values());
    while (!signal.aborted) {
      await next;
      if (signal.aborted) break;
      next = pause();
      const samples = await answers.ask(nodes.values());
      if (signal.aborted) break;
      if (once) await alarms.looked;
      show({ ...clusterRates(samples), alarms: alarms.now }, view, flags, terminal);
      if (once) return samples.every(({ now }) => now !== undefined) ? DONE : FAILED;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    end.abort();
    alarms[Symbol.dispose]();
  }
  return view.refused.aborted ? FAILED : DONE;
}

/**
 * Keeps the last answer of each process. Alarms use the same answers, so that each process is asked only once a
 * second.
 */
export class Answers implements SourceAsker {
  readonly #pinger: SourceAsker & Pick<ClusterAsker, "silence">;
  readonly #limit: number;
  /** Answers that were requested for alarms since the last call of {@link Answers.ask}, by endpoint. */
  #asked = new Map<string, Promise<CountedStats | NoAnswer>>();
  #last: ReadonlyMap<string, NodeStats> = new Map();

  /** `limit`: time for which a node's answer is awaited, in ms. */
  constructor(pinger: SourceAsker & Pick<ClusterAsker, "silence">, limit: number) {
    this.#pinger = pinger;
    this.#limit = limit;
  }

  ping(endpoint: string, limit: number): Promise<Pong | NoAnswer> {
    return this.#pinger.ping(endpoint, limit);
  }

  stats(endpoint: string, limit: number): Promise<CountedStats | NoAnswer> {
    const told = this.#pinger.stats(endpoint, Math.max(limit, this.#limit));
    this.#asked.set(endpoint, told);
    return told;
  }

  /** Asks all nodes at once for their statistics, except nodes that were asked for alarms since the last call. */
  async ask(nodes: Iterable<NodeInfo>): Promise<NodeSample[]> {
    const [before, asked] = [this.#last, this.#asked];
    this.#asked = new Map();
    const last = new Map<string, NodeStats>();
    const samples = await Promise.all(
      [...nodes].map(async ({ id, service, endpoint, unready }): Promise<NodeSample> => {
        const told = await (asked.get(endpoint) ?? this.#pinger.stats(endpoint, this.#limit));
        if (told.type === "stats") {
          last.set(endpoint, told.stats);
          return { id, service, unready, before: before.get(endpoint), now: told.stats };
        }
        const note = told.why ?? (told.type === "bounce" ? "nobody there" : this.#pinger.silence);
        return { id, service, unready, note };
      }),
    );
    this.#last = last;
    return samples;
  }

  [Symbol.dispose](): void {
    this.#pinger[Symbol.dispose]();
  }
}

function show(
  rates: ClusterRates & { readonly alarms: readonly Alarm[] },
  view: ClusterView,
  flags: Flags,
  terminal: Terminal,
): void {
  const live = terminal.columns !== undefined && !flags.has("json");
  if (!live) return terminal.write(`${printableJson({ at: new Date().toISOString(), ...rates })}\n`);
  const once = flags.has("once");
  // 7 lines are not rows: the title, two headings, two empty lines, and two lines about the rows that are left out
  const raised = alarmLines(rates.alarms, once ? Infinity : MAX_SHOWN_ALARMS, terminal);
  const room = once ? Infinity : Math.max(4, (terminal.rows ?? 24) - 7 - raised.length);
  const shownNodes = Math.min(rates.nodes.length, Math.max(2, Math.floor(room / 3)));
  const many = rates.nodes.length;
  const title = `${many} node${many === 1 ? "" : "s"} in ${view.namespace} at ${view.address}, ` +
    new Date().toLocaleTimeString("en-GB");
  const lines = [
    dim(terminal, once ? title : `${title}; Ctrl-C ends this`),
    ...raised,
    ...tableOf(terminal, NODE_COLUMNS, rates.nodes.slice(0, shownNodes)),
    ...moreOf(rates.nodes.length - shownNodes, "node", terminal),
    "",
    ...tableOf(terminal, CONTRACT_COLUMNS, rates.contracts.slice(0, room - shownNodes)),
    ...moreOf(rates.contracts.length - (room - shownNodes) + rates.moreContracts, "contract", terminal),
  ];
  terminal.write(`${once ? "" : "\x1b[H\x1b[2J"}${lines.join("\n")}\n`);
}

/** Returns a line for each alarm, the most urgent first, at most `most`. */
function alarmLines(alarms: readonly Alarm[], most: number, terminal: Terminal): string[] {
  const lines = alarms.slice(0, most).map(({ severity, since, message, docs }) => {
    const lasts = showDuration(Math.max(0, Date.now() - since));
    return cut(`${SEVERITIES[severity]}  ${printable(message)} (for ${lasts}; ${docs})`, terminal.columns);
  });
  return lines.length === 0 ? [] : [...lines, ...moreOf(alarms.length - lines.length, "alarm", terminal), ""];
}

function moreOf(count: number, what: string, terminal: Terminal): string[] {
  return count > 0 ? [dim(terminal, `… and ${count} more ${what}${count === 1 ? "" : "s"}`)] : [];
}

/**
 * Columns of a table: the title of each, as {@link table} takes it, and a function that returns the column's cell for
 * a row.
 */
type Columns<Row> = readonly (readonly [title: string, cell: (row: Row) => string])[];

function tableOf<Row>(terminal: Terminal, columns: Columns<Row>, rows: readonly Row[]): string[] {
  const cells = rows.map((row) => columns.map(([, cell]) => cell(row)));
  return table(terminal, columns.map(([title]) => title), cells);
}

const NODE_COLUMNS: Columns<NodeRates> = [
  ["NODE", ({ node }) => node],
  ["SERVICE", ({ service }) => service],
  [">HANDLED/S", ({ rates }) => known(rates?.handled, showRate)],
  [">SENT/S", ({ rates }) => known(rates?.sent, showRate)],
  [">FAILED/S", ({ rates }) => known(rates?.failed, showRate)],
  [">BUSY", ({ inFlight }) => known(inFlight, String)],
  [">QUEUED", ({ queued }) => known(queued, String)],
  [">CPU", ({ rates }) => known(rates?.cpu, (cpu) => `${Math.round(100 * cpu)} %`)],
  [">MEMORY", ({ rss }) => known(rss, (bytes) => `${Math.round(bytes / 1e6)} MB`)],
  [">UP", ({ up }) => known(up, showDuration)],
  ["NOTE", noteOf],
];

const CONTRACT_COLUMNS: Columns<ContractRow> = [
  ["CONTRACT", ({ contract }) => contract],
  ["KIND", ({ kind }) => kind],
  [">HANDLED/S", ({ handled }) => showRate(handled)],
  [">SENT/S", ({ sent, published }) => showRate(sent + published)],
  [">P50", ({ p50 }) => known(p50, showMillis)],
  [">P99", ({ p99 }) => known(p99, showMillis)],
  [">IN HAND", ({ inHand }) => `${inHand}`],
  [">QUEUED", ({ queued }) => `${queued}`],
  [">NODES", ({ nodes }) => `${nodes}`],
  [
    "FAILED/S",
    ({ failed }) => Object.entries(failed).map(([code, rate]) => `${printable(code)} ${showRate(rate)}`).join(", "),
  ],
];

/** Returns the note beside a node: that it is not ready, why it does not answer, and what it leads. */
function noteOf({ note, unready, leads = [] }: NodeRates): string {
  const notes = unready === undefined ? [] : [`not ready (${unready})`];
  if (note !== undefined) notes.push(note);
  if (leads.length > 0) notes.push(`leads ${leads.join(" ")}`);
  return notes.join("; ");
}

/** Formats a number with `show`; `-` for `undefined`. */
export function known(figure: number | undefined, show: (figure: number) => string): string {
  return figure === undefined ? "-" : show(figure);
}

/** Formats a rate: a number of events per second. */
function showRate(rate: number): string {
  if (rate === 0) return "0";
  if (rate < 10) return rate.toFixed(1);
  if (rate < 10_000) return `${Math.round(rate)}`;
  return rate < 1e6 ? `${(rate / 1e3).toFixed(1)}k` : `${(rate / 1e6).toFixed(1)}M`;
}

/** Maximum number of alarms that are shown in a live view. */
const MAX_SHOWN_ALARMS = 5;
const INTERVAL = 1_000; // ms between two rounds of questions to the nodes
/** Time for which a node's answer is awaited, in ms; a node that does not answer must not delay the next round. */
const ANSWER_TIMEOUT = 900;
