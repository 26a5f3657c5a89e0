/**
 * Questions that programs of this node ask runs. A question is stored in the run, as a signal is; the answer is stored
 * by the node that executes the run, which then announces it. An announcement is a hint and may be lost: what an asker
 * gets is read from the store, when an answer is announced, when the run has ended, and every 1.5 s. A call that is
 * repeated under its id asks once, and gets the recorded answer.
 */
import type { AnyQuestion, AskOptions } from "../../contract/calls/flow.ts";
import { ANSWERED } from "../../contract/declaration/contract.ts";
import { asAnswer } from "../../contract/calls/given_answers.ts";
import type { Result } from "../../contract/calls/result.ts";
import { eventSubject } from "../../contract/nodes/subjects.ts";
import { runType } from "../../contract/declaration/workflow.ts";
import { checkKnown, checkNumber, checkSignal, isCount, isRecord, MAX_TIMEOUT } from "../../data/checks.ts";
import { decodeText, encodeValue, parsedJson } from "../../data/encoding.ts";
import { Gate } from "../../data/gate.ts";
import { CatgaError } from "../../error.ts";
import { token } from "../../ports/clock.ts";
import { SharedTimer } from "../../ports/shared_timer.ts";
import type { Subscription } from "../../ports/transport.ts";
import type { DrivenRuns } from "../driving/driven_runs.ts";
import type { GivenAnswer } from "../execution/drive_host.ts";
import { refusedInTime } from "../execution/schema_in_time.ts";
import type { RunsNode } from "../runs_node.ts";
import { Journal, notAnswered } from "../stored/journal.ts";
import { answerKey, askedBy, type JournalEntry, type RecordedOutcome } from "../stored/journal_entry.ts";
import type { EntryFor } from "../stored/notice_queue.ts";
import { keyOf, type RunRef } from "../stored/run_ref.ts";
import type { Results } from "./results.ts";
import { failed, failedWith, inTime, LAST_LOOK, noRun, resultOf } from "./run_answers.ts";
import { checkExistingRun, checkQuestion } from "./run_arguments.ts";
import type { RunNotices } from "./run_notices.ts";

/**
 * Outcome of a question for its asker: the answer; "lost": the store has lost the question; "no run": there is no such
 * run, or it ended before the question was asked.
 */
type Learnt = RecordedOutcome | "lost" | "no run";
type Waiter = (learnt: Learnt) => void;

/** A run that askers on this node wait for. */
interface AskedRun {
  readonly ref: RunRef;
  /** By key of the question ({@link answerKey}): those that wait for its answer. */
  readonly waiters: Map<string, Set<Waiter>>;
  /** By key: number of calls that are storing the question: a read that began before may not find it. */
  readonly storing: Map<string, number>;
  /** Keys whose announced answers are being read. */
  readonly announced: Set<string>;
  /** The run, as far as it was read; `undefined`: not read yet. */
  journal: Journal | undefined;
  /** True while the run is being read; "again": it has to be read once more. */
  reading: boolean | "again";
  /** When the run was last read, by the monotonic clock. */
  looked: number;
  offEnd: () => void;
  timer: { cancel(): void } | undefined;
}

/** The questions that programs of one node ask. */
export class Questions {
  readonly #node: RunsNode;
  readonly #notices: RunNotices;
  readonly #results: Results;
  readonly #drives: Pick<DrivenRuns, "drives">;
  readonly #asked = new Map<string, AskedRun>();
  readonly #subscriptions = new Map<string, Subscription>();
  /** By workflow: answers that are to be announced: run, question, id, and the sequence of their message. */
  readonly #answered = new Map<string, (readonly [string, string, string, number])[]>();
  readonly #reads = new Gate(MAX_READS);
  /** Timeouts of the pending calls; they keep the process running. */
  readonly #timers: SharedTimer;
  /** Functions that end the waits of pending calls. */
  readonly #open = new Set<() => void>();
  #isClosed = false;

