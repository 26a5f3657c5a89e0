/**
 * Leaders of one subscription under faults, all of it drawn from one seed: leaders and nodes are killed and frozen
 * between any two requests to the store, appends are stored without an answer, or later, or twice; reads lag behind;
 * store and log lose their ends; the store is full; operators replay, discard and go back; a message ends the process
 * that runs it. What runs and what is stored is checked all the while.
 *
 *   deno run test/simulation/subscription_simulation.ts 42
 *
 * prints what went wrong, for `0..99` that of each of these seeds, with `first` no more than that of the first that
 * went wrong.
 *
 * @module
 */
import process from "node:process";
import { endOf, sequenceOf } from "../../src/log/format/group_text.ts";
import {
  type Commit,
  type Head,
  isSame,
  messageId,
  type Place,
  readCommit,
  stateOf,
  type StoredState,
} from "../../src/log/format/commit.ts";
import type { LoggedMessage } from "../../src/log/format/logged_message.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import type { Random } from "../../src/ports/clock.ts";
import {
  Commits,
  type CommitSteps,
  firstCommit,
  type Request,
  type RequestAnswer,
  type TakenLead,
} from "../../src/log/subscriptions/commits.ts";
import { Category, type Item } from "../../src/log/subscriptions/category.ts";
import { DEFAULT_SETTINGS } from "../../src/log/subscriptions/spec.ts";
import { NO_OVERRIDES, readOverrides, writeOverrides } from "../../src/log/format/overrides.ts";
import { RunLimit } from "../../src/log/subscriptions/limit_gate.ts";
import type { LetterRequest, RewindRequest } from "../../src/log/format/subscription_request.ts";
import type { ReportedRun } from "../../src/log/subscriptions/late_outcome.ts";
import { type FoundMessage, Ledger } from "../../src/log/subscriptions/ledger.ts";
import type { LimitOverride } from "../../src/contract/nodes/node_info.ts";
import { playSeeds } from "./seeds.ts";
import { drawnOverrides, inForce, withoutEndless } from "./simulated_operator.ts";

/** What came of a run. */
export interface SimulatedSubscription {
  readonly violations: readonly string[];
  readonly sums: Record<Sum, number>;
}

const SUMS = [
  "runs",
  "together",
  "commits",
  "deaths",
  "takeovers",
  "cuts",
  "requests",
  "dead",
  "lost",
  "rewinds",
  "unhandled",
  "blocks",
  "reports",
  "left",
  "passed",
  "brought",
  "full",
  "accounts",
  "skipped",
  "ahead",
  "overrides",
  "held",
  "cancelled",
] as const;
type Sum = (typeof SUMS)[number];

/** What goes wrong in the run of a seed. */
interface Mode {
  readonly kills: number;
  readonly freezes: number;
  /** Of the store, and of the log. */
  readonly cuts: number;
  readonly logCuts: number;
  /** The part of appends that have no answer. */
  readonly unknown: number;
  readonly stale: number;
  readonly full: number;
  readonly requests: number;
  readonly poison: boolean;
  readonly failures: number;
}

const CALM: Mode = {
  kills: 0,
  freezes: 0,
  cuts: 0,
  logCuts: 0,
  unknown: 0,
  stale: 0.2,
  full: 0,
  requests: 0,
  poison: false,
  failures: 0.15,
};
/** Of a mode in which nothing loses its end. */
const NO_LOSS = { cuts: 0, logCuts: 0 };
/** The mode of a seed is that of its remainder. */
const MODES: readonly Mode[] = [
  { ...CALM, kills: 12, requests: 10 },
  { ...CALM, kills: 8, unknown: 0.2, requests: 10 },
  { ...CALM, kills: 4, freezes: 8, unknown: 0.1, requests: 10 },
  { ...CALM, kills: 4, freezes: 3, cuts: 6, unknown: 0.1, requests: 10, failures: 0.3 },
  { ...CALM, kills: 4, freezes: 3, cuts: 3, logCuts: 4, unknown: 0.1, requests: 6 },
  { ...CALM, poison: true, failures: 0.05 },
  { ...CALM, poison: true, unknown: 0.1, failures: 0 },
  { ...CALM, kills: 6, freezes: 3, cuts: 2, unknown: 0.1, full: 4, requests: 8, failures: 0.4 },
];

/** From this seed on messages are handed out in batches, and some failures are outages, which are no attempts. */
export const BATCHED = 1_000_000;
/** From this seed on operators have subscriptions go back; no store loses its end. */
export const REWOUND = 2_000_000;
/** From this seed on no live node handles the messages for some times, as after a rollback; half of it in batches. */
export const UNHANDLED = 3_000_000;
/**
 * From this seed on handlers of some messages block their process, which goes on later with all that has waited for it;
 * leaders pass over nodes that do not answer. Half of it in batches.
 */
export const BLOCKED = 4_000_000;

/** From this seed on keys are left behind all the time; half of it in batches, a third with operators who go back. */
export const LEFT = 5_000_000;

/**
 * From this seed on two messages run at once at most; half of it three, and one of each account, with leaders of two
 * versions, one of which does not know the accounts; a third with operators who go back; no store loses its end.
 */
export const LIMITED = 6_000_000;
/**
 * From this seed on messages have tenants that are passed by all the time, with leaders of versions that have none, and
 * of ones with others; half of it with limits by account, a third with operators who go back.
 */
export const FAIR = 7_000_000;
/**
 * From this seed on a message of an account is skipped while an earlier one of it is not done, with leaders of versions
 * that do not know the accounts; half of it with tenants, a third with operators who go back.
 */
export const OVER = 8_000_000;
/** From this seed on only the newest message of an account waits; else as those before. */
export const LAST = 9_000_000;
/** From this seed on messages of tenants count as older, with leaders of versions in which they do not. */
export const AHEAD = 10_000_000;
/**
 * From this seed on the newest message of an account has the run of the one before it aborted, as by those of {@link
 * LAST}; some of what leaders say to nodes is lost.
 */
export const CANCEL = 11_000_000;
/**
 * From this seed on, up to {@link OVER}, messages with tenants, and limits by account in half of it, are handed out in
 * batches; so are those of the second halves of {@link OVER} and {@link LAST}.
 */
export const LIMITED_BATCHES = 7_500_000;
/**
 * From this seed on an operator pauses limits and keys, sets their numbers, and clears that again, in seeds of all
 * kinds that have limits ({@link KINDS}): also with leaders of versions that do not know the accounts, who go back, in
 * batches, and with a log, or a store, that loses its end.
 */
export const OPERATED = 12_000_000;
const KINDS = ["all", "accounts", "tenants", "skip", "last", "cancel", "ahead"] as const;
const RUNNING = 2;
const RUNNING_OF_ALL = 3;
const ACCOUNTS = 4;

/** The functions of versions of the leader's program: messages of a key have one tenant. */
const TENANTS = [
  (payload: string) => `${Number(payload) % 3}`,
  (payload: string) => `${Number(payload) % 2}`,
  undefined,
];

const TRACE = process.argv[3] === "trace";
const NODES = 3;
const STORM = 4_000;
const MESSAGES = 120;
const KEYS = 12;
/** How long a commit stands still before others take the lead, in ms. */
const STILL = 300;
/** How much the store may lose, and how old garbage is before it is erased, in ms. */
const SYNC = 250;
const GARBAGE = 600;
/** How long what runs has to end before a leader goes back, in ms. */
const PATIENCE = 1_000;
const SCALE = 1_024;
/** How long a message blocks its process at most, in ms. */
const BLOCK = 2_500;
/** How long a new leader waits for a node at its barrier, and holds back what the node may run, in ms. */
const BARRIER = 250;
const HELD_BACK = 500;
/** How long a leader waits for the answer to a request, in ms. */
const ANSWER = 400;
/** How long a node is silent until it leaves the live ones, in ms. */
const LEAVES = 1_500;
/** How long a run takes at least that its node remembers, in ms. */
const LONG = 100;

/** Runs the subscription of a seed (a safe integer). */
export function simulateSubscription(seed: number): SimulatedSubscription {
  return new Run(seed).run();
}

interface Stored {
  readonly sequence: number;
  readonly at: number;
  readonly subject: string;
  readonly text: string;
  /** For commits, as they were when they were written. */
  readonly by?: string;
}

interface Published extends LoggedMessage {
  readonly poison: boolean;
  /** How long its handler blocks its process, in ms. */
  readonly blocks: number;
}

interface Running {
  readonly message: Published;
  readonly waiting: ((outcome: Outcome) => void)[];
  /** Token of the last leader that asked for it: it gets the answer, and counts it. */
  token: number;
  /** True if a leader did not wait for it: the message may run elsewhere. */
  isPassedOver: boolean;
  /** True if a leader has had it aborted. */
  isCancelled: boolean;
}

/** What a node says that it runs, and has run. */
interface Report {
  readonly running: readonly string[];
  readonly finished: ReadonlyMap<string, ReportedRun>;
}

type Outcome =
  | "done"
  | "failed"
  | "final"
  | "refused"
  | "outvoted"
  | "unknown"
  | "outage"
  | "busy"
  | "thrown"
  | "replaced";

/** What became of a message, as an observer of all sees it. */
interface Fate {
  readonly message: Published;
  begun: number;
  /** How often it failed, or its process ended while it ran. */
  failed: number;
  handled: boolean;
  lost: boolean;
  /** A discard of it is stored, at this time. */
  discarded: boolean;
  discarding: boolean;
  givenUp: boolean;
  /** The number of its last attempt since it was replayed. */
  attempt: number;
  /** The process that has handled it in a long run, which it remembers. */
  handledAt: string;
  /** True if a leader has skipped it, and if that is stored. */
  isSkipping: boolean;
  skipped: boolean;
}

class Run {
  readonly violations: string[] = [];
  readonly sums = Object.fromEntries(SUMS.map((sum) => [sum, 0])) as Record<Sum, number>;
  readonly random: Random;
  readonly mode: Mode;
  readonly fates = new Map<string, Fate>();
  readonly nodes: SimNode[] = [];
  /** With the poison no settings change. */
  readonly attempts: number;
  /** How long handlers take at least, and nearly how long the poison, in ms. */
  readonly slow: number;
  now = 1_000_000;
  storm = true;
  /** True while live nodes handle the messages. */
  handles = true;
  rollbacks = 0;
  /** The stream of subscriptions. */
  stored: Stored[] = [];
  sequence = 0;
  fullUntil = 0;
  /** The log. */
  log: Published[] = [];
  #logSequence = 0;
  #events: { at: number; order: number; action: () => void }[] = [];
  #order = 0;
  #known = "";
  #state: StoredState | undefined;
  /** The token of the term that went back last: what was handed out then may still begin. */
  rewinding = 0;
  #place: Place = { created: "1", read: 0, time: 0, epoch: 0 };
  /** When the store last lost its end. */
  cutAt = -Infinity;
  logCutAt = -Infinity;
  poisonDeaths = new Map<string, number>();
  /** How many leaders a message has killed: the last suspicion of each may not be stored. */
  readonly leadersKilled = new Map<string, number>();
  #requests = new Map<string, LetterRequest>();
  /** Requests that had an effect, by what they say, and the terms whose commits say so. */
  readonly carried = new Map<string, string[]>();
  /** Messages that a leader was about to begin, each the only one, when it was killed. */
  readonly begunAlone = new Set<string>();
  /** What the operator has set, as it is stored. */
  overrides: readonly LimitOverride[] = [];
  /** The greatest number of messages at once that was ever set, by limit. */
  readonly mostSet = new Map<string, number>();
  /** Messages that ran when the store lost its end. */
  readonly ranAtCut = new Set<string>();
  /** What the leader of a term has skipped, and how many earlier ones had. */
  readonly skips = new Map<string, { readonly before: number; readonly ids: string[] }>();

