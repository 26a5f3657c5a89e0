/**
 * A subscription as one of its nodes sees it: the last commit seen, and the term (the time for which this node leads).
 * The node takes the lead when `mayLead` (`leader_election.ts`) says so.
 */
import { listed, printable } from "../../data/printable.ts";
import { encode } from "../../data/utf8.ts";
import { CatgaError, unavailable } from "../../error.ts";
import { delay, within } from "../../ports/clock.ts";
import { election, repeat } from "../../ports/repeat.ts";
import type { UnderWay } from "../../ports/under_way.ts";
import type { LogState, LogStream, StoredMessage } from "../../ports/event_log.ts";
import type { Commit, Head } from "../format/commit.ts";
import { categorySubject, commitSubject, requestSubject, subscriptionKey } from "../format/names.ts";
import { endOf, sequenceOf } from "../format/group_text.ts";
import { isReadable, readGroup } from "../format/group.ts";
import { OTHER_VERSION } from "../format/record_text.ts";
import { writeRequest } from "../format/subscription_request.ts";
import type { LogHost } from "../log_host.ts";
import { LEADER_BOUNCES_FOR } from "../../ports/evidence_of_life.ts";
import { type CapableNode, mayLead, turnOf } from "./leader_election.ts";
import { Commits, firstCommit } from "./commits.ts";
import type { Leases } from "./leases.ts";
import type { SubscriptionSpec } from "./spec.ts";
import { stored, SubscriptionStore } from "./store.ts";
import { SubscriptionTerm, type TermEnd } from "./term.ts";
import { type SkippedCategory, Warnings } from "./warnings.ts";

/** Options of a {@link LogSubscription}. */
export interface SubscriptionParts {
  readonly host: LogHost;
  /** The stream that has the subscription's messages. */
  readonly stream: LogStream;
  /** The stream in which the commits of all subscriptions are stored. */
  readonly kept: LogStream;
  readonly leases: Leases;
  readonly mostParked: number;
  readonly spec: SubscriptionSpec;
  /** The live nodes that handle the subscription; the first should lead. */
  nodes(): readonly CapableNode[];
  /** Returns the count of a subscription's messages that run at this node; `undefined`, or absent: none ever does. */
  readonly underWay?: ((service: string, name: string) => UnderWay | undefined) | undefined;
  /** Lists the keys of the subscriptions of which operators have set something. Absent: it may be any. */
  readonly overridden?: (() => Promise<ReadonlySet<string>>) | undefined;
  /** Called when something is to be done that {@link LogSubscription.tick} does. Must not throw. */
  onChange(): void;
}

/** A commit of a subscription as it is stored. */
type CommitMessage = Pick<StoredMessage, "sequence" | "data">;

/** The last commit of the subscription that this node has seen. */
interface SeenCommit {
  readonly message: CommitMessage;
  /** Time at which this node saw the commit, by the monotonic clock. */
  readonly at: number;
  /** The parsed commit, set on first use. A string: why it is invalid. */
  commit?: Commit | string;
}

/** A subscription at one node: the node leads it, or watches the commits of the node that leads. */
export class LogSubscription {
  readonly key: string;
  readonly spec: SubscriptionSpec;
  /** The stream that has the subscription's messages. */
  readonly stream: LogStream;
  readonly #options: SubscriptionParts;
  readonly #warnings: Warnings;
  #seen: SeenCommit | undefined;
  /** The term in which this node leads the subscription; `undefined` while another node leads. */
  term: SubscriptionTerm | undefined;
  /** Resolves when the takeover that is under way has ended; `undefined`: none is. */
  #taking: Promise<void> | undefined;
  /** Aborts the takeover of the lead, and the term that follows it. */
  #ending = new AbortController();
  #leaving = false;
  /**
   * Earliest time at which this node competes for the lead, by the monotonic clock; `Infinity`: not before this node
   * has read the last commit. After a term of this node has failed, the time is later, so that other nodes go first.
   */
  #competesAt = 0;
  /** True when {@link LogSubscription.ensure} has settled: until then it is what stores a first commit. */
  #ensured = false;
  /**
   * Time since which another node should lead instead of this node, by the monotonic clock; `undefined`: none should.
   */
  #secondSince: number | undefined;
  /**
   * Time at which this node next checks that the last commit has all categories of this node, by the monotonic clock;
   * `Infinity`: no check is planned.
   */
  #checksAt = Infinity;
  /** Time until which this node keeps the lead although another node should have it, by the monotonic clock. */
  #keepsUntil = 0;