  constructor(node: RunsNode, notices: RunNotices, results: Results, drives: Pick<DrivenRuns, "drives">) {
    this.#node = node;
    this.#notices = notices;
    this.#results = results;
    this.#drives = drives;
    this.#timers = new SharedTimer(node.clock);
  }

  /** Asks a run a question, and resolves with its answer; implements `ask`. */
  async ask(
    question: AnyQuestion,
    run: string,
    payload: unknown,
    options: AskOptions = {},
  ): Promise<Result<unknown>> {
    checkQuestion("ask", question);
    const { workflow, name, "~input": schema, "~question": { keep } } = question;
    const at = `ask ${name}`;
    checkExistingRun(`${at}: run`, run);
    checkKnown(at, options, ASK_OPTIONS);
    const { app, endpoint } = this.#node;
    const { id = `${endpoint}.${token(app.random, 12)}`, timeout = app.timeout, signal } = options;
    checkSignal(at, signal);
    checkExistingRun(`${at}: id`, id);
    checkNumber(`${at}: timeout`, timeout, 1, MAX_TIMEOUT, "ms");
    if (schema !== undefined) {
      const what = `question ${name}`;
      const refused = await refusedInTime(
        this.#node,
        `${what} was not asked`,
        { name: what, schema },
        payload,
        "UNAVAILABLE",
      );
      if (refused !== undefined) return refused;
    }
    let value: unknown;
    try {
      value = payload === undefined ? undefined : decodeText(encodeValue(payload, "payload"));
    } catch (cause) {
      return failed("INVALID_MESSAGE", `question ${name} cannot be asked: ${(cause as Error).message}`, cause);
    }
    const entry: EntryFor = (by) => ({ t: "asked", question: name, id, value, by });
    return await this.#call(
      { workflow, run },
      { name, id, keep, timeout, signal, isRepeatable: options.id !== undefined },
      entry,
    );
  }

  async #call(
    ref: RunRef,
    { name, id, keep, timeout, signal, isRepeatable }: {
      readonly name: string;
      readonly id: string;
      readonly keep: number;
      readonly timeout: number;
      readonly signal: AbortSignal | undefined;
      readonly isRepeatable: boolean;
    },
    entry: EntryFor,
  ): Promise<Result<unknown>> {
    const { clock, app } = this.#node;
    const key = answerKey(name, id);
    const due = clock.monotonic() + timeout;
    let end: (() => void) | undefined;
    let asked: number | undefined;
    try {
      for (;;) {
        const learnt = Promise.withResolvers<Learnt>();
        end?.();
        end = this.#wait(ref, key, learnt.resolve);
        const storing = this.#storing(ref, key, async (): Promise<Result<unknown, never>> => {
          // who asks again and again while the run takes its time must not make it longer each time
          if (isRepeatable && await this.#wasAsked(ref, { name, id })) return { ok: true, value: undefined };
          return await inTime(this.#node, `ask ${name}`, this.#notices.append(ref, entry));
        });
        const stored = await this.#within(due - clock.monotonic() + LAST_LOOK, storing, signal);
        if (stored === undefined) {
          return this.#isClosed ? failed("CLOSED", `node ${app.node} stops`) : notYet(ref, { name, id, timeout });
        }
        // a run that has ended may have the answer: to an earlier call with this id
        if (!stored.ok && stored.error.code !== "NO_RUN") return stored;
        if (stored.ok) asked ??= clock.monotonic();
        if (!stored.ok || isRepeatable) this.#look(ref);
        let found = await this.#within(due - clock.monotonic(), learnt.promise, signal);
        if (found === undefined && !signal?.aborted) {
          this.#look(ref); // the announcement may have been lost
          found = await this.#within(LAST_LOOK, learnt.promise, signal);
        }
        if (this.#isClosed) return failed("CLOSED", `node ${app.node} stops`);
        if (found === "no run") return noRun(ref);
        // the store has not lost the question, but a run that began anew may have forgotten it with its answer: if it
        // were asked again, the run would handle it twice
        if (found === "lost" && asked !== undefined && clock.monotonic() - asked >= keep) {
          return forgotten(ref, name, id);
        }
        if (typeof found === "object") return asAnswer(resultOf(found));
        if (clock.monotonic() >= due || signal?.aborted) return notYet(ref, { name, id, timeout });
      }
    } catch (error) {
      return failedWith(error);
    } finally {
      end?.();
    }
  }

  /** Returns true if the run has the question, or its answer; false also if it cannot be read now. */
  async #wasAsked(ref: RunRef, { name, id }: { readonly name: string; readonly id: string }): Promise<boolean> {
    try {
      const journal = await this.#node.log.load(ref);
      return journal?.wasAsked(name, id) ?? false;
    } catch {
      return false; // then it is stored once more, which the run ignores
    }
  }

  /** Calls `store`, which stores a question. */
  async #storing<T>(ref: RunRef, key: string, store: () => Promise<T>): Promise<T> {
    const { storing } = this.#asked.get(keyOf(ref))!; // a call waits for the run while it stores its question
    storing.set(key, 1 + (storing.get(key) ?? 0));
    try {
      return await store();
    } finally {
      const left = storing.get(key)! - 1;
      if (left === 0) storing.delete(key);
      else storing.set(key, left);
    }
  }

  /**
   * Resolves with the value of the promise; with `undefined` if it is pending after so many ms, the signal aborts, or
   * the node stops.
   */
  #within<T>(ms: number, promise: Promise<T>, signal: AbortSignal | undefined): Promise<T | undefined> {
    return new Promise((resolve) => {
      const over = () => {
        this.#open.delete(over);
        timer.cancel();
        signal?.removeEventListener("abort", over);
        resolve(undefined);
      };
      const timer = this.#timers.after(Math.max(0, ms), over);
      this.#open.add(over);
      signal?.addEventListener("abort", over);
      if (this.#isClosed || signal?.aborted) over();
      promise.then((value) => (resolve(value), over()));
    });
  }

  /** Announces answers that this node has stored by the message with this sequence, and gives them to askers here. */
  answered(ref: RunRef, answers: readonly GivenAnswer[], sequence: number): void {
    for (const { question, id, outcome } of answers) this.#settle(keyOf(ref), answerKey(question, id), outcome);
    const { app: { transport }, soon } = this.#node;
    if (transport === undefined) return;
    if (this.#answered.size === 0) soon(() => this.#announce());
    const all = this.#answered.get(ref.workflow) ?? [];
    this.#answered.set(ref.workflow, all);
    for (const { question, id } of answers) all.push([ref.run, question, id, sequence]);
  }

  close(): void {
    for (const subscription of this.#subscriptions.values()) subscription.close();
    for (const asked of this.#asked.values()) asked.timer?.cancel();
    this.#isClosed = true;
    for (const over of [...this.#open]) over();
  }

  #announce(): void {
    const { app: { transport } } = this.#node;
    for (const [workflow, answers] of this.#answered) {
      for (let at = 0; at < answers.length && transport?.status.state === "connected"; at += MAX_ANNOUNCED) {
        try {
          const text = JSON.stringify({ answers: answers.slice(at, at + MAX_ANNOUNCED) });
          transport.publish(this.#subject(workflow), text);
        } catch {
          // an announcement that cannot be sent is dropped: askers read the run every LOOK ms
        }
      }
    }
    this.#answered.clear();
  }

  #subject(workflow: string): string {
    return eventSubject(this.#node.app.namespace, `${runType(workflow)}.${ANSWERED}`);
  }

  #listen(workflow: string): void {
    const { transport } = this.#node.app;
    if (transport === undefined || this.#subscriptions.has(workflow)) return;
    const subscription = transport.subscribe(this.#subject(workflow), {}, ({ data }) => {
      for (const { run, key, sequence } of readAnswers(data)) {
        const ref = { workflow, run };
        this.#readAt(ref, key, sequence);
      }
    });
    this.#subscriptions.set(workflow, subscription);
  }

  /**
   * Reads the answer in the message with this sequence, which was announced. Any process may announce anything, so
   * there is one such read of a question at a time; if it does not find the answer, the run is read.
   */
  #readAt(ref: RunRef, key: string, sequence: number): void {
    const asked = this.#asked.get(keyOf(ref));
    if (asked === undefined || !asked.waiters.has(key) || asked.announced.has(key)) return;
    asked.announced.add(key);
    this.#reads.pass((leave) => {
      this.#node.log.entriesAt(ref, sequence).then((entries) => answerIn(entries, key)).catch(() => undefined).then(
        (found) => {
          asked.announced.delete(key);
          // an error: the next look finds the answer, when the store can be read again
          if (found === undefined) this.#look(ref);
          else this.#settle(keyOf(ref), key, found);
          leave();
        },
      );
    });
  }

  /** Calls `waiter` once, with what there is to know of a question. Returns a function that ends the wait. */
  #wait(ref: RunRef, key: string, waiter: Waiter): () => void {
    const runKey = keyOf(ref);
    const asked = this.#asked.get(runKey) ?? this.#follow(ref);
    const waiters = asked.waiters.get(key) ?? new Set();
    asked.waiters.set(key, waiters);
    waiters.add(waiter);
    this.#listen(ref.workflow);
    return () => {
      waiters.delete(waiter);
      if (waiters.size > 0 || asked.waiters.get(key) !== waiters) return;
      asked.waiters.delete(key);
      if (asked.waiters.size > 0) return;
      if (this.#asked.get(runKey) === asked) this.#asked.delete(runKey);
      asked.timer?.cancel();
      asked.offEnd();
    };
  }

  #follow(ref: RunRef): AskedRun {
    const asked: AskedRun = {
      ...{
        ref,
        waiters: new Map(),
        storing: new Map(),
        announced: new Set(),
        journal: undefined,
        reading: false,
        looked: this.#node.clock.monotonic(),
      },
      ...{ offEnd: () => {}, timer: undefined },
    };
    this.#asked.set(keyOf(ref), asked);
    asked.offEnd = this.#results.wait(ref, () => this.#look(ref));
    this.#watch(asked);
    return asked;
  }

  /** Looks at the run again and again, less often if this node executes it: it announces its answers itself. */
  #watch(asked: AskedRun): void {
    const { clock } = this.#node;
    asked.timer = clock.after(LOOK, () => {
      if (this.#asked.get(keyOf(asked.ref)) !== asked) return;
      const pause = this.#drives.drives(asked.ref) ? DRIVEN_LOOK : LOOK;
      if (clock.monotonic() - asked.looked >= pause) this.#look(asked.ref);
      this.#watch(asked);
    }, { background: true });
  }

  /** Reads the run, and gives askers what is known of their questions. */
  #look(ref: RunRef): void {
    const asked = this.#asked.get(keyOf(ref));
    if (asked === undefined) return;
    if (asked.reading !== false) return void (asked.reading = "again");
    asked.reading = true;
    this.#reads.pass((leave) => {
      const waiting = [...asked.waiters.keys()].map((key) => [key, asked.storing.has(key)] as const);
      asked.looked = this.#node.clock.monotonic();
      this.#read(asked).then((journal) => {
        for (const [key, isBeingStored] of waiting) {
          const learnt = learntFrom(journal, key, ref);
          const isEarly = isBeingStored && typeof learnt === "string";
          if (learnt !== undefined && !isEarly) this.#settle(keyOf(ref), key, learnt);
        }
      }).catch(() => {
        asked.looked = -Infinity; // the store cannot be read now: the next look comes soon
      }).then(() => {
        const { reading } = asked;
        asked.reading = false;
        if (reading === "again") this.#look(ref);
        leave();
      });
    });
  }

  /** Reads on from where the run was last read; `undefined`: there is no such run. */
  async #read(asked: AskedRun): Promise<Journal | undefined> {
    const { log } = this.#node;
    const known = asked.journal;
    const journal = asked.journal = known ?? new Journal();
    if (known === undefined) journal.sure = log.epoch;
    const found = await log.readOn(asked.ref, journal, (stored) => {
      if (stored.sequence > journal.sequence) journal.apply(stored);
    });
    if (found && journal.started !== undefined) return journal;
    asked.journal = undefined;
    // what was read before is removed, or lost; a subject of which nothing can be understood has no run
    return known === undefined ? undefined : await this.#read(asked);
  }

  #settle(runKey: string, key: string, learnt: Learnt): void {
    const waiters = this.#asked.get(runKey)?.waiters.get(key);
    for (const waiter of [...waiters ?? []]) waiter(learnt);
  }
}

