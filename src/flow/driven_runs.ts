/**
 * The runs that this node drives, one drive for each, and what brings a run to a node: an entry that calls for somebody
 * to go on, a time that has come, a start. A run belongs to the node that its last message names for as long as that is
 * alive: others pass on to it what they get for the run.
 *
 * Who brings something waits until the run has ended or waits for something else, so that it is brought again when this
 * process dies. A run that takes long has a lease instead, and each run while there are many: a schedule that calls for
 * it, which is put off for as long as this process lives.
 *
 * A run that this node's version of the workflow does not take goes to a node of another version, which then may hold
 * it in this node's place: this node begins nothing more of it without having stored that it holds it again. If no
 * version takes it, and the one that wrote it is not there, the call resolves with {@link RefusedRun}: it waits.
 */
import { ALONE } from "../contract/send_options.ts";
import type { RefusedRun, TriedVersions, WorkflowBody } from "../contract/workflow_body.ts";
import { Gate } from "../data/queues.ts";
import { type CatgaError, isCatgaError, unavailable } from "../error.ts";
import { delay, doubled, type Timer, within } from "../ports/clock.ts";
import { recorded } from "./recorded_error.ts";
import type { OngoingAttempts } from "./step_attempt.ts";
import { Drive } from "./drive.ts";
import type { DriveHost, DueTime } from "./drive_host.ts";
import type { DriveEnd } from "./drive_state.ts";
import type { Journal, RunLogMessage } from "./journal.ts";
import { keyOf, type RunRef } from "./run_ref.ts";
import { RunLeases, type RunLeasesHost } from "./run_leases.ts";
import { SettledRuns } from "./settled_runs.ts";
import { VersionTrials } from "./version_trials.ts";
import { SHORTEST_KEEP } from "./run_sweep.ts";

/** What {@link Drives} need of their node. */
export interface DrivesHost extends DriveHost, Omit<RunLeasesHost, "log"> {
  /** Whether the process at an endpoint is alive, as far as this node knows. */
  alive(endpoint: string): boolean;
  /** Has the node at an endpoint go on with a run. Resolves with `false` if it may not have done so. */
  passOn(endpoint: string, call: DeliveredCall): Promise<boolean | RefusedRun>;
  /**
   * Has the node at an endpoint put the leases of runs off, as {@link Drives.putOff}; `undefined`: it does not answer.
   */
  putOffAt(endpoint: string, workflow: string, runs: readonly string[]): Promise<readonly (0 | 1)[] | undefined>;
  /** Stores that each of these runs is to be called, as by its lease. Rejects with a `CatgaError`. */
  callEach(workflow: string, runs: readonly string[]): Promise<void>;
}

/** What is brought to a run. */
export interface DeliveredCall {
  readonly ref: RunRef;
  /** The message of the stream that the run has to have read; 0: none in particular. */
  readonly sequence: number;
  /** When that message was stored, in ms since 1970; `undefined`: unknown. */
  readonly stored?: number | undefined;
  readonly due?: DueTime | undefined;
  /** Set once a version has refused it. */
  readonly tried?: TriedVersions | undefined;
}

/** How a drive ended; `elsewhere`: it did not begin, because that node holds the run. */
type HeldEnd = DriveEnd | { readonly elsewhere: string };

/** A run on this node: being loaded, or driven. */
interface HeldRun {
  readonly end: Promise<HeldEnd | { readonly failed: unknown }>;
  drive: Drive | undefined;
  readonly ref: RunRef;
  readonly since: number;
  readonly epoch: number;
  /** Resolves when it has a lease. */
  readonly leased: Promise<"leased">;
  readonly lease: (epoch: number) => void;
  /** The epoch of the store in which its lease was stored; `undefined`: it was not. */
  leaseEpoch: number | undefined;
  /** It is in a lease, which may not be stored yet. */
  hasLease: boolean;
  /** The last message that it had read, when it ended. */
  sequence: number;
}