  constructor(readonly seed: number) {
    this.random = seededRandom(seed);
    const mode = MODES[seed % MODES.length];
    this.mode = seed >= OPERATED
      ? { ...mode, ...((this.rewinds || this.kind !== "all") && { poison: false }), ...(this.rewinds && NO_LOSS) }
      : this.isOver
      ? { ...mode, poison: false, ...NO_LOSS, requests: mode.requests + 6 }
      : seed >= FAIR
      ? { ...mode, ...((this.rewinds || this.hasAccounts) && { poison: false, ...NO_LOSS }) }
      : seed >= LIMITED
      ? { ...mode, ...NO_LOSS }
      : seed >= LEFT
      ? { ...mode, ...(this.rewinds && { poison: false, ...NO_LOSS }) }
      : seed >= BLOCKED
      ? { ...mode, poison: false, ...NO_LOSS, full: 0, kills: seed % 3 === 0 ? 2 : 0 }
      : seed < REWOUND || seed >= UNHANDLED
      ? mode
      : { ...mode, poison: false, ...NO_LOSS };
    this.attempts = 1 + Math.floor(seed / MODES.length) % 3;
    this.slow = this.mode.poison && Math.floor(seed / MODES.length) % 2 > 0 ? 900 : 0;
    for (let i = 0; i < NODES; i++) this.nodes.push(new SimNode(this, i));
  }

  run(): SimulatedSubscription {
    const { mode, seed } = this;
    const head = {
      leader: "",
      token: 0,
      place: { created: "1", read: 0, time: 0, epoch: 0 },
      open: [],
      began: { A: 0 },
      requests: 0,
      doubt: undefined,
    };
    this.#put("rec", firstCommit("first", head));
    for (const node of this.nodes) node.start();
    for (let i = 0; i < MESSAGES; i++) this.after(this.random() ** 2 * STORM, () => this.#publish());
    const some = (most: number, action: () => void) => {
      for (let n = Math.ceil(this.random() * most); n > 0 && most > 0; n--) this.after(this.random() * STORM, action);
    };
    some(mode.kills, () => this.pick(this.nodes).kill(false));
    some(mode.freezes, () => this.pick(this.nodes).freeze(this.random() ** 2 * 2_000));
    some(mode.cuts, () => this.#cut());
    some(mode.logCuts, () => this.#cutLog());
    some(mode.full, () => this.fullUntil = this.now + this.random() * 600);
    some(mode.requests, () => this.#request());
    if (this.rewinds) some(3, () => this.#rewind());
    if (seed >= OPERATED) some(12, () => this.#operate());
    if (this.seed >= UNHANDLED && this.seed < BLOCKED) some(4, () => this.#rollBack());
    this.#advance(STORM);
    this.storm = false;
    this.handles = true;
    if (seed >= OPERATED) this.#override(this.random() < 0.5 ? [] : withoutEndless(this.overrides));
    for (const node of this.nodes) node.settle();
    this.#advance(20_000);
    let runs = -1; // what was passed by waits for dead letters if nothing runs any more
    const isDone = () => this.#isSettled() && (this.#isAllRead || runs === this.sums.runs);
    // slow handlers, of which an operator has one run at a time, need longer: as long as one has run in a round
    for (let round = 0; (round < 20 || (round < 80 && runs !== this.sums.runs)) && !isDone(); round++) {
      runs = this.sums.runs;
      this.#advance(3_000);
    }
    this.#last();
    return { violations: this.violations, sums: this.sums };
  }

  /** Notes it if more messages run than may. */
  checkLimit(id: string): void {
    if (!this.hasLimit) return;
    const running = this.runningNow();
    const all = new Set([...running, id]);
    const most = Math.max(this.mostOfAll, this.#mostSet("all"));
    if (all.size > most) this.wrong(`${id} runs beside ${running}`);
    if (all.size === most) this.sums.full++;
    if (!this.hasAccounts) return;
    const accounts = [...all].map((each) => this.fates.get(each)!.message.payload);
    const ofEach = Math.max(1, this.#mostSet("account"));
    if ([...new Set(accounts)].some((account) => accounts.filter((each) => each === account).length > ofEach)) {
      this.wrong(`${id} runs beside ${running}, of the accounts ${accounts}`);
    }
    if (all.size > 1) this.sums.accounts++;
  }

  /** Ids of the messages that run, but for those of which the next leader cannot know it: the store has lost them. */
  runningNow(): readonly string[] {
    return this.nodes.flatMap((node) => [...node.running.keys()]).filter((id) =>
      !this.fates.get(id)!.lost && !this.ranAtCut.has(id)
    );
  }

  /** The greatest number that the operator has ever set of a limit: which one counts is looked at as messages begin. */
  #mostSet(limit: string): number {
    return this.mostSet.get(limit) ?? 0;
  }

  /** The kind of a seed that is operated; the others have one for all. */
  get kind(): typeof KINDS[number] | undefined {
    return this.seed < OPERATED ? undefined : KINDS[Math.floor(this.seed / 24) % KINDS.length];
  }

  /** True if messages have a limit. */
  get hasLimit(): boolean {
    return this.seed >= LIMITED && (this.seed < FAIR || this.seed >= OPERATED || this.hasAccounts);
  }

  /** How many run at once, without an operator. */
  get mostOfAll(): number {
    return this.hasAccounts ? RUNNING_OF_ALL : RUNNING;
  }

  /** True if one message of each account runs at once. */
  get hasAccounts(): boolean {
    if (this.seed >= OPERATED) return this.kind !== "all" && (this.kind !== "ahead" || this.seed % 2 > 0);
    return this.seed >= LIMITED && (this.isOver || this.seed % 2 > 0);
  }

  /** True if messages are skipped. */
  get isOver(): boolean {
    return this.isSkip || this.isLast;
  }

  /** True if a message is skipped while an earlier one is not done. */
  get isSkip(): boolean {
    return (this.seed >= OVER && this.seed < LAST) || this.kind === "skip";
  }

  /** True if only the newest message waits. */
  get isLast(): boolean {
    return (this.seed >= LAST && this.seed < AHEAD) || this.kind === "last" || this.isCancel;
  }

  /** True if the newest message has the run of the one before it aborted, too. */
  get isCancel(): boolean {
    return (this.seed >= CANCEL && this.seed < OPERATED) || this.kind === "cancel";
  }

  /** True if messages of tenants count as older. */
  get isAhead(): boolean {
    return (this.seed >= AHEAD && this.seed < CANCEL) || this.kind === "ahead";
  }

  /** True if messages of tenants are passed by. */
  get hasTenants(): boolean {
    if (this.seed >= OPERATED) return this.kind === "tenants" || this.isAhead || (this.isOver && this.seed % 2 > 0);
    return this.seed >= FAIR && (!this.isOver || this.seed % 2 > 0);
  }

  /** True if messages with limits, or tenants, are handed out in batches. */
  get inBatches(): boolean {
    if (this.seed >= OPERATED) return !this.isAhead && !this.isCancel && Math.floor(this.seed / 144) % 2 > 0;
    return this.seed >= LIMITED_BATCHES && this.seed < AHEAD && this.seed % 1_000_000 >= 500_000;
  }

  /** True if handlers block their processes. */
  get blocks(): boolean {
    return this.seed >= BLOCKED && this.seed < LEFT;
  }

  /** True if operators go back. */
  get rewinds(): boolean {
    return (this.seed >= REWOUND && this.seed < UNHANDLED) ||
      (this.seed >= LEFT && this.seed % 3 === 0 && (this.seed >= FAIR || !(this.seed >= LIMITED && this.mode.poison)));
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.random() * from.length)];
  }

  after(ms: number, action: () => void): void {
    const event = { at: this.now + Math.max(0, ms), order: this.#order++, action };
    let at = this.#events.length;
    while (at > 0 && this.#events[at - 1].at > event.at) at--;
    this.#events.splice(at, 0, event);
  }

  trace(what: () => string): void {
    if (TRACE) console.log(`${Math.round(this.now - 1_000_000)} ${what()}`);
  }

  wrong(what: string): void {
    this.trace(() => `WRONG ${what}`);
    if (this.violations.length < 20) this.violations.push(`at ${Math.round(this.now - 1_000_000)}: ${what}`);
  }

  /** The messages of the store as a server that may lag behind has them. */
  view(): readonly Stored[] {
    if (!this.storm || this.random() >= this.mode.stale) return this.stored;
    const behind = this.sequence - Math.floor(this.random() * 6);
    return this.stored.filter(({ sequence }) => sequence <= behind);
  }

  lastOf(subject: string): Stored | undefined {
    return this.stored.findLast((each) => each.subject === subject);
  }

  /** The state that counts. */
  get state(): StoredState | undefined {
    const commits = this.stored.filter(({ subject }) => subject === "rec");
    const known = commits.map(({ sequence, at }) => `${sequence}.${at}`).join();
    if (known !== this.#known) {
      this.#known = known;
      this.#state = stateOf(commitsIn(commits).map(({ commit }) => commit));
    }
    return this.#state;
  }

  /** Appends with faults. `answer`: what the writer learns; none: it is dead. */
  append(
    subject: string,
    text: string,
    expect: number | undefined,
    answer: (sequence: number | "no" | "unknown") => void,
  ) {
    const store = () => {
      if (this.now < this.fullUntil) return "no";
      if (expect !== undefined && (this.lastOf(subject)?.sequence ?? 0) !== expect) return "no";
      return this.#put(subject, text);
    };
    const draw = this.storm ? this.random() : 1;
    if (draw < this.mode.unknown) {
      const when = this.random();
      if (when < 0.4) store();
      else if (when < 0.8) this.after(this.random() ** 3 * 3_000, store);
      this.after(40, () => answer("unknown"));
    } else {this.after(this.random() * 2, () => {
        const stored = store();
        this.after(this.random() * 3, () => answer(stored));
      });}
  }

  purge(subject: string, before: number): void {
    const messages = this.stored.filter((each) => each.subject === subject && each.sequence < before);
    if (messages.length === 0) return;
    this.stored = this.stored.filter((each) => !messages.includes(each));
    this.trace(() => `purge ${subject} below ${before}: ${messages.map(({ sequence }) => sequence)}`);
  }

  #put(subject: string, text: string): number {
    const sequence = ++this.sequence;
    this.stored.push({ sequence, at: this.now, subject, text });
    if (subject === "rec") {
      this.sums.commits++;
      this.trace(() =>
        `commit ${sequence} ${text.replace(/"(parked|open)":("[^"]*"|\[\[.*?\]\]),/g, "").replaceAll('"', "")}`
      );
      this.#checkCommit(text);
    }
    return sequence;
  }

  /** The store loses what it stored last; what was erased since then stays so. */
  #cut(): void {
    const since = this.now - this.random() * SYNC;
    this.cutAt = this.now;
    this.sums.cuts++;
    this.stored = this.stored.filter(({ at, subject }) => at <= since || (subject === "rec" && at === 1_000_000));
    this.stored.sort((a, b) => a.sequence - b.sequence);
    this.sequence = this.stored.reduce((most, { sequence }) => Math.max(most, sequence), 0);
    this.trace(() => `cut to ${this.sequence}`);
    const { state } = this;
    for (const [id, fate] of this.fates) if (state?.parked.has(id)) fate.discarded = false;
    if (state !== undefined) this.#noteBegunByDead(state.head); // its leader may have been killed after later commits
    for (const id of this.nodes.flatMap(({ running }) => [...running.keys()])) this.ranAtCut.add(id);
    for (const node of this.nodes) node.onDoubt();
  }

  #cutLog(): void {
    const since = this.now - this.random() * SYNC;
    this.trace(() => "cut the log");
    this.logCutAt = this.now;
    const lost = this.log.filter(({ time }) => time > since);
    this.log = this.log.filter(({ time }) => time <= since);
    this.#logSequence = this.log.length === 0 ? 0 : this.log[this.log.length - 1].position / SCALE;
    for (const message of lost) this.fates.get(messageId(message))!.lost = true;
    for (const node of this.nodes) node.onDoubt();
  }

  #publish(): void {
    const position = ++this.#logSequence * SCALE;
    const key = this.random() < 0.8 ? `${Math.floor(this.random() ** 2 * KEYS)}` : undefined;
    const poison = this.mode.poison && [...this.fates.values()].every(({ message }) => !message.poison) &&
      this.random() < 0.05;
    const blocks = this.blocks && this.random() < 0.06 ? LONG + this.random() ** 2 * BLOCK : 0;
    const message: Published = {
      blocks,
      position,
      time: Math.floor(this.now),
      category: "A",
      id: `${position}@${Math.floor(this.now)}`,
      key,
      payload: this.hasTenants
        ? `${Number(key ?? KEYS) % (2 * ACCOUNTS)}`
        : this.hasAccounts
        ? `${Math.floor(this.random() * ACCOUNTS)}`
        : 0,
      tagged: false,
      meta: undefined,
      poison,
    };
    if (this.log.some(({ time }) => time === message.time) || this.fates.has(messageId(message))) {
      this.#logSequence--;
      return this.after(1, () => this.#publish());
    }
    this.log.push(message);
    this.fates.set(messageId(message), {
      message,
      begun: 0,
      failed: 0,
      handled: false,
      lost: false,
      discarded: false,
      discarding: false,
      givenUp: false,
      attempt: 0,
      handledAt: "",
      isSkipping: false,
      skipped: false,
    });
  }

  #request(): void {
    const dead = [...this.state?.parked.values() ?? []].filter((state) => state.dead > 0);
    if (dead.length === 0) return this.storm ? this.after(this.random() * 500, () => this.#request()) : undefined;
    const letter = this.pick(dead);
    const kind = this.random() < 0.5 ? "replay" : "discard";
    const id = `r${this.#requests.size}`;
    const request: LetterRequest = { kind, message: messageId(letter), dead: letter.dead };
    this.#requests.set(id, request);
    this.sums.requests++;
    const send = () =>
      this.append(`req.${id}`, JSON.stringify(request), undefined, (stored) => {
        if (stored === "unknown" || stored === "no") this.after(20, send);
      });
    send();
  }

  /** Has the operator set something else of the limits. */
  #operate(): void {
    const accounts = Array.from({ length: 2 * ACCOUNTS }, (_, i) => `${i}`);
    this.#override(drawnOverrides({ all: [], ...(this.hasAccounts && { account: accounts }) }, this.random, this.now));
  }

  #override(overrides: readonly LimitOverride[]): void {
    this.sums.overrides++;
    this.overrides = overrides;
    for (const { limit, set: { running = 0 } = {} } of overrides) {
      this.mostSet.set(limit, Math.max(this.#mostSet(limit), running));
    }
    this.trace(() => `operator: ${JSON.stringify(overrides)}`);
    this.#put("overrides", writeOverrides({ limits: overrides }));
    for (const node of this.nodes) node.onOverrides();
  }

  /** Has all behind a message of the log be handled again. */
  #rewind(): void {
    if (this.log.length === 0) return;
    const request: RewindRequest = { kind: "rewind", to: this.pick(this.log).position };
    const id = `b${this.random().toString(36).slice(2)}`;
    const send = () =>
      this.append(`req.${id}`, JSON.stringify(request), undefined, (stored) => {
        if (stored === "unknown" || stored === "no") this.after(20, send);
      });
    send();
  }

  /** Lets no live node handle the messages for a while. */
  #rollBack(): void {
    this.handles = false;
    this.rollbacks++;
    this.after(this.random() * 1_500, () => this.handles = true);
  }

  /** A commit is stored that goes back: what is behind its place is handled again. */
  #wentBack({ place: { read }, token }: Head): void {
    this.sums.rewinds++;
    this.rewinding = token;
    this.trace(() => `back to ${read}`);
    for (const fate of this.fates.values()) {
      if (fate.message.position > read) fate.handled = fate.discarded = fate.discarding = false;
      if (fate.message.position > read) fate.isSkipping = fate.skipped = false;
    }
  }

  /** Looks at each commit as it is stored. */
  #checkCommit(text: string): void {
    const commit = readCommit(text);
    if (typeof commit === "string") return this.wrong(`a commit is invalid: ${commit}`);
    const { state } = this;
    if (state === undefined || !isSame(state.id, commit.id)) return;
    for (const node of this.nodes) node.checkStored(commit);
    const { place, skipped = 0 } = commit.head;
    const { before: known, ids } = this.skips.get(commit.id[0]) ?? { before: skipped, ids: [] };
    for (const id of ids.slice(0, skipped - known)) this.fates.get(id)!.skipped = true;
    if (skipped < known || skipped > known + ids.length) {
      this.wrong(`${skipped} are skipped, not ${known + ids.length}`);
    }
    const before = this.#place;
    this.#place = place;
    if (place.rewound && (!before.rewound || place.read < before.read)) this.#wentBack(commit.head);
    const { open } = commit.head;
    for (const message of this.log) {
      const isOpen = open.some(([position]) => position === message.position);
      if (isOpen && state.parked.has(messageId(message))) this.wrong(`${messageId(message)} is open, and parked`);
    }
    this.#checkAttempts(state);
    this.#noteBegunByDead(commit.head); // its leader may have been killed before it was stored
  }

  /** Takes note of what the leader of a commit was about to begin, if it has been killed. */
  #noteBegunByDead({ leader, doubt }: Pick<Head, "leader" | "doubt">): void {
    const isAlive = leader === "" || this.nodes.some((node) => node.alive && node.endpoint === leader);
    if (!isAlive) this.wereBegun(doubt?.begun ?? []);
  }

