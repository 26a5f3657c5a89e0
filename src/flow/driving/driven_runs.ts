/**
 * The runs that this node executes; each execution is a {@link Drive}. A call to execute a run comes from a stored
 * entry, from a schedule that fires, or from a start. As long as the run's holder lives (the node that the run's last
 * message names), other nodes pass calls for the run on to it.
 *
 * A call is acknowledged only when the run has ended or is suspended (it waits for a time, a signal, a child run or an
 * operator), so that it is delivered again, to another node, if this process dies. A call is acknowledged earlier if
 * its run takes long, or if there are many runs, because the run then gets a lease: a schedule that calls for the run's
 * execution, and that this process sets to a later time again and again while it lives.
 *
 * If this node's version of the workflow refuses a run, a node of another version may take it over. Before this node
 * executes such a run after all, it stores an entry which says that it holds the run again. If no version accepts the
 * run, and no live node has the version that wrote it, the call resolves with {@link RefusedRun}, and the run waits for
 * a node with another version.
 */
import { ALONE } from "../../contract/nodes/announcement.ts";
import type { RefusedRun, WorkflowBody } from "../../contract/declaration/workflow_body.ts";
import { ChurnMap } from "../../data/churn.ts";
import { Gate } from "../../data/gate.ts";
import { isCatgaError } from "../../error.ts";
import { delay, doubled, type Timer, within } from "../../ports/clock.ts";
import { isUnstored, recorded } from "../stored/recorded_error.ts";
import { Drive } from "../execution/drive.ts";
import type { DriveHost, DueTime } from "../execution/drive_host.ts";
import type { DriveEnd, DriveOptions } from "../execution/drive_state.ts";
import { type Journal, TIME_OUT } from "../stored/journal.ts";
import type { RunLogMessage } from "../stored/journal_entry.ts";
import { PAUSES, repeat } from "../../ports/repeat.ts";
import {
  type DeliveredCall,
  isElsewhere,
  MAX_TURNS,
  type RunCallHost,
  RunCallProgress,
  runUnavailable,
} from "./run_call.ts";
import { keyOf, type RunRef } from "../stored/run_ref.ts";
import { RunLeases, type RunLeasesHost } from "./run_leases.ts";
import { SettledRuns } from "./settled_runs.ts";
import type { VersionTrials } from "./version_trials.ts";
import { SHORTEST_KEEP } from "./run_sweep.ts";

/** Dependencies of {@link DrivenRuns}, the runs that a node executes, on the node. */
export interface DrivenRunsHost extends DriveHost, RunCallHost, Omit<RunLeasesHost, "log"> {
  /**
   * Passes a call to execute a run on to the node at an endpoint. Resolves with `false` if that node may not have
   * carried it out, and with the refusal if its version of the workflow refuses the run.
   */
  passOn(endpoint: string, call: DeliveredCall): Promise<boolean | RefusedRun>;
  /**
   * Asks the node at an endpoint to postpone its leases of these runs, so that they expire later. Resolves with a
   * number for each run: 1 if no node has to be called to execute the run, else 0; or with `undefined` if the node does
   * not answer.
   */
  putOffAt(endpoint: string, workflow: string, runs: readonly string[]): Promise<readonly (0 | 1)[] | undefined>;
  /** Stores a call to execute each of these runs, as an expired lease would. Rejects with a `CatgaError`. */
  callEach(workflow: string, runs: readonly string[]): Promise<void>;
}

/**
 * Outcome of a turn of a call: `done`: the call is acknowledged; `again`: the run is looked up again; or each live
 * node's version of the workflow refuses the run, which waits for another version.
 */
type TurnOutcome = "done" | "again" | RefusedRun;

/** How an execution of a run ended. `elsewhere`: it did not begin, because the node at this endpoint holds the run. */
type HeldEnd = DriveEnd | { readonly elsewhere: string };

