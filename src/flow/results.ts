/**
 * Waits on this node for the ends of runs. A node announces each end to the nodes of the network that wait for runs of
 * that workflow, and again after a reconnect, for a link may lose what it was given shortly before it broke. What no
 * announcement brings is found in the stream: when the waiting begins, when this node is connected again or another one
 * is gone, and by looks every 1.5 s, of 100 runs a second at most. Runs that this node drives tell it their ends: they
 * are read once a minute alone, for 10,000 that were waited for when they were started were all read a second later, in
 * the way of what they did.
 */
import { parsedJson } from "../data/encoding.ts";
import { Gate } from "../data/queues.ts";
import { isRecord, isStringArray } from "../data/checks.ts";
import { eventSubject } from "../contract/subjects.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Subscription, Transport } from "../ports/transport.ts";
import { ENDED } from "../contract/contract.ts";
import { runType } from "../contract/workflow.ts";
import type { RecordedOutcome } from "./journal.ts";
import { keyOf, type RunRef } from "./run_ref.ts";

/** What {@link Results} need of their node. */
export interface ResultsHost {
  readonly namespace: string;
  readonly clock: Clock;
  /** Calls back in a later turn of the event loop. */
  soon(callback: () => void): void;
  /** `undefined`: there are no other nodes. */
  readonly transport: Pick<Transport, "publish" | "subscribe" | "onStatus" | "status"> | undefined;
  /** Calls back when another node is gone. Returns a function that removes the listener. */
  onGone(listener: () => void): () => void;
  /** True if this node drives the run now, as far as it knows. */
  drives(ref: RunRef): boolean;
  /** Reads how a run has ended; `undefined`: it has not; "no run": there is none. Rejects with a `CatgaError`. */
  read(ref: RunRef): Promise<RecordedOutcome | "no run" | undefined>;
}

/** Called once with how a run has ended. */
type ResultListener = (outcome: RecordedOutcome | "no run") => void;

/** A run that is waited for. */
interface Waited {
  readonly ref: RunRef;
  readonly waiters: Set<ResultListener>;
  /** It is being read; "again": and announced meanwhile. */
  reading: boolean | "again";
  /** When it was looked at last, and read last, by the monotonic clock; -Infinity: its last read has failed. */
  looked: number;
  read: number;
}

/** Those who wait. */
export class Results {
  readonly #host: ResultsHost;
  readonly #waiting = new Map<string, Waited>();
  /** Few at once: reads that wait for each other are late, and are sent again. */
  readonly #reads = new Gate(MOST_READS);
  readonly #subscriptions = new Map<string, Subscription>();
  /** By workflow: ends that are to be announced. */
  readonly #ended = new Map<string, string[]>();
  /** Ends that were announced lately, oldest first: the connection may lose what it has taken. */
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

