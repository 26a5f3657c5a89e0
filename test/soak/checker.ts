/**
 * Checks the results that clients got against the runs that handlers wrote down. Reads the log line by line and keeps
 * some bytes for each message, so that millions of them fit.
 *
 * @module
 */
import { isAllowed } from "../../src/testing/checkers/allowed_results.ts";
import { gapWithin, type LoopGap, type Span } from "../processes/loop_gaps.ts";
import { Column } from "./column.ts";
import { Latencies } from "./latencies.ts";
import { eachLine, idOf, logFiles, readRan, readStall, readTold, type ToldLine, UNSETTLED, WRONG } from "./log.ts";
import { type Letter, SERVICES } from "./messages.ts";
import type { Trouble } from "./shared_check.ts";

/** A message that broke a promise. */
export interface Violation {
  readonly n: number;
  readonly text: string;
}

/** The contents of a log, and the broken promises in it. */
export interface Findings {
  /** Messages that clients sent. */
  readonly operations: number;
  /** How often clients got which result, by the name of the message. */
  readonly outcomes: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** How long results took: of commands, queries, both, and those of both that met with no outage of the server. */
  readonly latencies: Readonly<Record<"commands" | "queries" | "requests" | "served", Latencies>>;
  /** The part of the published events that arrived, for each service and published event. */
  readonly delivered: number;
  /** Requests that began to run long after their deadline: which may be, when a node is frozen as it begins. */
  readonly late: number;
  /** Commands whose outcome is unknown, and events that did not arrive, by what happened meanwhile. */
  readonly lost: Readonly<Record<"commands" | "events", Losses>>;
  /** The gaps of the event loops, by process. */
  readonly gaps: ReadonlyMap<string, readonly LoopGap[]>;
  readonly violations: readonly Violation[];
}

/** Losses while a process died; while a link was cut or there was no server; in both; in neither. */
export interface Losses {
  death: number;
  cut: number;
  both: number;
  neither: number;
}

/**
 * How long after its deadline a send may settle, and a request begin, in ms: two busy cores, and a wheel that turns in
 * ticks.
 */
const MARGIN = 1_000;

/** Checks the log in a folder. `outages`: when there was no server; `troubles`: the faults. */
export async function check(
  folder: string,
  outages: readonly Span[] = [],
  troubles: readonly Trouble[] = [],
): Promise<Findings> {
  const checker = new Checker(outages, troubles);
  for (const [kind, take] of [["told", "told"], ["runs", "ran"]] as const) {
    for (const file of await logFiles(folder, kind)) {
      const id = idOf(file);
      await eachLine(folder, file, (line) => {
        const gap = readStall(line);
        if (gap !== undefined) checker.stood(id, gap);
        else checker[take](id, line);
      });
    }
  }
  return checker.findings();
}

/** Every line about these messages, each with its file. */
export async function evidence(folder: string, numbers: ReadonlySet<number>): Promise<string[]> {
  const found: string[] = [];
  for (const file of [...await logFiles(folder, "told"), ...await logFiles(folder, "runs")]) {
    await eachLine(folder, file, (line) => {
      if (numbers.has(Number(line.split(" ", 2)[1]))) found.push(`${file}: ${line}`);
    });
  }
  return found;
}

const LETTERS: readonly Letter[] = ["W", "Q", "R", "E", "I"];
const NAMES: Readonly<Record<Letter, string>> = { W: "Write", Q: "Read", R: "Relay", E: "Told", I: "Inner" };