  /** Attempts that a commit counts have failed, or their process may have ended. */
  #checkAttempts({ head: { open, place }, parked }: StoredState): void {
    const counts = new Map([...parked].map(([id, { attempts }]) => [id, attempts]));
    const openAttempts = new Map(open);
    for (const message of this.log) {
      const attempts = message.time <= place.time ? openAttempts.get(message.position) : undefined;
      if (attempts !== undefined) counts.set(messageId(message), attempts);
    }
    for (const [id, attempts] of counts) {
      const failed = this.fates.get(id)?.failed ?? 0;
      if (attempts > failed) this.wrong(`${id} has ${attempts} attempts, and failed ${failed} times`);
    }
  }

  /** Takes note of what a leader was about to begin when it was killed. */
  wereBegun([alone, ...more]: readonly string[]): void {
    if (alone !== undefined && more.length === 0) this.begunAlone.add(alone);
  }

  #advance(ms: number): void {
    const end = this.now + ms;
    for (let next = this.#events[0]; next !== undefined && next.at <= end; next = this.#events[0]) {
      this.#events.shift();
      this.now = Math.max(this.now, next.at);
      next.action();
      if (this.violations.length >= 20) return;
    }
    this.now = end;
  }

  #isSettled(): boolean {
    const { state } = this;
    if (state === undefined) return false;
    return state.head.open.length === 0 && this.#isAllBrought(state) &&
      state.head.place.read >= (this.log.at(-1)?.position ?? 0) &&
      [...state.parked.values()].every(({ dead }) => dead > 0 || this.#isBehindDead(state));
  }

  /** True if nothing is left behind, or passed by. */
  get #isAllRead(): boolean {
    const { left = [], passed = [] } = this.state?.head ?? {};
    return left.length + passed.length === 0;
  }

  /** True if what is left behind waits for dead letters. */
  #isAllBrought({ head: { left = [], passed = [] }, parked }: StoredState): boolean {
    const dead = new Set([...parked].flatMap(([id, { dead }]) => dead > 0 ? [this.fates.get(id)?.message.key] : []));
    const isDead = [...parked.values()].some(({ dead }) => dead > 0);
    return left.every(([, key]) => dead.has(key)) && (passed.length === 0 || isDead);
  }

  /** The newest message of each account was not skipped, unless it was for one that the log has lost since. */
  #checkLast(): void {
    const newest = new Map<unknown, Fate>();
    for (const fate of this.fates.values()) newest.set(fate.message.payload, fate);
    for (const { message, isSkipping, lost } of newest.values()) {
      if (isSkipping && !lost) this.wrong(`${messageId(message)} is skipped, the newest of its account`);
    }
  }

  /** Returns true if the log has a later message of the account. */
  hasLaterOf({ payload, position }: LoggedMessage): boolean {
    return this.log.some((other) => other.payload === payload && other.position > position);
  }

  #hasLaterBegun({ key, position }: Published): boolean {
    return key !== undefined &&
      [...this.fates.values()].some((fate) =>
        fate.message.key === key && fate.message.position > position && fate.begun > 0
      );
  }

  #isBehindDead({ parked }: StoredState): boolean {
    const dead = new Set([...parked].filter(([, { dead }]) => dead > 0).map(([id]) => this.fates.get(id)?.message.key));
    return [...parked].every(([id, { dead: at }]) => at > 0 || dead.has(this.fates.get(id)?.message.key));
  }

  /** What has to hold when nothing goes wrong any more. */
  #last(): void {
    const { state } = this;
    if (state === undefined) return this.wrong("nothing is stored");
    if (!this.#isSettled()) {
      this.wrong(`it does not come to rest: ${JSON.stringify({ ...state.head, parked: [...state.parked.values()] })}`);
    }
    const entries = new Set(this.stored.map(({ subject }) => subject));
    const poisoned = new Set([...this.fates.values()].flatMap(({ message }) => message.poison ? [message.key] : []));
    for (
      const [id, { message, handled, failed, lost, discarding, givenUp, handledAt, skipped, isSkipping }] of this.fates
    ) {
      if (skipped) this.sums.skipped++;
      // its leader died before that was stored; the next one knows by a later one of its key that it is done
      const isSkipped = skipped || (isSkipping && this.#hasLaterBegun(message));
      const parked = state.parked.get(id);
      if (parked !== undefined && !entries.has(`park.${id}`)) {
        this.wrong(`${id} is parked and its message is not stored`);
      }
      if (parked !== undefined && parked.dead > 0) {
        this.sums.dead++;
        if (failed === 0) this.wrong(`${id} is a dead letter and never failed`);
      }
      const isKnown = this.nodes.some(({ alive, endpoint }) => alive && endpoint === handledAt);
      if (parked !== undefined && parked.dead > 0 && isKnown) this.wrong(`${id} is a dead letter, and was handled`);
      const isLeft = state.head.left?.some(([, key, from]) =>
            key === message.key && message.position > from
          ) === true ||
        state.head.passed?.some(([from, to]) => from <= message.position && message.position <= to) === true;
      if (parked === undefined && !handled && !lost && !discarding && !givenUp && !isLeft && !isSkipped) {
        this.wrong(`${id} was passed over`);
      }
      if (givenUp) this.sums.lost++;
      if (givenUp && this.logCutAt < 0 && this.cutAt < 0) this.wrong(`${id} was given up though nothing was lost`);
      const isBehindPoison = message.key !== undefined && poisoned.has(message.key);
      if (this.mode.poison && !message.poison && !handled && !isBehindPoison) {
        this.wrong(`${id} is innocent and was not handled`);
      }
      if (this.mode.poison && message.poison) {
        if (parked === undefined || parked.dead === 0) this.wrong(`${id} is no dead letter`);
        const deaths = this.poisonDeaths.get(id) ?? 0;
        const more = (this.slow > 0 ? 6 : 2) + Math.min(2, this.leadersKilled.get(id) ?? 0);
        // what cannot run is not suspected any more: after a rollback the search begins again
        if (deaths > (more + this.attempts) * (1 + this.rollbacks)) this.wrong(`${id} ended ${deaths} processes`);
      }
    }
    if (this.isLast) this.#checkLast();
    for (const [id, commits] of this.carried) {
      if (commits.length > 1 && this.cutAt < 0) this.wrong(`request ${id} was carried out by ${commits.join(" and ")}`);
    }
    for (const [id] of this.#requests) {
      const request = this.stored.findLast(({ subject }) => subject === `req.${id}`);
      if (request === undefined) continue;
      const { message, dead }: LetterRequest = JSON.parse(request.text);
      if (state.parked.get(message)?.dead === dead) this.wrong(`request ${id} is not carried out`);
    }
  }
}