  constructor(options: SubscriptionParts) {
    this.#options = options;
    this.spec = options.spec;
    this.stream = options.stream;
    const { service, name } = this.spec;
    this.key = subscriptionKey(service, name);
    this.#warnings = new Warnings(options.host, `${service}/${name}`);
  }

  /** True if this node leads the subscription, or is about to. */
  get leads(): boolean {
    return this.term !== undefined || this.#taking !== undefined;
  }

  /** True while this node takes over the lead of the subscription. */
  get begins(): boolean {
    return this.#taking !== undefined || this.term?.begun === false;
  }

  /**
   * True if this node has open messages of the subscription, or is about to lead it. While it is true, the node's
   * process must not end by itself.
   */
  get busy(): boolean {
    if (this.term !== undefined) return this.term.open > 0 && !this.#warnings.stopped && this.term.paused === undefined;
    if (this.#leaving || !this.#first) return false;
    const leader = this.#leader ?? "";
    return leader === "" || leader === this.#options.host.endpoint;
  }

  /**
   * True if nobody leads the subscription since its last leader has handed it over, and this node is the one that
   * should lead next.
   */
  get free(): boolean {
    return !this.leads && this.#first && this.#leader === "";
  }

  /** Takes note of a commit of the subscription that any node has stored. Call for each commit. */
  onCommit(message: StoredMessage): void {
    this.#see(message);
    this.term?.onCommit(message.sequence);
  }

  /**
   * Checks the last commit again. Call when the store may have lost its last messages: their sequences are then used
   * again.
   */
  onDoubt(): void {
    this.term?.onDoubt();
    void this.#look().then(() => this.#options.onChange());
  }

  /** Ends this node's term as leader. Call when another node has overwritten this node's lease. */
  onLost(): void {
    if (this.term === undefined) return;
    this.term.close();
    this.#ended("deposed");
  }

  /**
   * Stores the subscription's first commit if there is none. Else asks the leader (perhaps another node) to read the
   * categories that the last commit lacks, from now on, and waits until it does. Rejects with a `CatgaError` such as
   * `UNAVAILABLE`. `listed`: true if the last commit was listed just now, and passed to
   * {@link LogSubscription.onCommit} if there is one; it is then not read.
   */
  async ensure(signal: AbortSignal, listed: boolean): Promise<void> {
    await this.#ensure(signal, { asksLeader: true, listed }).finally(() => this.#ensured = true);
    this.#checksAt = 0;
  }

  /** Like {@link LogSubscription.ensure}. `asksLeader`: false if this node is about to lead: then it asks no leader. */
  async #ensure(
    signal: AbortSignal,
    { asksLeader, listed }: { readonly asksLeader: boolean; readonly listed: boolean },
  ): Promise<void> {
    const { host, kept, stream, spec } = this.#options;
    const logState = () => repeat(() => stream.state(), election(host, signal));
    const last = () => repeat(() => kept.last(this.#subject, { latest: true }), election(host, signal));
    let isListed = listed;
    for (let found = isListed ? this.#seen?.message : await last();;) {
      let state: LogState | undefined;
      const begins = found === undefined;
      if (found === undefined) {
        state = await logState();
        found = await this.#storeFirst(firstHead(spec, state));
        signal.throwIfAborted();
        if (found === undefined) {
          found = await last();
          continue;
        }
      }
      this.#see(found);
      const { commit } = stored(found);
      if (typeof commit === "string") return; // nothing to do: the next leader replaces an invalid commit
      const missing = this.#missing(commit);
      if (begins) {
        const skipped = [...spec.categories].flatMap(([name, { from }]) => from === "now" ? [name] : []);
        if (state !== undefined && state.messages > 0) await this.#reportSkipped(skipped, commit, { isNew: true });
      } else if (missing.length === 0) this.#ignoresFrom(commit);
      if (missing.length === 0 || !asksLeader) return;
      if (isListed) {
        // the server that listed it may lag behind
        isListed = false;
        found = await last();
        continue;
      }
      state = await logState();
      const now = state === undefined ? 0 : endOf(state.last);
      while (!await this.#askFor(missing, now)) signal.throwIfAborted();
      for (let waited = 0; waited < JOIN; waited += JOIN_POLL) {
        await delay(host.clock, JOIN_POLL, signal);
        const known = this.#commit;
        if (typeof known !== "object" || this.#missing(known).length > 0) continue;
        this.#ignoresFrom(known);
        return await this.#reportSkipped(missing, known, { isNew: false });
      }
      const { service, name } = spec;
      const message = `no leader of the subscription ${service}/${name} has begun to read ${missing.join(", ")}`;
      throw unavailable(message);
    }
  }

  /**
   * Returns the time until which this node has nothing to do unless `onChange` is called, by the monotonic clock; `now`
   * or earlier: there is something to do, or soon may be.
   */
  restsUntil(now: number): number {
    const { host, leases } = this.#options;
    if (this.#taking !== undefined || this.#leaving || now < this.#competesAt || !host.connected) return now;
    if (this.term !== undefined) return this.term.isResting ? this.#checksAt : now;
    const leader = this.#leader ?? "";
    if (leader === "" || leader === host.endpoint) return now;
    const late = now - leases.still(leader, now) + LATE + turnOf(this.#place(leader));
    return Math.min(late, this.#checksAt);
  }

  /**
   * Takes the lead, works as the leader, or gives the lead up, whichever is due at the time `now`. Call every 100 ms
   * unless the subscription rests ({@link LogSubscription.restsUntil}). `mayTakeOver`: false if this node must not
   * begin to take over a lead now, because it is taking over too many others.
   */
  tick(now: number, mayTakeOver: boolean): void {
    if (now >= this.#checksAt && !this.#leaving && this.#options.host.connected) this.#check(now);
    if (this.term !== undefined) {
      this.term.tick(now);
      this.#giveWay(now);
      return;
    }
    if (!mayTakeOver || this.#taking !== undefined || this.#leaving || now < this.#competesAt) return;
    if (this.#options.host.connected && this.#mayLead(now)) this.#begin();
  }

  /** Begins to take the lead. */
  #begin(): void {
    const ending = this.#ending = new AbortController();
    this.#taking = this.#take(ending).catch((error: CatgaError) => {
      if (!ending.signal.aborted) this.#warnings.fault("taking the lead", error);
    }).finally(() => void (this.#taking = undefined));
  }

  /**
   * Hands the lead of the subscription over to another node. While messages run at this node, or at others that drain,
   * it leads on for `patience` ms at most, because the next leader does not ask a node that has left: it would begin
   * them beside. Others are handed out meanwhile. A lead that this node is taking is handed over, too. Never rejects.
   */
  async leave(patience: number): Promise<void> {
    this.#leaving = true;
    const { host: { clock }, spec: { service, name }, underWay } = this.#options;
    const until = clock.monotonic() + patience;
    const left = () => Math.max(ABORTED_END_WITHIN, Math.min(PATIENCE, until - clock.monotonic()));
    if (this.#taking !== undefined) await within(clock, left(), this.#taking);
    if (this.term !== undefined) await underWay?.(service, name)?.none(clock, until);
    await this.term?.drainingEnded(until);
    // a rewind has ended that term, and another one begins
    if (this.#taking !== undefined) await within(clock, left(), this.#taking);
    await this.term?.handOver(left(), until);
  }

  close(): void {
    this.#leaving = true;
    this.term?.close();
    this.#ending.abort(new CatgaError("CLOSED", "the subscription is no longer led here"));
    this.term = undefined;
  }

  get #subject(): string {
    return commitSubject(this.#options.host.namespace, this.key);
  }

  get #commit(): Commit | string | undefined {
    const seen = this.#seen;
    return seen && (seen.commit ??= stored(seen.message).commit);
  }

  /**
   * Endpoint of the leader in the last commit; empty: the lead was handed over; `undefined`: there is no valid commit.
   * Reading it parses that commit.
   */
  get #leader(): string | undefined {
    const commit = this.#commit;
    return typeof commit === "object" ? commit.head.leader : undefined;
  }

  /** True if this node is the first of the live nodes that handle the subscription: the one that should lead. */
  get #first(): boolean {
    return this.#options.nodes()[0]?.id === this.#options.host.node;
  }

  #missing({ head: { began } }: Commit): string[] {
    return [...this.spec.categories.keys()].filter((category) => !Object.hasOwn(began, category));
  }

  /**
   * Asks the leader to read categories of this node that the last commit lacks, because that commit was forged, or
   * because the store went back to an older commit.
   */
  #check(now: number): void {
    this.#checksAt = now + CHECK;
    const commit = this.#commit;
    const missing = typeof commit === "object" ? this.#missing(commit) : [];
    if (missing.length === 0) return;
    const text = `it lacks ${
      listed(missing.map(printable))
    }, and the leader is asked to read these from its position on`;
    this.#warnings.fault("the record", new CatgaError("INVALID_MESSAGE", text));
    this.#askFor(missing, 0).catch((error) => this.#warnings.fault("asking for categories", error));
  }

  /**
   * Asks the leader to read these categories, too: from this position on, or from the leader's own position if that
   * is later. Resolves with false if the request was not stored.
   */
  async #askFor(categories: readonly string[], position: number): Promise<boolean> {
    const id = `join-${this.#termName().replaceAll(/[^\w-]/g, "-")}`;
    const began = Object.fromEntries(categories.map((category) => [category, position]));
    const subject = requestSubject(this.#options.host.namespace, this.key, id);
    return await this.#store(subject, writeRequest({ kind: "join", began })) !== undefined;
  }

  #termName(): string {
    const { host: { endpoint, random } } = this.#options;
    return `${endpoint}.${Math.floor(random() * 2 ** 40).toString(36)}`;
  }

  /**
   * Reports the new categories of which the log has messages before the start position that the commit records: no node
   * will handle these messages. `isNew`: the subscription is new, too.
   */
  async #reportSkipped(
    categories: readonly string[],
    { head: { began } }: Commit,
    { isNew }: { readonly isNew: boolean },
  ): Promise<void> {
    const { host: { namespace }, stream } = this.#options;
    const behind: SkippedCategory[] = [];
    const look = async (name: string) => {
      const [subject, upTo] = [categorySubject(namespace, name), sequenceOf(began[name] ?? 0)];
      const last = await stream.last(subject);
      if (last === undefined) return;
      if (last.sequence <= upTo) return void behind.push({ name, which: "last", time: last.time });
      // a message behind the start position is handled: it was stored after the category began
      const [first] = await stream.read(subject, { from: 1, most: 1 });
      if (first !== undefined && first.sequence <= upTo) behind.push({ name, which: "first", time: first.time });
    };
    try {
      await Promise.all(categories.slice(0, MAX_REPORTED_CATEGORIES).map(look));
    } catch (error) {
      this.#warnings.fault("looking for what it passes over", error);
    }
    this.#warnings.passesOver(behind, isNew);
  }

  /**
   * Reports the categories of this node that are to be read from the start of the log, but for which the commit records
   * a later start position.
   */
  #ignoresFrom({ head: { began } }: Commit): void {
    const ignored = [...this.spec.categories].flatMap(([name, { from }]) =>
      from === "start" && began[name] > 0 ? [name] : []
    );
    this.#warnings.ignoresFrom(ignored);
  }

  /** Stores the first commit. Resolves with `undefined` if there is another one, or it was not stored. */
  async #storeFirst(head: Head): Promise<CommitMessage | undefined> {
    const text = firstCommit(this.#termName(), head);
    const sequence = await this.#store(this.#subject, text, 0);
    return sequence === undefined ? undefined : { sequence, data: encode(text) };
  }

  /**
   * Stores a first commit or a request, if the subject's last message has the sequence `expect` (0: there is none;
   * absent: in any case). Resolves with its sequence, or with `undefined` if it was not stored.
   */
  async #store(subject: string, text: string, expect?: number): Promise<number | undefined> {
    const { host: { clock }, kept } = this.#options;
    const appended = await kept.append(subject, text, { timeout: ANSWER_TIMEOUT, expect });
    if (appended.type === "stored") return appended.sequence;
    if (appended.type === "conflict") return undefined;
    if (appended.type === "not stored" && !appended.transient) throw appended.error;
    this.#warnings.fault("beginning", appended.error);
    await delay(clock, JOIN_POLL);
    return undefined;
  }

  /**
   * Hands the lead over if another node has been the one that should lead for {@link SETTLED} ms; otherwise the first
   * node to start would keep all leads. At most once in {@link HAND_OVER_PAUSE} ms, because nodes may disagree about
   * which nodes live.
   */
  #giveWay(now: number): void {
    if (this.#first) this.#secondSince = undefined;
    else this.#secondSince ??= now;
    if (
      this.#leaving || this.#secondSince === undefined || now - this.#secondSince < SETTLED ||
      now < this.#keepsUntil || this.term?.runsAtDraining
    ) {
      return;
    }
    this.#keepsUntil = now + HAND_OVER_PAUSE;
    this.#secondSince = undefined;
    void this.term?.handOver(PATIENCE);
  }

  #see(message: CommitMessage): void {
    if (this.#seen !== undefined && message.sequence <= this.#seen.message.sequence) return;
    this.#seen = { message, at: this.#options.host.clock.monotonic() };
  }

  #mayLead(now: number): boolean {
    const { host, leases } = this.#options;
    const place = this.#place();
    const seen = this.#seen;
    if (seen === undefined) return this.#ensured && place === 0;
    const leader = this.#leader;
    return leader === host.endpoint || mayLead(place, leader, {
      stood: now - seen.at,
      still: (leader) => leases.still(leader, now),
      ended: (leader) => this.#hasEnded(leader, now),
    });
  }

  /** Place of this node in the order of those that may lead, without the node with the endpoint `without`. */
  #place(without?: string): number {
    const { host, nodes } = this.#options;
    const order = nodes().filter(({ endpoint }) => endpoint !== without);
    return Math.max(0, order.findIndex(({ id }) => id === host.node));
  }

