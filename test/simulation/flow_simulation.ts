/**
 * Runs of workflows under faults, all of it drawn from one seed: processes are killed and frozen around every request
 * to the stream and around every step, appends are stored without an answer, reads lag behind, connections are cut, the
 * store loses its end, and is read at servers that have just been elected; runs are told something, and cancelled;
 * operators skip, cancel and signal between a decision of a driver and its append; processes have two versions of the
 * workflow, each of which takes other parts of a run. What steps do and what is stored is checked all the while; at the
 * end every run has to have ended.
 *
 *   deno run -A test/simulation/flow_simulation.ts 42
 *
 * prints what went wrong, for `0..99` that of each of these seeds, with `first` no more than that of the first that
 * went wrong.
 *
 * @module
 */
import process from "node:process";
import { setImmediate } from "node:timers";
import type { Flow, Step } from "../../src/contract/calls/flow.ts";
import type { Schema } from "../../src/contract/schemas/schema.ts";
import { fail } from "../../src/contract/calls/result.ts";
import { workflow } from "../../src/contract/declaration/workflow.ts";
import { afterRefusedMessage, untriedNodes } from "../../src/contract/schemas/shape_rules.ts";
import type { RefusedRun, WorkflowBody } from "../../src/contract/declaration/workflow_body.ts";
import { CatgaError } from "../../src/error.ts";
import type { DriveApp, DueTime, RefusedRunFate } from "../../src/flow/execution/drive_host.ts";
import { DrivenRuns, type DrivenRunsHost, UNDRIVEN_PAUSE } from "../../src/flow/driving/driven_runs.ts";
import { LEASE } from "../../src/flow/driving/run_call.ts";
import type { RunLease } from "../../src/flow/driving/run_leases.ts";
import { Journal, statusOf } from "../../src/flow/stored/journal.ts";
import type { CalledEntry, JournalEntry, RunLogMessage, Tried } from "../../src/flow/stored/journal_entry.ts";
import type { StoredNotice } from "../../src/flow/stored/notice_queue.ts";
import { RunLog, type RunStream } from "../../src/flow/stored/run_log.ts";
import { endOf, isCalled, storedOf } from "../../src/flow/stored/run_message.ts";
import type { RunRef } from "../../src/flow/stored/run_ref.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { type Clock, type Random, together } from "../../src/ports/clock.ts";
import type { Appended, StoredMessage } from "../../src/ports/event_log.ts";
import { playSeeds } from "./seeds.ts";

/** What came of the run of a seed. */
export interface SimulatedFlow {
  readonly violations: readonly string[];
  readonly sums: Record<Sum, number>;
}

const SUMS = [
  "runs",
  "failed",
  "cancelled",
  "kills",
  "freezes",
  "cuts",
  "losses",
  "takeovers",
  "undone",
  "told",
  "retries",
  "settled",
  "leases",
  "elections",
  "interjections",
  "refusals",
  "limits",
  "floods",
  "losers",
  "takenBack",
  "slowReads",
  "givenUp",
  "oneOf",
  "shown",
  "blocks",
  "performed",
  "tried",
  "progress",
] as const;
type Sum = (typeof SUMS)[number];

/** What goes wrong in the run of a seed. */
interface Mode {
  /** The part of requests, and of steps, at which their process dies. */
  readonly deaths: number;
  readonly freezes: number;
  readonly cuts: number;
  /** The part of appends without an answer. */
  readonly unknown: number;
  readonly cancels: number;
}

const MODES: readonly Mode[] = [
  { deaths: 0, freezes: 0, cuts: 0, unknown: 0, cancels: 0.3 },
  { deaths: 0.02, freezes: 0, cuts: 0, unknown: 0, cancels: 0 },
  { deaths: 0.02, freezes: 0, cuts: 0, unknown: 0.1, cancels: 0.4 },
  { deaths: 0.01, freezes: 6, cuts: 0, unknown: 0.05, cancels: 0.2 },
  { deaths: 0.02, freezes: 2, cuts: 5, unknown: 0.05, cancels: 0.2 },
];

/** Begins the name of an `undo` in entries. */
const UNDO = "@undo ";
const TRACE = process.argv[3] === "trace";
/** How often the store loses its end. */
const LOSSES = 3;
/** In ms since 1970. */
const START = 1_000_000;
const PROCESSES = 3;
/** The number of a process that handles no workflow, and to which nothing happens. */
const CLIENT = 9;
const RUNS = 4;
const STORM = 30_000;
/** How long a step goes on at most that nobody waits for, in ms. */
const LONGEST_STEP = 20_000;
/** What operators do at most to a run in the moment of an append. */
const MAX_INTERJECTIONS = 8;
/** How many signals that nobody waits for a client tells a run as fast as it can. */
const FLOOD = 200;
/** How long a message takes between that client and the store, in ms. */
const FLOOD_LATENCY = 1;
/** How many appends in a row of a driver meet a conflict at most. */
const MAX_CONFLICTS = 8;
/** In which a step that lost a race learns that its run has ended, without faults, in ms. */
const LOSER_LEARNS = 200;
/** How long the schema of a signal takes, in ms. */
const SCHEMA = 60;
/** How long runs wait for a signal at most in some seeds, in ms. */
const FAR = 3 * 86_400_000;
/** The pause after each failed attempt of some steps in these seeds, in ms. */
const FAR_PAUSE = 900_000;
/** How many attempts of a step fail at most: those that its program has fail, and those in the storm. */
const MAX_FAILED_ATTEMPTS = 5;
/** Schedules that fire within this time are left to runs that have ended, in ms. */
const NEAR = 600_000;
/** In which a run that has ended takes its schedules back, in ms. */
const TAKEN_BACK = 60_000;
/** How long a slow read takes to the store at most, in ms. */
const SLOW_READ = 20_000;
/** How long a step blocks its process at most, in ms: longer than timeouts, and than others take to take over. */
const BLOCK = 40_000;
/** In which every run ends after the last fault, beyond the time of its program. */
const LIMIT = 150_000;

/** A part of a workflow's program. */
type Part =
  | {
    readonly type: "step";
    readonly name: string;
    readonly undo: boolean;
    readonly fails: number;
    readonly ms: number;
    /** An operator has it tried again after so many attempts. */
    readonly attempts?: number;
    /** Its pauses are long. */
    readonly isPatient?: boolean;
    /** How long it blocks its process each time, in ms. */
    readonly blocks?: number;
  }
  /** Several steps at once; `race`: the handler goes on when the first of them has ended. */
  | { readonly type: "all"; readonly race: boolean; readonly parts: readonly Extract<Part, { type: "step" }>[] }
  | { readonly type: "sleep"; readonly name: string; readonly ms: number }
  | { readonly type: "wait"; readonly name: string; readonly ms: number | undefined }
  /** The handler goes on with a signal, or when a sleep is over. */
  | { readonly type: "either"; readonly name: string; readonly ms: number }
  /** The same with a sleep or a step, and the handler gives the wait up if that is first. */
  | { readonly type: "given up"; readonly name: string; readonly ms: number; readonly byStep: boolean }
  /** The handler goes on with one of two signals, or when the time is over. */
  | { readonly type: "one of"; readonly name: string; readonly ms: number };

interface Program {
  readonly parts: readonly Part[];
  readonly fails: boolean;
  /** In ms. */
  readonly timeout: number | undefined;
  /** The length of a sleep beside the parts, which ends in a race of it and a signal, in ms. */
  readonly limit: number | undefined;
}

/** Simulates one seed. */
export async function simulateFlow(seed: number): Promise<SimulatedFlow> {
  return await new Simulation(seed).run();
}