/** A process that runs messages, and may lead. */
class SimNode {
  readonly name: string;
  readonly #run: Run;
  incarnation = 0;
  alive = false;
  frozenUntil = 0;
  token = 0;
  /** Whose token it is. */
  term = "";
  readonly running = new Map<string, Running>();
  ended = new Map<string, number>();
  /** What is not to begin here any more, with the token of the leader that says so. */
  readonly cancelled = new Map<string, number>();
  /** What came of its long runs. */
  readonly finished = new Map<string, ReportedRun>();
  /** How often it was silent for so long that it left. */
  departures = 0;
  leader: SimLeader | undefined;
  #seen: { sequence: number; term: string; at: number } | undefined;
  attempts: number;
  mostParked = 1_000;
  mostOfKey = 1_000;
  few = 200;
  /** How many messages a batch has at most; 0: none are made. */
  mostOfBatch = 0;

  constructor(run: Run, index: number) {
    this.#run = run;
    this.name = `n${index}`;
    this.attempts = run.attempts;
  }

  start(): void {
    const { random, mode } = this.#run;
    this.alive = true;
    this.incarnation++;
    this.token = 0;
    this.running.clear();
    this.ended.clear();
    this.finished.clear();
    this.cancelled.clear();
    this.#seen = undefined;
    this.few = random() < 0.5 ? 0 : 200;
    if (!mode.poison) {
      this.attempts = 1 + Math.floor(random() * 4);
      this.mostOfKey = 1 + Math.floor(random() * 20);
      this.mostParked = this.#run.storm && random() < 0.2 ? 15 : this.#run.seed >= LEFT ? 60 : 1_000;
    }
    const { seed } = this.#run;
    if ((seed >= BATCHED && seed < REWOUND) || (seed >= UNHANDLED && seed % 2 > 0) || this.#run.inBatches) {
      this.mostOfBatch = 2 + Math.floor(random() * 8);
    }
    this.#tick();
  }

  get endpoint(): string {
    return `${this.name}.${this.incarnation}`;
  }