/** Ends of executions after which a run has gone on, here or at another node. */
const HAS_GONE_ON: ReadonlySet<unknown> = new Set<HeldEnd>(["completed", "suspended", "superseded"]);

/**
 * A run that this node is loading or executing.
 *
 * A class, not a literal: once many objects of a literal have lived through collections, V8 makes further ones among
 * the old objects at once, which only a major collection looks at. Each then keeps what it refers to, a whole run here,
 * long after its end, so that minor collections copy it twice. It is the same with all literals that live as long as a
 * run, or a step of it, and refer to more than values (docs/internals/measurements.md, "workflows").
 */
class HeldRun {
  readonly end: Promise<HeldEnd | { readonly failed: unknown }>;
  readonly over: (end: HeldEnd | { readonly failed: unknown }) => void;
  drive: Drive | undefined = undefined;
  readonly ref: RunRef;
  readonly since: number;
  readonly epoch: number;
  /** Resolves when a lease that covers the run is stored. */
  readonly leased: Promise<"leased">;
  readonly #lease: (leased: "leased") => void;
  /**
   * The epoch of the store (the number of its possible losses) in which the run's lease was stored; `undefined`: no
   * lease is stored.
   */
  leaseEpoch: number | undefined = undefined;
  /** True if a lease covers the run, even if it is not stored yet. */
  hasLease = false;
  /**
   * True if another process executed the run before, and probably died. The run then gets a lease soon: until the call
   * for it is acknowledged, the log suspects its message of having ended that process, and holds others back.
   */
  isTakenOver = false;
  /** Resolves when the run begins anew; made when a call waits for it. */
  newLife: PromiseWithResolvers<"new life"> | undefined = undefined;
  /** True while messages of earlier lives are being removed. */
  isPurging = false;
  /** When that was last begun, by the monotonic clock. */
  purgedAt = -Infinity;
  /**
   * Sequence of the last message of the run that had been read when its execution ended; -1: the run was not read,
   * because its start, which this node was storing, was not stored.
   */
  sequence = -1;

