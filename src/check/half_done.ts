/**
 * Replays the open runs of workflows with the handlers of a program, in memory, up to the point at which they would
 * record something new. New entries (stored records of a run) are refused, so that no step begins: nothing is stored,
 * sent or started.
 */
import { issueWithPath, type Schema, schemaThrew, validate } from "../contract/schemas/schema.ts";
import type { WorkflowBody } from "../contract/declaration/workflow_body.ts";
import { fewAtOnce } from "../data/gate.ts";
import { CatgaError } from "../error.ts";
import { isOwn, isUndo, type Journal, signalKey } from "../flow/stored/journal.ts";
import type { JournalEntry } from "../flow/stored/journal_entry.ts";
import { Drive } from "../flow/execution/drive.ts";
import type { DriveHost } from "../flow/execution/drive_host.ts";
import type { DriveEnd } from "../flow/execution/drive_state.ts";
import { RunLog, type RunLogHost } from "../flow/stored/run_log.ts";
import { RunMessages } from "../flow/stored/run_message.ts";
import type { RunRef } from "../flow/stored/run_ref.ts";
import type { Clock, Random } from "../ports/clock.ts";
import type { LogStream } from "../ports/event_log.ts";
import type { Finding } from "./finding.ts";
import type { Program } from "./program.ts";
import { Tally } from "./tally.ts";

/** The stores from which open runs of workflows are read. */
export interface RunStores {
  readonly namespace: string;
  /** The stream of entities; `undefined`: it does not exist. */
  readonly entities: Pick<LogStream, "at" | "last" | "lasts" | "read"> | undefined;
  readonly clock: Clock;
  readonly random: Random;
  /**
   * Called from time to time with the number of workflow runs that were replayed; `what`: the checked workflow, in
   * words.
   */
  progress(what: string, runs: number): void;
}

/**
 * Resolves with findings for open runs that would not continue correctly with the program's handlers. Rejects with
 * `UNAVAILABLE` or `CLOSED` if a run cannot be read.
 */
export async function checkRuns({ workflows, signals, questions }: Program, stores: RunStores): Promise<Finding[]> {
  const { namespace, entities, clock, progress } = stores;
  const tally = new Tally();
  if (entities === undefined) return [];
  const host: RunLogHost = {
    ...{ namespace, clock, endpoint: ENDPOINT, number: () => 0, maxPayload: () => MAX_PAYLOAD },
    stream: () => ({ ...reading(entities), append: refused, purge: refused }),
  };
  for (const [name, { body }] of workflows) {
    if (body === undefined) continue;
    const open = (await new RunLog(host).all(name)).filter(({ ended }) => !ended).map(({ ref }) => ref);
    let count = 0;
    const reasons = await fewAtOnce(open, MAX_CONCURRENT_RUNS, async (ref) => {
      const log = new RefusingLog(host);
      const journal = await log.load(ref);
      progress(`runs of ${name}`, ++count);
      // a cancelled or failing run is skipped, because only its undo functions still run, not the handler
      if (journal === undefined || (journal.ended ?? journal.cancelled ?? journal.failing) !== undefined) return;
      for (const [signal, input] of signals.get(name) ?? []) {
        const told = [...journal.signals.get(signal) ?? []].map((n) => journal.signal(n)?.value);
        for (const value of told) {
          await judgeUntaken(tally, { name, kind: "signal", own: signal, run: ref.run }, input, value);
        }
      }
      for (const [question, { "~input": input }] of questions.get(name) ?? []) {
        if (input === undefined) continue;
        const asked = [...journal.signals.get(signalKey("asked", question)) ?? []];
        for (const value of asked.map((n) => journal.signal(n)?.value)) {
          await judgeUntaken(tally, { name, kind: "question", own: question, run: ref.run }, input, value);
        }
      }
      return await replay(ref, body, journal, log, stores);
    });
    for (const [n, why] of reasons.entries()) {
      if (why === undefined) continue;
      const of = `open runs of ${name}`;
      tally.add("break", "run", name, `${of} ${why}`, open[n].run, VERSION, `${of} would not go on as before`);
    }
  }
  return tally.findings();
}

/** An untaken signal or question of a run: `own`, its own name; `name`, that of the workflow. */
interface Untaken {
  readonly name: string;
  readonly kind: "signal" | "question";
  readonly own: string;
  readonly run: string;
}

/** Checks by the program's schema what a workflow run was told or asked, and has not taken yet. */
async function judgeUntaken(
  tally: Tally,
  { name, kind, own, run }: Untaken,
  input: Schema<never, unknown>,
  value: unknown,
): Promise<void> {
  const { error } = await validate(input, value, "INVALID_MESSAGE", `${kind} ${own}`);
  if (error === undefined) return;
  const of = `untaken ${kind}s ${own} of open runs of ${name}`;
  const advice = `Read what is stored, too, until these runs have ended: both forms in the ${kind}'s schema.`;
  if (schemaThrew(error)) {
    tally.add("unknown", kind, name, `${of} could not be judged: the schema threw`, run, advice);
  } else tally.add("break", kind, name, `${of} are refused: ${issueWithPath(error)}`, run, advice);
}

/**
 * Returns the reason why a workflow run would not continue as before with the program's handlers; `undefined`: it
 * would.
 */