/** Returns what a run says of a question; `undefined`: the question waits for its answer. */
function learntFrom(journal: Journal | undefined, key: string, { run, workflow }: RunRef): Learnt | undefined {
  if (journal === undefined) return "no run";
  const answer = journal.answers.get(key);
  if (answer !== undefined) return answer.outcome;
  const { question, id } = askedBy(key);
  const { ended } = journal;
  if (!journal.wasAsked(question, id)) return ended === undefined ? "lost" : "no run";
  if (ended === undefined) return undefined;
  const how = ended.ok ? "has ended" : `has failed with ${ended.error!.code}`;
  return notAnswered(`${run} of ${workflow} ${how}`);
}

function answerIn(entries: readonly JournalEntry[], key: string): RecordedOutcome | undefined {
  for (const entry of entries) {
    if (entry.t === "answered" && answerKey(entry.question, entry.id) === key) return entry.outcome;
    if (entry.t !== "again") continue;
    for (const answer of entry.answers) if (answer.key === key) return answer.outcome;
  }
  return undefined;
}

function notYet(
  { run, workflow }: RunRef,
  { name, id, timeout }: { readonly name: string; readonly id: string; readonly timeout: number },
): Result<never> {
  const message = `run ${run} of ${workflow} has not answered ${name} within ${timeout} ms, and may still: ` +
    `ask again with the id ${id}`;
  return { ok: false, error: new CatgaError("NOT_ENDED", message, { retryable: true, details: { id } }) };
}