/** The runs that a node drives. */
export class Drives {
  readonly #host: DrivesHost;
  readonly #held = new Map<string, HeldRun>();
  readonly #settled: SettledRuns;
  /** Runs that this node's version did not take, with the last message that it had read: others may hold them. */
  readonly #gaveUp = new Map<string, number>();
  readonly #looks = new Gate(MOST_LOOKS);
  readonly #leases: RunLeases;
  /** With more runs than this each has a lease. */
  readonly #few: number;
  #leaving = false;
  #timer: Timer | undefined;
  /** When it fires, by the monotonic clock. */
  #ticksAt = Infinity;

  constructor(host: DrivesHost, few = FEW) {
    this.#host = host;
    this.#few = few;
    this.#leases = new RunLeases(host);
    this.#settled = new SettledRuns(host.log);
  }

  /** The workflow of each run that this node drives now. */
  get driven(): readonly string[] {
    return [...this.#held.values()].map(({ ref }) => ref.workflow);
  }

  /** Whether this node drives a run now. */
  drives(ref: RunRef): boolean {
    return this.#held.has(keyOf(ref));
  }

  /**
   * The node has stored the start of a run, and drives it. `stored` resolves with its first message, or `undefined` if
   * it is not stored.
   */
  start(body: WorkflowBody, ref: RunRef, stored: Promise<RunLogMessage | undefined>, journal: Journal): void {
    const key = keyOf(ref);
    if (this.#leaving || this.#held.has(key)) return;
    this.#hold(ref, async (held) => {
      const first = await stored;
      if (first === undefined) return "suspended";
      journal.apply(first);
      const end = await this.#drive(held, body, ref, journal, { due: [], fresh: true });
      // nothing has called for it yet
      if (end === "refused") this.#host.soon(() => void this.news(body, { ref, sequence: first.sequence }));
      return end;
    });
  }

