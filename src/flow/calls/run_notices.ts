/**
 * Entries for runs from processes that do not execute them: signals, cancels, and the ends of children. Each entry is
 * appended to the run; then the node that executes the run is notified, and continues at once.
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import { describe } from "../../contract/declaration/definition.ts";
import type { AnySignal, AnyWorkflow, TellOptions } from "../../contract/calls/flow.ts";
import type { Result } from "../../contract/calls/result.ts";
import { checkKnown, checkString } from "../../data/checks.ts";
import { decodeText, encodeValue } from "../../data/encoding.ts";
import { delay, token } from "../../ports/clock.ts";
import { type DrivenRuns, UNDRIVEN_PAUSE } from "../driving/driven_runs.ts";
import { Journal } from "../stored/journal.ts";
import type { CalledEntry, JournalEntry, Parent, RecordedOutcome } from "../stored/journal_entry.ts";
import { failed, failedWith, inTime, noRun } from "./run_answers.ts";
import { checkExistingRun, checkRun, definitionOf } from "./run_arguments.ts";
import type { EntryFor, StoredNotice } from "../stored/notice_queue.ts";
import type { RunRef } from "../stored/run_ref.ts";
import type { RunPeers } from "../driving/run_peers.ts";
import type { RunsNode } from "../runs_node.ts";
import { refusedInTime } from "../execution/schema_in_time.ts";

/** Appends entries to runs, and notifies the nodes that execute them. */
export class RunNotices {
  readonly #node: RunsNode;
  readonly #peers: RunPeers;
  readonly #drives: DrivenRuns;

  constructor(node: RunsNode, peers: RunPeers, drives: DrivenRuns) {
    this.#node = node;
    this.#peers = peers;
    this.#drives = drives;
  }