  /** In this process, when it is not frozen. */
  after(ms: number, action: () => void): void {
    const { incarnation } = this;
    const fire = () => {
      if (!this.alive || this.incarnation !== incarnation) return;
      if (this.frozenUntil > this.#run.now) this.#run.after(this.frozenUntil - this.#run.now, fire);
      else action();
    };
    this.#run.after(ms, fire);
  }

  /** Calls back, if this process is still there. */
  own<T>(action: (value: T) => void): (value: T) => void {
    const { incarnation } = this;
    return (value) => {
      if (this.alive && this.incarnation === incarnation) this.after(0, () => action(value));
    };
  }

  kill(poisoned: boolean): void {
    if (!this.alive) return;
    const run = this.#run;
    run.trace(() => `kill ${this.endpoint} ${poisoned}`);
    if (poisoned || run.storm) run.sums.deaths++;
    this.alive = false;
    this.frozenUntil = 0;
    const waiting = [...this.running.values()].flatMap(({ waiting }) => waiting);
    for (const id of this.running.keys()) run.fates.get(id)!.failed++;
    // others may lead since it wrote what it was about to begin
    const { writer = "", head } = run.state ?? {};
    if (this.leader !== undefined || writer === this.endpoint) run.wereBegun(head?.doubt?.begun ?? []);
    this.running.clear();
    this.leader = undefined;
    for (const answer of waiting) answer("unknown");
    run.after(20 + run.random() * 300, () => this.start());
  }

  /** From now on there is room for all. */
  settle(): void {
    this.mostParked = 1_000;
    if (this.leader !== undefined && !this.#run.mode.poison) this.kill(false);
  }

  freeze(ms: number): void {
    this.#run.trace(() => `freeze ${this.endpoint} ${ms}`);
    if (this.alive) this.frozenUntil = Math.max(this.frozenUntil, this.#run.now + ms);
  }

  onDoubt(): void {
    this.leader?.onDoubt();
  }

  onOverrides(): void {
    this.after(this.#run.random() ** 2 * 200, () => this.leader?.onOverrides());
  }

  report(): Report {
    return { running: [...this.running.keys()], finished: new Map(this.finished) };
  }

  /** Remembers what came of a run that began at `began`, if it took long. */
  #keep(id: string, token: number, attempt: number, outcome: Outcome, began: number): void {
    if (this.#run.now - began < LONG || !this.#run.blocks) return;
    if (outcome !== "done" && outcome !== "failed" && outcome !== "final") return;
    if (outcome !== "done" && this.finished.get(id)?.outcome === "done") return;
    const failure = { code: outcome, message: "", final: outcome === "final", node: undefined };
    this.finished.set(id, { token, attempt, outcome: outcome === "done" ? "done" : failure });
    if (outcome === "done") this.#run.fates.get(id)!.handledAt = this.endpoint;
  }

  /** Notes the attempt with which a message begins; a message that blocks its process counts one for it. */
  #begins(message: Published, attempt: number): void {
    const run = this.#run;
    const fate = run.fates.get(messageId(message))!; // each that was published has one
    if (this.finished.get(messageId(message))?.outcome !== "done") this.finished.delete(messageId(message));
    if (run.blocks && attempt < fate.attempt) {
      run.wrong(`${messageId(message)} runs with attempt ${attempt} behind attempt ${fate.attempt}`);
    }
    fate.attempt = attempt;
    if (message.blocks === 0) return;
    run.sums.blocks++;
    fate.failed++;
    this.freeze(message.blocks);
  }

  checkStored(commit: Commit): void {
    // of two terms the older changes nothing after the newer's barrier
    const { leader } = this;
    if (leader === undefined || !leader.behindBarrier || commit.id[0] === leader.term) return;
    if (commit.head.token < leader.token && this.#run.cutAt < leader.since) {
      this.#run.wrong(`${commit.id} is stored after the barrier of ${leader.term}`);
    }
  }

  /** A leader wants messages run here as one: they end together. */
  requestBatch(
    messages: readonly Published[],
    attempts: readonly number[],
    token: number,
    term: string,
    answer: (outcomes: Outcome[]) => void,
  ): void {
    const run = this.#run;
    const all = (outcome: Outcome) => answer(messages.map(() => outcome));
    if (token < this.token || (token === this.token && term !== this.term)) return all("outvoted");
    [this.token, this.term] = [token, term];
    const ids = messages.map(messageId);
    run.trace(() => `batch ${this.endpoint} ${ids} keys ${messages.map(({ key }) => key)}`);
    if (ids.some((id) => this.running.has(id))) return all("busy");
    for (const [i, id] of ids.entries()) this.#check(id, messages[i], token, ids);
    const waiting = messages.map((): ((outcome: Outcome) => void)[] => []);
    const outcomes: Outcome[] = [];
    for (const [i, id] of ids.entries()) {
      run.sums.runs++;
      run.sums.together++;
      run.checkLimit(id);
      run.fates.get(id)!.begun++; // each that was published has one
      this.running.set(id, {
        message: messages[i],
        waiting: waiting[i],
        token,
        isPassedOver: false,
        isCancelled: false,
      });
      this.#begins(messages[i], attempts[i]);
      waiting[i].push((outcome) => {
        outcomes.push(outcome);
        if (outcomes.length === ids.length) answer(outcomes);
      });
    }
    const poison = messages.find(({ poison }) => poison);
    if (poison !== undefined) {
      return this.after(run.slow * 0.7 + run.random() * 5, () => {
        this.#dieOf(messageId(poison));
      });
    }
    const began = run.now;
    this.after(run.slow + run.random() ** 4 * 150, () => {
      const thrown = run.storm && !run.mode.poison && run.random() < run.mode.failures;
      const held = new Set<string | undefined>();
      for (const [i, id] of ids.entries()) {
        const asked = this.running.get(id)!.token; // it runs here
        this.running.delete(id);
        this.ended.set(id, run.now);
        const { key } = messages[i];
        const fails = run.storm && !run.mode.poison && run.random() < run.mode.failures / 4;
        const own: Outcome = thrown
          ? "thrown"
          : key !== undefined && held.has(key)
          ? "refused"
          : fails
          ? "failed"
          : "done";
        if (own !== "done") held.add(key);
        if (own === "done") run.fates.get(id)!.handled = true;
        if (own === "failed" && messages[i].blocks === 0) run.fates.get(id)!.failed++;
        this.#keep(id, asked, attempts[i], own, began);
        for (const each of waiting[i]) each(own);
      }
    });
  }

  /** A leader wants a message run here. */
  request(
    message: Published,
    attempt: number,
    token: number,
    term: string,
    answer: (outcome: Outcome) => void,
  ): void {
    const run = this.#run;
    const id = messageId(message);
    run.trace(() =>
      `asked ${this.endpoint} ${id} key ${message.key} token ${token}, own ${this.token}, running ${[
        ...this.running.keys(),
      ]}`
    );
    if (token < this.token || (token === this.token && term !== this.term)) return answer("outvoted");
    [this.token, this.term] = [token, term];
    const known = this.running.get(id);
    if (known !== undefined) {
      known.token = token;
      known.waiting.push(answer);
      return;
    }
    if (this.cancelled.get(id) === token) return answer("replaced");
    run.sums.runs++;
    run.checkLimit(id);
    this.#check(id, message, token);
    const running: Running = { message, waiting: [answer], token, isPassedOver: false, isCancelled: false };
    this.running.set(id, running);
    const fate = run.fates.get(id)!; // each that was published has one
    fate.begun++;
    this.#begins(message, attempt);
    const began = run.now;
    if (message.poison) {
      return this.after(run.slow * 0.7 + run.random() * 5, () => {
        this.#dieOf(id);
      });
    }
    this.after(run.slow + run.random() ** 4 * 150, () => {
      this.running.delete(id);
      this.ended.set(id, run.now);
      // no innocent fails as often as there are attempts
      const draw = (run.mode.poison ? fate.begun < run.attempts : run.storm) ? run.random() : 1;
      const outcome = running.isCancelled && run.random() < 0.7
        ? "replaced"
        : draw < run.mode.failures / 4 && !run.mode.poison
        ? "final"
        : draw < run.mode.failures
        ? this.mostOfBatch > 0 && draw < run.mode.failures / 2 ? "outage" : "failed"
        : "done";
      if (outcome === "done") fate.handled = true;
      else if (outcome !== "outage" && outcome !== "replaced" && message.blocks === 0) fate.failed++;
      this.#keep(id, running.token, attempt, outcome, began);
      for (const each of running.waiting) each(outcome);
    });
  }

  /** A leader has the run of a message aborted. */
  cancel(id: string, token: number, term: string): void {
    const run = this.#run;
    if (token < this.token || (token === this.token && term !== this.term)) return;
    const running = this.running.get(id);
    run.trace(() => `cancel ${this.endpoint} ${id} ${running !== undefined}`);
    if (running === undefined) return void this.cancelled.set(id, token);
    if (!running.isCancelled) run.sums.cancelled++;
    running.isCancelled = true;
  }

  #dieOf(poison: string): void {
    const run = this.#run;
    run.poisonDeaths.set(poison, (run.poisonDeaths.get(poison) ?? 0) + 1);
    if (this.leader !== undefined) run.leadersKilled.set(poison, (run.leadersKilled.get(poison) ?? 0) + 1);
    this.kill(true);
  }

  /** `together`: those that it runs with. */
  #check(id: string, message: Published, token: number, together: readonly string[] = []): void {
    const run = this.#run;
    const lines = run.nodes.flatMap((node) => [...node.running.values()]);
    // of one that the log has lost nobody knows the key any more
    const isKnown = (other: Running) => !other.isPassedOver && !run.fates.get(messageId(other.message))!.lost;
    if (message.key !== undefined && lines.some((other) => other.message.key === message.key && isKnown(other))) {
      run.wrong(`${id} runs beside another of its key ${message.key}`);
    }
    for (const [other, fate] of run.fates) {
      if (message.key === undefined || fate.message.key !== message.key || other === id) continue;
      if (token <= run.rewinding) continue;
      if (together.includes(other)) {
        const isBehind = together.indexOf(other) > together.indexOf(id);
        if (isBehind !== fate.message.time > message.time) {
          run.wrong(`${id} and ${other} are in no order in their batch`);
        }
        continue;
      }
      const before = fate.message.time < message.time;
      // a leader that another one has followed skips, too, if the store has lost that other one
      const isSkipped = fate.isSkipping || fate.skipped;
      if (before && !fate.handled && !fate.lost && !fate.discarding && !fate.givenUp && !isSkipped) {
        const parked = JSON.stringify(run.state?.parked.get(other));
        run.wrong(`${id} runs before ${other} of its key ${message.key}, begun ${fate.begun} times, ${parked}`);
      }
    }
    const { state } = run;
    const fate = run.fates.get(id)!; // each that was published has one
    if (state === undefined || state.head.token !== token || run.cutAt > run.now - 2_000) return;
    const parked = state.parked.get(id);
    const { read, time } = state.head.place;
    const isRead = message.position <= read && message.time <= time;
    const isOpen = state.head.open.some(([position]) => position === message.position) ||
      state.head.left?.some(([, key, from]) => key === message.key && message.position > from) ||
      state.head.passed?.some(([from, to]) => from <= message.position && message.position <= to);
    if (parked !== undefined ? parked.dead > 0 : isRead && !isOpen) {
      run.wrong(`${id} runs and has ended (${parked?.dead ?? "done"})`);
    }
    if (fate.discarded) run.wrong(`${id} was discarded and runs`);
  }

  #tick(): void {
    this.after(20 + this.#run.random() * 10, () => this.#tick());
    if (this.leader !== undefined) return this.leader.tick();
    const last = this.#run.lastOf("rec");
    const [{ commit }] = last === undefined ? [{ commit: undefined }] : commitsIn([last]);
    if (last === undefined || commit === undefined) return;
    const term = commit.id.join();
    if (this.#seen?.sequence !== last.sequence || this.#seen.term !== term) {
      this.#seen = { sequence: last.sequence, term, at: this.#run.now };
    }
    const { leader } = commit.head;
    const isGone = !this.#run.nodes.some((node) => node.alive && node.endpoint === leader);
    const still = this.#run.now - this.#seen.at;
    if (leader === "" || leader === this.endpoint || still > STILL || (isGone && still > 30)) {
      this.leader = new SimLeader(this.#run, this);
    }
  }
}

/** Answers of nodes to a new leader. */
interface Answered {
  readonly running: ReadonlyMap<string, string>;
  readonly ended: ReadonlySet<string>;
  readonly finished: ReadonlyMap<string, ReportedRun>;
  readonly silent: readonly SimNode[];
  readonly alive: ReadonlySet<string>;
}

/** A node while it leads, or is about to. */
class SimLeader {
  readonly term: string;
  readonly since: number;
  behindBarrier = false;
  readonly #run: Run;
  readonly #node: SimNode;
  #taken: TakenLead | undefined;
  #ledger: Ledger | undefined;
  readonly #category: Category;
  /** The limits as versions of the leader's program have them. */
  readonly #limits: readonly Category["limits"][] = [];
  #overrides: readonly LimitOverride[] = [];
  #writing = false;
  #over = false;
  #written = 0;
  #goesBack = false;
  /** Garbage, and since when it is. */
  readonly #garbage = new Map<string, number>();
  readonly #bases: [sequence: number, at: number][] = [];

  constructor(run: Run, node: SimNode) {
    this.#run = run;
    this.#node = node;
    this.since = run.now;
    this.term = `${node.endpoint}@${Math.round(run.now - 1_000_000)}`;
    const isBatched = node.mostOfBatch > 0 && (run.seed < LIMITED || run.inBatches);
    const batch = isBatched ? { max: node.mostOfBatch, within: 0 } : undefined;
    const fair = run.hasTenants ? run.pick(TENANTS) : undefined;
    const isAhead = run.isAhead && run.random() < 0.7;
    const ahead = isAhead ? { ahead: (payload: string) => Number(payload) % 2 > 0 ? 1_000 : 0 } : {};
    const settings = {
      ...{ ...DEFAULT_SETTINGS, attempts: node.attempts, batch },
      ...(fair && { fair: { by: fair, weight: undefined, most: 4, ...ahead } }),
    };
    this.#category = new Category({ service: "shop", name: "billing" }, "A", settings, 1_000);
    this.#category.capable = run.handles ? 1 : 0;
    if (run.hasLimit) {
      const numbers = { running: run.mostOfAll, count: Infinity, ms: Infinity, burst: 1 };
      const all = { limit: new RunLimit<Item>("all", numbers, run.now), key: undefined };
      const account = new RunLimit<Item>("account", { ...numbers, running: 1 }, run.now, true);
      const over = run.isSkip ? "skip" : run.isCancel ? "cancel" : run.isLast ? "last" : undefined;
      account.isCounted = over !== undefined;
      account.isRanked = all.limit.isRanked = over === "last" || over === "cancel" || isAhead;
      const versions = [(payload: string) => payload, undefined].map((key) =>
        [
          all,
          { limit: account, key, over: key && over },
        ] as const
      );
      this.#limits = run.hasAccounts ? versions : [[all]];
      this.#category.limits = run.pick(this.#limits);
    }
    this.#take();
  }

  get token(): number {
    return this.#taken?.commits.token ?? 0;
  }

  onDoubt(): void {
    if (this.#taken !== undefined) this.#taken.commits.inDoubt = true;
    this.onOverrides();
  }

  /** Has what the operator has set take effect. */
  onOverrides(): void {
    if (this.#ledger === undefined || this.#over || this.#run.seed < OPERATED) return;
    const stored = this.#run.lastOf("overrides");
    const read = stored === undefined ? NO_OVERRIDES : readOverrides(stored.text);
    if (typeof read === "string") return this.#run.wrong(`overrides are invalid: ${read}`);
    this.#overrides = read.limits ?? [];
    for (const limit of new Set(this.#limits.flatMap((each) => each ?? []).map(({ limit }) => limit))) {
      limit.override = this.#overrides.find((each) => each.limit === limit.id);
    }
    this.#ledger.limitsOverridden();
    if (this.behindBarrier && this.#written > 0) this.#begin();
  }

  tick(): void {
    const ledger = this.#ledger;
    if (ledger === undefined || this.#over) return;
    const run = this.#run;
    if (!this.#goesBack) {
      this.#checkLog();
      this.#read();
      if (run.seed >= UNHANDLED) this.#count(ledger);
      this.#requests();
      this.#begin();
    }
    if (run.now - this.#written > 100 || ledger.waitsForCommit) this.#write();
    this.#check(ledger);
  }

  #check(ledger: Ledger): void {
    try {
      ledger.checkSlots();
      ledger.passed.check();
    } catch (error) {
      this.#run.wrong(`${error}`);
    }
    if (this.#category.limits?.some(({ over }) => over === "cancel") === true) this.#checkReplaced(ledger);
  }

  /** Notes it if a message runs, and is not to be aborted, while a later one of its account is in hand. */
  #checkReplaced({ open, parked }: Ledger): void {
    const all = [...open, ...[...parked].filter(({ dead }) => dead === 0)];
    for (const item of all) {
      if (item.turn !== "begun" || item.isReplaced) continue;
      const later = all.find((other) => other.message.payload === item.message.payload && other.isBehind(item));
      if (later !== undefined) this.#run.wrong(`${item.id} runs on, while ${later.id} of its account is in hand`);
    }
  }

  /** Has the run of a message aborted, unless nobody hears it. */
  #cancel({ id }: Item, node: SimNode | undefined): void {
    if (node === undefined || this.#run.random() < 0.3) return; // one that was not sent yet is when it is sent
    const { token, term } = this;
    this.#run.after(this.#run.random() * 5, () => node.after(0, () => node.cancel(id, token, term)));
  }

  /** The node to which each message was sent last. */
  readonly #sentTo = new Map<string, SimNode>();

  /** Counts the nodes that handle the messages; parks those that none handles, and wakes some when one does. */
  #count(ledger: Ledger): void {
    const { random, handles, now, sums } = this.#run;
    this.#category.capable = handles ? 1 : 0;
    if (this.#limits.length > 1 && random() < 0.05) this.#category.limits = this.#run.pick(this.#limits);
    ledger.refresh(this.#category);
    const before = ledger.parked.awaiting.size;
    if (!handles && random() < 0.3) ledger.parkUnhandled(Math.floor(now));
    sums.unhandled += ledger.parked.awaiting.size - before;
    if (handles) { for (const item of ledger.parked.awaiting) if (random() < 0.3) ledger.wakeAwaiting(item); }
  }

  #end(): void {
    this.#over = true;
    if (this.#node.leader === this) this.#node.leader = undefined;
  }

  /** Carries out the steps; a process that ends takes no more of them. */
  #steps<T>(steps: CommitSteps<T>, then: (value: T) => void): void {
    const go = (answer: RequestAnswer) => {
      if (this.#over) return;
      const { done, value } = steps.next(answer);
      if (done) return then(value);
      this.#carryOut(value, this.#node.own(go));
    };
    go({ type: "done" });
  }

  #carryOut(request: Request, answer: (answer: RequestAnswer) => void): void {
    const run = this.#run;
    switch (request.type) {
      case "commit":
        return run.append("rec", request.text, request.expect, (stored) => {
          run.trace(() => `${this.term} expected ${request.expect}: ${stored}`);
          answer(typeof stored === "number" ? { type: "stored", sequence: stored } : { type: "not stored" });
        });
      case "entries":
        return this.#put([...request.items], () => answer({ type: "done" }));
      case "last":
        return run.after(2, () => {
          const last = run.lastOf("rec");
          run.trace(() => `${this.term} found ${last?.sequence}`);
          answer({ type: "commits", commits: last === undefined ? [] : commitsIn([last]) });
        });
      case "commits": {
        return run.after(2, () => {
          answer({
            type: "commits",
            commits: commitsIn(run.view().filter(({ sequence }) => sequence >= request.from)),
          });
        });
      }
      case "pause":
        return run.after(10, () => answer({ type: "done" }));
    }
  }

  /** Pipelined; each until it is acknowledged. */
  #put(items: Item[], done: () => void): void {
    let left = items.length;
    for (const item of items) {
      const text = JSON.stringify({ message: item.message, error: item.error });
      const put = () =>
        this.#run.append(
          `park.${item.id}`,
          text,
          undefined,
          this.#node.own((stored) => {
            if (this.#over) return;
            if (typeof stored !== "number") return this.#node.after(10, put);
            if (--left === 0) done();
          }),
        );
      put();
    }
  }

  #take(): void {
    const options = {
      leader: this.#node.endpoint,
      term: this.term,
      few: this.#node.few,
    };
    this.#steps(Commits.take(options), (taken) => {
      if (typeof taken !== "object") return this.#end();
      this.#taken = taken;
      this.#run.sums.takeovers++;
      this.#barrier();
    });
  }

  #barrier(): void {
    const { token } = this;
    const said = {
      running: new Map<string, string>(),
      ended: new Set<string>(),
      finished: new Map<string, ReportedRun>(),
      alive: new Set<string>(),
      silent: [] as SimNode[],
    };
    let isRefused = false;
    let left = NODES;
    const answered = () => {
      if (--left > 0 || this.#over) return;
      // its token is that of another, or smaller: the store has lost its end
      if (isRefused) return this.#end();
      // what runs still is not the run that is meant
      const { rewound } = this.#taken!.stored.head.place; // it leads
      if (rewound && said.running.size > 0) return this.#node.after(50, () => this.#over || this.#barrier());
      this.behindBarrier = true;
      this.#list((entries) => this.#loaded(entries, said));
    };
    for (const node of this.#run.nodes) {
      if (!node.alive) {
        answered();
        continue;
      }
      const { incarnation } = node;
      let isAnswered = false;
      const ask = this.#node.own(() => {
        if (!isAnswered) answered();
        isAnswered = true;
      });
      const gone = () => !node.alive || node.incarnation !== incarnation;
      const since = this.#run.now;
      const wait = () => {
        if (isAnswered) return;
        if (gone()) return ask(0);
        // what a node runs that does not answer may run elsewhere, too
        if (this.#run.blocks && this.#run.now - since > BARRIER) {
          said.silent.push(node);
          for (const each of node.running.values()) each.isPassedOver = true;
          return ask(0);
        }
        this.#run.after(50, wait);
      };
      node.after(this.#run.random() * 3, () => {
        if (node.token > token || (node.token === token && node.term !== this.term)) isRefused = true;
        else [node.token, node.term] = [token, this.term];
        if (isAnswered) return;
        for (const [id, run] of node.finished) {
          const known = said.finished.get(id);
          if (known?.outcome !== "done" && (run.outcome === "done" || run.token >= (known?.token ?? 0))) {
            said.finished.set(id, run);
          }
        }
        said.alive.add(node.endpoint);
        for (const id of node.running.keys()) said.running.set(id, node.name);
        for (const [id, at] of node.ended) if (this.#run.now - at < 2_000) said.ended.add(id);
        ask(0);
      });
      this.#run.after(50, wait);
    }
  }

  /** The entries, as a server that may lag behind has them; those that it lacks as the leader of the stream does. */
  #list(then: (entries: Map<string, { message: Published; error: Item["error"] }>) => void): void {
    const run = this.#run;
    this.#node.after(3, () => {
      if (this.#over) return;
      const entries = new Map<string, { message: Published; error: Item["error"] }>();
      for (const { subject, text } of run.view()) {
        if (subject.startsWith("park.")) entries.set(subject.slice(5), JSON.parse(text));
      }
      for (const id of this.#taken!.stored.parked.keys()) { // it leads
        const entry = entries.has(id) ? undefined : run.lastOf(`park.${id}`);
        if (entry !== undefined) entries.set(id, JSON.parse(entry.text));
      }
      then(entries);
    });
  }

  #loaded(
    entries: Map<string, { message: Published; error: Item["error"] }>,
    { running, ended, finished, silent, alive }: Answered,
  ): void {
    const run = this.#run;
    const { mostParked } = this.#node;
    const { stored } = this.#taken!; // it leads
    const unclean = stored.writer !== "" && !alive.has(stored.writer);
    const { place, doubt } = stored.head;
    for (const id of doubt?.begun ?? []) {
      // nobody knows if it was sent, unless a node says so now: a node that saw it may have ended since its leader did
      if (run.begunAlone.has(id) && !running.has(id) && !ended.has(id)) run.fates.get(id)!.failed++;
    }
    const ledger = new Ledger({
      head: stored.head,
      mostParked,
      categories: { began: stored.head.began, of: () => this.#category },
      ...(this.#run.hasTenants && { keptOfTenant: 3 }),
      onSkipped: (message, item) => this.#onSkipped(message, item),
      onReplaced: (item) => this.#cancel(item, this.#sentTo.get(item.id)),
    });
    const messages = new Map<string, FoundMessage>();
    for (const [id, { message, error }] of entries) {
      if (!stored.parked.has(id)) {
        this.#garbage.set(id, run.now);
        continue;
      }
      messages.set(id, { in: "store", message, error, loaded: true, size: 0 });
    }
    const inLog = new Map(run.log.map((message) => [messageId(message), message]));
    for (const id of stored.parked.keys()) {
      const message = inLog.get(id);
      if (!messages.has(id) && message !== undefined) messages.set(id, { in: "log", message });
    }
    const open = new Set(stored.head.open.map(([position]) => position));
    for (const [id, message] of inLog) {
      const isOpen = open.has(message.position) && (place.time === 0 || message.time <= place.time);
      if (!messages.has(id) && (isOpen || running.has(id) || finished.has(id))) {
        messages.set(id, { in: "log", message });
      }
    }
    const end = run.log.at(-1)?.position ?? 0;
    const lost = ledger.takeOver({
      ...{ stored, messages, running, ended, finished, unclean, end, now: run.now },
      isSilent: silent.some(({ endpoint }) => endpoint === stored.writer),
    });
    for (const each of lost) {
      for (const [id, fate] of run.fates) if (id === each || id.startsWith(`${each}-`)) fate.givenUp ||= fate.lost;
    }
    for (const each of lost) {
      if (each.includes("-") && (!run.fates.get(each)!.lost || run.lastOf(`park.${each}`) !== undefined)) {
        run.wrong(`the message of ${each} is gone`);
      }
    }
    this.#ledger = ledger;
    this.onOverrides();
    this.#check(ledger); // before the first refresh, which counts again what is in hand
    this.#ran = new Set(running.keys());
    run.skips.set(this.term, { before: stored.head.skipped ?? 0, ids: [] });
    for (const [id, each] of finished) if (each.outcome !== "done") this.#reported(id, each);
    if (silent.length > 0) this.#hearOf(silent);
    run.trace(() =>
      `loaded ${this.term} key 1: ${
        [...ledger.parked].filter((i) => i.key === "1").map((i) => [i.id, i.due, i.dead])
      } open ${stored.head.open.map(([p]) => p)}`
    );
    this.#checkLog();
    this.#write();
  }

  /** Acts on what came of an earlier run. */
  #reported(id: string, reported: ReportedRun): void {
    const run = this.#run;
    run.sums.reports++;
    const ledger = this.#ledger!; // it leads
    const { item, then } = ledger.reported(id, ledger.byId([id]).get(id), reported, this.token) ?? {};
    run.trace(() => `reported ${this.term} ${id} ${JSON.stringify(reported)} ${then}`);
    if (item === undefined || then !== "failed" || reported.outcome === "done") return;
    this.#settle(item, reported.outcome.final ? "final" : "failed", "");
  }

  /** Holds back for a while what silent nodes may run, and acts on what they say when they go on. */
  #hearOf(silent: readonly SimNode[]): void {
    const ledger = this.#ledger!; // it leads
    const run = this.#run;
    ledger.awaitsReports = true;
    const awaited = new Set(silent);
    // any node may run any message
    const heard = (node: SimNode) => {
      if (!awaited.delete(node) || this.#over) return;
      ledger.holdBack(awaited.size === 0 ? undefined : () => true);
      this.#begin();
    };
    ledger.holdBack(() => true);
    const { head: { doubt }, writer } = this.#taken!.stored; // it leads
    let isCounted = false;
    const silenceLasts = () => {
      // as for a death: if it alone had begun
      for (const id of isCounted ? [] : doubt?.begun ?? []) run.fates.get(id)!.failed++;
      isCounted = true;
      ledger.silenceLasts();
    };
    this.#node.after(HELD_BACK, () => {
      if (this.#over || awaited.size === 0) return;
      silenceLasts();
      for (const each of [...awaited]) heard(each);
    });
    let left = silent.length;
    for (const node of silent) {
      const { endpoint } = node;
      this.#hear(node, (report) => {
        if (this.#over) return;
        if (report !== undefined) ledger.silenceEnds();
        else if (endpoint === writer) silenceLasts();
        for (const [id, each] of report?.finished ?? []) this.#reported(id, each);
        const running = new Set(report?.running);
        for (const id of running) ledger.runsAt(ledger.byId([id]).get(id), node.name, running);
        heard(node);
        if (--left === 0) ledger.awaitsReports = false; // what the last one says counts, too
      });
    }
  }

  /** Calls back with what a node says when it goes on, or without it when it has ended, or has left. */
  #hear(node: SimNode, then: (report: Report | undefined) => void): void {
    const run = this.#run;
    const { incarnation } = node;
    let isOver = false;
    const since = run.now;
    const end = this.#node.own((report: Report | undefined) => {
      if (!isOver) then(report);
      isOver = true;
    });
    node.after(run.random() * 2, () => end(node.report()));
    const wait = () => {
      if (isOver || this.#over) return;
      if (!node.alive || node.incarnation !== incarnation) return end(undefined);
      if (run.now - since > LEAVES && node.frozenUntil > run.now) {
        node.departures++;
        for (const each of node.running.values()) each.isPassedOver = true;
        // when it is back, it says what it has run
        node.after(0, () => {
          if (this.#over) return;
          for (const [id, each] of node.report().finished) this.#node.own(() => this.#reported(id, each))(0);
        });
        return end(undefined);
      }
      run.after(50, wait);
    };
    wait();
  }

  /** Notes it if the log has lost its end. */
  #checkLog(): void {
    const { log } = this.#run;
    const ledger = this.#ledger!; // it leads
    const { place } = ledger;
    if (place.read === 0 || place.time === 0) return;
    const there = log.find(({ position }) => position === place.read);
    if (there?.time === place.time) return;
    if (ledger.open.size > 0) return; // what was read is settled first
    const next = log.find(({ time }) => time > place.time);
    const before = next === undefined ? log.at(-1) : log[log.indexOf(next) - 1];
    ledger.place = { ...place, read: before?.position ?? 0, time: before?.time ?? 0, epoch: place.epoch + 1 };
    ledger.left.lost();
    ledger.passed.lost();
    this.#secondAt = this.#thirdAt = undefined;
  }

  #read(): void {
    const { log, random } = this.#run;
    const ledger = this.#ledger!; // it leads
    let most = this.#run.seed >= LEFT && random() < 0.4 ? 0 : Math.ceil(random() * 20);
    const { place } = ledger;
    const there = log.find(({ position }) => position === place.read);
    if (place.read > 0 && place.time > 0 && there?.time !== place.time) return;
    for (const message of log) {
      if (message.position <= ledger.place.read || most-- <= 0 || ledger.open.size > 40 || ledger.full) continue;
      ledger.place = { ...ledger.place, read: message.position, time: message.time, rewound: false };
      const isOver = this.#isOver(message);
      const before = ledger.open.size;
      ledger.add(message);
      if (isOver && ledger.open.size > before && ![...ledger.open].at(-1)!.joins) {
        this.#run.wrong(`${messageId(message)} was taken, while an earlier one of its account was not done`);
      }
    }
    const isHot = random() < (this.#run.seed >= LEFT ? 0.6 : 0.2);
    if (isHot) ledger.leaveHotKeys(this.#run.seed >= LEFT ? 1 : this.#node.mostOfKey);
    this.#bring(ledger);
    this.#bringPassed(ledger);
    if (ledger.place.read >= (log.at(-1)?.position ?? 0)) ledger.caughtUp();
  }

  /** Returns true if an earlier message of its account is not done, and this version of the program skips it. */
  #isOver(message: LoggedMessage): boolean {
    if (this.#category.limits?.some(({ over }) => over === "skip") !== true) return false;
    // a leader that another one has followed does not know what that one has begun
    const nodes = this.#run.nodes.some(({ token }) => token > this.token) ? [] : this.#run.nodes;
    const running = nodes.flatMap((node) => [...node.running.values()].map(({ message }) => message));
    const earlier = [...this.#earlier(message), ...running.filter(({ time }) => time < message.time)];
    const own = earlier.filter(({ payload }) => payload === message.payload);
    const account = `${message.payload}`;
    return new Set(own.map(messageId)).size >=
      inForce(this.#overrides, "account", account, { running: 1, now: this.#run.now }).running;
  }

  /** The earlier messages that are not done. */
  #earlier({ position }: LoggedMessage): readonly LoggedMessage[] {
    const { open, parked, place: { epoch } } = this.#ledger!; // it leads
    return [...open, ...[...parked].filter(({ dead }) => dead === 0)]
      .filter((item) => item.epoch < epoch || item.position < position).map(({ message }) => message);
  }

  /** Returns the id of a later message of its account that is not done. */
  #laterOf({ time, payload }: LoggedMessage): string | undefined {
    const { open, parked } = this.#ledger!; // it leads
    const running = this.#run.nodes.flatMap((node) => [...node.running.values()].map(({ message }) => message));
    const all = [...open, ...[...parked].filter(({ dead }) => dead === 0)].map(({ message }) => message);
    // what ran when this leader took over, and is still to be read, may have ended since
    const joined = [...this.#ran].map((id) => this.#run.fates.get(id)!.message);
    // a log that has lost its end gives positions again
    const later = [...all, ...running, ...joined].find((other) => other.payload === payload && other.time > time);
    return later && messageId(later);
  }

  /** `item`: the message, if it was in hand. */
  #onSkipped(message: LoggedMessage, item: Item | undefined): void {
    const run = this.#run;
    const id = messageId(message);
    run.trace(() => `skips ${this.term} ${id} of ${message.payload}`);
    if (!run.isOver || (run.isSkip && !this.#isOver(message))) {
      run.wrong(`${id} is skipped, and no earlier one of its account is in hand`);
    }
    // the later one that has had a run aborted may have been left behind, or be known to an earlier leader alone;
    // what the log has lost counts as before all that it still has
    const hasLater = item?.isReplaced
      ? run.hasLaterOf(message)
      : run.fates.get(id)!.lost || this.#laterOf(message) !== undefined;
    if (run.isLast && (item === undefined || !hasLater)) {
      run.wrong(`${id} is skipped, and no later one of its account is in hand`);
    }
    const isOld = run.nodes.some((node) => node.token > this.token);
    if (!isOld && run.nodes.some(({ running }) => running.has(id))) run.wrong(`${id} is skipped, and runs`);
    if (!isOld) run.fates.get(id)!.isSkipping = true;
    run.skips.get(this.term)!.ids.push(id);
  }

  /** Reads what was left behind, as the second reader. */
  #bring(ledger: Ledger): void {
    const { log, random, sums } = this.#run;
    const { left } = ledger;
    sums.left += left.size;
    if (this.#secondAt !== undefined) left.readTo(this.#secondAt, this.#hasCaughtUp, this.#firstAt);
    const turn = left.turn((category, key, waits) => ledger.hasRoom(category, key, waits ? 0.5 : 1));
    if (turn === "rest") this.#secondAt = undefined;
    if (turn === "begin") {
      [this.#secondAt, this.#firstAt, this.#hasCaughtUp] = [left.place, ledger.place.read, false];
    }
    if (turn === "rest" || turn === "wait" || this.#secondAt === undefined) return;
    let most = Math.ceil(random() * 40);
    for (const message of log) {
      if (message.position <= this.#secondAt || most-- <= 0 || ledger.brought > 10 || ledger.full) continue;
      this.#secondAt = message.position;
      const before = ledger.open.size;
      const { read } = ledger.place;
      ledger.bring(message);
      if (message.position > read && ledger.open.size > before) this.#run.wrong("the second reader passes the first");
      sums.brought += ledger.open.size - before;
    }
    this.#hasCaughtUp ||= this.#secondAt >= (log.at(-1)?.position ?? 0);
  }

  /** Reads what was passed by, as the second reader. */
  #bringPassed(ledger: Ledger): void {
    const { log, random, sums } = this.#run;
    const { passed } = ledger;
    sums.passed += passed.size;
    if (this.#thirdAt !== undefined) passed.readTo(this.#thirdAt, this.#thirdCaughtUp, this.#thirdFirst);
    const turn = passed.turn((of, waits) => ledger.mayBring(of, waits ? 0.5 : 1));
    if (turn === "rest") this.#thirdAt = undefined;
    if (turn === "begin") {
      [this.#thirdAt, this.#thirdFirst, this.#thirdCaughtUp] = [passed.place, ledger.place.read, false];
    }
    if (turn === "rest" || turn === "wait" || this.#thirdAt === undefined) return;
    let most = Math.ceil(random() * 40);
    for (const message of log) {
      if (message.position <= this.#thirdAt || most-- <= 0) continue;
      this.#thirdAt = message.position;
      const before = ledger.open.size;
      ledger.bringPassed(message);
      if (message.position > ledger.place.read && ledger.open.size > before) {
        this.#run.wrong("the second reader passes the first");
      }
      sums.brought += ledger.open.size - before;
    }
    this.#thirdCaughtUp ||= this.#thirdAt >= (log.at(-1)?.position ?? 0);
  }

  #thirdAt: number | undefined;
  #thirdFirst = 0;
  #thirdCaughtUp = false;
  #secondAt: number | undefined;
  #firstAt = 0;
  #hasCaughtUp = false;

  #requests(): void {
    const ledger = this.#ledger!; // it leads
    for (const { sequence, subject, text } of this.#run.view()) {
      if (!subject.startsWith("req.")) continue;
      if (sequence <= ledger.upTo) continue;
      const request: LetterRequest | RewindRequest = JSON.parse(text);
      if (request.kind === "rewind") return this.#goBack(sequence, request.to);
      const item = ledger.parked.get(request.message);
      if (item !== undefined && item.dead === request.dead) {
        this.#carriedOut.push(request);
        if (request.kind === "replay") this.#run.fates.get(request.message)!.attempt = 0;
        // the next of its key may run from now on: nothing but a loss of the store keeps the discard from being stored
        if (request.kind === "discard") this.#run.fates.get(request.message)!.discarding = true;
      }
      ledger.carryOut(sequence, request);
    }
  }

  /** Waits until what runs has ended, and begins again behind a place. */
  #goBack(sequence: number, position: number): void {
    const run = this.#run;
    const ledger = this.#ledger!; // it leads
    this.#goesBack = true;
    const since = run.now;
    const wait = () => {
      if (this.#over) return;
      if (this.#writing || (ledger.running > 0 && run.now - since < PATIENCE)) return this.#node.after(20, wait);
      let [last, to] = [sequence, Math.min(position, ledger.place.read)];
      for (const { sequence, subject, text } of run.view()) {
        if (!subject.startsWith("req.") || sequence <= last) continue;
        const request: LetterRequest | RewindRequest = JSON.parse(text);
        if (request.kind !== "rewind") break;
        [last, to] = [sequence, Math.min(to, request.to)];
      }
      const before = sequenceOf(to) - 1;
      ledger.carriedOut(last);
      ledger.rewind(before <= 0 ? 0 : endOf(before), new Set(run.log.map(({ position }) => sequenceOf(position))));
      this.#write(() => this.#end());
    };
    wait();
  }

  #carriedOut: LetterRequest[] = [];
  /** What ran when this leader took over. */
  #ran: ReadonlySet<string> = new Set();

  #begin(): void {
    const run = this.#run;
    const ledger = this.#ledger!; // it leads
    if (this.#goesBack || run.now - this.#written > STILL * 0.8) return;
    // at a limit the oldest of those that wait there is next
    const atLimit = run.isAhead && run.hasLimit ? [...ledger.open, ...ledger.parked].filter(waitsAtLimit) : undefined;
    for (const item of ledger.begin(() => run.now)) {
      this.#checkInForce(item);
      if (run.isLast && !item.joins) this.#checkNewest(item);
      if (run.isAhead && !run.hasAccounts && !item.joins) this.#checkOldest(item, atLimit);
      this.#send(item);
    }
    for (const category of ledger.filling.keys()) {
      while (ledger.isFull(category)) this.#sendBatch(ledger.batch(category, 1_000, () => 1, () => run.now));
      if (run.random() < 0.5) this.#sendBatch(ledger.batch(category, 1_000, () => 1, () => run.now));
    }
    if (ledger.waitsForCommit) this.#write();
    this.#check(ledger);
  }

  /** Notes it if a message begins while a limit of it is full, or paused, as the operator has set it. */
  #checkInForce({ id, joins, message }: Item): void {
    const run = this.#run;
    // what an earlier leader begins behind the next one is refused
    if (run.seed < OPERATED || joins || run.nodes.some(({ token }) => token > this.token)) return;
    const ledger = this.#ledger!; // it leads
    const begun = [...ledger.open, ...ledger.parked].filter(({ turn }) => turn === "begun").map((item) => item.id);
    const all = new Set([...begun, ...run.runningNow()]);
    for (const { limit, key } of this.#category.limits ?? []) {
      const keyOf = ({ payload }: LoggedMessage) => key === undefined ? "" : key(payload as never);
      const own = keyOf(message);
      const program = limit.id === "all" ? run.mostOfAll : 1;
      const { running, isPaused } = inForce(this.#overrides, limit.id, `${own}`, { running: program, now: run.now });
      if (isPaused) run.wrong(`${id} begins, while ${limit.id} ${own} is paused`);
      const beside = [...all].filter((each) => keyOf(run.fates.get(each)!.message) === own);
      if (beside.length > running) run.wrong(`${id} begins beside ${beside}, of which ${running} may run`);
    }
    if (this.#overrides.length > 0) run.sums.held++;
  }

  /** Notes it if a message begins while a later one of its account waits. */
  #checkNewest({ id, message }: Item): void {
    if (this.#category.limits?.some(({ over }) => over === "last" || over === "cancel") !== true) return;
    const later = this.#laterOf(message);
    if (later !== undefined && !this.#ran.has(later)) {
      this.#run.wrong(`${id} begins, while ${later} of its account is in hand`);
    }
  }

  /** Notes it if a message has begun before one of its tenant that waits and counts as older. */
  #checkOldest({ id, rank, tenant, message, category: { fair } }: Item, atLimit: readonly Item[] | undefined): void {
    if (tenant === undefined || fair?.ahead === undefined) return;
    const { open, parked } = this.#ledger!; // it leads
    const waiting = atLimit?.filter(waitsAtLimit) ??
      [...open, ...parked].filter(({ turn, waitsAt }) => turn === "ready" && waitsAt === undefined);
    for (const each of waiting) {
      if (each.tenant !== tenant || each.rank >= rank) continue;
      this.#run.wrong(`${id} of ${message.payload} begins before ${each.id} of ${each.message.payload}`);
    }
    this.#run.sums.ahead++;
  }

  #sendBatch(items: readonly Item[]): void {
    if (items.length === 0) return;
    const run = this.#run;
    const node = run.pick(run.nodes);
    for (const item of items) this.#checkInForce(item);
    let isAnswered = false;
    let endpoint = "";
    const answer = this.#node.own((outcomes: Outcome[]) => {
      if (this.#over || isAnswered) return;
      isAnswered = true;
      const ledger = this.#ledger!; // it leads
      const held = new Set<string | undefined>();
      for (const [i, item] of items.entries()) {
        if (this.#over) return;
        const own = item.key !== undefined && held.has(item.key) && outcomes[i] === "done" ? "refused" : outcomes[i];
        if (own !== "done") held.add(item.key);
        if (own === "busy" || own === "thrown") {
          ledger.notRun(item);
          item.alone = true;
          if (own === "busy") this.#node.after(20, () => this.#over || ledger.retry(item));
          else ledger.retry(item);
        } else this.#settle(item, own, endpoint);
      }
      this.#begin();
    });
    const all = (outcome: Outcome) => answer(items.map(() => outcome));
    run.after(run.random() * 2, () => {
      if (!node.alive) return all("refused");
      const { incarnation } = node;
      ({ endpoint } = node);
      const messages = items.map(({ message }) => message as Published);
      const attempts = items.map(({ attempts }) => attempts + 1);
      this.#ask(node, () => isAnswered, (due) => {
        node.after(0, () => due() ? node.requestBatch(messages, attempts, this.token, this.term, answer) : undefined);
      }, (report) => {
        isAnswered = true;
        this.#unanswered(items, node, endpoint, report);
      });
      const wait = () => node.alive && node.incarnation === incarnation ? run.after(100, wait) : all("unknown");
      wait();
    });
  }

  #send(item: Item): void {
    const run = this.#run;
    const joined = run.nodes.find(({ name }) => name === item.node);
    const node = joined ?? run.pick(run.nodes);
    this.#sentTo.set(item.id, node);
    if (item.isReplaced) this.#cancel(item, node);
    let isAnswered = false;
    let endpoint = "";
    const answer = this.#node.own((outcome: Outcome) => {
      if (this.#over || isAnswered) return;
      isAnswered = true;
      this.#answered(item, outcome, endpoint);
    });
    run.after(run.random() * 2, () => {
      if (!node.alive) return answer("refused");
      const { incarnation } = node;
      ({ endpoint } = node);
      const attempt = item.attempts + 1;
      this.#ask(node, () => isAnswered, (due) => {
        node.after(0, () => {
          if (due()) node.request(item.message as Published, attempt, this.token, this.term, answer);
        });
      }, (report) => {
        isAnswered = true;
        this.#unanswered([item], node, endpoint, report);
      });
      const wait = () => node.alive && node.incarnation === incarnation ? run.after(100, wait) : answer("unknown");
      wait();
    });
  }

  /**
   * Sends a request to a node, which refuses it when its time is over; asks the node what came of it if there is no
   * answer by then.
   */
  #ask(
    node: SimNode,
    isAnswered: () => boolean,
    send: (due: () => boolean) => void,
    unanswered: (report: Report | undefined) => void,
  ): void {
    const run = this.#run;
    const sent = run.now;
    send(() => !run.blocks || run.now - sent < ANSWER);
    if (!run.blocks) return;
    this.#node.after(ANSWER + 20, () => {
      if (this.#over || isAnswered()) return;
      this.#hear(node, (report) => this.#over || isAnswered() || unanswered(report));
    });
  }

  /** Acts on a request without an answer in its time, as its node says what came of it; `undefined`: it has left. */
  #unanswered(items: readonly Item[], node: SimNode, endpoint: string, report: Report | undefined): void {
    const run = this.#run;
    const ledger = this.#ledger!; // it leads
    for (const item of items) {
      const ended = report?.finished.get(item.id);
      item.alone = true;
      if (report === undefined) {
        ledger.processEnded(item, `${endpoint} ${node.departures}`);
        run.fates.get(item.id)!.failed++; // as for a death: if it ran there alone
        this.#node.after(20, () => this.#over || ledger.retry(item));
      } else if (report.running.includes(item.id)) ledger.goesOn(item, node.name);
      else if (ended?.token === this.token && ended.attempt === item.attempts + 1) {
        this.#settle(item, ended.outcome === "done" ? "done" : ended.outcome.final ? "final" : "failed", endpoint);
      } else {
        ledger.notRun(item);
        item.node = undefined;
        this.#node.after(20, () => this.#over || ledger.retry(item));
      }
    }
    if (!this.#over) this.#begin();
  }

  #answered(item: Item, outcome: Outcome, endpoint: string): void {
    this.#settle(item, outcome, endpoint);
    if (!this.#over) this.#begin();
  }

  #settle(item: Item, outcome: Outcome, endpoint: string): void {
    this.#settleAs(item, outcome, endpoint);
    if (!this.#over) this.#check(this.#ledger!); // it leads
  }

  #settleAs(item: Item, outcome: Outcome, endpoint: string): void {
    const run = this.#run;
    const ledger = this.#ledger!; // it leads
    run.trace(() => `answered ${this.term} ${item.id} ${outcome} ${item.turn}`);
    item.node = undefined;
    const attempts = item.attempts + 1;
    const error = { code: outcome, message: "" };
    const later = (ms: number) => this.#node.after(ms, () => this.#over || ledger.retry(item));
    if (outcome === "outvoted") return this.#end();
    if (run.hasAccounts && run.random() < 0.1) ledger.pauseLimits(item, run.now + run.random() * 200, run.now);
    const wasReplaced = item.isReplaced;
    if (outcome === "done") ledger.done(item);
    else if (outcome === "replaced") {
      ledger.replaced(item);
    } else if (outcome === "refused" || outcome === "thrown") {
      ledger.notRun(item);
      later(20);
    } else if (outcome === "unknown") {
      ledger.processEnded(item, endpoint);
      run.fates.get(item.id)!.failed++;
      later(20);
    } else if (outcome === "outage") {
      if (item.place === "open" && run.random() < 0.5) {
        ledger.failedInPlace(item, item.attempts);
        later(30);
      } else ledger.failed(item, { attempts: item.attempts, error, due: Math.floor(run.now + run.random() * 500) });
    } else if (outcome === "final" || attempts >= this.#category.attempts) {
      ledger.failed(item, { attempts, error, dead: run.now });
    } else if (item.place === "open" && run.random() < 0.5) {
      ledger.failedInPlace(item, attempts);
      later(30);
    } else ledger.failed(item, { attempts, error, due: Math.floor(run.now + run.random() * 500) });
    if (wasReplaced && item.place !== "gone") run.wrong(`${item.id} was replaced, and is tried again`);
  }

  /** `then`: it is the last one of this term. */
  #write(then?: () => void): void {
    if (this.#writing || this.#over) return;
    this.#writing = true;
    const run = this.#run;
    const sent = run.now;
    const carried = this.#carriedOut.splice(0);
    const { commits } = this.#taken!; // it leads
    const { sequence } = commits;
    this.#steps(commits.write(this.#ledger!), (told) => {
      this.#writing = false;
      if (told === undefined) return this.#end();
      this.#written = sent;
      if (commits.sequence < sequence) this.#forget();
      this.#bases.push([commits.base ?? 0, run.now]);
      for (const { kind, message, dead } of carried) {
        const what = `${kind === "discard" ? kind : "replay"} of ${message} dead since ${dead}`;
        run.carried.set(what, [...run.carried.get(what) ?? [], this.term]);
        if (kind === "discard" && then === undefined) run.fates.get(message)!.discarded = true;
      }
      if (then !== undefined) return then();
      if (run.now - sent < STILL * 0.8) this.#erase();
      for (const item of this.#ledger!.stored(told)) this.#send(item); // it leads
      this.#begin();
    });
  }

  /** The store has lost its end: sequences come again. */
  #forget(): void {
    this.#bases.length = 0;
    this.#garbage.clear();
  }

  /** Erases what is no longer needed, once the store cannot lose what replaces it. */
  #erase(): void {
    const run = this.#run;
    const ledger = this.#ledger!; // it leads
    for (const { subject, sequence } of run.stored) {
      if (!subject.startsWith("park.")) continue;
      const id = subject.slice(5);
      if (ledger.parked.has(id)) this.#garbage.delete(id);
      else if (!this.#garbage.has(id)) this.#garbage.set(id, run.now);
      else if (run.now - this.#garbage.get(id)! > GARBAGE) run.purge(subject, sequence + 1);
    }
    const old = this.#bases.findLast(([, at]) => run.now - at > GARBAGE);
    if (old !== undefined) run.purge("rec", old[0]);
    for (const { subject, sequence, at } of [...run.stored]) {
      if (subject.startsWith("req.") && run.now - at > 2 * GARBAGE && sequence <= ledger.upTo) {
        run.purge(subject, sequence + 1);
      }
    }
  }
}

function waitsAtLimit({ turn, waitsAt }: Item): boolean {
  return turn === "ready" && waitsAt !== undefined;
}

/** Read once: most are asked for again and again. */
const READ = new WeakMap<Stored, Commit | string>();

function commitsIn(messages: readonly Stored[]): { sequence: number; commit: Commit }[] {
  return messages.flatMap((message) => {
    if (message.subject !== "rec") return [];
    let commit = READ.get(message);
    if (commit === undefined) READ.set(message, commit = readCommit(message.text));
    return typeof commit === "string" ? [] : [{ sequence: message.sequence, commit }];
  });
}

if (import.meta.main) await playSeeds(simulateSubscription);
