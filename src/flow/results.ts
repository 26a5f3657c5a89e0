/**
 * Who waits on this node for the ends of runs. Nodes announce each end to those of the network that wait for runs of
 * that workflow; what an announcement misses is found in the stream: when the waiting begins, a second later, after a
 * reconnect, and once a minute. Runs that this node drives tell it their end: they are read once a minute alone, for
 * 10,000 that were waited for when they were started were all read a second later, in the way of what they did.
 */
import { parsedJson } from "../data/encoding.ts";
import { Gate } from "../data/queues.ts";
import { isRecord, isStringArray } from "../data/checks.ts";
import { eventSubject } from "../contract/subjects.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Subscription, Transport } from "../ports/transport.ts";
import { ENDED } from "../contract/contract.ts";
import { runType } from "../contract/workflow.ts";
import type { Outcome } from "./journal.ts";
import { keyOf, type RunRef } from "./run_log.ts";

/** What {@link Results} need of their node. */
export interface ResultsHost {
  readonly namespace: string;
  readonly clock: Clock;
  /** Calls back in a later turn of the event loop. */
  soon(callback: () => void): void;
  /** `undefined`: there are no other nodes. */
  readonly transport: Pick<Transport, "publish" | "subscribe" | "onStatus" | "status"> | undefined;
  /** True if this node drives the run now, as far as it knows. */
  drives(ref: RunRef): boolean;
  /** Reads how a run has ended; `undefined`: it has not; "no run": there is none. Rejects with a `CatgaError`. */
  read(ref: RunRef): Promise<Outcome | "no run" | undefined>;
}

/** Called once with how a run has ended. */
type Waiter = (outcome: Outcome | "no run") => void;

/** A run that is waited for. */
interface Waited {
  readonly ref: RunRef;
  readonly waiters: Set<Waiter>;
  /** It is being read; "again": and announced meanwhile. */
  reading: boolean | "again";
  /** When it is looked at again, and when it was read last, by the monotonic clock. */
  look: number;
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
  #offStatus: (() => void) | undefined;
  #timer: Timer | undefined;

  constructor(host: ResultsHost) {
    this.#host = host;
  }

  /** Calls back once when the run has ended. Returns a function that ends the waiting. */
  wait(ref: RunRef, waiter: Waiter): () => void {
    const key = keyOf(ref);
    const now = this.#host.clock.monotonic();
    let entry = this.#waiting.get(key);
    if (entry === undefined) {
      this.#waiting.set(key, entry = { ref, waiters: new Set(), reading: false, look: Infinity, read: now });
    }
    entry.waiters.add(waiter);
    this.#listen(ref.workflow);
    this.#look(entry, now);
    entry.look = now + FIRST_LOOK;
    this.#watch();
    return () => {
      entry.waiters.delete(waiter);
      if (entry.waiters.size === 0 && this.#waiting.get(key) === entry) this.#waiting.delete(key);
    };
  }

  /** A run of this node has ended. */
  ended(ref: RunRef, outcome: Outcome): void {
    this.#settle(ref, outcome);
    if (this.#host.transport === undefined) return;
    const others = this.#ended.get(ref.workflow);
    if (others !== undefined) return void others.push(ref.run);
    if (this.#ended.size === 0) this.#host.soon(() => this.#announce());
    this.#ended.set(ref.workflow, [ref.run]);
  }

  /** Those that have ended in one turn in one message. */
  #announce(): void {
    const { transport } = this.#host;
    for (const [workflow, runs] of this.#ended) {
      while (transport?.status.state === "connected" && runs.length > 0) {
        try {
          transport.publish(this.#subject(workflow), JSON.stringify({ runs: runs.splice(0, MOST_ENDS) }));
        } catch {
          // who waits looks into the stream
        }
      }
    }
    this.#ended.clear();
  }

  close(): void {
    for (const subscription of this.#subscriptions.values()) subscription.close();
    this.#offStatus?.();
    this.#timer?.cancel();
  }

  #subject(workflow: string): string {
    return eventSubject(this.#host.namespace, `${runType(workflow)}.${ENDED}`);
  }

  #listen(workflow: string): void {
    const { transport } = this.#host;
    if (transport === undefined || this.#subscriptions.has(workflow)) return;
    this.#offStatus ??= transport.onStatus(({ state }) => {
      const now = this.#host.clock.monotonic();
      if (state === "connected") { for (const entry of this.#waiting.values()) this.#look(entry, now); }
    });
    const subscription = transport.subscribe(this.#subject(workflow), {}, ({ data }) => {
      if (this.#waiting.size === 0) return;
      for (const run of readEnds(data)) {
        const entry = this.#waiting.get(keyOf({ workflow, run }));
        if (entry !== undefined) this.#check(entry);
      }
    });
    this.#subscriptions.set(workflow, subscription);
  }

  /** An announcement may be lost, as with the process that was to make it. */
  #watch(): void {
    this.#timer ??= this.#host.clock.after(TICK, () => {
      this.#timer = undefined;
      if (this.#waiting.size === 0) return;
      const now = this.#host.clock.monotonic();
      for (const entry of this.#waiting.values()) if (entry.look <= now) this.#look(entry, now);
      this.#watch();
    }, { background: true });
  }

  #look(entry: Waited, now: number): void {
    const tells = this.#host.drives(entry.ref) && now < entry.read + LOOK;
    entry.look = now + (tells ? FIRST_LOOK : LOOK);
    if (!tells) this.#check(entry);
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
    }, () => entry.look = 0).then(() => {
      const { reading } = entry;
      entry.reading = false;
      if (reading === "again") this.#check(entry);
      leave();
    });
  }

  #settle(ref: RunRef, outcome: Outcome | "no run"): void {
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

/** The most ends in a message: each has an id of up to 128 characters. */
const MOST_ENDS = 100;
/** How many runs are read at once. */
const MOST_READS = 32;
const FIRST_LOOK = 1_000; // ms
const LOOK = 60_000; // ms
const TICK = 500; // ms