  /**
   * Has a run go on here, or at the node that holds it. Resolves when it has ended, or waits for something else.
   * Resolves with {@link RefusedRun} if no version that is there takes it, and it waits for another one. Rejects with
   * `UNAVAILABLE` if that is to be tried again, elsewhere.
   */
  async call(body: WorkflowBody, call: DeliveredCall, holder?: string): Promise<RefusedRun | undefined> {
    const host = this.#host;
    const key = keyOf(call.ref);
    const trials = new VersionTrials(call.tried);
    const isLease = call.due?.step === LEASE;
    const due = isLease ? undefined : call.due;
    let hint = holder;
    let vain = 0;
    /**
     * Waits before it looks again. Resolves with `false` if what it was called for is certainly lost. Rejects when that
     * may be, or it was never stored.
     */
    const pause = async () => {
      if (++vain > MOST_TURNS) {
        if (call.sequence > 0 && await host.log.isReplaced(call.ref, call.sequence)) return false;
        throw runUnavailable(call.ref, `cannot be read up to ${call.sequence}`);
      }
      await delay(host.clock, doubled(vain, 20, 1_000));
      return true;
    };
    for (let turn = 0;; turn++) {
      if (due === undefined && this.#settled.has(key, call.sequence)) return undefined;
      let held = this.#held.get(key);
      if (held === undefined && isElsewhere(hint, host) && !trials.hasGivenUp(hint)) {
        const passed = await host.passOn(hint, call);
        if (passed === true) return undefined;
        if (passed !== false) {
          // that node may not know this one yet
          if (passed.refusedBy.includes(host.shapeNameOf(call.ref.workflow))) return passed;
          trials.merge(passed);
          continue;
        }
        hint = undefined;
        if (turn > 0 && !await pause()) return undefined;
        continue;
      }
      // one that is being loaded does not learn what is due
      const isLoaded = held === undefined;
      const isTold = held === undefined || (held.drive !== undefined && !held.drive.over);
      if (held === undefined) {
        if (this.#leaving) throw runUnavailable(call.ref, "goes on at another node", ALONE);
        held = this.#load(body, call, due, { trials, looks: turn });
      } else if (held.drive !== undefined && (held.drive.journal.sequence < call.sequence || due !== undefined)) {
        held.drive.tell(due);
      }
      const end = await Promise.race([held.end, held.leased]);
      if (end === "leased") {
        // the lease that was brought is used up, and one that the store had before it lost its end may be lost
        if (isLease || held.leaseEpoch !== host.log.epoch) await this.#leases.again([call.ref]);
        await held.drive?.tell(due);
        if (held.drive !== undefined && !held.drive.over && held.drive.journal.sequence >= call.sequence) {
          return undefined;
        }
        if (!await pause()) return undefined;
        continue;
      }
      if (end === "refused") {
        const handedOn = await this.#handOn(call, held.drive!, trials); // it has ended so
        if (handedOn === true) return undefined;
        if (handedOn !== false) return handedOn;
        if (!await pause()) return undefined;
        continue;
      }
      if (end === "shutdown") throw runUnavailable(call.ref, "goes on at another node", ALONE);
      if (typeof end === "object" && "failed" in end) {
        if (turn > MOST_TURNS || !isCatgaError(end.failed)) throw end.failed;
        await delay(host.clock, doubled(turn, 50, 1_000));
        continue;
      }
      if (typeof end === "object") {
        hint = end.elsewhere;
        trials.holdsAgain(hint);
        continue;
      }
      if (end === "completed") return undefined;
      // a drive that was there before may have ended without seeing this
      if (end === "suspended" && held.sequence >= call.sequence && (isTold || due === undefined)) return undefined;
      if (end === "suspended" && isLoaded && !await pause()) return undefined;
      if (end === "superseded") await delay(host.clock, 20);
    }
  }

  /**
   * Has a node of another version go on with a run, having given it up. Resolves with `false` if this node is to load
   * it again: a node was out of reach, or all versions have refused it, and an operator has to decide.
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
      if (refusedBy.size === size) return false; // that node knows itself by another shape
    }
  }

  /** A lease has called for runs: those that its node does not drive any more are called for one by one. */
  async leaseOver({ workflow, runs, by }: OverdueLease): Promise<void> {
    const { endpoint } = this.#host;
    let held: readonly (0 | 1)[] | undefined;
    if (by === endpoint) held = await this.putOff(workflow, runs);
    else if (this.#host.alive(by)) held = await this.#host.putOffAt(by, workflow, runs);
    const left = runs.filter((_, n) => held?.[n] !== 1);
    if (left.length > 0) await this.#host.callEach(workflow, left);
  }

  /**
   * A lease has called for runs that this node may drive. Resolves with 1 for each that has a lease that was stored
   * since, or has ended here, and needs none.
   */
  async putOff(workflow: string, runs: readonly string[]): Promise<readonly (0 | 1)[]> {
    await this.#leases.again(runs.map((run) => ({ workflow, run })));
    return runs.map((run) => this.isOver({ workflow, run }, 0) ? 1 : 0);
  }

  /** Whether a run has ended or waits, or has a lease, having read a message: nobody needs to be called for that. */
  isOver(ref: RunRef, sequence: number): boolean {
    const key = keyOf(ref);
    const held = this.#held.get(key);
    const isLeased = held?.leaseEpoch === this.#host.log.epoch;
    if (isLeased && held.drive !== undefined && held.drive.journal.sequence >= sequence) return true;
    return this.#settled.has(key, sequence);
  }

  /**
   * Something was stored for a run that this node drives, or drove last: it goes on at once. Its subscription sees to
   * that, too, and later, while it has no leader. Resolves when the append of its driver that met a conflict is stored.
   * While this node does not drive the run, resolves when it has gone on, after {@link UNDRIVEN_PAUSE} at the latest:
   * a node that is to drive it has to store something first.
   */
  async news(body: WorkflowBody | undefined, call: DeliveredCall): Promise<void> {
    const held = this.#held.get(keyOf(call.ref));
    if (held?.drive !== undefined) {
      void held.drive.tell();
      return await held.drive.starved;
    }
    const { clock } = this.#host;
    if (body === undefined || this.#leaving) return await delay(clock, UNDRIVEN_PAUSE);
    const goesOn: Promise<unknown> = held === undefined ? this.call(body, call).catch(() => {}) : held.end;
    await within(clock, UNDRIVEN_PAUSE, goesOn);
  }

  /** The store may have lost its end: each drive looks whether what it has read is still there. */
  doubt(): void {
    for (const held of this.#held.values()) {
      this.#looks.pass((leave) => void (held.drive?.tell() ?? Promise.resolve()).finally(leave));
    }
  }

  /**
   * Has a run go on that nothing may bring any more, since the store has lost its end. Rejects as {@link Drives.call},
   * and as {@link DriveHost.wake} and {@link DriveHost.ended}.
   */
  async bring(body: WorkflowBody, ref: RunRef): Promise<void> {
    const host = this.#host;
    const journal = await host.log.load(ref);
    if (journal === undefined || journal.ended !== undefined) return;
    for (const child of journal.children.values()) {
      const ended = await host.log.load(child);
      if (ended !== undefined) await host.ended(child, ended);
    }
    for (const [step, at] of journal.scheduled) await host.wake(ref, step, at);
    await this.call(body, { ref, sequence: 0 });
  }

  /** Begins no more attempts. */
  leave(): void {
    this.#leaving = true;
    for (const { drive } of this.#held.values()) drive?.leave();
  }

  /** Ends all of them. */
  close(): void {
    this.#leaving = true;
    this.#timer?.cancel();
    this.#leases.close();
    for (const { drive } of this.#held.values()) drive?.stop();
  }

  /** Loads a run that this node does not drive. `looks`: how often it was loaded before, without being there. */
  #load(
    body: WorkflowBody,
    call: DeliveredCall,
    due: DueTime | undefined,
    { trials, looks }: { readonly trials: VersionTrials; readonly looks: number },
  ): HeldRun {
    const host = this.#host;
    const { ref } = call;
    return this.#hold(ref, async (held) => {
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
      const { refusedBy } = trials;
      return await this.#drive(held, body, ref, journal, {
        ...{ due: due === undefined ? [] : [due], fresh: false, refusedBy: new Set(refusedBy) },
      });
    });
  }

  /**
   * Returns whether a run that could not be found was forgotten, or is lost. A server that has just been elected may
   * not have what another one has delivered.
   */
  async #isForgotten({ ref, sequence, stored }: DeliveredCall, looks: number): Promise<boolean> {
    const { log, clock } = this.#host;
    if (sequence > 0 && await log.isReplaced(ref, sequence)) return true;
    // it is kept for longer
    if (stored !== undefined && clock.now() - stored < SHORTEST_KEEP) return false;
    return looks >= LOOKS;
  }