function forgotten({ run, workflow }: RunRef, name: string, id: string): Result<never> {
  const message = `run ${run} of ${workflow} does not know question ${name} ${id} any more, and may have answered it`;
  return failed("NOT_ANSWERED", message);
}

/** Parses an announcement; an invalid one announces nothing. */
function readAnswers(data: Uint8Array): readonly { readonly run: string; readonly key: string; sequence: number }[] {
  const said = parsedJson(data);
  if (!isRecord(said) || !Array.isArray(said.answers)) return [];
  return said.answers.flatMap((answer) => {
    if (!Array.isArray(answer)) return [];
    const [run, question, id, sequence] = answer;
    const isAnswer = typeof run === "string" && typeof question === "string" && typeof id === "string";
    return isAnswer && isCount(sequence) ? [{ run, key: answerKey(question, id), sequence }] : [];
  });
}

const ASK_OPTIONS = new Set(["id", "timeout", "signal"]);
/** Time between two reads of a run that askers wait for, in ms. */
const LOOK = 1_500;
/** Time between two reads of a run that this node executes, which announces its answers itself, in ms. */
const DRIVEN_LOOK = 60_000;
/** Maximum number of runs that are read at once. */
const MAX_READS = 32;
/** Maximum number of answers in an announcement: the ids of each have up to 512 characters. */
const MAX_ANNOUNCED = 50;