  /**
   * Returns true if NATS answers pings to the leader's process with "no responders" (the process has ended, or has lost
   * its connection), and the leader must have stopped handing out messages by the time that its lease states. The later
   * this node's place in the order of nodes, the later it returns true ({@link turnOf}), so that the first node takes
   * the lead. Begins to ask about the process when its lease is late ({@link LATE}). Always true for a node that is
   * alone: the leader was an earlier process on its file.
   */
  #hasEnded(leader: string, now: number): boolean {
    const { host, leases } = this.#options;
    if (host.isAlone) return true;
    const turn = turnOf(this.#place(leader));
    if (leases.still(leader, now) < LATE + turn) return false;
    return host.app.absent(leader) >= LEADER_BOUNCES_FOR && leases.stopped(leader, now - turn);
  }

  async #take(ending: AbortController): Promise<void> {
    const { host, kept, stream, leases, mostParked, spec, nodes } = this.#options;
    const commit = this.#commit;
    if (commit === undefined) return await this.#ensure(ending.signal, { asksLeader: false, listed: false });
    const last = typeof commit === "object" ? commit.head.leader : "";
    // a node that the last commit names as the leader takes the lead also to hand it over
    const leaves = () => this.#leaving && last !== host.endpoint;
    // the lease is checked once more: while this node was cut off, all leases seemed to expire, but the leader may have
    // renewed its lease
    if (!await leases.hold() || leaves() || !this.#mayLead(host.clock.monotonic())) return;
    // the last leader's lease is overwritten first: a leader that cannot be reached now would go on leading when it is
    // back
    if (last !== "" && last !== host.endpoint && !await leases.fence(last)) return;
    const store = new SubscriptionStore({
      stream: kept,
      namespace: host.namespace,
      key: this.key,
      clock: host.clock,
      signal: ending.signal,
      original: async ({ position, time }) => {
        const message = await stream.at(sequenceOf(position));
        const group = message === undefined ? [] : readGroup(host.namespace, message);
        if (!isReadable(group)) return undefined;
        return group.find((each) => each.position === position && each.time === time);
      },
      overridden: this.#options.overridden,
      keyFunctions: (category) => {
        return this.#options.spec.categories.get(category)?.limits?.flatMap(({ key }) => key ?? []) ?? [];
      },
      fault: (error) => this.#warnings.fault("writing commits", error),
    });
    const taken = await store.carryOut(Commits.take({
      leader: host.endpoint,
      term: this.#termName(),
      few: MAX_LISTED_PARKED,
      jump: 1 + Math.floor(host.random() * MAX_TOKEN_STEP),
      // another node may have taken the lead since this node checked that it may lead
      predecessors: typeof commit === "string" ? undefined : ["", host.endpoint, last],
    }));
    ending.signal.throwIfAborted();
    if (typeof taken !== "object") return await this.#lost(taken);
    this.#warnings.state("leading");
    this.term = new SubscriptionTerm({
      ...{ ...taken, host, stream, spec, warnings: this.#warnings, store, ending, mostParked, nodes, leases },
      onChange: () => this.#options.onChange(),
      onEnd: (end) => this.#ended(end),
    });
    if (this.#leaving) await this.term.handOver(PATIENCE);
  }

  /**
   * Acts after this node has failed to take the lead, because another node leads, or because the last commit is
   * invalid. `invalid`: why the commit is invalid; this node then replaces it.
   */
  async #lost(invalid: string | undefined): Promise<void> {
    const seen = this.#seen;
    await this.#look();
    if (invalid === undefined || seen === undefined || this.#seen?.message.sequence !== seen.message.sequence) return;
    if (invalid === OTHER_VERSION) {
      const text = "a newer version of Catga has written it, which this one cannot read: start that version again";
      this.#warnings.fault("the record", new CatgaError("INVALID_MESSAGE", text));
      this.#competesAt = this.#options.host.clock.monotonic() + ASIDE;
      return;
    }
    this.#warnings.fault(
      "the record",
      new CatgaError("INVALID_MESSAGE", `it is invalid (${invalid}); all messages of the log are handled again`),
    );
    const { sequence } = seen.message;
    // a first commit is stored before the old commits are removed, because a subscription without any commit would
    // begin at the end of the log
    const text = firstCommit(this.#termName(), { ...firstHead(this.spec, undefined), leader: "?" }, sequence + 1);
    if (await this.#store(this.#subject, text, sequence) !== undefined) {
      await this.#options.kept.purge(this.#subject, { before: sequence + 1 });
    }
    await this.#look();
  }

  #ended(end: TermEnd): void {
    const { clock } = this.#options.host;
    this.term = undefined;
    this.#options.onChange();
    // the commit names this node as the leader, even if it leaves: others would wait until its lease has expired
    if (end === "rewound") return this.#begin();
    this.#warnings.state(end === "deposed" ? "deposed" : "handed over");
    this.#competesAt = Infinity;
    if (this.#leaving) return;
    const aside = end === "failed" ? ASIDE : 0;
    void this.#look().finally(() => this.#competesAt = clock.monotonic() + aside);
  }

  /** Reads the subscription's last commit, which may be an older one than this node has seen. Never rejects. */
  async #look(): Promise<void> {
    const { kept, host: { clock } } = this.#options;
    try {
      const found = await kept.last(this.#subject, { latest: true });
      if (found === undefined) this.#seen = undefined;
      else if (found.sequence !== this.#seen?.message.sequence) this.#seen = { message: found, at: clock.monotonic() };
    } catch (error) {
      this.#warnings.fault("reading the record", error);
    }
  }
}

/**
 * Makes the state of a new subscription: each category begins now or at the start of the log, as its handler says.
 * `state`: state of the log's stream.
 */
function firstHead({ categories }: SubscriptionSpec, state: LogState | undefined): Head {
  const now = state === undefined ? 0 : endOf(state.last);
  const began = [...categories].map(([category, { from }]) => [category, from === "start" ? 0 : now]);
  const start = state === undefined || [...categories.values()].some(({ from }) => from === "start");
  return {
    leader: "",
    token: 0,
    place: start
      ? { created: "", read: 0, time: 0, epoch: 0 }
      : { created: state.created, read: now, time: 0, at: state.now, epoch: 0 },
    open: [],
    began: Object.fromEntries(began),
    requests: 0,
    doubt: undefined,
  };
}

/** Maximum number of new categories for which earlier messages are reported. */
const MAX_REPORTED_CATEGORIES = 16;
/**
 * Time in ms for which another node must have been the one that should lead, before this node hands the lead over;
 * `HAND_OVER_PAUSE`: minimum time between two such hand-overs.
 */
const SETTLED = 30_000;
const HAND_OVER_PAUSE = 600_000;
/** Time without a renewal after which a leader's lease is late, in ms: leaders renew theirs every 0.8 to 0.9 s. */
const LATE = 1_000;
/** Time that running messages get to end when the lead is handed over, in ms. */
const PATIENCE = 2_000;
/** Time that messages which a drain has aborted get to end before the lead is handed over, in ms. */
const ABORTED_END_WITHIN = 500;
/** Time for which this node leaves the lead to other nodes after its term has failed, in ms. */
const ASIDE = 30_000;
/** Time that a leader gets to begin to read new categories, in ms. */
const JOIN = 30_000;
const JOIN_POLL = 50; // ms
const CHECK = 5_000; // ms
const ANSWER_TIMEOUT = 2_000; // ms
/** Number of parked messages below which each commit lists all of them. */
const MAX_LISTED_PARKED = 200;
/** Maximum random increase of the leader's token at a new term. */
const MAX_TOKEN_STEP = 1_000;