  /** Calls back once when the run has ended. Returns a function that ends the waiting. */
  wait(ref: RunRef, waiter: ResultListener): () => void {
    const key = keyOf(ref);
    const now = this.#host.clock.monotonic();
    let entry = this.#waiting.get(key);
    if (entry === undefined) {
      this.#waiting.set(key, entry = { ref, waiters: new Set(), reading: false, looked: now, read: now });
    }
    entry.waiters.add(waiter);
    this.#listen(ref.workflow);
    this.#look(entry, now);
    this.#watch();
    return () => {
      entry.waiters.delete(waiter);
      if (entry.waiters.size === 0 && this.#waiting.get(key) === entry) this.#waiting.delete(key);
    };
  }

  /** A run of this node has ended. */
  ended(ref: RunRef, outcome: RecordedOutcome): void {
    this.#settle(ref, outcome);
    if (this.#host.transport === undefined) return;
    const others = this.#ended.get(ref.workflow);
    if (others !== undefined) return void others.push(ref.run);
    if (this.#ended.size === 0) this.#host.soon(() => this.#announce());
    this.#ended.set(ref.workflow, [ref.run]);
  }

  /** Announces what has ended in one turn in one message. */
  #announce(): void {
    const at = this.#host.clock.monotonic();
    for (const [workflow, runs] of this.#ended) {
      this.#publish(workflow, runs);
      this.#announced.push({ workflow, runs, at });
    }
    this.#ended.clear();
    if (this.#announced.length >= 2 * MAX_ANNOUNCED || this.#announced[0]?.at < at - 2 * ANNOUNCED) this.#forget(at);
  }

  /** What was announced while the connection was about to break, or broken, may have reached nobody. */
  #announceAgain(): void {
    this.#forget(this.#host.clock.monotonic());
    for (const { workflow, runs } of this.#announced) this.#publish(workflow, runs);
  }

  #forget(now: number): void {
    this.#announced = this.#announced.slice(-MAX_ANNOUNCED).filter(({ at }) => at >= now - ANNOUNCED);
  }

  #publish(workflow: string, runs: readonly string[]): void {
    const { transport } = this.#host;
    for (let at = 0; at < runs.length && transport?.status.state === "connected"; at += MOST_ENDS) {
      try {
        transport.publish(this.#subject(workflow), JSON.stringify({ runs: runs.slice(at, at + MOST_ENDS) }));
      } catch {
        // waiters look into the stream
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
      for (const run of readEnds(data)) {
        const entry = this.#waiting.get(keyOf({ workflow, run }));
        if (entry !== undefined) this.#check(entry);
      }
    });
    this.#subscriptions.set(workflow, subscription);
  }

  /**
   * Looks at the runs whose last look was long ago, the same number in each tick. An announcement may be lost without a
   * sign that reaches this node: the route between two servers may break, or the announcing process die.
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

  /** Reads how a run has ended, unless this node drives it and has read it a short while ago. */
  #look(entry: Waited, now: number): void {
    entry.looked = now;
    if (!this.#host.drives(entry.ref) || now - entry.read >= DRIVEN_LOOK) this.#check(entry);
  }

  #check(entry: Waited): void {
    // anybody may announce what he likes
    if (entry.reading !== false) return void (entry.reading = "again");
    entry.reading = true;
    this.#reads.pass((leave) => this.#read(entry, leave));
  }

  #read(entry: Waited, leave: () => void): void {
    const { ref } = entry;
    if (this.#waiting.get(keyOf(ref)) !== entry) return leave();
    entry.read = this.#host.clock.monotonic();
    this.#host.read(ref).then((outcome) => {
      if (outcome !== undefined) this.#settle(ref, outcome);
    }, () => entry.looked = -Infinity).then(() => {
      const { reading } = entry;
      entry.reading = false;
      if (reading === "again") this.#check(entry);
      leave();
    });
  }

  #settle(ref: RunRef, outcome: RecordedOutcome | "no run"): void {
    const key = keyOf(ref);
    const entry = this.#waiting.get(key);
    if (entry === undefined) return;
    this.#waiting.delete(key);
    for (const waiter of entry.waiters) waiter(outcome);
  }
}

/** The runs that an announcement is about; none for what is no announcement. */
function readEnds(data: Uint8Array): readonly string[] {
  const said = parsedJson(data);
  return isRecord(said) && isStringArray(said.runs) ? said.runs : [];
}

/** Ends that were announced together. */
interface Announced {
  readonly workflow: string;
  readonly runs: readonly string[];
  /** By the monotonic clock. */
  readonly at: number;
}

/** The most ends in a message: each has an id of up to 128 characters. */
const MOST_ENDS = 100;
/** How long an end is announced again after a reconnect, in ms: a dead link is noticed after 15 s. */
const ANNOUNCED = 30_000;
/** How many announcements are kept for that, at most. */
const MAX_ANNOUNCED = 5_000;
/** How many runs are read at once. */
const MOST_READS = 32;
/** Least time between two looks at a run, in ms. */
const LOOK = 1_500;
/** Time between two reads of a run that this node drives, in ms. */
const DRIVEN_LOOK = 60_000;
const TICK = 500; // ms
/** How many runs are looked at in a tick, at most: they are reads by the leader of the stream. */
const LOOKS = 50;