class Simulation {
  readonly random: Random;
  readonly mode: Mode;
  /** In these seeds runs may take so long, and processes know the time of the stream less well. */
  readonly limited: boolean;
  /** In these seeds the store loses its end. */
  readonly losing: boolean;
  /** In these seeds operators do something while an append of a driver is on its way. */
  readonly interjecting: boolean;
  /** For what operators do: other seeds are as without them. */
  readonly operator: Random;
  /** In these seeds processes have two versions of the workflow. */
  readonly deployed: boolean;
  /** For what versions take: other seeds are as without them. */
  readonly deploy: Random;
  /** In these seeds nodes hold few runs without a lease. */
  readonly leasing: boolean;
  /** In these seeds some reads are answered by a server that leads the stream and has not all of it. */
  readonly electing: boolean;
  readonly election: Random;
  /** In these seeds a run has a sleep that goes on beside its parts, and ends with a race of it and a signal. */
  readonly limiting: boolean;
  /** For what comes around the end of that sleep: other seeds are as without it. */
  readonly limit: Random;
  /** In these seeds a client that is close to the store tells runs something as fast as it can. */
  readonly flooding: boolean;
  /** For that client, and when it begins: other seeds are as without it. */
  readonly flood: Random;
  readonly client: Process | undefined;
  /** In these seeds waits without a limit have one that never comes, and so has the run, and some pauses are long. */
  readonly far: boolean;
  /** For these pauses: other seeds are as without them. */
  readonly patience: Random;
  /** In these seeds some reads take so long that other executions of the run begin and end meanwhile. */
  readonly slowing: boolean;
  /** For these reads: other seeds are as without them. */
  readonly slowness: Random;
  /** In these seeds the handler gives waits up, and has waits for one of two signals: it gets all that it takes. */
  readonly givingUp: boolean;
  /** In these seeds the handler shows where it is: each view is stored once, in order, the last one before the end. */
  readonly showing: boolean;
  /** True if steps show where they are, too. */
  readonly stepsShow: boolean;
  /** In these seeds some steps block their process whenever they are performed, which goes on with all that waited. */
  readonly blocking: boolean;
  /** For these steps: other seeds are as without them. */
  readonly block: Random;
  /** The longest time that a request takes to the store, and an answer back, in ms. */
  readonly lag: number;
  readonly violations: string[] = [];
  readonly sums = Object.fromEntries(SUMS.map((sum) => [sum, 0])) as Record<Sum, number>;
  now = START;
  storm = true;
  /** When the store lost its end. */
  lostAt = -Infinity;
  readonly processes: Process[] = [];
  stored: StoredMessage[] = [];
  readonly runs = new Map<string, SimulatedRun>();
  readonly #events: { readonly at: number; readonly order: number; readonly call: () => void }[] = [];
  #order = 0;
  #sequence = 0;
  readonly #schedules = new Map<string, Scheduled>();
  /** All that there ever were. */
  readonly #scheduled: Scheduled[] = [];
  /** By name, the leases that will call for their runs. */
  readonly #leases = new Map<string, { readonly cancel: () => void }>();

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.mode = MODES[seed % MODES.length];
    this.limited = seed % 10 === 9;
    this.losing = seed % 10 === 4;
    this.interjecting = seed % 5 === 0 || seed % 7 === 3;
    this.operator = seededRandom(seed + 1_000_000);
    this.deployed = seed % 4 === 1;
    this.deploy = seededRandom(seed + 2_000_000);
    this.leasing = seed % 3 === 1;
    this.electing = seed % 11 === 5;
    this.election = seededRandom(seed + 3_000_000);
    this.limiting = seed % 13 === 7;
    this.limit = seededRandom(seed + 4_000_000);
    this.flooding = seed % 17 === 10;
    this.flood = seededRandom(seed + 5_000_000);
    this.far = seed % 7 === 2 && !this.limited && !this.losing;
    this.patience = seededRandom(seed + 6_000_000);
    // processes freeze, and operators are faster than appends
    this.slowing = seed % 35 === 3;
    this.slowness = seededRandom(seed + 7_000_000);
    // operators are faster than appends
    this.givingUp = seed % 21 === 17 && !this.flooding;
    this.showing = seed % 13 === 3;
    this.stepsShow = this.showing && seed % 2 === 0;
    this.blocking = seed % 16 === 12 && !this.losing && !this.electing && !this.limited && !this.far;
    this.block = seededRandom(seed + 8_000_000);
    this.lag = this.flooding ? 20 : this.interjecting ? [3, 5, 20][seed % 3] : 3;
    if (this.flooding) this.client = new Process(this, CLIENT);
  }

  async run(): Promise<SimulatedFlow> {
    for (let n = 0; n < PROCESSES; n++) this.processes.push(new Process(this, n));
    for (let n = 0; n < RUNS; n++) {
      const run = new SimulatedRun(this, `r${n}`);
      this.runs.set(run.id, run);
      this.after(this.random() * 5_000, () => run.begin());
    }
    for (let n = 0; n < this.mode.freezes; n++) this.after(this.random() * STORM, () => this.#freeze());
    for (let n = 0; n < this.mode.cuts; n++) this.after(this.random() * STORM, () => this.#cut());
    for (let n = 0; n < (this.losing ? LOSSES : 0); n++) this.after(this.random() * STORM, () => this.#lose());
    this.after(STORM, () => {
      this.storm = false;
      for (const process of this.processes) process.heal();
    });
    let longest = 0;
    for (const { length } of this.runs.values()) longest = Math.max(longest, length);
    let end = this.now + STORM + longest + LIMIT;
    while (this.#events.length > 0 && this.#events[0].at < end) {
      const event = this.#next();
      this.now = Math.max(this.now, event.at);
      event.call();
      // whatever follows from it without time
      await new Promise<void>((resolve) => setImmediate(resolve));
      if ([...this.runs.values()].every(({ over }) => over) && !this.storm) {
        if (!this.far) break;
        end = Math.min(end, this.now + TAKEN_BACK);
      }
    }
    if (this.far) this.#checkSchedules();
    for (const run of this.runs.values()) run.check();
    return { violations: this.violations, sums: this.sums };
  }

  // time --------------------------------------------------------------------------------------------

  after(ms: number, call: () => void): { readonly cancel: () => void } {
    let live = true;
    const event = { at: this.now + Math.max(0, ms), order: this.#order++, call: () => live && call() };
    let at = this.#events.length;
    this.#events.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (before(this.#events[parent], event)) break;
      this.#events[at] = this.#events[parent];
      at = parent;
    }
    this.#events[at] = event;
    return { cancel: () => live = false };
  }

  #next() {
    const events = this.#events;
    const first = events[0];
    const last = events.pop()!;
    if (events.length === 0) return first;
    let at = 0;
    while (true) {
      let child = 2 * at + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && before(events[child + 1], events[child])) child++;
      if (!before(events[child], last)) break;
      events[at] = events[child];
      at = child;
    }
    events[at] = last;
    return first;
  }

  /** Each request to the store is answered by a server that has all of it. */
  get isAnswered(): boolean {
    const { unknown, cuts, freezes } = this.mode;
    return unknown + cuts + freezes === 0 && !this.losing && !this.electing && !this.blocking;
  }

  latency(): number {
    return 0.2 + this.random() * this.lag;
  }

  /** How much longer than others a read takes to the store, in ms. */
  slowRead(): number {
    if (!this.slowing || !this.storm || this.slowness() > 0.3) return 0;
    this.sums.slowReads++;
    return this.slowness() * SLOW_READ;
  }

  // faults ------------------------------------------------------------------------------------------

  #freeze(): void {
    const process = this.live();
    if (process === undefined || !this.storm) return;
    this.sums.freezes++;
    process.freeze();
    this.after(500 + this.random() * 15_000, () => process.thaw());
  }

  #cut(): void {
    const process = this.live();
    if (process === undefined || !this.storm) return;
    this.sums.cuts++;
    process.cutUntil = this.now + 500 + this.random() * 8_000;
    process.troubled = true;
  }

  /** The store loses its end: sequences come again. Streams lose what was stored since different times. */
  #lose(): void {
    this.sums.losses++;
    this.lostAt = this.now;
    const lately = () => this.now - (this.random() < 0.5 ? 100 : 8_000) * this.random();
    const [until, scheduledUntil] = [lately(), lately()];
    this.trace("the store loses what came since", Math.round(until - START), Math.round(scheduledUntil - START));
    this.stored = this.stored.filter(({ time }) => time <= until);
    this.#sequence = this.stored.at(-1)?.sequence ?? 0;
    for (const { timer } of this.#schedules.values()) timer?.cancel();
    this.#schedules.clear();
    for (const scheduled of this.#scheduled) {
      if (scheduled.since > scheduledUntil) continue;
      const { run, step, fired } = scheduled;
      const key = `${run.id}:${step}`;
      if (fired < scheduledUntil) this.#schedules.delete(key);
      else this.#schedules.set(key, scheduled);
    }
    this.#scheduled.splice(0, Infinity, ...this.#schedules.values());
    if (this.random() < 0.5) { for (const name of [...this.#leases.keys()]) this.unlease(name); }
    for (const scheduled of this.#schedules.values()) this.#arm(scheduled);
    for (const process of [...this.processes, ...this.client === undefined ? [] : [this.client]]) process.reconnect();
    for (const run of this.runs.values()) run.lose();
  }

  /** Any process that runs. */
  live(): Process | undefined {
    const live = this.processes.filter(({ dead, frozen }) => !dead && !frozen);
    return live[Math.floor(this.random() * live.length)];
  }

  alive(endpoint: string): boolean {
    return this.processes.some((process) => process.endpoint === endpoint && !process.dead);
  }

  violation(text: string): void {
    this.violations.push(`${Math.round(this.now - START)}: ${text}`);
  }

  trace(...what: readonly unknown[]): void {
    if (TRACE) console.log(Math.round(this.now - START), ...what);
  }

  // the stream --------------------------------------------------------------------------------------

  /** The entries that the leader has, which may have been elected just now. */
  get led(): readonly StoredMessage[] {
    if (!this.electing || !this.storm || this.election() > 0.3) return this.stored;
    this.sums.elections++;
    const until = this.now - this.election() * 1_000;
    return this.stored.filter(({ time }) => time <= until);
  }

  append(subject: string, text: string, expect: number | undefined): Appended {
    const last = this.stored.findLast((message) => message.subject === subject);
    const run = this.runs.get(subject.slice(subject.lastIndexOf(".") + 1));
    const message = { subject, time: this.now, headers: undefined, data: new TextEncoder().encode(text) };
    if (expect !== undefined && (last?.sequence ?? 0) !== expect) {
      if (this.flooding) run?.refused({ sequence: 0, ...message });
      return { type: "conflict" };
    }
    const sequence = ++this.#sequence;
    this.stored.push({ sequence, ...message });
    run?.stored({ sequence, ...message });
    return { type: "stored", sequence, duplicate: false };
  }

  schedule(run: SimulatedRun, step: string, at: number): void {
    this.trace(run.id, "is scheduled", step, Math.round(at - START));
    const key = `${run.id}:${step}`;
    this.#schedules.get(key)?.timer?.cancel();
    const scheduled = { run, step, at, since: this.now, fired: Infinity, timer: undefined };
    this.#scheduled.push(scheduled);
    this.#schedules.set(key, scheduled);
    this.#arm(scheduled);
  }

  lease(lease: SimulatedLease): void {
    this.trace(lease.name, "has", lease.runs.join());
    this.unlease(lease.name);
    this.sums.leases++;
    this.#leases.set(lease.name, this.after(lease.at - this.now + this.random() * 100, () => this.#leaseOver(lease)));
  }

  unlease(name: string): void {
    this.#leases.get(name)?.cancel();
    this.#leases.delete(name);
  }

  /** A lease calls for its runs until somebody has seen to it. */
  #leaseOver(lease: SimulatedLease): void {
    const process = this.live();
    if (process === undefined) return void this.after(200, () => this.#leaseOver(lease));
    this.trace(lease.name, "is over", process.endpoint);
    let over = false;
    const end = (again: boolean) => {
      if (over) return;
      over = true;
      if (again) this.after(100 + this.random() * 1_000, () => this.#leaseOver(lease));
    };
    this.after(
      this.latency(),
      process.guard(() => process.drives.leaseOver(lease).then(() => end(false), () => end(true))),
    );
    const look = () => {
      if (over) return;
      if (process.dead) return end(true);
      this.after(300, look);
    };
    look();
    this.after(32_000, () => end(true));
  }

  takeBack({ id }: SimulatedRun, step: string): void {
    this.trace(id, "needs no schedule for", step);
    const scheduled = this.#schedules.get(`${id}:${step}`);
    scheduled?.timer?.cancel();
    if (scheduled !== undefined) scheduled.fired = Math.min(scheduled.fired, this.now);
  }

  /** What has ended has no schedule that fires much later, whichever processes have died. */
  #checkSchedules(): void {
    for (const { run, step, at, fired } of this.#schedules.values()) {
      if (fired < Infinity || at <= this.now + NEAR || !run.over) continue;
      this.violation(`${run.id} has ended, and left a schedule for ${step}`);
    }
  }

  #arm(scheduled: Scheduled): void {
    const { run, step, at } = scheduled;
    scheduled.fired = Infinity;
    scheduled.timer = this.after(at - this.now + this.random() * 100, () => {
      scheduled.fired = this.now;
      run.bring({ due: { step, at } });
    });
  }
}

/** A lease that is stored. */
interface SimulatedLease extends RunLease {
  readonly by: string;
}

/** A view of a run: that of its handler, or that of a step. */
interface View {
  readonly n?: number;
  readonly step?: string;
}

/** Returns what is true for the entry with the outcome of a step. */
const isEndOf = (step: string) => (entry: JournalEntry) => entry.t === "done" && entry.step === step;

/** A schedule that is stored. */
interface Scheduled {
  readonly run: SimulatedRun;
  readonly step: string;
  readonly at: number;
  readonly since: number;
  fired: number;
  timer: { readonly cancel: () => void } | undefined;
}

function before(a: { at: number; order: number }, b: { at: number; order: number }): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** A process: nothing of it goes on when it is dead, and later when it is frozen. */
class Process implements DrivenRunsHost {
  readonly timeout = 30_000;
  readonly causes = true;
  readonly simulation: Simulation;
  readonly clock: Clock;
  readonly soon: (callback: () => void) => void;
  readonly random: Random;
  readonly endpoint: string;
  readonly log: RunLog;
  readonly drives: DrivenRuns;
  dead = false;
  frozen = false;
  frozenAt = 0;
  /** It was frozen, or cut off: what it began before may go on. */
  troubled = false;
  cutUntil = 0;
  /** When it was connected to the store, and looked whether that had lost its end. */
  connectedAt = -Infinity;
  readonly #n: number;
  readonly #life: number;
  #waiting: (() => void)[] = [];
  #numbers = 0;

  constructor(simulation: Simulation, n: number, life = 1) {
    this.simulation = simulation;
    this.random = simulation.random;
    this.#n = n;
    this.#life = life;
    const started = this.connectedAt = simulation.now;
    const late = simulation.limited ? this.random() * 300 : 0;
    this.clock = {
      now: () => simulation.now - late,
      monotonic: () => simulation.now - started,
      after: (ms, call) => this.after(ms, call),
      soon: (call) => void this.after(0, call),
    };
    this.soon = together(this.clock);
    this.endpoint = `p${n}.${life}`;
    this.log = new RunLog({
      ...{ namespace: "test", endpoint: this.endpoint, clock: this.clock },
      stream: () => this.#stream,
      number: (events) => (this.#numbers += events) - events,
      maxPayload: () => 1_000_000,
    });
    // in these seeds a run has a lease as soon as there are two
    // and in those in which handlers give waits up, one that was taken over has one soon
    const soon = simulation.givingUp ? undefined : Infinity;
    this.drives = new DrivenRuns(this, simulation.leasing ? 1 : undefined, soon);
  }

  /** Calls back if the process still runs; when it is troubled if it is frozen. */
  guard(call: () => void): () => void {
    return () => {
      if (this.dead) return;
      if (this.frozen) this.#waiting.push(call);
      else call();
    };
  }

  after(ms: number, call: () => void): { readonly cancel: () => void } {
    let live = true;
    this.simulation.after(ms, this.guard(() => live && call()));
    return { cancel: () => live = false };
  }

  kill(): void {
    if (this.dead) return;
    this.simulation.sums.kills++;
    this.dead = true;
    this.#waiting = [];
    const { simulation } = this;
    simulation.after(500 + this.random() * 4_000, () => {
      simulation.processes[this.#n] = new Process(simulation, this.#n, this.#life + 1);
    });
  }

  freeze(): void {
    this.frozen = true;
    this.frozenAt = this.simulation.now;
  }

  /** A step computes: the process stands, and goes on with what follows the step before all that waited. */
  async block(ms: number): Promise<void> {
    if (this.dead || this.frozen) return;
    this.simulation.sums.blocks++;
    this.freeze();
    this.simulation.after(ms, () => this.thaw());
    await new Promise<void>((resolve) => void this.after(0, resolve));
  }

  thaw(): void {
    if (!this.frozen) return;
    this.frozen = false;
    this.troubled = true;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const call of waiting) this.simulation.after(0, this.guard(call));
  }

  heal(): void {
    this.thaw();
    this.cutUntil = 0;
  }

  /** Something happens at which it may die. */
  mayDie(): void {
    if (this.isClient) return;
    if (this.simulation.storm && this.random() < this.simulation.mode.deaths) this.kill();
  }

  get isClient(): boolean {
    return this.#n === CLIENT;
  }

  get #latency(): number {
    return this.isClient ? FLOOD_LATENCY : this.simulation.latency();
  }

  get isCut(): boolean {
    return this.simulation.now < this.cutUntil || this.connectedAt < this.simulation.lostAt;
  }

  /** True if what it does may follow from what the store has lost. */
  get isStale(): boolean {
    const { now, lostAt } = this.simulation;
    return lostAt > -Infinity && (this.connectedAt < lostAt || now < this.connectedAt + 5_000);
  }

  /** Its connection is lost, and made again. */
  reconnect(): void {
    this.after(50 + this.random() * 2_000, () => {
      this.connectedAt = this.simulation.now;
      this.log.doubt();
      this.drives.doubt();
    });
  }

  /** A request: it arrives even if its sender has died meanwhile. */
  request<T>(serve: () => T, lost: (error: CatgaError) => T, timeout = 5_000, slow = 0): Promise<T> {
    const { simulation } = this;
    this.mayDie();
    if (this.dead) return new Promise(() => {});
    const unavailable = new CatgaError("UNAVAILABLE", "no answer", { retryable: true });
    return new Promise((resolve, reject) => {
      const end = (result: () => T) =>
        this.guard(() => {
          try {
            resolve(result());
          } catch (error) {
            reject(error);
          }
        })();
      const fail = () => simulation.after(timeout, () => end(() => lost(unavailable)));
      const { lostAt } = simulation;
      if (this.isCut || (simulation.storm && this.random() < simulation.mode.unknown / 2)) return fail();
      simulation.after(this.#latency + slow, () => {
        if (lostAt < simulation.lostAt) return fail();
        const served = serve();
        this.mayDie();
        if (this.isCut || (simulation.storm && this.random() < simulation.mode.unknown / 2)) return fail();
        simulation.after(this.#latency, () => end(() => served));
      });
      this.mayDie();
    });
  }

  get #stream(): RunStream {
    const { simulation } = this;
    const unavailable = (error: CatgaError): never => {
      throw error;
    };
    const of = (subject: string) => simulation.stored.filter((message) => message.subject === subject);
    return {
      append: (subject, data, { expect }) => {
        const run = simulation.runs.get(subject.slice(subject.lastIndexOf(".") + 1));
        simulation.after(simulation.operator() * simulation.lag, () => run?.interject());
        return this.request<Appended>(
          () => simulation.append(subject, data as string, expect),
          (error) => ({ type: "unknown", error }),
        );
      },
      at: (sequence) =>
        this.request<StoredMessage | undefined>(
          () => simulation.led.find((message) => message.sequence === sequence),
          unavailable,
        ),
      last: (subject) =>
        this.request<StoredMessage | undefined>(
          () => simulation.led.findLast((message) => message.subject === subject),
          unavailable,
          5_000,
          simulation.slowRead(),
        ),
      read: (subject, options) =>
        this.request<StoredMessage[]>(() => {
          const from = "from" in options ? options.from : 0;
          // from a server that lags behind
          const lag = this.random() < 0.2 ? this.random() * 50 : 0;
          return of(subject).filter(({ sequence, time }) => sequence >= from && time <= simulation.now - lag)
            .slice(0, options.most ?? 1_000);
        }, unavailable),
      purge: () => Promise.resolve(0),
      lasts: () => Promise.resolve(),
    };
  }

  // what drives need --------------------------------------------------------------------------------

  get latest(): number {
    return this.simulation.now;
  }

  alive(endpoint: string): boolean {
    const { processes, now } = this.simulation;
    return processes.some((process) =>
      process.endpoint === endpoint && !process.dead && !(process.frozen && now - process.frozenAt > 5_000)
    );
  }

  async passOn(endpoint: string, call: Parameters<DrivenRunsHost["passOn"]>[1]): Promise<boolean | RefusedRun> {
    const { simulation } = this;
    return await new Promise((resolve) => {
      let over = false;
      const end = (passed: boolean | RefusedRun) => {
        if (over) return;
        over = true;
        this.guard(() => resolve(passed))();
      };
      const look = () => {
        if (over) return;
        if (!this.alive(endpoint)) return end(false);
        simulation.after(200, look);
      };
      look();
      const other = simulation.processes.find((process) => process.endpoint === endpoint);
      if (other === undefined || this.isCut) return void simulation.after(1_000, () => end(false));
      simulation.after(
        simulation.latency(),
        other.guard(() =>
          other.drives.execute(simulation.runs.get(call.ref.run)!.bodyIn(other), call).then(
            (refused) => void simulation.after(simulation.latency(), () => end(refused ?? true)),
            () => void simulation.after(simulation.latency(), () => end(false)),
          )
        ),
      );
    });
  }

  get version(): string {
    return this.simulation.deployed ? `v${this.#n % 2}` : "";
  }

  shapeOf(): string {
    return this.version;
  }

  shapeNameOf(): string {
    return this.version;
  }

  afterRefusal(_ref: RunRef, _journal: Journal, refusedBy: Set<string>): RefusedRunFate {
    const { simulation } = this;
    if (!simulation.deployed) return "stuck";
    simulation.sums.refusals++;
    refusedBy.add(this.version);
    const nodes = simulation.processes.filter(({ endpoint }) => this.alive(endpoint))
      .map(({ endpoint, version }) => ({ id: endpoint, shape: version }));
    // of a version that is never there
    if (afterRefusedMessage(nodes, refusedBy, "away") !== "next") return "waits";
    const untried = untriedNodes(nodes, refusedBy);
    return { next: untried[Math.floor(simulation.deploy() * untried.length)].id };
  }

  get app(): DriveApp {
    return this;
  }

  readonly node: string = "";
  readonly carried: readonly string[] = [];
  readonly tracer: undefined = undefined;

  read(): void {}

  tried({ run }: RunRef, attempts: readonly Tried[]): void {
    for (const tried of attempts) {
      this.simulation.sums[tried.next === undefined ? "performed" : "tried"]++;
      this.simulation.runs.get(run)!.wasTried(this, tried);
    }
  }

  begun(): void {}
  over(): void {}

  wake(ref: RunRef, step: string, at: number): Promise<void> {
    const run = this.simulation.runs.get(ref.run)!;
    return this.request<void>(() => this.simulation.schedule(run, step, at), (error) => {
      throw error;
    });
  }

  send(): never {
    throw new Error("no run sends here");
  }

  ofEntity(): boolean {
    return false;
  }

  startChild(): never {
    throw new Error("no run has children here");
  }

  ask(): never {
    throw new Error("no run asks here");
  }

  answered(): void {}

  cancelChild(): Promise<boolean> {
    return Promise.resolve(false);
  }

  /** Takes back all of them at once, also those that nodes leave to fire, unless there are some that never do. */
  ended(ref: RunRef, journal: Journal): Promise<void> {
    if (this.simulation.far) return Promise.resolve();
    const run = this.simulation.runs.get(ref.run)!;
    for (const step of journal.schedulesAfter(this.simulation.now)) {
      this.request(() => this.simulation.takeBack(run, step), () => {});
    }
    return Promise.resolve();
  }

  async takeBack({ run }: RunRef, steps: readonly string[]): Promise<void> {
    const { simulation } = this;
    if (!simulation.far) return;
    const takeBack = (step: string): Promise<void> => {
      simulation.sums.takenBack++;
      return this.request(() => simulation.takeBack(simulation.runs.get(run)!, step), () => takeBack(step));
    };
    await Promise.all(steps.map(takeBack));
  }

  lease(lease: RunLease): Promise<void> {
    const { simulation, endpoint: by } = this;
    return this.request<void>(() => simulation.lease({ ...lease, by }), (error) => {
      throw error;
    });
  }

  unlease({ name }: Pick<RunLease, "name">): void {
    this.request(() => this.simulation.unlease(name), () => {}).catch(() => {});
  }

  async putOffAt(endpoint: string, workflow: string, runs: readonly string[]): Promise<readonly (0 | 1)[] | undefined> {
    const { simulation } = this;
    return await new Promise((resolve) => {
      const end = (held?: readonly (0 | 1)[]) => this.guard(() => resolve(held))();
      simulation.after(5_000, end);
      const other = simulation.processes.find((process) => process.endpoint === endpoint);
      if (other === undefined || this.isCut) return;
      const ask = other.guard(() =>
        other.drives.putOff(workflow, runs)
          .then((held) => void simulation.after(simulation.latency(), () => end(held)), () => {})
      );
      simulation.after(simulation.latency(), ask);
    });
  }

  callEach(_workflow: string, runs: readonly string[]): Promise<void> {
    const { simulation } = this;
    return this.request<void>(() => {
      const at = simulation.now;
      for (const run of runs) simulation.runs.get(run)!.bring({ due: { step: LEASE, at } });
    }, (error) => {
      throw error;
    });
  }

  /** An operator has it tried again: its process died too often, or a step has had its attempts. */
  async stuck({ run }: RunRef, step: string, { message }: { readonly message: string }): Promise<void> {
    await this.request(() => {}, () => {});
    if (step === "" || step.startsWith("t") || step.startsWith("@undo t")) this.simulation.runs.get(run)!.retry();
    else this.simulation.violation(`${run} is stuck at ${step}: ${message}`);
  }

  shown(): void {
    this.simulation.sums.shown++;
  }

  observer(): void {}
}

const FLOW = workflow<void, Record<string, string>, "NO">("Flow");
const TOLD = FLOW.signal<string>("Told");
const ALSO = FLOW.signal<string>("Also");
/** Nobody waits for it. */
const FLOODED = "Flooded";

/** A schema that takes some ms: what a wait has taken may be given up meanwhile. */
function slowly(process: Process): Schema<string> {
  const validate = (value: unknown) =>
    new Promise<{ readonly value: string }>((resolve) => {
      process.after(SCHEMA, () => resolve({ value: value as string }));
    });
  return { "~standard": { version: 1, vendor: "test", validate } };
}

/** Something that is brought to a run. */
interface Brought {
  readonly sequence?: number;
  /** When that was stored. */
  readonly stored?: number;
  readonly due?: DueTime;
  /** Who drove it when this was stored. */
  readonly by?: string | undefined;
  /** It is the start. */
  readonly start?: boolean;
}

/** One run: its program, what its steps did, and what is stored of it. */
class SimulatedRun {
  readonly id: string;
  journal = new Journal();
  readonly program: Program;
  /** How long its program takes at least, in ms. */
  readonly length: number;
  readonly #simulation: Simulation;
  #entries: JournalEntry[] = [];
  /** What was done outside: by the id of the step. */
  readonly #effects = new Map<string, { readonly at: number; undone: number }>();
  readonly #attempts = new Map<string, number>();
  /** The number of the attempt of a step that has begun last. */
  readonly #given = new Map<string, number>();
  /** When and where the last attempt of a step has failed. */
  readonly #threw = new Map<string, { readonly at: number; readonly by: string }>();
  /** How far the last attempt of a step was that has failed, and where. */
  readonly #reported = new Map<string, { readonly progress: number; readonly by: string }>();
  /** Shows something for the step that was performed last. */
  #late: (() => void) | undefined;
  /** When an operator had it tried again. */
  #retriedAt = -Infinity;
  /** Who performs a step now. */
  readonly #performing = new Map<string, Process>();
  /** Attempts of steps that go on now, and look whether they are needed. */
  readonly #ongoing = new Map<string, { readonly signal: AbortSignal; readonly process: Process }>();
  /** By the first of several steps at once: in which order they ended, or which was first, when the next one began. */
  readonly #ways = new Map<string, string>();
  readonly #waiting: Brought[] = [];
  #bringing = false;
  #started = false;
  #interjections = 0;
  #flooded = 0;
  /** How many appends in a row of a driver met a conflict, by its endpoint. */
  readonly #conflicts = new Map<string, number>();
  /** Steps that an operator has skipped. */
  readonly #skipped = new Set<string>();
  /** Steps whose outcome is stored by a process that was taken over. */
  readonly #toldEnds = new Set<string>();
  /** A version takes what it has refused when the run is cancelled, or a step was skipped. */
  readonly #takesCancelled: boolean;
  /** The version that takes each part of the program; empty: each of them. */
  readonly #takers: readonly string[];

  constructor(simulation: Simulation, id: string) {
    this.#simulation = simulation;
    this.id = id;
    const { random } = simulation;
    const parts: Part[] = [];
    const count = 2 + Math.floor(random() * 5);
    const step = (name: string) => ({
      ...{
        type: "step",
        name,
        undo: random() < 0.7,
        fails: random() < 0.25 ? 1 + Math.floor(random() * 2) : 0,
      } as const,
      ms: random() < 0.1 ? 12_000 + random() * 6_000 : random() * 800,
      ...(simulation.far && simulation.patience() < 0.3 ? { isPatient: true } : {}),
      ...(simulation.blocking && simulation.block() < 0.3 ? { blocks: 1_000 + simulation.block() * BLOCK } : {}),
    });
    for (let n = 0; n < count; n++) {
      const drawn = random();
      if (drawn < 0.5) parts.push(step(`s${n}`));
      else if (drawn < 0.7) {
        parts.push({ type: "all", race: random() < 0.4, parts: [step(`a${n}`), step(`b${n}`), step(`c${n}`)] });
      } else if (drawn < 0.85) {
        parts.push({ type: "sleep", name: `z${n}`, ms: random() < 0.5 ? random() * 4_000 : random() * 40_000 });
      } else parts.push({ type: "wait", name: `w${n}`, ms: random() < 0.5 ? undefined : random() * 20_000 });
    }
    if (simulation.interjecting) {
      const { operator } = simulation;
      for (let n = 0; n < 3; n++) {
        const part = { name: `e${n}`, ms: operator() * 200 };
        if (simulation.givingUp) {
          for (let m = 0; m < 3; m++) {
            const [drawn, name] = [operator(), `g${n}${m}`];
            if (drawn > 0.7) parts.push({ type: "one of", ...part, name });
            else parts.push({ type: "given up", ...part, name, byStep: drawn < 0.3 });
          }
        }
        parts.push(
          operator() < 0.5
            ? { type: "wait", ...part }
            : simulation.givingUp
            ? { type: "given up", ...part, byStep: false }
            : { type: "either", ...part },
        );
        if (operator() > 0.4) continue;
        const limited = { fails: 1 + Math.floor(operator() * 2), ms: operator() * 100, attempts: 1 };
        parts.push({ type: "step", name: `t${n}`, undo: operator() < 0.5, ...limited });
      }
    }
    const fails = random() < 0.4;
    // at its end it waits for what never comes
    if (simulation.limited) parts.push({ type: "wait", name: "end", ms: undefined });
    const timeout = simulation.limited ? 8_000 + random() * 40_000 : simulation.far ? FAR : undefined;
    const limit = simulation.limiting ? 1_000 + simulation.limit() * 15_000 : undefined;
    this.program = { parts, fails, timeout, limit };
    const { deploy } = simulation;
    this.#takers = parts.map(() => ["", "v0", "v1"][Math.floor(deploy() * 3)]);
    this.#takesCancelled = deploy() < 0.5;
    const length = parts.reduce((sum, part) => sum + (part.type === "all" ? 60_000 : 60_000 + (part.ms ?? 0)), 0);
    const patient = this.#parts().filter(({ isPatient }) => isPatient);
    // a step, and its undo
    this.length = length + patient.length * 2 * MAX_FAILED_ATTEMPTS * FAR_PAUSE;
  }

  get over(): boolean {
    return this.journal.ended !== undefined;
  }

  /** Its handler in a process. */
  bodyIn(process: Process): WorkflowBody {
    return { definition: FLOW["~workflow"], fn: (flow: Flow) => this.#handle(flow, process) };
  }

  /** Its start, and what it is told from outside. */
  begin(): void {
    const simulation = this.#simulation;
    const process = simulation.live();
    if (process === undefined) return void simulation.after(500, () => this.begin());
    const ref = { workflow: "Flow", run: this.id };
    const { timeout } = this.program;
    const entry = {
      ...{ t: "started", version: 1, keep: 1_000, by: process.endpoint } as const,
      ...(timeout === undefined ? {} : { timeout }),
    };
    const message = process.log.messages.of(ref, [entry], { version: 0, holder: process.endpoint });
    const time = process.clock.now();
    const journal = new Journal();
    const { mark } = message;
    const stored = process.log.append(ref, message, journal, () => false).then((sequence) =>
      sequence === "conflict" ? undefined : { sequence, time, holder: process.endpoint, entries: [entry], mark }
    );
    process.drives.start(this.bodyIn(process), ref, stored, journal);
    // whoever starts it tries again until it is stored
    simulation.after(7_000, () => this.#started || this.begin());
    this.#signal();
    if (simulation.flooding && this.#flooded === 0) {
      this.#flooded = 1;
      simulation.after(simulation.flood() * 2_000, () => void Promise.all([this.#flood(), this.#flood()]));
    }
    if (simulation.random() < simulation.mode.cancels) {
      simulation.after(
        simulation.random() * 15_000,
        () => this.#tell({ t: "cancelled", code: "CANCELLED", reason: "enough" }),
      );
    }
  }

  #signal(): void {
    const simulation = this.#simulation;
    const waits = this.program.parts.filter((part) => part.type === "wait" && part.name !== "end").length;
    const signals = Array.from(
      { length: waits },
      (_, n) => ({ t: "signalled", signal: "Told", id: `${n}`, value: `v${n}` }) as const,
    );
    // some of them at once
    while (signals.length > 0) {
      const some = signals.splice(0, 1 + Math.floor(simulation.random() * 3));
      simulation.after(simulation.random() * 20_000, () => this.#tell(...some));
    }
  }

  /** The store has lost its end: it is started and told again, and brought on if it is still there. */
  lose(): void {
    const simulation = this.#simulation;
    const started = this.#started;
    const subject = `.${this.id}`;
    this.journal = new Journal();
    this.#entries = [];
    this.#ways.clear();
    for (const message of simulation.stored) {
      if (!message.subject.endsWith(subject)) continue;
      const stored = storedOf({ workflow: "Flow", run: this.id }, message);
      this.#entries.push(...stored.entries);
      this.journal.apply(stored);
    }
    this.#started = this.journal.started !== undefined;
    if (started && !this.#started) simulation.after(1_000, () => this.begin());
    else if (started) this.#signal();
    if (statusOf(this.journal) === "stuck") this.retry();
    simulation.after(1_000 + simulation.random() * 2_000, () => this.#bring({}, () => {}));
  }

  /** An operator, or a teller, is faster than the append that has just been sent. */
  interject(): void {
    const simulation = this.#simulation;
    const { operator } = simulation;
    if (!simulation.interjecting || !this.#started || this.over || operator() > 0.15) return;
    if (this.#interjections >= MAX_INTERJECTIONS) return;
    const process = simulation.live();
    if (process === undefined) return;
    const by = this.journal.holder;
    const performed = [...this.#performing.keys()].filter((name) => /^[a-z]\d/.test(name));
    const drawn = operator();
    let entry: CalledEntry;
    if (drawn < 0.5) {
      const signal = simulation.givingUp && drawn < 0.2 ? "Also" : "Told";
      const id = `i${this.#interjections}`;
      entry = { t: "signalled", signal, id, value: `now ${id}`, by };
    } else if (drawn < 0.75 && performed.length > 0) {
      const step = performed[Math.floor(operator() * performed.length)];
      entry = { t: "skipped", step, value: `skipped ${step}`, reason: "enough", by };
      this.#skipped.add(step);
    } else if (drawn > 0.75 && drawn < 0.85) entry = { t: "retried", by };
    else if (drawn > 0.85 && simulation.mode.cancels > 0) {
      entry = { t: "cancelled", code: "CANCELLED", reason: "now", by };
    } else return;
    this.#interjections++;
    simulation.sums.interjections++;
    const ref = { workflow: "Flow", run: this.id };
    const message = process.log.messages.of(ref, [entry], { version: this.journal.entries, holder: by });
    simulation.append(process.log.subject(ref), message.text, undefined);
  }

  /** Its process dies shortly before its sleep is over, and it is told something. */
  #nearLimit(ms: number): void {
    const simulation = this.#simulation;
    const { limit } = simulation;
    simulation.sums.limits++;
    simulation.after(ms - 500 * limit(), () => {
      const process = simulation.processes.find(({ endpoint }) => endpoint === this.journal.holder);
      if (simulation.storm && simulation.mode.deaths > 0 && limit() < 0.5) process?.kill();
      this.#tell({ t: "signalled", signal: "Told", id: "limit", value: "in time" });
    });
  }

  /** What is decided holds on what is stored before it. */
  #checkDecisions({ entries, holder }: RunLogMessage): void {
    const { journal } = this;
    const violation = (text: string) => this.#simulation.violation(`${this.id} ${text}`);
    const taken = entries.flatMap((entry) => entry.t === "took" && entry.n !== undefined ? [entry.n] : []);
    const untaken = new Set(journal.signals.get("Told")).difference(new Set(taken));
    const took = entries.flatMap((entry) => entry.t === "took" && entry.n !== undefined ? [entry.step] : []);
    // a wait whose race is over is given up
    const first = [...journal.woken.keys(), ...journal.outcomes.keys()];
    const given = new Set(first.map((name) => name.replace(/ (sleep|step)$/, "")));
    const open = new Set(journal.waits.keys()).difference(new Set(took)).difference(given);
    const progress = new Map<string, unknown>();
    const view = journal.view?.value as View | undefined;
    let shown = view?.n ?? 0;
    let isOfStep = view !== undefined && view.n === undefined;
    let { cancelled, failing } = journal as { cancelled: unknown; failing: unknown };
    for (const [at, entry] of entries.entries()) {
      if (entry.t === "retried") this.#retriedAt = this.#simulation.now;
      if (entry.t === "tried" && entry.next === undefined) this.#toldEnds.add(entry.step);
      if (entry.t === "failed" && entry.next === undefined && this.#threw.get(entry.step)?.by === holder) {
        const isBehind = this.#retriedAt > this.#threw.get(entry.step)!.at;
        if (isBehind) violation(`is stuck behind a retry: ${entry.step}`);
      }
      if (entry.t === "progress") progress.set(entry.step, entry.value);
      if (entry.t === "failed" && this.#reported.get(entry.step)?.by === holder) {
        const reported = this.#reported.get(entry.step)!.progress;
        const stored = progress.get(entry.step) ?? journal.progress.get(entry.step)?.value;
        if (stored !== reported && !this.#skipped.has(entry.step) && !this.#toldEnds.has(entry.step)) {
          violation(`forgets how far ${entry.step} is: ${stored}, not ${reported}`);
        }
      }
      if (entry.t === "failed") this.#reported.delete(entry.step);
      if (entry.t === "shown") {
        const { n: now, step } = entry.view as View;
        const isLate = step !== undefined && (journal.isSettled(step) || entries.slice(0, at).some(isEndOf(step)));
        // an operator may skip a step whose view waits for its append, and another process may have performed it
        if (isLate && !this.#skipped.has(step) && !this.#toldEnds.has(step)) {
          violation(`shows ${step}, which has ended`);
        }
        isOfStep = now === undefined;
        if (now !== undefined && now <= shown) violation(`shows ${now} behind ${shown}`);
        shown = now ?? 0;
      }
      if (entry.t === "cancelled") cancelled ??= entry;
      if (entry.t === "failing") failing ??= entry;
      if (entry.t === "waits" && !took.includes(entry.step)) open.add(entry.step);
      const byTime = entry.t === "woken" || (entry.t === "took" && entry.n === undefined);
      if (byTime && open.size > 0 && untaken.size > 0) violation(`lets a time go before a signal: ${entry.step}`);
      if (entry.t === "took") open.delete(entry.step);
      if (entry.t === "took" && entry.n !== undefined && this.#isOneOf(entry.step)) {
        const earlier = taken.slice(0, taken.indexOf(entry.n));
        const left = [...journal.signals.get(TOLD.name) ?? [], ...journal.signals.get(ALSO.name) ?? []];
        const older = left.find((n) => n < entry.n! && !earlier.includes(n));
        if (older !== undefined) violation(`takes signal ${entry.n} by ${entry.step}, before ${older}`);
      }
      if (entry.t === "woken" && this.#simulation.givingUp) open.delete(entry.step.replace(/ sleep$/, ""));
      if (entry.t === "ended" && entry.outcome.ok) {
        if (cancelled !== undefined) violation("is done, and its cancel was ok");
        const { shown: last } = entry.outcome.value as { readonly shown?: string };
        if (last !== undefined && !isOfStep && last !== `${shown}`) violation(`ends, and shows ${shown}, not ${last}`);
        for (const [step, value] of Object.entries(entry.outcome.value as Record<string, string>)) {
          const recorded = journal.outcomes.get(step)?.value ??
            entries.find((other) => other.t === "done" && other.step === step);
          if (typeof recorded === "string" && recorded !== value) {
            violation(`ends with ${value}, recorded: ${recorded}`);
          }
        }
      }
    }
  }

  /** The last message says where the view is: here, or where it was. */
  #checkView(message: StoredMessage, { entries }: RunLogMessage): void {
    const { viewAt } = endOf({ workflow: "Flow", run: this.id }, message)!;
    const isHere = entries.some(({ t }) => t === "shown");
    // an operator writes as older versions of Catga do, which do not say it
    if (viewAt === undefined && !isHere && entries.every(isCalled)) return;
    if (viewAt !== (isHere ? message.sequence : this.journal.view?.at)) {
      this.#simulation.violation(`${this.id} says that its view is in ${viewAt}`);
    }
  }

  #isOneOf(wait: string): boolean {
    return this.program.parts.some(({ type, ...part }) => type === "one of" && "name" in part && part.name === wait);
  }

  retry(): void {
    this.#simulation.after(1_000, () => this.#tell({ t: "retried" }));
  }

  /** Somebody outside who never dies, but may have to try again. */
  #tell(...entries: ({ readonly t: "signalled" | "cancelled" | "retried" } & Record<string, unknown>)[]): void {
    const simulation = this.#simulation;
    if (!this.#started) return void simulation.after(1_000, () => this.#tell(...entries));
    if (this.over) return;
    const process = simulation.live();
    if (process === undefined) return void simulation.after(500, () => this.#tell(...entries));
    for (const entry of entries) {
      let done = false;
      process.log.appendNotice(
        { workflow: "Flow", run: this.id },
        (by) => ({ ...entry, by }) as unknown as CalledEntry,
        () => false,
      )
        .then((told) => {
          done = true;
          if (told?.isFirst) this.#news(process, told);
          // a leader that has just been elected did not have it
          if (told === undefined && simulation.electing) simulation.after(1_000, () => this.#tell(entry));
        }, () => {});
      simulation.after(10_000, () => done || this.#tell(entry));
    }
  }

  /** A node that was taken over has tried a step, and tells the run so. */
  wasTried(process: Process, tried: Tried): void {
    const ref = { workflow: "Flow", run: this.id };
    process.log.appendNotice(ref, (by) => ({ ...tried, by }), () => false)
      .then((told) => void (told?.isFirst && this.#news(process, told)), () => {});
  }

  /** Who told it something has its node go on, if that can be reached. */
  #news(from: Process, { holder, sequence }: StoredNotice): void {
    const simulation = this.#simulation;
    const process = simulation.processes.find(({ endpoint }) => endpoint === holder);
    if (process === undefined || process.dead || process.isCut || from.isCut) return;
    const call = { ref: { workflow: "Flow", run: this.id }, sequence };
    simulation.after(simulation.latency(), process.guard(() => process.drives.news(this.bodyIn(process), call)));
  }

  /** Signals one after the other, as a client tells them that does nothing else. */
  async #flood(): Promise<void> {
    const simulation = this.#simulation;
    const client = simulation.client!;
    const ref = { workflow: "Flow", run: this.id };
    const pause = (ms: number) => new Promise<void>((resolve) => void simulation.after(ms, resolve));
    while (this.#flooded < FLOOD && !this.over) {
      const id = `f${this.#flooded++}`;
      const entry = (by: string): CalledEntry => ({ t: "signalled", signal: FLOODED, id, value: undefined, by });
      const told = await client.log.appendNotice(ref, entry, () => false).catch(() => {});
      if (told === undefined) await pause(500);
      else simulation.sums.floods++;
      if (told?.isFirst) client.log.awaitAnswer(ref, this.#answer(client, told));
    }
  }

  /** Who told it something waits for the answer of its driver, as in run_notices.ts. */
  #answer(client: Process, { holder, sequence }: StoredNotice): Promise<void> {
    const simulation = this.#simulation;
    return new Promise((resolve) => {
      const process = simulation.processes.find(({ endpoint }) => endpoint === holder);
      if (process === undefined || !client.alive(holder)) return void simulation.after(UNDRIVEN_PAUSE, resolve);
      simulation.after(5_000, resolve);
      if (process.isCut) return;
      const call = { ref: { workflow: "Flow", run: this.id }, sequence };
      const answer = () => void simulation.after(simulation.latency(), resolve);
      simulation.after(
        simulation.latency(),
        process.guard(() => void process.drives.news(this.bodyIn(process), call).then(answer)),
      );
    });
  }

  /** A message of it met a conflict. */
  refused(message: StoredMessage): void {
    const { entries, holder = "" } = storedOf({ workflow: "Flow", run: this.id }, message);
    if (entries.every(isCalled)) return;
    const conflicts = (this.#conflicts.get(holder) ?? 0) + 1;
    this.#conflicts.set(holder, conflicts);
    if (conflicts > MAX_CONFLICTS) this.#simulation.violation(`${this.id} is starved: ${conflicts} conflicts`);
  }

  /** A message of it is stored. */
  stored(message: StoredMessage): void {
    const ref = { workflow: "Flow", run: this.id };
    const stored = storedOf(ref, message);
    const simulation = this.#simulation;
    if (endOf(ref, message)!.version !== this.journal.entries + stored.entries.length) {
      simulation.violation(`${this.id} goes on behind what is not stored: ${JSON.stringify(stored.entries)}`);
    }
    if (this.over) simulation.violation(`${this.id} goes on behind its end: ${JSON.stringify(stored.entries)}`);
    this.#started = true;
    if (!stored.entries.every(isCalled)) this.#conflicts.delete(stored.holder!);
    this.#checkDecisions(stored);
    this.#checkView(message, stored);
    simulation.trace(this.id, stored.holder, JSON.stringify(stored.entries));
    for (const entry of stored.entries) {
      this.#entries.push(entry);
      if (entry.t === "held") simulation.sums.takeovers++;
      if (entry.t === "undone") simulation.sums.undone++;
      if (entry.t === "slept" && entry.step === "limit") this.#nearLimit(entry.until - simulation.now);
      if (entry.t === "failed") simulation.sums.retries++;
      if (entry.t === "progress") simulation.sums.progress++;
      if (entry.t === "took" && entry.n !== undefined) simulation.sums.told++;
      if (entry.t === "done" && this.journal.outcomes.has(entry.step)) {
        simulation.violation(`${this.id} ${entry.step} has two outcomes`);
      }
      const start = entry.t === "started" ? { start: true } : {};
      if (isCalled(entry)) {
        this.bring({ sequence: message.sequence, stored: message.time, by: stored.holder!, ...start });
      }
    }
    this.journal.apply(stored);
    if (this.journal.ended?.ok) this.#losersLearn();
  }

  // the subscription --------------------------------------------------------------------------------

  /** Something is brought to the run until it is taken: what was stored in order, one at a time, times as they come. */
  bring(brought: Brought): void {
    if (brought.due !== undefined) return this.#bring(brought, () => {});
    this.#waiting.push(brought);
    this.#bringNext();
  }

  #bringNext(): void {
    if (this.#bringing || this.#waiting.length === 0) return;
    this.#bringing = true;
    const brought = this.#waiting.shift()!;
    const done = () => {
      this.#bringing = false;
      this.#bringNext();
    };
    if (brought.start) this.#ask(brought, done);
    else this.#bring(brought, done);
  }

  /** A start is not brought to a run that is over, as its node says. */
  #ask(brought: Brought, done: () => void): void {
    const simulation = this.#simulation;
    const { sequence = 0, by } = brought;
    let answered = false;
    const answer = (isOver: boolean) => {
      if (answered) return;
      answered = true;
      if (isOver) simulation.sums.settled++;
      if (isOver) done();
      else this.#bring(brought, done);
    };
    const pause = 100 + (simulation.random() < 0.5 ? 0 : simulation.random() * 20_000);
    simulation.after(pause, () => {
      const process = simulation.processes.find(({ endpoint }) => endpoint === by);
      if (process === undefined || process.dead || process.isCut) return answer(false);
      const ask = process.guard(() => {
        const isOver = process.drives.isOver({ workflow: "Flow", run: this.id }, sequence);
        simulation.after(simulation.latency(), () => answer(isOver));
      });
      simulation.after(simulation.latency(), ask);
      simulation.after(5_000, () => answer(false));
    });
  }

  #bring(brought: Brought, done: () => void): void {
    const simulation = this.#simulation;
    const process = simulation.live();
    if (process === undefined) return void simulation.after(200, () => this.#bring(brought, done));
    let over = false;
    const end = (again: boolean) => {
      if (over) return;
      over = true;
      simulation.trace(this.id, again ? "is not taken" : "is taken", JSON.stringify(brought), process.endpoint);
      if (again) simulation.after(100 + simulation.random() * 1_000, () => this.#bring(brought, done));
      else done();
    };
    simulation.trace(this.id, "is brought", JSON.stringify(brought), process.endpoint);
    simulation.after(
      simulation.latency(),
      process.guard(() => {
        const ref = { workflow: "Flow", run: this.id };
        const { sequence = 0, stored, due, by } = brought;
        const call = { ref, sequence, stored, due };
        const body = this.bodyIn(process);
        const taken = sequence > 0 || due !== undefined
          ? process.drives.execute(body, call, by)
          : process.drives.recover(body, ref);
        // one that waits for a version is brought again
        taken.then((refused) => end(refused !== undefined), () => end(true));
      }),
    );
    // its node dies, or does not answer for too long
    const look = () => {
      if (over) return;
      if (process.dead) return end(true);
      simulation.after(300, look);
    };
    look();
    simulation.after(32_000, () => end(true));
  }

  // the handler -------------------------------------------------------------------------------------

  async #handle(flow: Flow, process: Process) {
    const seen: string[] = [];
    const values: Record<string, string> = {};
    const ways: (readonly [part: string, way: string])[] = [];
    const got: string[] = [];
    let shown = 0;
    const show = () => this.#simulation.showing && flow.show({ n: ++shown } as never);
    const get = (signal: string, value: string | undefined) => {
      if (value !== undefined) got.push(`${signal} ${value}`);
    };
    const { limit } = this.program;
    const limited = limit === undefined ? undefined : flow.sleep("limit", limit);
    for (const [i, part] of this.program.parts.entries()) {
      show();
      this.#refuse(i, process);
      if (part.type === "sleep") {
        await flow.sleep(part.name, part.ms);
        seen.push(part.name);
      } else if (part.type === "wait") {
        const value = await (part.ms === undefined
          ? flow.wait(TOLD, { name: part.name, ...(this.#simulation.far ? { timeout: FAR } : {}) })
          : flow.wait(TOLD, { name: part.name, timeout: part.ms }));
        get("Told", value);
        seen.push(part.name);
      } else if (part.type === "given up") {
        this.#simulation.sums.givenUp++;
        const race = new AbortController();
        get("Told", await this.#toldBefore(flow, process, part, race.signal));
        race.abort();
      } else if (part.type === "one of") {
        this.#simulation.sums.oneOf++;
        const [also, told] = await flow.wait([ALSO, TOLD], { name: part.name, timeout: part.ms });
        get("Also", also?.value);
        get("Told", told?.value);
      } else if (part.type === "either") {
        await Promise.race([flow.wait(TOLD, { name: part.name }), flow.sleep(`${part.name} sleep`, part.ms)]);
      } else {
        const parts = part.type === "all" ? part.parts : [part];
        const known = [...seen];
        const way = [...ways];
        const ended: string[] = [];
        const isRace = part.type === "all" && part.race;
        const under = parts.map((own) => {
          const undo = (value: string) => this.#undo(flow, process, own.name, value);
          return flow.step<string>(own.name, (step) => this.#step(step, process, own, known, way), {
            undo: own.undo ? undo : undefined,
            retry: {
              delay: own.isPatient ? [FAR_PAUSE, FAR_PAUSE] : [200, 2_000],
              ...(own.attempts === undefined ? {} : { attempts: own.attempts }),
            },
          }).then((value) => {
            values[own.name] = value;
            ended.push(own.name);
            show();
          });
        });
        if (isRace) await Promise.race(under);
        else await Promise.all(under);
        if (!isRace) seen.push(...parts.map(({ name }) => name));
        ways.push([parts[0].name, (isRace ? ended.slice(0, 1) : ended).join(" ")]);
      }
    }
    if (limited !== undefined) {
      get("Told", await Promise.race([flow.wait(TOLD, { name: "last" }), limited.then(() => undefined)]));
    }
    if (this.#simulation.givingUp) values["got"] = JSON.stringify(got);
    show();
    if (shown > 0) values["shown"] = `${shown}`;
    return this.program.fails ? fail("NO", "no") : values;
  }

  /** The next signal, unless a sleep is over before, or a step. */
  #toldBefore(
    flow: Flow,
    process: Process,
    { name, ms, byStep }: Extract<Part, { type: "given up" }>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const first = byStep
      ? flow.step(`${name} step`, async () => {
        // an operator may skip it, while the append about what the wait took is on its way
        this.#performing.set(`${name} step`, process);
        await this.#pause(process, ms * 10);
        this.#performing.delete(`${name} step`);
      })
      : flow.sleep(`${name} sleep`, ms);
    const told = FLOW.signal<string>(TOLD.name, { input: slowly(process) });
    return Promise.race([flow.wait(told, { name, signal }), first.then(() => undefined)]);
  }

  /** The version of a process does not take each part of the program. */
  #refuse(i: number, { version, simulation: { deployed } }: Process): void {
    const part = this.program.parts[i];
    if (!deployed || this.#takers[i] === "" || this.#takers[i] === version) return;
    const { outcomes, woken, took, strays, cancelled } = this.journal;
    if (this.#takesCancelled && (cancelled !== undefined || strays.size > 0)) return;
    const names = part.type === "all"
      ? part.parts.map(({ name }) => name)
      : [part.name, `${part.name} sleep`, `${part.name} step`];
    if (names.some((name) => outcomes.has(name) || woken.has(name) || took.has(name))) return;
    throw new Error(`${version} does not take part ${i}`);
  }

  /** A step begins somewhere: what it does is done once for its id, by somebody who never dies. */
  async #step(
    step: Step,
    process: Process,
    { name, fails, ms, blocks = 0 }: Extract<Part, { type: "step" }>,
    known: readonly string[],
    ways: readonly (readonly [part: string, way: string])[],
  ): Promise<string> {
    const simulation = this.#simulation;
    const { journal } = this;
    if (process.dead) return await new Promise(() => {});
    for (const [part, way] of process.isStale ? [] : ways) {
      const before = this.#ways.get(part) ?? way;
      if (before !== way) simulation.violation(`${this.id} took another way: ${before} before, ${way} now`);
      this.#ways.set(part, before);
    }
    for (const before of process.isStale ? [] : known) {
      if (journal.outcomes.has(before) || journal.woken.has(before) || journal.took.has(before)) continue;
      simulation.violation(`${this.id} ${name} begins before ${before} is stored`);
    }
    if (step.id !== `Flow:${this.id}:${name}`) simulation.violation(`${this.id} ${name} has the id ${step.id}`);
    if (journal.holder !== process.endpoint && !process.troubled && !process.isStale) {
      simulation.violation(`${this.id} ${name} begins at ${process.endpoint}, and ${journal.holder} holds the run`);
    }
    const other = this.#performing.get(name);
    if (
      other !== undefined && other !== process && !other.dead && !other.frozen && !other.troubled &&
      !process.troubled && !process.isStale && !other.isStale &&
      other.drives.drives({ workflow: "Flow", run: this.id })
    ) simulation.violation(`${this.id} ${name} begins at ${process.endpoint} while ${other.endpoint} performs it`);
    const { mode, losing, electing } = simulation;
    if (step.attempt < (this.#given.get(name) ?? 0) && simulation.blocking) {
      simulation.violation(`${this.id} ${name} begins attempt ${step.attempt} behind ${this.#given.get(name)}`);
    }
    this.#given.set(name, step.attempt);
    const isQuiet = mode.deaths === 0 && !losing && !electing && !simulation.blocking;
    if (isQuiet && other === process && !this.#skipped.has(name)) {
      simulation.violation(`${this.id} ${name} is performed twice at once`);
    }
    this.#performing.set(name, process);
    // a step that computes does not look
    const signal = blocks > 0 ? undefined : step.signal;
    if (signal !== undefined) this.#ongoing.set(name, { signal, process });
    signal?.addEventListener("abort", () => this.#aborted(name, process));
    const stored = journal.progress.get(name)?.value;
    // what an operator has skipped begins with what was known, though its progress is dropped
    // a leader that was just elected may lack the end of the step, and the node begins it again
    const isKnown = !process.isStale && !process.troubled && !this.#skipped.has(name) && !simulation.electing;
    const isTrue = !isKnown || step.last === stored;
    if (!isTrue) simulation.violation(`${this.id} ${name} goes on at ${step.last}, stored: ${stored}`);
    process.mayDie();
    await this.#pause(process, ms / 2);
    const progress = ((step.last as number | undefined) ?? 0) + 1;
    if (simulation.showing) step.progress(progress);
    // each attempt that is over still shows something, as the function of a step may
    const late = this.#late;
    this.#late = () => simulation.stepsShow && step.show({ step: name } as never);
    this.#late();
    late?.();
    const attempt = (this.#attempts.get(name) ?? 0) + 1;
    this.#attempts.set(name, attempt);
    const threw = () => {
      this.#threw.set(name, { at: simulation.now, by: process.endpoint });
      if (simulation.showing) this.#reported.set(name, { progress, by: process.endpoint });
    };
    if (isQuiet && attempt > fails + 1) simulation.violation(`${this.id} ${name} is performed again`);
    if (attempt <= fails) {
      if (blocks > 0) await process.block(blocks);
      if (this.#performing.get(name) === process) this.#performing.delete(name);
      this.#isOver(name, signal);
      threw();
      throw new Error(`attempt ${attempt} fails`);
    }
    await process.request(() => this.#effect(name), () => {
      this.#isOver(name, signal);
      threw();
      throw new Error("nobody answers");
    }, 2_000);
    await this.#pause(process, ms / 2);
    if (blocks > 0) await process.block(blocks);
    process.mayDie();
    if (this.#performing.get(name) === process) this.#performing.delete(name);
    this.#isOver(name, signal);
    return `did ${name}`;
  }

  #isOver(name: string, signal: AbortSignal | undefined): void {
    if (this.#ongoing.get(name)?.signal === signal) this.#ongoing.delete(name);
  }

  /** The signal of an attempt has aborted: nobody needs the step any more. */
  #aborted(name: string, process: Process): void {
    const { journal: { ended, cancelled, outcomes, holder } } = this;
    if (!this.#simulation.isAnswered || holder !== process.endpoint) return;
    if (ended !== undefined || cancelled !== undefined || outcomes.has(name)) return;
    this.#simulation.violation(`${this.id} aborts ${name}, which is needed`);
  }

  /** Steps that still run when their run has ended, as they lost a race: each learns of it. */
  #losersLearn(): void {
    const simulation = this.#simulation;
    for (const [name, { signal, process }] of this.#ongoing) {
      if (process.dead || this.journal.outcomes.has(name)) continue;
      simulation.sums.losers++;
      simulation.after(LOSER_LEARNS, () => {
        if (!simulation.isAnswered || process.dead || this.#ongoing.get(name)?.signal !== signal) return;
        if (signal.reason?.code === "CANCELLED") return;
        simulation.violation(`${this.id} has ended without ${name}, which does not learn of it`);
      });
    }
  }

  #effect(name: string): void {
    const done = this.#effects.get(name);
    this.#simulation.trace(this.id, "does", name);
    if (done === undefined) this.#effects.set(name, { at: this.#simulation.now, undone: 0 });
  }

  async #undo(flow: Flow, process: Process, name: string, value: string): Promise<void> {
    if (value !== `did ${name}` && !this.#skipped.has(name)) {
      this.#simulation.violation(`${this.id} undoes ${name} with ${value}`);
    }
    const undo = async () => {
      process.mayDie();
      await process.request(() => {
        const done = this.#effects.get(name);
        if (done === undefined && !this.#skipped.has(name)) {
          this.#simulation.violation(`${this.id} undoes ${name}, which was not done`);
        } else if (done !== undefined) done.undone ||= this.#simulation.now;
        for (const [other, by] of this.#performing) {
          const lost = this.#simulation.now - this.#simulation.lostAt < LONGEST_STEP;
          if (other !== name && !by.dead && process === by && !lost && this.#isOpen(other)) {
            this.#simulation.violation(`${this.id} undoes ${name} while ${other} is performed`);
          }
        }
      }, () => {
        throw new Error("nobody answers");
      }, 2_000);
    };
    if (name.startsWith("b")) await flow.step(`back ${name}`, undo, { retry: { delay: [200, 2_000] } });
    else await undo();
  }

  #isOpen(name: string): boolean {
    return !this.journal.outcomes.has(name) &&
      this.program.parts.some((part) =>
        (part.type === "all" ? part.parts : [part]).some((own) => own.type === "step" && own.name === name && own.undo)
      );
  }

  #pause(process: Process, ms: number): Promise<void> {
    return new Promise((resolve) => void process.after(ms, resolve));
  }

  // the end -----------------------------------------------------------------------------------------

  check(): void {
    const simulation = this.#simulation;
    const { journal } = this;
    simulation.sums.runs++;
    if (!this.over) {
      const last = this.#entries.slice(-4).map((entry) => JSON.stringify(entry)).join(" ");
      return simulation.violation(`${this.id} has not ended; its last entries: ${last}`);
    }
    if (!journal.ended!.ok) simulation.sums.failed++;
    if (journal.cancelled !== undefined) simulation.sums.cancelled++;
    const order: string[] = [];
    for (const [name] of journal.outcomes) if (!name.startsWith("back ")) order.push(name);
    const undone = [
      ...new Set(this.#entries.flatMap((entry) => {
        if (entry.t === "undone") return [entry.step];
        const isTold = entry.t === "tried" && entry.next === undefined && entry.step.startsWith(UNDO);
        return isTold ? [entry.step.slice(UNDO.length)] : [];
      })),
    ];
    const undoable = order.filter((name) =>
      !this.#skipped.has(name) && this.#parts().some((own) => own.name === name && own.undo)
    );
    if (journal.ended!.ok) {
      if (undone.length > 0) simulation.violation(`${this.id} is done, and has undone ${undone}`);
      const races = this.program.parts.flatMap((part) => part.type === "all" && part.race ? [part.parts] : []);
      for (const parts of races) {
        if (!parts.some(({ name }) => journal.outcomes.has(name))) {
          simulation.violation(`${this.id} is done without a race`);
        }
      }
      const losers = races.flat().flatMap(({ name }) => journal.outcomes.has(name) ? [] : [name]);
      for (const { name } of this.#parts()) {
        if (losers.includes(name)) continue;
        if (!journal.outcomes.has(name)) simulation.violation(`${this.id} is done without ${name}`);
        if (!this.#effects.has(name) && !this.#skipped.has(name)) {
          simulation.violation(`${this.id} is done, and ${name} was not`);
        }
      }
    } else {
      // a step that was skipped may not have been called
      if (`${undone.filter((name) => !this.#skipped.has(name))}` !== `${undoable.toReversed()}`) {
        simulation.violation(`${this.id} finished ${undoable}, and has undone ${undone}`);
      }
      // what was done and can be undone is undone, whether its outcome was known or not
      for (const [name, { undone }] of this.#effects) {
        const lost = simulation.lostAt > -Infinity && !journal.outcomes.has(name);
        if (
          undone === 0 && !lost && !this.#skipped.has(name) &&
          this.#parts().some((own) => own.name === name && own.undo)
        ) {
          simulation.violation(`${this.id} has failed, and ${name} was done and is not undone`);
        }
      }
    }
    if (simulation.givingUp) return this.#checkSeen();
    const took = this.#entries.flatMap((entry) => entry.t === "took" && entry.n !== undefined ? [entry.n] : []);
    if (new Set(took).size < took.length) simulation.violation(`${this.id} took a signal twice`);
    if (`${took}` !== `${took.toSorted((a, b) => a - b)}`) {
      simulation.violation(`${this.id} took its signals out of order`);
    }
  }

  /** The handler got the signals of each name in their order, each once, without a gap. */
  #checkSeen(): void {
    const { ended } = this.journal;
    if (!ended!.ok) return;
    const ids = new Set<string>();
    const told = this.#entries.flatMap((entry) => {
      if (entry.t !== "signalled" || ids.has(`${entry.signal} ${entry.id}`)) return [];
      ids.add(`${entry.signal} ${entry.id}`);
      return [entry];
    });
    const seen: readonly string[] = JSON.parse((ended!.value as Record<string, string>)["got"]);
    for (const name of [TOLD.name, ALSO.name]) {
      const all = told.filter(({ signal }) => signal === name).map(({ value }) => `${name} ${value}`);
      const got = seen.filter((one) => one.startsWith(`${name} `));
      if (`${got}` === `${all.slice(0, got.length)}`) continue;
      this.#simulation.violation(`${this.id} was told ${all}, and its handler got ${got}`);
    }
  }

  #parts(): Extract<Part, { type: "step" }>[] {
    return this.program.parts.flatMap((part) => part.type === "all" ? part.parts : part.type === "step" ? [part] : []);
  }
}

if (import.meta.main) await playSeeds(simulateFlow);
