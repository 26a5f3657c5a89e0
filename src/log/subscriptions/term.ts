/**
 * A term: the time in which this node leads a subscription. The node takes over the state of its predecessor, reads
 * the log, hands out messages to nodes, and commits its position.
 */
import { HandledCount } from "../../dispatch/handled_count.ts";
import type { SubscriptionHealth, SubscriptionPause } from "../../contract/nodes/node_info.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import { show } from "../../data/checks.ts";
import { listed, printable } from "../../data/printable.ts";
import { type Stamp, stamp, within } from "../../ports/clock.ts";
import { type LogLoss, MAX_SERVER_LAG, type StoredMessage, textOf } from "../../ports/event_log.ts";
import type { Place, StoredState } from "../format/commit.ts";
import { endsIn, type LoggedMessage } from "../format/logged_message.ts";
import { COMMANDS } from "../../contract/nodes/announcement.ts";
import { messagePattern } from "../format/names.ts";
import { endOf, sequenceOf } from "../format/group_text.ts";
import { limitsAt, NO_OVERRIDES, type Overrides, pauseAt, readOverrides } from "../format/overrides.ts";
import type { SubscriptionRequest } from "../format/subscription_request.ts";
import { Categories } from "./categories.ts";
import type { Item } from "./category.ts";
import { Garbage } from "./garbage.ts";
import { HandingOut } from "./handing_out.ts";
import { Ledger } from "./ledger.ts";
import { LeftReading } from "./left_reading.ts";
import type { RunLimit } from "./limit_gate.ts";
import { LeaderReading } from "./reading.ts";
import type { SubscriptionSpec } from "./spec.ts";
import { storedMessages, takeOver, type TakeoverOptions } from "./found_state.ts";
import type { Warnings } from "./warnings.ts";

/** Options of a `SubscriptionTerm`. */
export interface TermOptions extends Omit<TakeoverOptions, "signal" | "fault"> {
  readonly spec: SubscriptionSpec;
  readonly warnings: Warnings;
  /** Aborts the term's operations of the store. */
  readonly ending: AbortController;
  /** Maximum number of parked messages (in the store until their next attempt), dead letters included. */
  readonly mostParked: number;
  /**
   * This node's leases. `holds`: true while this node's lease is recent enough, so that no other node can lead yet;
   * `unrenewed`: the error because of which the lease could not be renewed for some seconds, else `undefined`.
   */
  readonly leases: { readonly holds: boolean; readonly unrenewed: CatgaError | undefined };
  /** Called when something is to be done that {@link SubscriptionTerm.tick} does. Must not throw. */
  onChange(): void;
  /** Called once, when the term is over. */
  onEnd(end: TermEnd): void;
}

/**
 * How a term ended. `deposed`: another node leads. `handed over`: this node gave up the lead. `failed`: an error
 * ended the term, and another node should lead. `rewound`: the subscription went back in the log, and a new term
 * begins.
 */
export type TermEnd = "deposed" | "handed over" | "failed" | "rewound";

/**
 * The term in which this node leads a subscription.
 * @decides how often a leader commits; what a leader does until it is deposed, hands over or fails
 */
export class SubscriptionTerm {
  readonly #options: Omit<TermOptions, "stored">;
  readonly #started: Stamp;
  /** Time by which the wall clock has run ahead of the monotonic one at most since then, in ms. */
  #gained = 0;
  readonly #garbage: Garbage;
  readonly #handled: HandledCount;
  readonly #skipped: HandledCount;
  /** State of this leader; `undefined` until it has taken over its predecessor's state. */
  #led: { readonly categories: Categories; readonly ledger: Ledger; readonly handing: HandingOut } | undefined;
  #reading: LeaderReading | undefined;
  /** Reads again what {@link SubscriptionTerm.#reading} has left in the log; set together with it. */
  #second: LeftReading | undefined;
  /** Reads again what {@link SubscriptionTerm.#reading} has passed by; set together with it. */
  #third: LeftReading | undefined;
  /** The last error while this node takes over its predecessor's state; `undefined`: none yet. */
  #untaken: CatgaError | undefined;
  /** The write of a commit that is under way; `undefined`: none is. */
  #writing: Promise<boolean> | undefined;
  /** True if the state has changed since the last commit was made, so that another commit has to be written. */
  #dirty = true;
  /** The position in the log that the last commit recorded. */
  #committed: Place | undefined;
  /** Greatest sequence of the commits of any leader of which this one knows that they were stored. */
  #newest = 0;
  #written = -Infinity;
  /** Times at which requests of nodes and operators are to be read from the store, by the monotonic clock. */
  #looks: number[] = [];
  #carrying = false;
  /** Settings by operators, and the sequence of the message that has them; 0: none was found. */
  #overrides: { readonly value: Overrides; readonly sequence: number } = { value: NO_OVERRIDES, sequence: 0 };
  /**
   * Time since which no message of the log is read for lack of room, by the monotonic clock; `undefined`: there is
   * room.
   */
  #fullSince: number | undefined;
  /** True if, at the last tick, no live node handled any of the open messages, and no other was read for a while. */
  #isIdle = false;
  /** True if there is no room for more open or parked messages: reading waits, not for the store only. */
  #lacksRoom = false;
  /**
   * State of the term. `runs`: messages are handed out; `leaving`: no more are, and answers are awaited; `ends`: the
   * last commit is being written; `over`: the term has ended.
   */
  #phase: "runs" | "leaving" | "ends" | "over" = "runs";
  /** Resolves when the lead has been handed over; `undefined`: that has not begun. */
  #handingOver: Promise<void> | undefined;
  /** Resolved by the next {@link SubscriptionTerm.#wake}; set while {@link SubscriptionTerm.#waitUntil} waits. */
  #awaited: PromiseWithResolvers<void> | undefined;

