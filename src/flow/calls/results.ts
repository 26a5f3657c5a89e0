/**
 * Notices the ends of runs for which callers on this node wait, and the views of runs that callers watch. The node on
 * which a run ends, or shows something, announces it to the nodes that wait for runs of the workflow; an end is
 * announced again after a reconnect, because a connection may lose messages shortly before it breaks. What was not
 * announced is found in the stream: when a wait begins, when this node reconnects, when another node is gone, and by
 * reads every 1.5 s, of up to 100 runs a second. Runs that this node executes report their ends and views, and are read
 * only once a minute: when 10,000 runs were awaited from their start, and all were read a second later, the reads
 * slowed the runs down.
 *
 * A watch begins with what a read finds that has begun after it, and while a run is watched, no view is older than one
 * that this node has given out before: the sequences of the run's messages say which one is later. In the same way "no
 * run" is the answer of a read that has begun after the wait.
 */
import { ChurnMap } from "../../data/churn.ts";
import { parsedJson } from "../../data/encoding.ts";
import { Gate } from "../../data/gate.ts";
import { isRecord, isStringArray } from "../../data/checks.ts";
import { SparseMap } from "../../data/sparse.ts";
import { eventSubject } from "../../contract/nodes/subjects.ts";
import type { Clock, Timer } from "../../ports/clock.ts";
import type { Subscription, Transport } from "../../ports/transport.ts";
import { ENDED } from "../../contract/declaration/contract.ts";
import { runType } from "../../contract/declaration/workflow.ts";
import type { RecordedOutcome } from "../stored/journal_entry.ts";
import type { ShownRun } from "../stored/run_log.ts";
import { keyOf, type RunRef } from "../stored/run_ref.ts";

/** Dependencies of {@link Results}, the pending waits for ends of runs, on a node. */
export interface ResultsHost {
  readonly namespace: string;
  readonly clock: Clock;
  /** Calls `callback` in a later turn of the event loop. */
  soon(callback: () => void): void;
  /** The connection to other nodes; `undefined`: this node has no connection. */
  readonly transport: Pick<Transport, "publish" | "subscribe" | "onStatus" | "status"> | undefined;
  /** Calls `listener` when another node has left the membership. Returns a function that removes the listener. */
  onGone(listener: () => void): () => void;
  /** Returns true if this node executes the run now. */
  drives(ref: RunRef): boolean;
  /**
   * Reads the outcome of a run; `undefined`: the run has not ended; "no run": there is no such run. Rejects with a
   * `CatgaError`.
   */
  read(ref: RunRef): Promise<RecordedOutcome | "no run" | undefined>;
  /**
   * Reads what a run shows; `undefined`: there is no such run. `known`: what the last read returned. Rejects with a
   * `CatgaError`.
   */
  readShown(ref: RunRef, known: ShownRun | undefined): Promise<ShownRun | undefined>;
}

/** Called once, with the outcome of a run. */
type ResultListener = (outcome: RecordedOutcome | "no run") => void;
/** Called with each view of a run that is noticed, in their order, several times too. */
type ViewListener = (view: NonNullable<ShownRun["view"]>) => void;
/** A view of a run, and the sequence of the run's message up to which it is the last one. */
type SeenView = Pick<ShownRun, "sequence" | "view">;

/**
 * A run for whose end callers wait. A class, because V8 would make literals among the old objects (`HeldRun` of
 * `driven_runs.ts`).
 */
class Waited {
  readonly ref: RunRef;
  /** Each with the number of the first read that has begun after its wait: what an earlier one found may be too old. */
  readonly waiters = new Map<ResultListener, number>();
  /** Callers that watch what the run shows, numbered in the same way. */
  readonly watchers = new SparseMap<ViewListener, number>();
  /** Result of the last read for watchers. */
  shown: ShownRun | undefined = undefined;
  /** The latest view that this node has noticed since the first of the present waits began. */
  latest: SeenView | undefined = undefined;
  /** Number of reads that have begun. */
  reads = 0;
  /** Number of the last read that succeeded. */
  succeeded = 0;
  /** Reads up to this number may have found what the store has lost since. */
  doubtful = 0;
  /** True while the run is being read; "again": its end was announced during the read, so that it is read again. */
  reading: boolean | "again" = false;
  /**
   * Time at which it was last decided whether to read the run, by the monotonic clock; -Infinity: the last read has
   * failed.
   */
  looked: number;
  /** Time of the last successful read of the run, or else of the beginning of the wait, by the monotonic clock. */
  read: number;