  async #drive(
    held: HeldRun,
    body: WorkflowBody,
    ref: RunRef,
    journal: Journal,
    how: { readonly due: readonly DueTime[]; readonly fresh: boolean; readonly refusedBy?: ReadonlySet<string> },
  ): Promise<DriveEnd> {
    const host = this.#host;
    const { refusedBy } = how;
    const gaveUp = (this.#gaveUp.get(keyOf(ref)) ?? -1) >= journal.heldAt;
    let { due, fresh } = how;
    let drive: Drive;
    let handedOver: OngoingAttempts = new Map();
    let begun: readonly string[] | undefined;
    let end: DriveEnd;
    const schedules = new Set<string>();
    do {
      drive = held.drive = new Drive({ host, ref, body, journal, due, fresh, handedOver, begun, refusedBy, gaveUp });
      drive.begin();
      if (this.#leaving) drive.leave();
      this.#watch();
      end = await drive.end;
      ({ due, handedOver, begun } = drive);
      fresh = false;
      for (const step of drive.schedulesAfter(host.clock.now() + FIRES)) schedules.add(step);
    } while (end === "restart" && drive.error === undefined);
    held.sequence = journal.sequence;
    host.read(ref, journal);
    if (end === "restart" && drive.error !== undefined) throw drive.error;
    // also if another node has ended it: a schedule that this one stored late would stand
    if (journal.ended !== undefined) {
      for (const step of journal.schedulesAfter(host.clock.now() + FIRES)) schedules.add(step);
      await host.takeBack(ref, [...schedules]);
    }
    if (end === "refused") this.#giveUp(keyOf(ref), journal.sequence);
    else if (end === "completed") this.#gaveUp.delete(keyOf(ref));
    if (end === "completed" || end === "suspended") {
      this.#settled.add(keyOf(ref), { sequence: journal.sequence, ended: end === "completed", epoch: held.epoch });
    }
    return end;
  }

  #giveUp(key: string, sequence: number): void {
    this.#gaveUp.set(key, sequence);
    const [oldest] = this.#gaveUp.keys();
    if (this.#gaveUp.size > REMEMBERED) this.#gaveUp.delete(oldest);
  }

  #hold(ref: RunRef, work: (held: HeldRun) => Promise<HeldEnd>): HeldRun {
    const key = keyOf(ref);
    const { promise: end, resolve } = Promise.withResolvers<HeldEnd | { readonly failed: unknown }>();
    const { promise: leased, resolve: lease } = Promise.withResolvers<"leased">();
    const since = this.#host.clock.monotonic();
    const held: HeldRun = {
      ...{ end, drive: undefined, ref, since, epoch: this.#host.log.epoch },
      ...{ leased, leaseEpoch: undefined, hasLease: false, sequence: 0 },
      lease: (epoch) => {
        held.leaseEpoch = epoch;
        lease("leased");
      },
    };
    this.#held.set(key, held);
    this.#host.app.begun();
    work(held).catch((failed) => ({ failed })).then((end) => {
      resolve(end);
      if (this.#held.get(key) === held) this.#held.delete(key);
      if (held.hasLease) this.#endLease(ref, end);
      this.#host.app.over();
    });
    return held;
  }

  /**
   * Ends the lease of a run that has ended, or waits. Others are called for, also those that another node drives: it
   * may be dead, and what was brought here was left to the lease.
   */
  #endLease(ref: RunRef, end: HeldEnd | { readonly failed: unknown }): void {
    const leases = this.#leases;
    if (end === "completed" || end === "suspended") leases.remove(ref);
    else if (end !== "shutdown") leases.abandon(ref);
    else this.#host.callEach(ref.workflow, [ref.run]).then(() => leases.remove(ref), () => leases.abandon(ref));
  }

  /** Puts leases off, and gives one to each run that takes long; to each that is not brief while there are many. */
  #watch(): void {
    const { clock } = this.#host;
    const isMany = () => this.#held.size > this.#few;
    const pause = isMany() ? MANY_TICK : TICK;
    const at = clock.monotonic() + pause;
    if (this.#ticksAt <= at) return;
    this.#timer?.cancel();
    this.#ticksAt = at;
    this.#timer = clock.after(pause, () => {
      this.#ticksAt = Infinity;
      const before = clock.monotonic() - (isMany() ? BRIEF : HELD);
      for (const held of this.#held.values()) {
        if (held.hasLease || held.since > before || held.drive === undefined) continue;
        held.hasLease = true;
        this.#leases.add(held.ref, held.lease);
      }
      this.#leases.tick();
      if (this.#held.size > 0) this.#watch();
    }, { background: true });
  }
}