  constructor({ stored, ...options }: TermOptions) {
    this.#options = options;
    const { host, warnings, store } = options;
    this.#started = stamp(host.clock);
    this.onRequest();
    this.#garbage = new Garbage(store);
    this.#handled = new HandledCount(host, warnings.label);
    this.#skipped = new HandledCount(host, warnings.label, "skipped");
    this.#begin(stored).catch((error) => {
      if (!this.#over) warnings.fault("leading", error);
      this.#end("failed");
    });
  }

  /** True if this node has taken over its predecessor's state. */
  get begun(): boolean {
    return this.#reading !== undefined;
  }

  /** Number of open messages of the subscription: read and not handled. */
  get open(): number {
    return this.#led?.ledger.open.size ?? 0;
  }

  /** Position up to which messages were read. */
  get read(): number {
    return this.#led?.ledger.place.read ?? 0;
  }

  /** The pause by which an operator has it hand out nothing; `undefined`: it is not paused. */
  get paused(): SubscriptionPause | undefined {
    return pauseAt(this.#overrides.value, this.#now);
  }

  /** Health of the subscription. `unheard`: the error because of which this node cannot follow requests. */
  health(unheard: CatgaError | undefined): Omit<SubscriptionHealth, "service" | "name" | "lag"> {
    const { stream: { serverTime }, warnings: { stopped } } = this.#options;
    const { categories, ledger, handing } = this.#led ?? {};
    const dead = ledger?.parked.dead ?? 0;
    const error = (this.#reading === undefined ? this.#untaken : this.#reading.unreadable) ??
      this.#options.leases.unrenewed ?? unheard;
    const { lastFailure, outage, hanging } = handing ?? {};
    const ending = this.#ending;
    const ends = ending && endsIn(ending, serverTime);
    const furthest = [this.#second, this.#third].map((each) => each?.furthest?.time ?? serverTime);
    const oldest = Math.min(ledger?.oldest ?? serverTime, ...furthest);
    const unhandled = categories === undefined || ledger === undefined ? {} : unhandledOf(categories, ledger);
    const awaiting = ledger && awaitingIn(ledger);
    const limits = categories === undefined ? [] : limitsOf(categories, this.#now);
    const overrides = limitsAt(this.#overrides.value, this.#now).map((each) =>
      each.keys === undefined ? each : { ...each, keys: each.keys.slice(0, MAX_SHOWN_KEYS) }
    );
    return {
      state: error !== undefined ? "stalled" : stopped ? "stopped" : "leading",
      open: this.open,
      oldest: Math.max(0, Math.round(serverTime - oldest)),
      retrying: (ledger?.parked.size ?? 0) - dead,
      dead,
      ...(ends !== undefined && { ends }),
      ...(Object.keys(unhandled).length > 0 && { unhandled }),
      ...(error && { error }),
      ...(lastFailure && { lastFailure }),
      ...(outage && { outage }),
      ...(hanging && { hanging }),
      ...(awaiting && { awaiting }),
      ...(limits.length > 0 && { limits }),
      ...(overrides.length > 0 && { overrides }),
      ...(this.paused && { paused: this.paused }),
    };
  }

  /** A message that is not handled, in hand or left behind: that which the log removes first. */
  get #ending(): LoggedMessage | undefined {
    const { serverTime } = this.#options.stream;
    const all = [this.#led?.ledger.open.first?.message, this.#second?.furthest, this.#third?.furthest];
    const endOf = (message: LoggedMessage) => endsIn(message, serverTime) ?? Infinity;
    return all.filter((each) => each !== undefined).reduce<LoggedMessage | undefined>(
      (first, each) => first === undefined || endOf(each) < endOf(first) ? each : first,
      undefined,
    );
  }

  /** Time of this leader, in ms since 1970. It never goes back, whatever the wall clock does. */
  get #now(): number {
    const { wall, monotonic } = stamp(this.#options.host.clock);
    const passed = monotonic - this.#started.monotonic;
    // the machine slept, or the clock was set forward: what was counted with that stays, also if it is set back
    this.#gained = Math.max(this.#gained, wall - this.#started.wall - passed);
    return this.#started.wall + passed + this.#gained;
  }

  get #over(): boolean {
    return this.#phase === "over";
  }

  /**
   * Sends messages that waited for a node. Call when the nodes that handle the subscription's categories may have
   * changed.
   */
  refresh(): void {
    if (this.#led === undefined) return;
    const { categories, ledger, handing } = this.#led;
    categories.refresh(this.#options.nodes());
    for (const category of categories.all.values()) ledger.refresh(category);
    handing.refresh();
    handing.pump();
    this.#flow();
  }

  /**
   * Notices if another leader has written a commit. Call when a commit of the subscription with this sequence is
   * stored.
   */
  onCommit(sequence: number): void {
    this.#newest = Math.max(this.#newest, sequence);
    this.#seeOthers();
  }

  /** Has another commit written if another leader has stored one behind this leader's last, which it then finds. */
  #seeOthers(): void {
    // while this node is writing a commit, the newest may be its own
    if (this.#writing === undefined && this.#newest > this.#options.commits.sequence) this.#change();
  }

  /**
   * Reads the requests of operators at once, and again a little later, when servers that lag behind should have them,
   * too. Call when the store may have a new request.
   */
  onRequest(): void {
    const now = this.#options.host.clock.monotonic();
    this.#looks = [now, now + MAX_SERVER_LAG];
    this.#options.onChange();
  }

  /** Writes a commit and reads the requests again. Call when the store may have lost its last messages. */
  onDoubt(): void {
    const { commits, store, warnings } = this.#options;
    commits.inDoubt = true;
    this.#change();
    this.onRequest();
    const { sequence } = this.#overrides;
    store.overrides().then((found) => {
      // the store may have lost those that this leader knows; newer ones may have come since
      if (!this.#over && this.#overrides.sequence === sequence) this.#override(found);
    }).catch((error) => this.#over || warnings.fault("reading what operators have set", error));
  }

  /** Has what operators have set take effect. Call when the store has a new message that says so. */
  onOverrides(message: StoredMessage): void {
    if (message.sequence > this.#overrides.sequence) this.#override(message);
  }

  #override(message: StoredMessage | undefined): void {
    const { warnings, onChange } = this.#options;
    const value = message === undefined ? NO_OVERRIDES : readOverrides(textOf(message));
    if (typeof value === "string") warnings.fault("reading what operators have set", overridesError(value));
    this.#overrides = { value: typeof value === "string" ? NO_OVERRIDES : value, sequence: message?.sequence ?? 0 };
    for (const { limit, invalid } of this.#overrides.value.limits ?? []) {
      if (invalid === undefined) continue;
      warnings.fault(`reading what operators have set of the limit ${limit}`, overridesError(invalid));
    }
    this.#overrideLimits();
    this.#pauseOrResume();
    onChange();
  }

  /** Has what operators have set of limits count. */
  #overrideLimits(): void {
    if (this.#led === undefined) return;
    const { categories, ledger, handing } = this.#led;
    categories.override(this.#overrides.value.limits ?? []);
    ledger.limitsOverridden();
    handing.pump();
  }

  /** Has a pause by an operator begin or end, if it is time to. */
  #pauseOrResume(): void {
    if (this.#led === undefined) return;
    const { paused } = this;
    const { ledger, handing } = this.#led;
    if (ledger.isPaused === (paused !== undefined)) return;
    ledger.isPaused = paused !== undefined;
    this.#options.warnings.paused(paused);
    if (paused !== undefined) return;
    if (this.#fullSince !== undefined) this.#fullSince = this.#options.host.clock.monotonic();
    handing.pump();
  }

  /**
   * True if this leader may give messages to handlers: it is not giving up the lead, its lease has not ended, and it is
   * connected, so that it can record what they handle. Messages that a leader handles without a connection are handled
   * again by the next leader.
   */
  get #mayHandOut(): boolean {
    const { host, leases } = this.#options;
    return this.#phase === "runs" && host.connected && leases.holds;
  }

  /** True if nothing is due, and nothing will be before `onChange` is called. */
  get isResting(): boolean {
    if (this.#led === undefined || this.#phase !== "runs" || this.#reading?.caughtUp !== true) return false;
    const { ledger: { open, parked, place, left, passed }, handing } = this.#led;
    if (
      open.size > 0 || left.size + passed.size > 0 || parked.size > parked.dead || handing.paused ||
      this.#fullSince !== undefined || this.#overrides.value.paused?.until !== undefined
    ) return false;
    if (place.created !== this.#committed?.created || place.read !== this.#committed.read) return false;
    return !this.#dirty && this.#writing === undefined && this.#looks.length === 0 && !this.#carrying;
  }

  /** Hands out messages, writes commits and reads requests, as is due. Call every 100 ms unless the term rests. */
  tick(now: number): void {
    if (this.#led === undefined || this.#phase === "ends" || this.#over) return;
    const { categories, ledger, handing } = this.#led;
    const { stream, warnings } = this.#options;
    handing.paused = !this.#mayHandOut;
    this.#pauseOrResume();
    handing.pump();
    if (this.#reading?.caughtUp) {
      ledger.caughtUp();
      if (ledger.open.size === 0 && this.#phase === "runs") this.#reading.skipOthers(now);
    }
    const { created, read } = ledger.place;
    if (created !== this.#committed?.created || read !== this.#committed.read) this.#dirty = true;
    this.#flow();
    if (this.#lacksRoom) {
      ledger.parkUnhandled(this.#now);
      this.#flow();
    }
    const isSlow = this.#lacksRoom && !ledger.isPaused && now - this.#fullSince! > SLOW; // set while there is no room
    this.#isIdle = isSlow && [...ledger.open].every(({ category }) => category.capable === 0);
    if (isSlow) ledger.leaveHotKeys();
    this.#second?.look();
    this.#third?.look();
    warnings.check(this.#ending, stream.serverTime, () => Object.keys(unhandledOf(categories, ledger)));
    if (now >= this.#looks[0] && this.#reading !== undefined && !this.#carrying && this.#phase === "runs") {
      this.#carrying = true;
      this.#looks.shift();
      this.#carryOut(ledger).catch((error) => {
        if (!this.#over) warnings.fault("carrying out requests", error);
        this.onRequest();
      }).finally(() => this.#carrying = false);
    }
    const garbage = this.#garbage.due(now);
    if (this.#writing === undefined && (this.#dirty || garbage) && now - this.#written >= COMMIT_INTERVAL) {
      void this.#write();
    }
  }

  /** True if messages may run at nodes that drain, which the next leader will not ask. */
  get runsAtDraining(): boolean {
    return this.#led?.handing.runsAtDraining === true;
  }

  /** Waits until no messages run at nodes that drain, or until the time `until`, by the monotonic clock. */
  async drainingEnded(until: number): Promise<void> {
    await this.#waitUntil(until, () => !this.runsAtDraining);
  }

  /**
   * Hands the lead over: no more messages are handed out; running messages get `patience` ms to end, and those at nodes
   * that drain have time until `until`, by the monotonic clock. If that has begun before, resolves when it has ended.
   * A rewind that waits for running messages is left to the next leader. Never rejects.
   */
  async handOver(patience: number, until = 0): Promise<void> {
    if (!this.#over) await (this.#handingOver ??= this.#handOver(patience, until));
  }

  async #handOver(patience: number, until: number): Promise<void> {
    await this.#settle(patience);
    await this.drainingEnded(until);
    this.#led?.handing.putAside();
    if (this.#led !== undefined) await this.#writeLast("");
    this.#end("handed over");
  }

  /** Ends the term without writing a last commit. */
  close(): void {
    if (this.#over) return;
    this.#phase = "over";
    this.#handled.flush();
    this.#skipped.flush();
    this.#options.ending.abort(new CatgaError("CLOSED", "the subscription is no longer led here"));
    this.#reading?.close();
    this.#second?.close();
    this.#third?.close();
    this.#led?.handing.close();
    this.#wake();
  }

  #end(end: TermEnd): void {
    if (this.#over) return;
    this.close();
    this.#options.onEnd(end);
  }

  async #begin(stored: StoredState): Promise<void> {
    const { host, spec, commits, mostParked, warnings, store, nodes, ending: { signal } } = this.#options;
    const fault = (error: unknown) => {
      if (isCatgaError(error)) this.#untaken = error;
      warnings.fault("taking over", error);
    };
    const [taken, set] = await Promise.all([takeOver({ ...this.#options, stored, signal, fault }), store.overrides()]);
    if (this.#over) return;
    const { head } = stored;
    const tookOver = stored.writer === "" ? undefined : this.#now;
    const categories = new Categories(spec, head.began, host.timeout, tookOver);
    categories.refresh(nodes());
    const ledger = new Ledger({
      head,
      categories,
      mostParked,
      onDead: (item) => this.#onDead(item),
      onLeft: (item) => warnings.left(item),
      onSkipped: ({ category }, item) => {
        this.#skipped.add(category);
        if (item !== undefined) this.#led?.handing.skipped(item);
      },
      onReplaced: (item) => this.#led?.handing.abort(item),
      onNoLimitKey: (category, limit, error) => warnings.fault(`finding the key of ${category} in ${limit}`, error),
    });
    const handing = new HandingOut({
      ...{ host, spec, warnings, handled: this.#handled, token: commits.token, ledger, store, nodes },
      now: () => this.#now,
      onProgress: () => this.#progress(),
    });
    this.#led = { categories, ledger, handing };
    if (set !== undefined && set.sequence > this.#overrides.sequence) this.#override(set);
    else {
      this.#overrideLimits();
      this.#pauseOrResume();
    }
    // requests behind the first commit of this term are not carried out yet, even if the state found says otherwise
    ledger.restored(commits.sequence);
    const lost = ledger.takeOver({ ...taken.found, now: this.#now });
    if (lost.length > 0) warnings.missing(lost.length);
    handing.takeOver(taken.found.finished);
    handing.hearOf(taken.silent, stored.writer).catch((error) => warnings.fault("asking a silent node", error));
    handing.refresh();
    this.#wake(); // a hand-over that has begun waits for the takeover
    this.#garbage.found(taken.garbage, host.clock.monotonic());
    if (!await this.#write() || this.#phase !== "runs") return;
    this.#read(ledger, categories);
    this.tick(host.clock.monotonic());
  }

  #read(ledger: Ledger, categories: Categories): void {
    const { host, stream, warnings } = this.#options;
    const reading = this.#reading = new LeaderReading({
      clock: host.clock,
      stream,
      namespace: host.namespace,
      onMessages: (messages, size) => this.#take(messages, size),
      onForgotten: (message) => {
        ledger.forget(message);
        this.#progress();
      },
      onGarbage: (message, reason) => {
        if (!categories.passes(message)) ledger.addUnreadable(message, reason, this.#now);
        this.#progress();
      },
      onEnd: (end, read) => {
        const beyond = categories.limit(end, read);
        if (beyond.length === 0) return;
        warnings.beyond(beyond);
        this.#change();
      },
      onLoss: (loss, { back }) => {
        ledger.place = { ...ledger.place, epoch: ledger.place.epoch + 1 };
        if (back) {
          categories.reset();
          this.#second?.close();
          this.#third?.close();
          ledger.left.lost();
          ledger.passed.lost();
        }
        warnings.loss(loss);
        host.app.lost(Object.keys(categories.began));
        this.#change();
      },
      settled: () => ledger.open.size === 0,
      fault: (error) => warnings.fault("reading", error),
    }, ledger);
    const options = {
      ...{ clock: host.clock, stream, namespace: host.namespace, ledger },
      categories: () => Object.keys(categories.began),
      onLoss: (loss: LogLoss) => warnings.loss(loss),
      fault: (error: unknown) => void (this.#over || warnings.fault("reading", error)),
    };
    const { left, passed } = ledger;
    this.#second = new LeftReading({
      ...options,
      left,
      turn: () => left.turn((category, key, isWaiting) => ledger.hasRoom(category, key, isWaiting ? 0.5 : 1)),
      isFull: () => ledger.brought >= MAX_BROUGHT || ledger.full || ledger.bytes >= MAX_BYTES,
      onMessages: (messages, size) => this.#takeWith(messages, (message) => ledger.bring(message, size)),
    });
    this.#third = new LeftReading({
      ...options,
      left: passed,
      turn: () => passed.turn((of, isWaiting) => ledger.mayBring(of, isWaiting ? 0.5 : 1)),
      isFull: () => false, // a new leader reads on, so that it knows the tenants, and takes none meanwhile
      onMessages: (messages, size) => this.#takeWith(messages, (message) => ledger.bringPassed(message, size)),
    });
    reading.follow(Object.keys(categories.began));
    this.#flow();
  }

  #take(messages: readonly LoggedMessage[], size: number): void {
    const { ledger } = this.#led!; // `#led` is set before reading begins
    this.#takeWith(messages, (message) => ledger.add(message, size));
  }

  #takeWith(messages: readonly LoggedMessage[], add: (message: LoggedMessage) => void): void {
    const { categories, handing } = this.#led!; // `#led` is set before reading begins
    handing.paused = !this.#mayHandOut;
    for (const message of messages) {
      if (!categories.passes(message)) add(message);
    }
    this.#progress();
    handing.pumpRead();
  }

  #change(): void {
    this.#dirty = true;
    this.#options.onChange();
  }

  #progress(): void {
    const { ledger, handing } = this.#led!; // `#led` is set: only a leader that has taken over makes progress
    if (!this.#options.host.connected) handing.paused = true;
    this.#change();
    if (ledger.waitsForCommit && this.#writing === undefined && this.#phase === "runs") void this.#write();
    this.#flow();
    // with many keys the next tick does
    if (ledger.left.size > 0 && ledger.left.size <= FEW_LEFT) this.#second?.look();
    if (ledger.passed.size > 0 && ledger.passed.tenants <= FEW_LEFT) this.#third?.look();
    if (ledger.open.size === 0) this.#reading?.settle();
    this.#wake();
  }

  /** Pauses reading of the log while the maximum number of messages is open, or parked. */
  #flow(): void {
    const [led, reading] = [this.#led, this.#reading];
    if (led === undefined || reading === undefined) return;
    const { categories, ledger } = led;
    const { warnings, mostParked, host: { clock } } = this.#options;
    const partIf = (paused: boolean) => paused ? 0.5 : 1; // a paused reading goes on only when half of the room is free
    const part = partIf(this.#lacksRoom);
    const open = ledger.open.size - ledger.brought;
    const isFull = open >= categories.window * part || ledger.open.bytes >= MAX_BYTES * part;
    this.#lacksRoom = ledger.full || isFull || !ledger.passed.hasRoom;
    // a store that has not taken all yet needs only time
    const full = this.#lacksRoom || ledger.bytes >= MAX_BYTES * partIf(this.#fullSince !== undefined);
    const stopped = ledger.full || (this.#isIdle && isFull);
    if (stopped !== warnings.stopped) {
      const lacksNodes = ledger.full ? sum(unhandledOf(categories, ledger)) > mostParked : isFull;
      warnings.stop(!stopped ? undefined : lacksNodes ? this.#unhandled(led) : this.#noRoom(mostParked));
    }
    if (full === (this.#fullSince !== undefined)) return;
    this.#fullSince = full ? clock.monotonic() : undefined;
    if (full) reading.pause();
    else reading.resume();
  }

  #unhandled({ categories, ledger }: { readonly categories: Categories; readonly ledger: Ledger }): CatgaError {
    const counts = Object.entries(unhandledOf(categories, ledger)).map(([name, count]) =>
      `${count} of ${printable(name)}`
    );
    const message = `it has no room for others beside its messages that no live node handles (${listed(counts)}): ` +
      "start a node that does, or pass these by with a rewind to now (catga rewind)";
    return new CatgaError("OVERLOADED", message, { retryable: true });
  }

  #noRoom(most: number): CatgaError {
    const { service, name } = this.#options.spec;
    const { parked } = this.#led!.ledger; // `#led` is set: only a leader that has taken over stops
    const message =
      `the subscription ${name} of ${service} has ${parked.size} messages put aside, of ${most} at most, ` +
      `${mostOf(parked)}: replay or discard its dead letters (catga dead), or mend what its handlers fail at`;
    return new CatgaError("OVERLOADED", message, { retryable: true });
  }

  #onDead({ category, message: { id }, attempts, error }: Item): void {
    const { host: { observer }, warnings: { label } } = this.#options;
    // a dead letter has an error
    observer({ type: "dead-letter", subscription: label, contract: category.name, id, attempts, ...error! });
  }

  /** Writes a commit, after the one that is being written. Resolves with true if it is stored. Never rejects. */
  async #write(): Promise<boolean> {
    while (this.#writing !== undefined) await this.#writing;
    if (this.#over || this.#phase === "ends") return false;
    this.#writing = this.#commit().finally(() => {
      this.#writing = undefined;
      this.#seeOthers();
    });
    return await this.#writing;
  }

  /**
   * Writes the last commit of this term, after calling `change`, which may change the state to be stored. `leader`:
   * endpoint of this node, or empty if it hands the lead over. Resolves with false if nothing was written, because the
   * term is over or another node leads.
   */
  async #writeLast(leader: string, change = () => {}): Promise<boolean> {
    while (this.#writing !== undefined) await this.#writing;
    if (this.#over) return false;
    this.#phase = "ends";
    change();
    this.#writing = this.#commit(leader).finally(() => this.#writing = undefined);
    return await this.#writing;
  }

  async #commit(leader?: string): Promise<boolean> {
    const { commits, store, warnings, host: { clock } } = this.#options;
    const { ledger, handing } = this.#led!; // `#led` is set: this node has taken over
    const progress = this.#dirty;
    this.#dirty = false;
    this.#committed = ledger.place;
    const { sequence } = commits;
    try {
      const draft = await store.carryOut(commits.write(ledger, leader));
      this.#written = clock.monotonic();
      if (this.#over) return draft !== undefined;
      if (draft === undefined) {
        this.#end("deposed");
        return false;
      }
      if (commits.sequence < sequence) {
        this.#newest = 0;
        this.#garbage.forget();
        this.onRequest(); // the store reuses sequences: read the requests again
      }
      const runs = ledger.stored(draft);
      const { upTo: requests, parked } = ledger;
      this.#garbage.stored({ base: commits.base ?? 0, requests, ended: draft.ended, parked }, this.#written, progress);
      if (this.#garbage.due(this.#written)) {
        this.#garbage.erase(this.#written).catch((error) => this.#over || warnings.fault("erasing", error));
      }
      if (leader === undefined) {
        runs.forEach(handing.send);
        handing.pump();
        this.#flow(); // the store now has what was parked: there may be room in memory
      }
      return true;
    } catch (error) {
      // the term ends after a failed commit: the next commit would lack the changes of this one's draft
      if (!this.#over) warnings.fault("committing", error);
      this.#end("deposed");
      return false;
    }
  }

  /** Stops handing out messages and waits until all runs have ended, for `patience` ms at most. */
  async #settle(patience: number): Promise<void> {
    if (this.#phase === "runs") this.#phase = "leaving";
    this.#reading?.close();
    this.#second?.close();
    this.#third?.close();
    if (this.#led !== undefined) this.#led.handing.paused = true;
    const until = this.#options.host.clock.monotonic() + patience;
    await this.#waitUntil(until, () => this.#led?.ledger.running === 0);
  }

  /** Waits until messages are in a state in which `holds` returns true, the term is over, or the time is `until`. */
  async #waitUntil(until: number, holds: () => boolean): Promise<void> {
    const { clock } = this.#options.host;
    for (let now = clock.monotonic(); !this.#over && now < until && !holds(); now = clock.monotonic()) {
      await within(clock, until - now, (this.#awaited ??= Promise.withResolvers()).promise);
    }
  }

  /** Has {@link SubscriptionTerm.#waitUntil} look again. Call when messages have changed their state. */
  #wake(): void {
    const awaited = this.#awaited;
    this.#awaited = undefined;
    awaited?.resolve();
  }

  /** Carries out the requests in the store, in order. */
  async #carryOut(ledger: Ledger): Promise<void> {
    const { store, warnings } = this.#options;
    for (const [sequence, request] of await store.requests(ledger.upTo)) {
      if (this.#phase !== "runs") return;
      if (sequence <= ledger.upTo) continue;
      if (typeof request === "string") {
        warnings.fault("carrying out requests", new CatgaError("INVALID_MESSAGE", `${sequence}: ${request}`));
        ledger.carriedOut(sequence);
      } else await this.#carryOutOne(ledger, sequence, request);
      if (this.#over) return;
      this.#progress();
    }
  }

  async #carryOutOne(ledger: Ledger, sequence: number, request: SubscriptionRequest): Promise<void> {
    const { host, store, spec: { service } } = this.#options;
    if (request.kind === "rewind") return await this.#rewind(ledger, sequence, request.to);
    if (request.kind === "join") {
      ledger.carriedOut(sequence);
      return this.#join(request.began);
    }
    const item = ledger.parked.get(request.message);
    // the recorded failure of an idempotent command is removed first: otherwise the command, which runs again under the
    // same id, would get this failure as its result
    if (request.kind === "replay" && service === COMMANDS && item !== undefined) {
      await host.forgetFailure(item.category.name, item.message.id);
    }
    // an edited dead letter keeps the payload that it had before the edit, so that payload must be in memory
    if (request.kind === "replay" && request.payload !== undefined && item !== undefined) await store.load(item);
    ledger.carryOut(sequence, request);
  }

  /** Begins to read further categories (contracts), from their start positions on. */
  #join(began: Readonly<Record<string, number>>): void {
    const reading = this.#reading!; // requests are carried out only after reading has begun
    const { categories, ledger } = this.#led!; // `#led` is set: this node has taken over
    if (!categories.add(began, ledger.place.read)) return;
    this.refresh();
    reading.follow(Object.keys(categories.began));
    this.#second?.close(); // they begin again, with all categories
    this.#third?.close();
    if (this.#fullSince !== undefined) reading.pause();
  }

  async #rewind(ledger: Ledger, sequence: number, position: number): Promise<void> {
    const { categories } = this.#led!; // `#led` is set: this node has taken over
    await this.#settle(categories.patience);
    if (this.#over || this.#handingOver !== undefined) return;
    const { host, nodes, warnings, store, stream, ending } = this.#options;
    let [last, to] = [sequence, Math.min(position, ledger.place.read)];
    // rewinds that were requested while this one waited are carried out together with it, to the smallest of all
    // positions
    for (const [next, request] of await store.requests(sequence)) {
      if (this.#over || typeof request === "string" || request.kind !== "rewind") break;
      [last, to] = [next, Math.min(to, request.to)];
    }
    // a position inside a stored message is moved to the message's beginning: a stored message is read as a whole
    const whole = to === endOf(sequenceOf(to)) ? to : endOf(Math.max(0, sequenceOf(to) - 1));
    const read = sequenceOf(whole) === 0 ? 0 : whole;
    const live = new Set(nodes().flatMap(({ categories }) => [...categories.keys()]));
    const began = Object.entries(categories.began).flatMap(([category, from]) => {
      if (live.has(category)) return [[category, Math.min(from, read)] as const];
      // a category that no live node handles is not rewound: if the others go back, it begins again behind its handled
      // messages; otherwise the subscription no longer reads it
      return read < ledger.place.read ? [[category, Math.max(from, ledger.settled(category))] as const] : [];
    });
    const parked = [...ledger.parked].map(({ position }) => sequenceOf(position)).sort((a, b) => a - b);
    const { clock, namespace } = host;
    const asked = {
      stream,
      clock,
      signal: ending.signal,
      fault: (error: unknown) => warnings.fault("rewinding", error),
    };
    const there = await storedMessages(asked, messagePattern(namespace, stream.name), parked);
    while (this.#writing !== undefined) await this.#writing;
    // a hand-over has begun: the next leader carries out the rewind
    if (this.#over || this.#handingOver !== undefined) return;
    // the ledger's place (position in the log) must not move before this commit is stored
    const stored = await this.#writeLast(host.endpoint, () => {
      ledger.carriedOut(last);
      categories.begin(Object.fromEntries(began));
      ledger.rewind(read, new Set(there.map(({ sequence }) => sequence)));
    });
    if (!stored || this.#over) return;
    warnings.state("rewound", `to ${to}`);
    // a hand-over that began while the commit was written stores another one, which ends the term
    if (this.#handingOver === undefined) this.#end("rewound");
  }
}

function overridesError(reason: string): CatgaError {
  return new CatgaError("INVALID_MESSAGE", `it is invalid (${reason}), and has no effect: set it again`);
}

/** Says of which contract, with which error, and of which tenant or key most of the parked messages are. */
function mostOf(parked: Iterable<Item>): string {
  const [counts, owners] = [new Map<string, number>(), new Map<string, number>()];
  const count = (of: Map<string, number>, what: string) => of.set(what, (of.get(what) ?? 0) + 1);
  for (const { category: { name }, error, awaitsNode, line, tenant, key } of parked) {
    if (awaitsNode) continue;
    const code = (error ?? line?.first?.error)?.code;
    count(counts, `${printable(name)}${code === undefined ? "" : ` (${printable(code)})`}`);
    const owner = tenant === undefined ? key : tenant.name;
    if (owner !== undefined) count(owners, `${tenant === undefined ? "with the key" : "of the tenant"} ${show(owner)}`);
  }
  const first = (of: Map<string, number>) => [...of].sort(([, a], [, b]) => b - a)[0];
  const [who, most] = first(counts) ?? ["no contract", 0];
  const [owner, owned] = first(owners) ?? ["", 0];
  return `${most} of them of ${who}${owned > 1 ? `, ${owned} ${owner}` : ""}`;
}

/**
 * Returns the number of messages that no live node handles, by category: open and parked ones without dead letters.
 * Categories without any are left out.
 */
function unhandledOf({ all }: Categories, { open, parked }: Ledger): Record<string, number> {
  const counts: Record<string, number> = {};
  // fast path: nodes handle all categories
  if (![...all.values()].some(({ capable }) => capable === 0)) return counts;
  const count = ({ category: { name }, dead, lacksNode }: Item) => {
    if (lacksNode && dead === 0) counts[name] = (counts[name] ?? 0) + 1;
  };
  for (const item of open) count(item);
  for (const item of parked) count(item);
  return counts;
}

/**
 * Returns the number of messages that all live nodes have refused, and that wait for a node with another version; with
 * the refusal of the first of them. `undefined`: there are none.
 */
function awaitingIn({ parked: { awaiting } }: Ledger): SubscriptionHealth["awaiting"] {
  let first: Item | undefined;
  let count = 0;
  for (const item of awaiting) {
    // a message that waited because no node handled its contract was refused by no version
    if ((item.error?.refusedBy?.length ?? 0) === 0) continue;
    if (item.turn === "begun" && item.refusedBy !== undefined) continue; // a version that has not refused it runs it
    first ??= item;
    count++;
  }
  if (first === undefined) return undefined;
  const { message, outage: since } = first.error!; // a refused message has an error, with the time of its first refusal
  return { contract: first.category.name, message, count, since: since! };
}

/** Returns the limits of all categories: how many of their messages run, and wait for them. */
function limitsOf({ all }: Categories, now: number): NonNullable<SubscriptionHealth["limits"]> {
  const limits = new Set<RunLimit<Item>>();
  for (const { limits: own = [] } of all.values()) for (const { limit } of own) limits.add(limit);
  return [...limits].map((limit) => limit.state(now));
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((all, count) => all + count, 0);
}

/** Minimum interval between commits, in ms. A commit for which messages wait is written at once. */
const COMMIT_INTERVAL = 100;
/**
 * Size of the messages in memory from which on reading waits, in bytes: of the open ones (read and not handled), and of
 * the parked ones that the store does not have yet.
 */
const MAX_BYTES = 33_554_432;
/** Maximum number of open messages that the second reader has brought: the first one does not keep it waiting. */
const MAX_BROUGHT = 1_024;
/** Maximum number of keys in the health that an operator has paused in one limit. */
const MAX_SHOWN_KEYS = 20;
/** Number of keys that are left behind up to which each answer may let the second reader go on. */
const FEW_LEFT = 16;
/** Time for which reading of the log may wait for room before the slowest keys are left behind, in ms. */
const SLOW = 1_000;