  /** `now`: when the wait begins, by the monotonic clock. */
  constructor(ref: RunRef, now: number) {
    this.ref = ref;
    this.looked = this.read = now;
  }
}

/** Notices the ends of runs, and calls the listeners that wait for them. */
export class Results {
  readonly #host: ResultsHost;
  readonly #waiting = new ChurnMap<string, Waited>();
  /** Limits the number of concurrent reads: too many at once take too long, and each is then sent again. */
  readonly #reads = new Gate(MAX_CONCURRENT_READS);
  readonly #subscriptions = new Map<string, Subscription>();
  /** By workflow: ids of runs that have ended and are to be announced. */
  readonly #ended = new Map<string, string[]>();
  /** By workflow: ids of runs whose views have changed, which are to be announced. */
  readonly #shown = new Map<string, Set<string>>();
  /**
   * Ends of runs that were announced in the last {@link ANNOUNCED} ms or a little longer ago, oldest first, to be
   * announced again after a reconnect: the connection may lose messages that it has accepted.
   */
  #announced: Announced[] = [];
  readonly #offs: (() => void)[] = [];
  #timer: Timer | undefined;

  constructor(host: ResultsHost) {
    this.#host = host;
    const { transport } = host;
    if (transport === undefined) return;
    this.#offs.push(
      transport.onStatus(({ state }) => {
        if (state !== "connected") return;
        this.#announceAgain();
        this.#lookAtAll();
      }),
      host.onGone(() => this.#lookAtAll()),
    );
  }