/** Returns true if a run belongs to another node, which is alive. */
function isElsewhere(holder: string | undefined, host: DrivesHost): holder is string {
  return holder !== undefined && holder !== "" && holder !== host.endpoint && host.alive(holder);
}

function runUnavailable({ workflow, run }: RunRef, why: string, details?: unknown): CatgaError {
  return unavailable(`run ${run} of ${workflow} ${why}`, { details });
}

/** A lease that has called for its runs. */
interface OverdueLease {
  readonly workflow: string;
  readonly runs: readonly string[];
  /** The endpoint of the node that has stored it. */
  readonly by: string;
}

/** In place of a step: the lease of a run that takes long. */
export const LEASE = "@lease";
/** How long news of a run wait at most for an answer while nobody drives it, in ms. */
export const UNDRIVEN_PAUSE = 200;
/** How long a run is held without a lease, in ms. */
const HELD = 10_000;
const TICK = 500; // ms
/**
 * With more runs than this a node holds them without a lease only for so long, in ms: what is brought to a run is in
 * hand until then, of 1,024 messages for each node.
 */
const FEW = 256;
const BRIEF = 200;
const MANY_TICK = 100; // ms
/** A schedule of a run that has ended is left to fire, and is passed by, if it does so within this time, in ms. */
const FIRES = 600_000;
const REMEMBERED = 5_000;
/** How many drives look at once whether the store has lost its end. */
const MOST_LOOKS = 32;
const MOST_TURNS = 8;
/** How often a run is looked for again, within 2.5 s, before it counts as forgotten. */
const LOOKS = 6;