  /** Sends a signal to a run, by an entry in the run's log; implements {@link RunSender.tell}. */
  async signal(
    signal: AnySignal,
    run: string,
    payload: unknown,
    options: TellOptions = {},
  ): Promise<Result<void, never>> {
    checkSignal(signal, options);
    checkExistingRun(`tell ${signal.name}: run`, run);
    const entry = await this.signalEntry(signal, payload, options);
    if (!entry.ok) return entry;
    const { workflow, name } = signal;
    return await inTime(this.#node, `tell ${name}`, this.tell({ workflow, run }, entry.value));
  }

  /** Appends the entry about a signal to a run; succeeds also if the run has got the signal by an earlier attempt. */
  async tell(ref: RunRef, entry: (by: string) => CalledEntry): Promise<Result<void, never>> {
    const told = await this.append(ref, entry);
    if (told.ok || told.error.code !== "NO_RUN") return told;
    try {
      const { log } = this.#node;
      const journal = await log.patient(() => log.load(ref), this.#node.callerTime());
      return journal?.hasReceived(entry("")) ? { ok: true, value: undefined } : told;
    } catch (error) {
      return failedWith(error);
    }
  }

  /** Makes the entry about a signal. Throws a `TypeError` for invalid arguments; fails if the payload is refused. */
  async signalEntry(
    signal: AnySignal,
    payload: unknown,
    options: TellOptions = {},
  ): Promise<Result<(by: string) => CalledEntry, never>> {
    checkSignal(signal, options);
    const { name } = signal;
    const { app, endpoint } = this.#node;
    const { id = `${endpoint}.${token(app.random, 12)}` } = options;
    const made = options.id === undefined ? { made: true } : {};
    const refused = await this.#refused(signal, payload);
    if (refused !== undefined) return refused;
    try {
      const value = payload === undefined ? undefined : decodeText(encodeValue(payload, "payload"));
      return { ok: true, value: (by) => ({ t: "signalled", signal: name, id, ...made, value, by }) };
    } catch (cause) {
      return failed("INVALID_MESSAGE", `signal ${name} cannot be sent: ${(cause as Error).message}`, cause);
    }
  }

  async #refused(
    { name: signal, "~input": schema }: AnySignal,
    payload: unknown,
  ): Promise<Result<never, never> | undefined> {
    if (schema === undefined) return undefined;
    const name = `signal ${signal}`;
    return await refusedInTime(this.#node, `${name} was not sent`, { name, schema }, payload, "UNAVAILABLE");
  }

  /** Cancels a run, by an entry in the run's log; implements {@link RunSender.cancel}. */
  async cancel(workflow: AnyWorkflow, run: string, reason: string): Promise<Result<void, never>> {
    const { name } = definitionOf("cancel", workflow);
    checkExistingRun(`cancel ${name}: run`, run);
    checkString(`cancel ${name}: reason`, reason);
    const stored = this.append({ workflow: name, run }, this.#node.log.cancelled(reason));
    return await inTime(this.#node, `cancel ${name}`, stored);
  }

  /**
   * Appends an entry to a run, within the app's timeout. Fails with `NO_RUN` if the run has ended, or was never
   * started.
   */
  async append(ref: RunRef, entry: EntryFor): Promise<Result<void, never>> {
    try {
      return await this.#appendAndNotify(ref, entry, this.#node.callerTime())
        ? { ok: true, value: undefined }
        : noRun(ref);
    } catch (error) {
      return failedWith(error);
    }
  }

  /**
   * Appends the end of a child run to its parent. Rejects with a `CatgaError` if the end is not stored, or is not known
   * to be stored. `over`: as of {@link RunLog.appendNotice}.
   */
  async appendChildEnd(
    { workflow, run, step }: Parent,
    child: RunRef,
    outcome: RecordedOutcome,
    over: () => boolean,
  ): Promise<void> {
    await this.#appendAndNotify({ workflow, run }, (by) => ({ t: "told", step, ...child, outcome, by }), over);
  }

  /** Cancels a child run; resolves with true if the child was started. Implements {@link DriveHost.cancelChild}. */
  async cancelChild(ref: RunRef, reason: string, contract?: AnyContract): Promise<boolean> {
    const { log, clock } = this.#node;
    const cancelled = log.cancelled(reason);
    const outcome = { ok: false, error: { code: "CANCELLED", message: reason } };
    const over = () => this.#node.isClosed;
    while (true) {
      if (await this.#appendAndNotify(ref, cancelled, over)) return true;
      const end = await log.end(ref);
      if (end?.ended) return end.entries[0]?.t !== "started";
      if (end !== undefined) continue; // tries again: the child was started meanwhile
      if (contract === undefined) return false;
      const { version, keep } = definitionOf("flow.send", contract as unknown as AnyWorkflow);
      const until = clock.now() + keep;
      const entries: JournalEntry[] = [{ t: "started", version, keep, by: "" }, { t: "ended", outcome, until }];
      const message = log.messages.of(ref, entries, { version: 0, holder: "" });
      if (await log.begin(ref, message, new Journal(), over) !== "conflict") return false;
    }
  }

  /**
   * Appends an entry to a run. Resolves with `false` if the run has ended, or was never started. Rejects with a
   * `CatgaError` if the entry is not stored, or is not known to be stored. `over`: as of {@link RunLog.appendNotice}.
   */
  async #appendAndNotify(ref: RunRef, entry: EntryFor, over: () => boolean): Promise<boolean> {
    const { log } = this.#node;
    const stored = await log.appendNotice(ref, entry, over);
    if (stored?.isFirst) log.awaitAnswer(ref, this.#news(ref, stored));
    return stored !== undefined;
  }

  /**
   * Notifies the node that executes a run, or executed it last, of a new entry, so that the run continues at once.
   * Without an answer, the subscription of the run's messages calls for its execution later.
   */
  async #news(ref: RunRef, { holder, sequence }: StoredNotice): Promise<void> {
    const { endpoint, clock, bodies } = this.#node;
    if (this.#drives.drives(ref) || holder === endpoint) {
      return await this.#drives.news(bodies.get(ref.workflow), { ref, sequence });
    }
    if (holder !== "" && this.#peers.alive(holder) && await this.#peers.sendNews(holder, ref, sequence)) return;
    // no node has answered: wait, so that the next node that executes the run can store an entry first
    await delay(clock, UNDRIVEN_PAUSE);
  }
}

/** Checks a signal and the options of `tell`. Throws a `TypeError` if they are invalid. */
export function checkSignal(signal: AnySignal & { readonly "~question"?: unknown }, options: TellOptions): void {
  if (signal?.["~question"] !== undefined) {
    throw new TypeError(`tell takes a signal, and ${signal.name} is a question: app.ask(${signal.name}, run, input)`);
  }
  if (typeof signal?.workflow !== "string" || typeof signal.name !== "string") {
    throw new TypeError(`tell takes what the signal(…) of a workflow gives; got ${describe(signal as never)}`);
  }
  const at = `tell ${signal.name}`;
  checkKnown(at, options, TELL_OPTIONS);
  if (options.id !== undefined) checkRun(`${at}: id`, options.id);
}

const TELL_OPTIONS = new Set(["id"]);