  /**
   * Calls `waiter` once, when the run has ended, and `watcher` with what the run shows, the last time before `waiter`.
   * Returns a function that ends the wait.
   * @decides `result` learns of the end
   */
  wait(ref: RunRef, waiter: ResultListener, watcher?: ViewListener): () => void {
    const key = keyOf(ref);
    const now = this.#host.clock.monotonic();
    let entry = this.#waiting.get(key);
    if (entry === undefined) {
      this.#waiting.set(key, entry = new Waited(ref, now));
    }
    entry.waiters.set(waiter, entry.reads + 1);
    if (watcher !== undefined) entry.watchers.set(watcher, entry.reads + 1);
    this.#listen(ref.workflow);
    // this node knows when a run ends that it executes, but not what the run has shown
    if (watcher === undefined) this.#look(entry, now);
    else this.#check(entry);
    this.#watch();
    return () => {
      entry.waiters.delete(waiter);
      if (watcher !== undefined) entry.watchers.delete(watcher);
      if (entry.waiters.size === 0 && this.#waiting.get(key) === entry) this.#waiting.delete(key);
    };
  }

  /**
   * Announces the end of a run that this node executed: calls the listeners on this node, and sends the end to other
   * nodes.
   */
  ended(ref: RunRef, outcome: RecordedOutcome, seen?: SeenView): void {
    const entry = this.#waiting.get(keyOf(ref));
    if (entry !== undefined) this.#end(entry, outcome, seen);
    if (this.#host.transport === undefined) return;
    const others = this.#ended.get(ref.workflow);
    if (others !== undefined) return void others.push(ref.run);
    if (this.#ended.size + this.#shown.size === 0) this.#host.soon(() => this.#announce());
    this.#ended.set(ref.workflow, [ref.run]);
  }

  /** Announces what a run shows that this node executes, as {@link Results.ended} announces its end. */
  shown(ref: RunRef, seen: SeenView): void {
    this.latest(ref, seen);
    if (this.#host.transport === undefined) return;
    const others = this.#shown.get(ref.workflow);
    if (others !== undefined) return void others.add(ref.run);
    if (this.#ended.size + this.#shown.size === 0) this.#host.soon(() => this.#announce());
    this.#shown.set(ref.workflow, new Set([ref.run]));
  }

  /** Returns the later one of a view that was read and of what is known of the run while it is watched. */
  latest(ref: RunRef, seen: SeenView): SeenView {
    const entry = this.#waiting.get(keyOf(ref));
    return entry === undefined ? seen : this.#see(entry, seen);
  }

  /** Reads all runs again, because the store may have lost its last messages. */
  doubt(): void {
    for (const entry of this.#waiting.values()) {
      entry.shown = entry.latest = undefined;
      entry.doubtful = entry.reads;
      this.#check(entry);
    }
  }

  /**
   * Announces to other nodes the runs that ended, or showed something, in one turn of the event loop, together for each
   * workflow.
   */
  #announce(): void {
    const at = this.#host.clock.monotonic();
    for (const [workflow, runs] of this.#ended) {
      this.#publish(workflow, runs);
      this.#announced.push({ workflow, runs, at });
    }
    this.#ended.clear();
    for (const [workflow, runs] of this.#shown) this.#publish(workflow, [...runs], "shown");
    this.#shown.clear();
    if (this.#announced.length >= 2 * MAX_ANNOUNCED || this.#announced[0]?.at < at - 2 * ANNOUNCED) this.#forget(at);
  }

  /**
   * Announces again, to other nodes, the ends of runs that were announced within the last {@link ANNOUNCED} ms. Called
   * after a reconnect: the connection may have lost the first announcements while it was breaking.
   */
  #announceAgain(): void {
    this.#forget(this.#host.clock.monotonic());
    for (const { workflow, runs } of this.#announced) this.#publish(workflow, runs);
  }

  #forget(now: number): void {
    this.#announced = this.#announced.slice(-MAX_ANNOUNCED).filter(({ at }) => at >= now - ANNOUNCED);
  }

  #publish(workflow: string, runs: readonly string[], what: "ended" | "shown" = "ended"): void {
    const { transport } = this.#host;
    for (let at = 0; at < runs.length && transport?.status.state === "connected"; at += MAX_ANNOUNCED_IDS) {
      const some = runs.slice(at, at + MAX_ANNOUNCED_IDS);
      try {
        const said = what === "ended" ? { runs: some } : { runs: [], shown: some };
        transport.publish(this.#subject(workflow), JSON.stringify(said));
      } catch {
        // an announcement that cannot be sent is dropped: other nodes find the end of the run in the stream
      }
    }
  }

  close(): void {
    for (const subscription of this.#subscriptions.values()) subscription.close();
    for (const off of this.#offs.splice(0)) off();
    this.#timer?.cancel();
  }

  #subject(workflow: string): string {
    return eventSubject(this.#host.namespace, `${runType(workflow)}.${ENDED}`);
  }

  #listen(workflow: string): void {
    const { transport } = this.#host;
    if (transport === undefined || this.#subscriptions.has(workflow)) return;
    const subscription = transport.subscribe(this.#subject(workflow), {}, ({ data }) => {
      if (this.#waiting.size === 0) return;
      const { ended, shown } = readAnnouncement(data);
      const entryOf = (run: string) => this.#waiting.get(keyOf({ workflow, run }));
      for (const entry of ended.map(entryOf)) if (entry !== undefined) this.#check(entry);
      for (const entry of shown.map(entryOf)) if (entry !== undefined && entry.watchers.size > 0) this.#check(entry);
    });
    this.#subscriptions.set(workflow, subscription);
  }

  /**
   * Reads the runs that were not read for long, `LOOKS` of them at a time. An announcement may be lost without a sign
   * that reaches this node: the route between two servers may break, or the announcing process may die.
   */
  #watch(): void {
    this.#timer ??= this.#host.clock.after(TICK, () => {
      this.#timer = undefined;
      if (this.#waiting.size === 0) return;
      const now = this.#host.clock.monotonic();
      const pause = Math.max(LOOK, this.#waiting.size / LOOKS * TICK);
      let left = LOOKS;
      for (const entry of this.#waiting.values()) {
        if (now - entry.looked < pause) continue;
        this.#look(entry, now);
        if (--left === 0) break;
      }
      this.#watch();
    }, { background: true });
  }

  #lookAtAll(): void {
    const now = this.#host.clock.monotonic();
    for (const entry of this.#waiting.values()) this.#look(entry, now);
  }

  /** Reads the outcome of a run, unless this node executes the run and has read it within `DRIVEN_LOOK` ms. */
  #look(entry: Waited, now: number): void {
    entry.looked = now;
    if (!this.#host.drives(entry.ref) || now - entry.read >= DRIVEN_LOOK) this.#check(entry);
  }

  #check(entry: Waited): void {
    // a run is read by one read at a time, because any process may publish announcements
    if (entry.reading !== false) return void (entry.reading = "again");
    entry.reading = true;
    this.#reads.pass((leave) => this.#read(entry, leave));
  }

  #read(entry: Waited, leave: () => void): void {
    if (this.#waiting.get(keyOf(entry.ref)) !== entry) return leave();
    entry.read = this.#host.clock.monotonic();
    const read = ++entry.reads;
    this.#readRun(entry, read).catch(() => entry.looked = -Infinity).then(() => {
      const { reading } = entry;
      entry.reading = false;
      if (reading === "again") this.#check(entry);
      leave();
    });
  }

  /** Reads the outcome of a run, and, if it is watched, what it shows. `read`: number of the read. */
  async #readRun(entry: Waited, read: number): Promise<void> {
    const { ref, watchers } = entry;
    const isWatched = watchers.size > 0;
    const found = isWatched ? await this.#host.readShown(ref, entry.shown) : await this.#host.read(ref);
    // a watch that began meanwhile needs the last view before the end
    if (this.#waiting.get(keyOf(ref)) !== entry || entry.doubtful >= read || (!isWatched && watchers.size > 0)) return;
    entry.succeeded = read;
    if (found === undefined ? isWatched : found === "no run") return this.#miss(entry);
    const shown = isWatched ? entry.shown = found as ShownRun : undefined; // as `readShown` has returned it
    const outcome = isWatched ? shown?.outcome : found as RecordedOutcome | undefined; // as `read` has returned it
    if (outcome !== undefined) this.#end(entry, outcome, shown);
    else if (shown !== undefined) this.#see(entry, shown);
  }

  /** Takes note of a view, and calls the watchers with the latest one; returns it. */
  #see(entry: Waited, seen: SeenView): SeenView {
    const { latest, watchers, succeeded } = entry;
    entry.latest = latest !== undefined && latest.sequence > seen.sequence ? latest : seen;
    const { view } = entry.latest;
    if (view !== undefined) { for (const [watcher, since] of watchers) if (since <= succeeded) watcher(view); }
    return entry.latest;
  }

  /** Calls all who wait for a run with its outcome, after its watchers with what it showed last. */
  #end({ ref, watchers, waiters }: Waited, outcome: RecordedOutcome, seen: SeenView | undefined): void {
    this.#waiting.delete(keyOf(ref));
    if (seen?.view !== undefined) { for (const watcher of watchers.keys()) watcher(seen.view); }
    for (const waiter of waiters.keys()) waiter(outcome);
  }

  /** Calls those who waited for a run when the last read began, which has not found the run. */
  #miss({ ref, waiters, succeeded }: Waited): void {
    const missed = [...waiters].filter(([, since]) => since <= succeeded).map(([waiter]) => waiter);
    for (const waiter of missed) waiters.delete(waiter);
    if (waiters.size === 0) this.#waiting.delete(keyOf(ref));
    for (const waiter of missed) waiter("no run");
  }
}