class Checker {
  readonly #outages: readonly Span[];
  readonly #troubles: readonly Trouble[];
  /** When event loops stood still, by process. */
  readonly #gaps: Map<string, LoopGap[]> = new Map();
  /** From the send to the result of commands with `OUTCOME_UNKNOWN`. */
  readonly #unknown: Span[] = [];
  /** Results that came late, unless their client stood still. */
  readonly #overdue: (ToldLine & { readonly client: string })[] = [];
  readonly #violations: Violation[] = [];
  /** Each number belongs to one message of a client; the place of its letter, and 1 more, so that 0 is none. */
  readonly #letters = Column.ofBytes();
  /** The result of the message, and of the command that a relay sent, as places in `#codes`. */
  readonly #told = Column.ofBytes();
  readonly #toldInner = Column.ofBytes();
  readonly #codes: string[] = [""];
  /** When it was to be over; of an event, when it was published. */
  readonly #due = Column.ofMoments();
  readonly #runs = Column.ofBytes();
  readonly #innerRuns = Column.ofBytes();
  readonly #events = SERVICES.map(() => Column.ofBytes());
  readonly #latencies = {
    commands: new Latencies(),
    queries: new Latencies(),
    requests: new Latencies(),
    served: new Latencies(),
  };

  #late = 0;

  constructor(outages: readonly Span[], troubles: readonly Trouble[]) {
    this.#outages = outages;
    this.#troubles = troubles;
  }

  /** A gap of a process's event loop. */
  stood(id: string, gap: LoopGap): void {
    const gaps = this.#gaps.get(id);
    if (gaps === undefined) this.#gaps.set(id, [gap]);
    else gaps.push(gap);
  }

  told(client: string, line: string): void {
    const result = readTold(line);
    const { letter, n, told, at, took, timeout } = result;
    let code = this.#codes.indexOf(told, 1);
    if (code < 0) code = this.#codes.push(told) - 1;
    if (letter === "I") return this.#toldInner.set(n, code);
    if (this.#told.get(n) !== 0) this.#wrong(letter, n, "settled more than once");
    this.#letters.set(n, LETTERS.indexOf(letter) + 1);
    this.#told.set(n, code);
    if (letter === "E") this.#due.set(n, at);
    if (letter === "E" || told === UNSETTLED) return;
    if (told === "OUTCOME_UNKNOWN") this.#unknown.push({ from: at - took, to: at });
    this.#due.set(n, at - took + timeout);
    this.#latencies.requests.add(took);
    this.#latencies[letter === "Q" ? "queries" : "commands"].add(took);
    if (!this.#outages.some(({ from, to }) => from <= at && to >= at - took)) this.#latencies.served.add(took);
    if (took > timeout + MARGIN) this.#overdue.push({ ...result, client });
  }

  /** Called after all results. */
  ran(_node: string, line: string): void {
    const { letter, n, at, service } = readRan(line);
    const due = this.#due.get(n);
    if (letter !== "E" && due > 0 && at > due + MARGIN) this.#late++;
    if (letter === "E") this.#events[SERVICES.indexOf(service as typeof SERVICES[number])]?.add(n);
    else if (letter === "I") this.#innerRuns.add(n);
    else this.#runs.add(n);
  }

  findings(): Findings {
    for (const { client, letter, n, told, at, took, timeout } of this.#overdue) {
      const stalled = gapWithin(this.#gaps.get(client) ?? [], at - took, at);
      if (took - stalled > timeout + MARGIN) this.#wrong(letter, n, `${told} after ${took} ms, its timeout ${timeout}`);
    }
    const outcomes = new Map<string, Map<string, number>>();
    let operations = 0;
    let published = 0;
    let arrived = 0;
    const lost = { commands: losses(), events: losses() };
    for (const { from, to } of this.#unknown) lost.commands[this.#cause(from, to)]++;
    const end = Math.max(this.#told.end, this.#runs.end, this.#innerRuns.end, ...this.#events.map(({ end }) => end));
    for (let n = 0; n < end; n++) {
      const letter = LETTERS[this.#letters.get(n) - 1];
      const told = this.#codes[this.#told.get(n)];
      const events = this.#events.map((runs) => runs.get(n));
      const runs = this.#runs.get(n);
      if (letter === undefined) {
        if (runs + this.#innerRuns.get(n) + events[0] + events[1] > 0) this.#wrong("I", n, "ran, and nobody sent it");
        continue;
      }
      operations++;
      count(outcomes, NAMES[letter], told);
      if (told === UNSETTLED || told === WRONG) this.#wrong(letter, n, told);
      else if (letter === "E") {
        published += told === "ok" ? SERVICES.length : 0;
        const here = told === "ok" ? events.filter((runs) => runs > 0).length : 0;
        arrived += here;
        const at = this.#due.get(n);
        if (told === "ok" && here < SERVICES.length) {
          lost.events[this.#cause(at, at + UNDER_WAY)] += SERVICES.length - here;
        }
        const most = told === "ok" ? 1 : 0;
        events.forEach((runs, i) => {
          if (runs > most) this.#wrong(letter, n, `${told}, and came to service ${SERVICES[i]} ${runs} time(s)`);
        });
      } else this.#request(letter === "Q" ? "query" : "command", letter, n, told, runs);
      if (letter === "R") {
        const inner = this.#codes[this.#toldInner.get(n)];
        if (inner !== "") count(outcomes, NAMES.I, inner);
        // a relay without a result: the result of its inner command is unknown
        this.#request("command", "I", n, inner || "OUTCOME_UNKNOWN", this.#innerRuns.get(n));
      }
    }
    return {
      operations,
      outcomes,
      latencies: this.#latencies,
      delivered: published === 0 ? 1 : arrived / published,
      late: this.#late,
      lost,
      gaps: this.#gaps,
      violations: this.#violations,
    };
  }

  /** The kind of fault in a span that explains a loss. */
  #cause(from: number, to: number): keyof Losses {
    const during = this.#troubles.filter((it) => it.from <= to && it.to + NOTICED >= from);
    const death = during.some(({ kind }) => kind === "death");
    const cut = during.some(({ kind }) => kind === "cut" || kind === "outage" || kind === "wipe");
    return death && cut ? "both" : death ? "death" : cut ? "cut" : "neither";
  }

  #request(kind: "command" | "query", letter: Letter, n: number, told: string, runs: number): void {
    if (!isAllowed(kind, told, runs)) this.#wrong(letter, n, `told ${told}, and ran ${runs} time(s)`);
  }

  #wrong(letter: Letter, n: number, text: string): void {
    this.#violations.push({ n, text: `${NAMES[letter]} ${n}: ${text}` });
  }
}

/** How long after a death, or a cut, its consequences are seen, in ms. */
const NOTICED = 500;
/** How long an event is under way to a handler on a busy machine, in ms. */
const UNDER_WAY = 1_000;

function losses(): Losses {
  return { death: 0, cut: 0, both: 0, neither: 0 };
}

function count(counts: Map<string, Map<string, number>>, name: string, told: string): void {
  let of = counts.get(name);
  if (of === undefined) counts.set(name, of = new Map());
  of.set(told, (of.get(told) ?? 0) + 1);
}