  constructor(ref: RunRef, since: number, epoch: number) {
    this.ref = ref;
    this.since = since;
    this.epoch = epoch;
    ({ promise: this.end, resolve: this.over } = Promise.withResolvers());
    ({ promise: this.leased, resolve: this.#lease } = Promise.withResolvers());
  }

  /** Called when a lease that covers the run is stored. */
  lease(epoch: number): void {
    this.leaseEpoch = epoch;
    this.#lease("leased");
  }
}

/** The runs that a node executes. */
export class DrivenRuns {
  readonly #host: DrivenRunsHost;
  readonly #held = new ChurnMap<string, HeldRun>();
  readonly #settled: SettledRuns;
  /**
   * By key of a run that this node's version of the workflow refused: sequence of the last message of the run that this
   * node had read. Other nodes may hold these runs.
   */
  readonly #gaveUp = new Map<string, number>();
  readonly #looks = new Gate(MAX_LOSS_CHECKS);
  readonly #leases: RunLeases;
  /** Number of executed runs. While this node executes more runs, it gives each of them a lease. */
  readonly #few: number;
  readonly #soon: number;
  #leaving = false;
  #timer: Timer | undefined;
  /** When the timer fires next, by the monotonic clock. */
  #ticksAt = Infinity;

  /** `soon`: time for which a run that was taken over is executed without a lease, in ms. */
  constructor(host: DrivenRunsHost, few = FEW, soon = SOON) {
    this.#host = host;
    this.#few = few;
    this.#soon = soon;
    this.#leases = new RunLeases(host);
    this.#settled = new SettledRuns(host.log);
  }

  /** For each run that this node executes now, the name of its workflow. */
  get driven(): readonly string[] {
    return [...this.#held.values()].map(({ ref }) => ref.workflow);
  }

  /** Returns true if this node executes the run now. */
  drives(ref: RunRef): boolean {
    return this.#held.has(keyOf(ref));
  }

  /**
   * Executes a run whose start this node is storing. `stored` resolves with the first message of the run, or with
   * `undefined` if the start is not stored. `journal`: an empty one, to which that message is applied.
   */
  start(body: WorkflowBody, ref: RunRef, stored: Promise<RunLogMessage | undefined>, journal: Journal): void {
    const key = keyOf(ref);
    if (this.#leaving || this.#held.has(key)) return;
    this.#hold(ref, async (held) => {
      const readAt = this.#host.clock.monotonic();
      const first = await stored;
      if (first === undefined) return "suspended";
      journal.apply(first);
      const end = await this.#drive(held, body, ref, journal, { due: [], fresh: true, readAt });
      // nothing else calls for the execution of a run that was just started, so this node asks for it
      if (end === "refused") this.#host.soon(() => void this.news(body, { ref, sequence: first.sequence }));
      return end;
    });
  }

  /**
   * Executes a run on this node, or has the node that holds it execute it. `holder`: endpoint of the node that holds
   * the run, as far as the caller knows. Resolves with `undefined` once the call need not be delivered again: the run
   * has ended, is suspended (it waits for a time, a signal, a child run or an operator), or has a lease; or the message
   * that called for it is lost. Resolves with {@link RefusedRun} if the version of the workflow on each live node
   * refuses the run, which then waits for another version. Rejects with `UNAVAILABLE` if the call has to be delivered
   * again, to another node.
   */
  async execute(body: WorkflowBody, call: DeliveredCall, holder?: string): Promise<RefusedRun | undefined> {
    const progress = new RunCallProgress(this.#host, call, holder);
    for (;; progress.turn++) {
      const { due } = progress;
      if (due === undefined && this.#settled.has(keyOf(call.ref), call.sequence)) return undefined;
      const held = this.#held.get(keyOf(call.ref));
      const hint = held === undefined ? progress.otherHolder : undefined;
      const next = hint === undefined
        ? await this.#driveHere(body, progress, held)
        : await this.#passOn(progress, hint);
      if (next === "done") return undefined;
      if (next !== "again") return next;
    }
  }

  /** Passes a call on to the node at an endpoint, which may hold the run. */
  async #passOn(progress: RunCallProgress, endpoint: string): Promise<TurnOutcome> {
    const host = this.#host;
    const { call, trials } = progress;
    const passed = await host.passOn(endpoint, call);
    if (passed === true) return "done";
    if (passed === false) {
      progress.holder = undefined;
      return progress.turn === 0 ? "again" : await progress.pause();
    }
    // a node of this node's version has refused the run, so this node need not load it
    if (passed.refusedBy.includes(host.shapeNameOf(call.ref.workflow))) return passed;
    trials.merge(passed);
    return "again";
  }

  /**
   * Executes the run of a call on this node, or lets its execution here read the message that called for it, until that
   * execution has ended or has a lease. `held`: that execution; `undefined`: the run is not executed here yet.
   */
  async #driveHere(body: WorkflowBody, progress: RunCallProgress, held: HeldRun | undefined): Promise<TurnOutcome> {
    const { call, due, trials, turn } = progress;
    // an execution that another call is still loading was not told of `due`, the schedule that has fired
    const isLoaded = held === undefined;
    const isTold = held === undefined || (held.drive !== undefined && !held.drive.over);
    if (held === undefined) {
      if (this.#leaving) throw runUnavailable(call.ref, "goes on at another node", ALONE);
      held = this.#load(body, call, due, { trials, looks: turn });
    } else if (held.drive !== undefined && (held.drive.journal.sequence < call.sequence || due !== undefined)) {
      held.drive.readNews(due);
    }
    held.newLife ??= Promise.withResolvers();
    const end = await Promise.race([held.end, held.leased, held.newLife.promise]);
    // the message that began the new life calls for the run: this call, of an earlier one, is done
    if (end === "new life") return (held.drive?.journal.lifeAt ?? 0) > call.sequence ? "done" : "again";
    if (end === "leased") return await this.#afterLease(progress, held);
    if (end === "refused") return await this.#afterRefusal(progress, held.drive!); // set: only a loaded run is refused
    if (end === "shutdown") throw runUnavailable(call.ref, "goes on at another node", ALONE);
    if (typeof end === "object" && "failed" in end) {
      if (turn > MAX_TURNS || !isCatgaError(end.failed)) throw end.failed;
      await delay(this.#host.clock, doubled(turn, 50, 1_000));
      return "again";
    }
    if (typeof end === "object") {
      progress.holder = end.elsewhere;
      trials.holdsAgain(end.elsewhere);
      return "again";
    }
    if (end === "completed") return "done";
    // otherwise the run is loaded again: the execution that has ended may not have seen the message of the call, or
    // `due`, the schedule that has fired
    if (end === "suspended" && held.sequence >= call.sequence && (isTold || due === undefined)) return "done";
    if (end === "suspended" && isLoaded) return await progress.pause();
    if (end === "superseded") await delay(this.#host.clock, 20);
    return "again";
  }

  /** Acknowledges a call of a run that has a lease, as soon as its execution has read the call's message. */
  async #afterLease(progress: RunCallProgress, held: HeldRun): Promise<TurnOutcome> {
    const { log } = this.#host;
    const { call, due, isLease } = progress;
    // the leases are stored again: the lease whose expiry made this call is used up, and a lease that was stored
    // before the store lost messages may be lost
    if (isLease || held.leaseEpoch !== log.epoch) await this.#leases.again([call.ref]);
    await held.drive?.readNews(due);
    const hasRead = held.drive !== undefined && !held.drive.over && held.drive.journal.sequence >= call.sequence;
    return hasRead ? "done" : await progress.pause();
  }

  /** Hands a call on whose run this node's version of the workflow has refused. */
  async #afterRefusal(progress: RunCallProgress, drive: Drive): Promise<TurnOutcome> {
    const handedOn = await this.#handOn(progress.call, drive, progress.trials);
    if (handedOn === true) return "done";
    return handedOn === false ? await progress.pause() : handedOn;
  }

  /**
   * Passes a call on to a node of another version, because this node has given the call's run up. Resolves with true if
   * that node has carried the call out; with {@link RefusedRun} if the run has to wait for a version that no live node
   * has; with `false` if this node has to load the run again, because that node was out of reach, or because all
   * versions have refused the run and an operator has to decide. `trials`: the versions and nodes that were tried for
   * the run.
   */
  async #handOn(
    call: DeliveredCall,
    { journal, refusal }: Drive,
    trials: VersionTrials,
  ): Promise<boolean | RefusedRun> {
    const host = this.#host;
    const { refusedBy } = trials;
    trials.gaveUp(host.endpoint, journal.sequence);
    while (true) {
      const fate = host.afterRefusal(call.ref, journal, refusedBy);
      if (fate === "waits") return { ...trials.sent, why: recorded(refusal).message };
      const passed = fate !== "stuck" && await host.passOn(fate.next, { ...call, tried: trials.sent });
      if (typeof passed === "boolean") return passed;
      const { size } = refusedBy;
      trials.merge(passed);
      if (refusedBy.size === size) return false; // that node, whose shape is unknown, has refused the run before
    }
  }

  /**
   * Handles an expired lease: calls, one by one, for the execution of the runs that the lease's node no longer
   * executes.
   */
  async leaseOver({ workflow, runs, by }: OverdueLease): Promise<void> {
    const { endpoint } = this.#host;
    let held: readonly (0 | 1)[] | undefined;
    if (by === endpoint) held = await this.putOff(workflow, runs);
    else if (this.#host.alive(by)) held = await this.#host.putOffAt(by, workflow, runs);
    const left = runs.filter((_, n) => held?.[n] !== 1);
    if (left.length > 0) await this.#host.callEach(workflow, left);
  }

  /**
   * Stores the leases of these runs again, after a lease that this node had stored has expired. Resolves with a number
   * for each run: 1 if no node has to be called to execute the run, because it has a lease again or has ended on this
   * node; else 0.
   */
  async putOff(workflow: string, runs: readonly string[]): Promise<readonly (0 | 1)[]> {
    await this.#leases.again(runs.map((run) => ({ workflow, run })));
    return runs.map((run) => this.isOver({ workflow, run }, 0) ? 1 : 0);
  }

  /**
   * Returns true if no node has to be called to execute the run because of the message with this sequence: this node
   * has read the message, and the run has ended, has a lease, is suspended, or has begun anew since. With sequence 0,
   * which names no message, a suspended run does not count: another node may have continued it and died.
   */
  isOver(ref: RunRef, sequence: number): boolean {
    const key = keyOf(ref);
    const held = this.#held.get(key);
    const journal = held?.drive?.journal;
    const isOfLife = sequence === 0 || sequence >= (journal?.lifeAt ?? 0);
    if (!isOfLife && journal?.sure === this.#host.log.epoch) return true;
    const isLeased = held?.leaseEpoch === this.#host.log.epoch;
    if (isLeased && held.drive !== undefined && held.drive.journal.sequence >= sequence) return true;
    return this.#settled.has(key, sequence);
  }

  /**
   * Lets a run that this node executes, or executed last, continue at once after an entry was stored for it. (The
   * subscription of the run's messages calls for the run, too, but only once it has a leader.) If this node executes
   * the run: resolves when its own append, which conflicted with the entry, is stored. Otherwise: resolves when the run
   * has continued, or at the latest after {@link UNDRIVEN_PAUSE} ms: until then the sender stores no more messages of
   * the run, so that the node that begins to execute the run can store its first entry. An execution that was refused
   * or has failed here does not continue it: messages name this node until another one has stored one.
   */
  async news(body: WorkflowBody | undefined, call: DeliveredCall): Promise<void> {
    const key = keyOf(call.ref);
    const held = this.#held.get(key);
    const drive = held?.drive;
    if (drive !== undefined) {
      void drive.readNews();
      const mayRefuse = (this.#gaveUp.get(key) ?? -1) >= drive.journal.heldAt;
      if (drive.starved !== undefined || !mayRefuse) return await drive.starved;
    }
    const { clock } = this.#host;
    if (body === undefined || this.#leaving) return await delay(clock, UNDRIVEN_PAUSE);
    const never = () => new Promise<never>(() => {});
    const goesOn: Promise<unknown> = held === undefined
      ? this.execute(body, call).then((refused) => refused && never(), never)
      : held.end.then((end) => HAS_GONE_ON.has(end) ? undefined : never());
    await within(clock, UNDRIVEN_PAUSE, goesOn);
  }

  /**
   * Lets each execution check whether the messages that it has read are still stored. Called when the store may have
   * lost its last messages.
   */
  doubt(): void {
    for (const held of this.#held.values()) {
      this.#looks.pass((leave) => void (held.drive?.readNews() ?? Promise.resolve()).finally(leave));
    }
  }

  /**
   * Executes a run that stored messages and schedules may no longer call for, because the store has lost its last
   * messages. Rejects with a `CatgaError` if the run cannot be read or executed at present.
   */
  async recover(body: WorkflowBody, ref: RunRef): Promise<void> {
    const host = this.#host;
    const journal = await host.log.load(ref);
    if (journal === undefined || journal.ended !== undefined) return;
    for (const child of journal.children.values()) {
      const ended = await host.log.load(child);
      if (ended !== undefined) await host.ended(child, ended);
    }
    for (const [step, at] of journal.scheduled) await host.wake(ref, step, at);
    await this.execute(body, { ref, sequence: 0 });
  }

  /** Begins no more attempts of steps, in any run. */
  leave(): void {
    this.#leaving = true;
    for (const { drive } of this.#held.values()) drive?.leave();
  }

  /** Ends the executions of all runs on this node. */
  close(): void {
    this.#leaving = true;
    this.#timer?.cancel();
    this.#leases.close();
    for (const { drive } of this.#held.values()) drive?.stop();
  }

  /**
   * Loads a run that this node does not execute yet, and executes it. `looks`: number of earlier loads that did not
   * find the run.
   */
  #load(
    body: WorkflowBody,
    call: DeliveredCall,
    due: DueTime | undefined,
    { trials, looks }: { readonly trials: VersionTrials; readonly looks: number },
  ): HeldRun {
    const host = this.#host;
    const { ref } = call;
    return this.#hold(ref, async (held) => {
      const readAt = host.clock.monotonic();
      const journal = await host.log.load(ref);
      host.read(ref, journal);
      if (journal === undefined) {
        if (!await this.#isForgotten(call, looks)) throw runUnavailable(ref, "cannot be read yet");
        held.sequence = Infinity;
        return "suspended";
      }
      const { holder, heldAt } = journal;
      const isGivenUp = trials.hasGivenUp(holder, heldAt);
      if (journal.ended === undefined && isElsewhere(holder, host) && !isGivenUp) return { elsewhere: holder };
      held.isTakenOver = holder !== "" && holder !== host.endpoint;
      const { refusedBy } = trials;
      return await this.#drive(held, body, ref, journal, {
        ...{ due: due === undefined ? [] : [due], fresh: false, refusedBy: new Set(refusedBy) },
        readAt,
      });
    });
  }

  /**
   * Returns true if a run that was not found was forgotten, or is lost; false if it may still appear: a newly elected
   * server may lack a message that another server has delivered. `looks`: number of earlier loads that did not find the
   * run.
   */
  async #isForgotten({ ref, sequence, stored }: DeliveredCall, looks: number): Promise<boolean> {
    const { log, clock } = this.#host;
    if (sequence > 0 && await log.isReplaced(ref, sequence)) return true;
    // the run is not forgotten: it was stored a moment ago, and every run is kept for longer
    if (stored !== undefined && clock.now() - stored < SHORTEST_KEEP) return false;
    return looks >= LOOKS;
  }

  async #drive(
    held: HeldRun,
    body: WorkflowBody,
    ref: RunRef,
    journal: Journal,
    how: Pick<DriveOptions, "fresh" | "refusedBy" | "readAt"> & { readonly due: readonly DueTime[] },
  ): Promise<DriveEnd> {
    const host = this.#host;
    const gaveUp = (this.#gaveUp.get(keyOf(ref)) ?? -1) >= journal.heldAt;
    let next: Omit<DriveOptions, "host" | "ref" | "body" | "journal"> = { gaveUp, ...how };
    let drive: Drive;
    let end: DriveEnd;
    for (;;) {
      drive = this.#begin(held, body, journal, next);
      end = await drive.end;
      if (end === "new life") {
        const due = drive.due.filter(({ step }) => step === TIME_OUT);
        next = { due, fresh: true, gaveUp: false };
        this.#beginLife(held, journal);
        continue;
      }
      if (end !== "restart" || drive.error !== undefined) break;
      const { due, handedOver, begun, times: { unrecorded }, confirmedAt: readAt } = drive;
      next = { ...next, due, fresh: false, handedOver, begun, unrecorded, readAt };
    }
    held.sequence = journal.sequence;
    host.read(ref, journal);
    if (end === "restart" && drive.error !== undefined) throw drive.error;
    // schedules are removed even if another node ended the run: a schedule that this node stored after that end would
    // stay until it fires
    if (journal.ended !== undefined) await this.#takeBack(ref, drive.times.late);
    else if (end === "superseded") void this.#takeBackGiven(ref, drive.times.givenBack);
    if (end === "refused") this.#giveUp(keyOf(ref), journal.sequence);
    else if (end === "completed") this.#gaveUp.delete(keyOf(ref));
    if (end === "completed" || end === "suspended") {
      this.#settled.add(keyOf(ref), { sequence: journal.sequence, ended: end === "completed", epoch: held.epoch });
    }
    return end;
  }

  /** Begins an execution of a run. Its options live no longer than this call: see {@link HeldRun}. */
  #begin(
    held: HeldRun,
    body: WorkflowBody,
    journal: Journal,
    options: Omit<DriveOptions, "host" | "ref" | "body" | "journal">,
  ): Drive {
    const drive = held.drive = new Drive({ host: this.#host, ref: held.ref, body, journal, ...options });
    drive.begin();
    if (this.#leaving) drive.leave();
    this.#watch(held.isTakenOver ? this.#soon : undefined);
    return drive;
  }

  /** Ends the calls of the life before, whose messages may be removed, and removes those of old lives now and then. */
  #beginLife(held: HeldRun, journal: Journal): void {
    const { ref, newLife } = held;
    const { log, clock, app } = this.#host;
    held.isTakenOver = false;
    held.newLife = undefined;
    newLife?.resolve("new life");
    this.#host.read(ref, journal);
    this.#gaveUp.delete(keyOf(ref));
    const now = clock.monotonic();
    if (held.isPurging || now - held.purgedAt < PURGE_PAUSE) return;
    // younger lives stay: their messages may not be handled yet, and would count as lost
    const { lives } = journal;
    const old = lives.findLastIndex(({ time }, i) => time <= clock.now() - SHORTEST_KEEP && i < lives.length - 1);
    if (old < 0) return;
    held.isPurging = true;
    held.purgedAt = now;
    const { first } = lives[old];
    lives.splice(0, old + 1);
    log.forget(ref, first - 1).catch((error) => {
      app.observer({ type: "fault", during: `removing earlier lives of run ${ref.run} of ${ref.workflow}`, error });
    }).finally(() => held.isPurging = false);
  }

  /**
   * Removes schedules of a run that has ended, and tries again until they are removed. Rejects if this node stops
   * before they are removed: another node is then called to execute the run, and removes them.
   */
  async #takeBack(ref: RunRef, steps: readonly string[]): Promise<void> {
    if (steps.length === 0) return;
    const host = this.#host;
    try {
      await repeat(() => host.takeBack(ref, steps), {
        pauses: PAUSES.background,
        pause: (ms) => delay(host.clock, ms),
        isTransient: (error) => !this.#leaving && isUnstored(error),
      });
    } catch (error) {
      if (this.#leaving) throw error;
      host.app.observer({ type: "fault", during: `removing schedules of run ${ref.run}`, error });
    }
  }

  /**
   * Removes schedules that this node has stored again for another node that executes the run, if that node ended the
   * run before the schedules were stored.
   */
  async #takeBackGiven(ref: RunRef, given: Promise<readonly string[]>): Promise<void> {
    const steps = await given;
    try {
      if (steps.length > 0 && (await this.#host.log.load(ref))?.ended !== undefined) await this.#takeBack(ref, steps);
    } catch (error) {
      if (this.#leaving) return; // the schedules fire, and are ignored
      this.#host.app.observer({ type: "fault", during: `removing schedules of run ${ref.run}`, error });
    }
  }

  #giveUp(key: string, sequence: number): void {
    this.#gaveUp.set(key, sequence);
    const [oldest] = this.#gaveUp.keys();
    if (this.#gaveUp.size > REMEMBERED) this.#gaveUp.delete(oldest);
  }

  #hold(ref: RunRef, work: (held: HeldRun) => Promise<HeldEnd>): HeldRun {
    const key = keyOf(ref);
    const held = new HeldRun(ref, this.#host.clock.monotonic(), this.#host.log.epoch);
    this.#held.set(key, held);
    this.#host.app.begun();
    work(held).catch((failed) => ({ failed })).then((end) => {
      held.over(end);
      if (this.#held.get(key) === held) this.#held.delete(key);
      // calls that still wait for the entry do not need the run
      if (end !== "refused") held.drive = undefined;
      if (held.hasLease) this.#endLease(ref, end);
      this.#host.app.over();
    });
    return held;
  }

  /**
   * Ends the lease of a run that this node no longer executes. Unless the run has ended or waits, a node is called to
   * execute it, even if another node executes it: that node may be dead, and the calls that this node acknowledged
   * because of the lease are not delivered again.
   */
  #endLease(ref: RunRef, end: HeldEnd | { readonly failed: unknown }): void {
    const leases = this.#leases;
    if (end === "completed" || end === "suspended") leases.remove(ref);
    else if (end !== "shutdown") leases.abandon(ref);
    else this.#host.callEach(ref.workflow, [ref.run]).then(() => leases.remove(ref), () => leases.abandon(ref));
  }

  /**
   * Stores leases when they are due, and gives a lease to each run that takes long: longer than `BRIEF` ms with more
   * than `FEW` runs, longer than `SOON` ms if it was taken over. `soon`: the next look is no later than in so many ms.
   */
  #watch(soon?: number): void {
    const { clock } = this.#host;
    const isMany = () => this.#held.size > this.#few;
    const pause = Math.min(soon ?? Infinity, isMany() ? MANY_TICK : TICK);
    const at = clock.monotonic() + pause;
    if (this.#ticksAt <= at) return;
    this.#timer?.cancel();
    this.#ticksAt = at;
    this.#timer = clock.after(pause, () => {
      this.#ticksAt = Infinity;
      const now = clock.monotonic();
      const long = isMany() ? BRIEF : HELD;
      for (const held of this.#held.values()) {
        const lasts = now - held.since;
        if (
          held.hasLease || held.drive === undefined || lasts < (held.isTakenOver ? Math.min(this.#soon, long) : long)
        ) continue;
        held.hasLease = true;
        this.#leases.add(held.ref, (epoch) => held.lease(epoch));
      }
      this.#leases.tick();
      if (this.#held.size > 0) this.#watch();
    }, { background: true });
  }
}

/** A lease of runs that has expired. */
interface OverdueLease {
  readonly workflow: string;
  readonly runs: readonly string[];
  /** Endpoint of the node that had stored the lease. */
  readonly by: string;
}

/** Minimum time between two removals of a run's earlier lives, in ms: each takes as long as some appends. */
const PURGE_PAUSE = 10_000;
/** Maximum time for which the sender of a new entry waits for an answer while no node executes the run, in ms. */
export const UNDRIVEN_PAUSE = 200;
/** Time for which a run is executed without a lease, in ms. */
const HELD = 10_000;
const TICK = 500; // ms between two looks at the leases of executed runs
/**
 * Number of executed runs above which a node gives each run a lease after `BRIEF` ms. The message that called for a run
 * is not acknowledged before the run has a lease, has ended or is suspended, and a node gets at most 1,024 messages
 * that it has not acknowledged.
 */
const FEW = 256;
/** Time for which a run is executed without a lease while there are more than `FEW` runs, in ms. */
const BRIEF = 200;
/** Time for which a run that was taken over is executed without a lease, in ms: many end within it. */
const SOON = 50;
const MANY_TICK = 100; // ms between two looks while there are many runs
const REMEMBERED = 5_000;
/** Maximum number of executions that check at once whether the store has lost messages. */
const MAX_LOSS_CHECKS = 32;
/** Number of attempts to load a run, within 2.5 s, after which a run that was not found counts as forgotten. */
const LOOKS = 6;