/** Parses an announcement. Returns the ids of the runs that have ended, or shown something; none if it is invalid. */
function readAnnouncement(data: Uint8Array): { readonly ended: readonly string[]; readonly shown: readonly string[] } {
  const said = parsedJson(data);
  const idsIn = (ids: unknown) => isStringArray(ids) ? ids : [];
  return isRecord(said) ? { ended: idsIn(said.runs), shown: idsIn(said.shown) } : { ended: [], shown: [] };
}

/** Ends of runs that were announced together. */
interface Announced {
  readonly workflow: string;
  readonly runs: readonly string[];
  /** Time of the announcement, by the monotonic clock. */
  readonly at: number;
}

/** Maximum number of run ids in an announcement; an id has up to 128 characters. */
const MAX_ANNOUNCED_IDS = 100;
/**
 * Time for which an end is kept, to be announced again after a reconnect, in ms: a dead connection is noticed after 15
 * s.
 */
const ANNOUNCED = 30_000;
/** Maximum number of announcements that are kept for a reconnect. */
const MAX_ANNOUNCED = 5_000;
/** Maximum number of runs that are read at once. */
const MAX_CONCURRENT_READS = 32;
/** Minimum time between two reads of a run, in ms. */
const LOOK = 1_500;
/** Time between two reads of a run that this node executes, in ms. */
const DRIVEN_LOOK = 60_000;
const TICK = 500; // ms between two looks at the awaited runs
/** Maximum number of runs that are read every `TICK` ms: each read is answered by the leader of the stream. */
const LOOKS = 50;