async function replay(
  ref: RunRef,
  body: WorkflowBody,
  journal: Journal,
  log: RefusingLog,
  { clock, random }: RunStores,
): Promise<string | undefined> {
  const recorded = namesIn(journal);
  const before = journal.failures.get("")?.error.message;
  const drive = new Drive({ host: hostOf(log, clock, random), ref, body, journal, due: [] });
  const late = clock.after(REST_TIMEOUT, () => drive.stop(), { background: true });
  drive.begin();
  const end: DriveEnd = await drive.end;
  late.cancel();
  if (end === "shutdown") {
    return `do not come to rest within ${REST_TIMEOUT / 1_000} s: the handler awaits something outside of flow`;
  }
  for (const entry of log.refused) {
    // it is the handler that failed, because no step begins
    if (entry.t === "failed" && entry.error.message !== before) {
      return `would be stuck, or tried again: the handler throws: ${
        entry.error.message.replaceAll(labelOf(ref), "the run")
      }`;
    }
    if (entry.t === "failing") return `would fail, and be undone: ${entry.error.code}: ${entry.error.message}`;
  }
  const missing = [...recorded].filter((name) => !drive.names.has(name));
  if (missing.length === 0) return undefined;
  const steps = `${missing.map((name) => JSON.stringify(name)).join(", ")}, which ${
    missing.length === 1 ? "is" : "are"
  } recorded`;
  if (log.refused.some(({ t }) => t === "again")) return `would begin anew without ${steps}`;
  if (log.refused.some(({ t }) => t === "ended")) return `would end without ${steps}`;
  const added = [...drive.names].filter((name) => !recorded.has(name)).map((name) => JSON.stringify(name));
  return added.length === 0
    ? `no longer reach ${steps}`
    : `would go on with ${added.join(", ")} without having reached ${steps}`;
}

/** Returns the names of the steps, sleeps and waits that a workflow run has recorded, ended or pending. */
function namesIn({ ends, strays, sleeps, waits, children, failures }: Journal): Set<string> {
  const names = [...ends, ...sleeps.keys(), ...waits.keys(), ...children.keys(), ...failures.keys()];
  return new Set(names.filter((name) => name !== "" && !isOwn(name) && !isUndo(name) && !strays.has(name)));
}

/**
 * The log of a replayed workflow run, which stores nothing: the replay ends at the first entry (record) that the
 * handler would store.
 */
class RefusingLog extends RunLog {
  override readonly messages: RefusedMessages;

  constructor(host: RunLogHost) {
    super(host);
    this.messages = new RefusedMessages(host);
  }

  /** The entries (stored records of a run) that the replay tried to store last. */
  get refused(): readonly JournalEntry[] {
    return this.messages.entries;
  }

  override append(): Promise<never> {
    return refused();
  }
}

/** Makes the messages that a replayed workflow run tries to store, and keeps their entries (records). */
class RefusedMessages extends RunMessages {
  /** The entries (records of a workflow run) in the last message that was made. */
  entries: readonly JournalEntry[] = [];

  override of(...args: Parameters<RunMessages["of"]>): ReturnType<RunMessages["of"]> {
    this.entries = args[1];
    return super.of(...args);
  }
}

/**
 * Returns the host of the replay of a workflow run: the interface by which the replayed run acts on the node. It has no
 * effects.
 */
function hostOf(log: RunLog, clock: Clock, random: Random): DriveHost {
  const nothing = () => {};
  const done = () => Promise.resolve();
  return {
    ...{ endpoint: ENDPOINT, clock, log },
    get latest() {
      return clock.now();
    },
    app: {
      causes: true,
      ...{ timeout: REST_TIMEOUT, clock, random, observer: nothing, send: refused },
      ...{ ofEntity: () => false, node: "check", carried: [], tracer: undefined, begun: nothing, over: nothing },
    },
    soon: (callback) => clock.soon(callback),
    ...{
      wake: done,
      takeBack: () => Promise.resolve(),
      startChild: refused,
      cancelChild: refused,
      ask: refused,
      answered: nothing,
      ended: done,
      stuck: done,
      tried: nothing,
      shown: nothing,
      read: nothing,
      ...{ shapeOf: () => "", shapeNameOf: () => "" },
      afterRefusal: () => "stuck",
    },
  };
}

/** Returns only the methods of a stream that read. */
function reading(stream: NonNullable<RunStores["entities"]>) {
  const { at, last, lasts, read } = stream;
  return { at: at.bind(stream), last: last.bind(stream), lasts: lasts.bind(stream), read: read.bind(stream) };
}

function refused(): Promise<never> {
  return Promise.reject(new CatgaError("CLOSED", "a check stores and sends nothing"));
}

function labelOf({ workflow, run }: RunRef): string {
  return `run ${run} of ${workflow}`;
}

const VERSION = "Have runs that began before go the old way: raise the workflow's version, and ask flow.version.";
/** Endpoint (name of a process) of the process that replays the runs; no real process has this name. */
const ENDPOINT = "check.check";
/** Maximum size of a message that a workflow run could store, in bytes. */
const MAX_PAYLOAD = 1 << 20;
/** Maximum number of workflow runs that are loaded and replayed at once. */
const MAX_CONCURRENT_RUNS = 16;
/** Maximum time that a replayed handler may take until it waits or ends, in ms. */
const REST_TIMEOUT = 5_000;
