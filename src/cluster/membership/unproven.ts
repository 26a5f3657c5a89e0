/**
 * Nodes that have a record and have not shown yet that they are alive. Anybody who may write to the bucket can forge
 * records, so no node becomes a member before its process has answered a ping. A process is pinged as soon as its
 * record is seen, and again later, because the servers may not route yet to a node that has just started on another
 * server. Against floods of records, the number of kept records, and of pings a second for all of them together, is
 * limited. The `Prover` sends the pings.
 */
import { Bounces, PROCESS_BOUNCES_FOR } from "../../ports/evidence_of_life.ts";
import type { Clock, Timer } from "../../ports/clock.ts";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import { Fifo } from "../../data/fifo.ts";
import { bounceSubject, isEndpoint, nodeSubject } from "../../contract/nodes/subjects.ts";
import { publishIfOpen, type Subscription, type TransportMessage } from "../../ports/transport.ts";
import { HEADERS, Malformed, readFrame } from "../wire/frame_reader.ts";
import { PROTOCOL } from "../../version.ts";
import type { EndpointOptions } from "../wire/endpoint.ts";

/** Dependencies of {@link Unproven} on the membership. */
interface UnprovenOptions {
  readonly clock: Clock;
  /** Returns true if this node is connected, so that frames can be sent. */
  connected(): boolean;
  /**
   * Sends the nth ping to the process at this endpoint. Its outcome is reported by {@link Unproven.prove} or
   * {@link Unproven.bounced}.
   */
  ping(endpoint: string, n: number): void;
  /** Returns true if the bounce of a ping proves that no process subscribes to the endpoint. */
  conclusive(): boolean;
  /** Called when two pings to the record's process, a second apart, have bounced: the process does not exist. */
  gone(info: NodeInfo, revision: number): void;
  /** Called when the oldest record was dropped, because there were too many records of unproven nodes. */
  dropped(): void;
}

/** The record of a node whose process has not answered a ping yet. */
interface UnprovenRecord {
  readonly info: NodeInfo;
  readonly revision: number;
  /** Number of pings sent to the record's process. */
  pings: number;
  /** Pings to the record's process that have bounced. */
  readonly bounces: Bounces;
  /** True if the record was removed from the unproven records; it may still be in a queue, which then skips it. */
  gone: boolean;
  /** Time at which the next ping to the record's process is due, by the monotonic clock. */
  dueAt: number;
}

/** Keeps the records of nodes that have not answered a ping yet, and pings their processes. */
export class Unproven {
  readonly #options: UnprovenOptions;
  readonly #byId: Map<string, UnprovenRecord> = new Map();
  readonly #byEndpoint: Map<string, UnprovenRecord> = new Map();
  /** The records in the order of their arrival. */
  readonly #order: Fifo<UnprovenRecord> = new Fifo();
  /** Records whose processes were never pinged. The last one, which is the newest, is pinged first. */
  #new: UnprovenRecord[] = [];
  /**
   * Records whose processes were pinged: one queue for each number of pings. The pause before the next ping is the same
   * for all records of a queue.
   */
  readonly #again: readonly Fifo<UnprovenRecord>[] = PAUSES.map(() => new Fifo());
  /** Records whose processes were pinged once, and have neither answered nor bounced yet. */
  readonly #open: Set<UnprovenRecord> = new Set();
  #settled: (() => void)[] = [];
  #lossy = false;
  #tokens = BURST;
  #filledAt: number;
  #timer: Timer | undefined;
  #listing = true;
  #stopped = false;

  constructor(options: UnprovenOptions) {
    this.#options = options;
    this.#filledAt = options.clock.monotonic();
  }

  /** Number of records of nodes that have not answered yet. */
  get size(): number {
    return this.#byId.size;
  }

  /** True if a record was ever dropped because there were too many records of unproven nodes. */
  get lossy(): boolean {
    return this.#lossy;
  }

  /** Adds the record of a node, replacing an older record with the same id. */
  put(info: NodeInfo, revision: number): void {
    const known = this.#byId.get(info.id);
    if (known !== undefined && known.revision >= revision) return;
    const same = known?.info.endpoint === info.endpoint;
    this.delete(info.id);
    const pending: UnprovenRecord = {
      info,
      revision,
      pings: 0,
      bounces: same ? known.bounces : new Bounces(),
      gone: false,
      dueAt: 0,
    };
    this.#byId.set(info.id, pending);
    this.#byEndpoint.set(info.endpoint, pending);
    this.#new.push(pending);
    this.#order.push(pending);
    while (this.#byId.size > MAX_UNPROVEN) this.#drop();
    // drops removed records from the queue, which would otherwise grow without a limit
    if (this.#order.size > 2 * MAX_UNPROVEN) this.#order.keep(({ gone }) => !gone);
    if (this.#new.length > 2 * MAX_UNPROVEN) this.#new = this.#new.filter(({ gone, pings }) => !gone && pings === 0);
    // while the records of the bucket are listed, most records wait for their first ping; when the listing ends, the
    // newest records are pinged first
    if (!this.#listing || this.#tokens > BURST - EAGER) this.#pingDue();
  }

  /** Removes the record with this id. */
  delete(id: string): void {
    const pending = this.#byId.get(id);
    if (pending === undefined) return;
    this.#byId.delete(id);
    if (this.#byEndpoint.get(pending.info.endpoint) === pending) this.#byEndpoint.delete(pending.info.endpoint);
    pending.gone = true;
    this.#answered(pending);
  }

  /**
   * Removes the record of a process from the unproven records and returns it; `undefined`: none of them is of this
   * process. Called when the process has shown that it is alive.
   */
  prove(endpoint: string): { readonly info: NodeInfo; readonly revision: number } | undefined {
    const pending = this.#byEndpoint.get(endpoint);
    if (pending !== undefined) this.delete(pending.info.id);
    return pending;
  }

  /** Counts a bounce of a ping to this process; the second bounce shows that the process does not exist. */
  bounced(endpoint: string): void {
    const pending = this.#byEndpoint.get(endpoint);
    if (pending === undefined) return;
    this.#answered(pending);
    const now = this.#options.clock.monotonic();
    if (pending.bounces.add(now)) return;
    if (pending.bounces.lastedFor(PROCESS_BOUNCES_FOR, now) && this.#options.conclusive()) {
      this.#options.gone(pending.info, pending.revision);
    }
  }

  /**
   * Pings the newest nodes, and resolves when each of their processes has answered or bounced, or after `limit` ms.
   * Called when all records of the bucket have been read.
   */
  async listed(limit: number): Promise<void> {
    this.#listing = false;
    this.#pingDue();
    if (this.#open.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#settled.push(resolve);
    const timer = this.#options.clock.after(limit, resolve);
    await promise.finally(() => timer.cancel());
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#settle();
  }

  /** Drops the oldest record of a node that has not answered yet. */
  #drop(): void {
    const oldest = this.#order.shift();
    if (oldest === undefined || oldest.gone) return;
    this.delete(oldest.info.id);
    this.#lossy = true;
    this.#options.dropped();
  }

  #answered(pending: UnprovenRecord): void {
    if (this.#open.delete(pending) && this.#open.size === 0) this.#settle();
  }

  #settle(): void {
    for (const resolve of this.#settled.splice(0)) resolve();
  }

  /** Sends the pings that are due, within the limit of pings a second, and sets a timer for the others. */
  #pingDue(): void {
    const { clock, connected } = this.#options;
    if (this.#stopped) return;
    const now = clock.monotonic();
    this.#tokens = Math.min(BURST, this.#tokens + (now - this.#filledAt) / 1_000 * RATE);
    this.#filledAt = now;
    if (connected()) {
      // a quarter of the pings is for records pinged before, so that a stream of new records cannot starve them
      this.#pingAgain(now, this.#tokens / 4);
      this.#pingNew(now);
      this.#pingAgain(now, this.#tokens);
    }
    if (this.#timer !== undefined || this.#byId.size === 0) return;
    this.#timer = clock.after(TICK_INTERVAL, () => {
      this.#timer = undefined;
      this.#pingDue();
    }, { background: true });
  }

  #pingNew(now: number): void {
    while (this.#tokens >= 1 && this.#new.length > 0) {
      const pending = this.#new.pop()!;
      if (pending.gone) continue;
      this.#open.add(pending);
      this.#ping(pending, now);
    }
  }

  #pingAgain(now: number, most: number): void {
    let left = most;
    for (const queue of this.#again) {
      while (left >= 1 && queue.first !== undefined && (queue.first.gone || queue.first.dueAt <= now)) {
        const pending = queue.shift()!;
        if (pending.gone) continue;
        left--;
        this.#ping(pending, now);
      }
    }
  }

  #ping(pending: UnprovenRecord, now: number): void {
    const turn = Math.min(pending.pings++, PAUSES.length - 1);
    pending.dueAt = now + PAUSES[turn];
    this.#again[turn].push(pending);
    this.#tokens--;
    this.#options.ping(pending.info.endpoint, pending.pings);
  }
}

/** Maximum number of records of nodes that have not answered; the oldest are dropped first. */
export const MAX_UNPROVEN = 4_096;
/**
 * Number of pings that may be sent before {@link RATE} limits them: enough to ping a cluster of 1,000 nodes at once,
 * while a flood of records causes no flood of pings.
 */
export const BURST = 1_024;
/** Maximum number of pings a second, after the first {@link BURST}. */
export const RATE = 256;
/**
 * Number of pings that may be sent while the records are still being listed, so that a start waits less for the
 * answers.
 */
const EAGER = 256;
const TICK_INTERVAL = 20; // ms
/**
 * Pauses between the pings to one process, in ms. They begin short because pings from another server bounced (no
 * responders) for up to 30 ms after a start (`docs/internals/measurements.md`).
 */
const PAUSES = [20, 40, 80, 160, 320, 640, 1_000];

/** Dependencies of a {@link Prover} on its node. */
interface ProverOptions extends Pick<EndpointOptions, "transport" | "namespace" | "endpoint" | "malformed"> {
  /** Called when the process at this endpoint has answered a ping. */
  alive(endpoint: string): void;
  /** Called when a ping to the process at this endpoint has bounced. */
  bounced(endpoint: string): void;
}

/**
 * Sends pings to unproven processes (which have a record and never answered), and reports answers and bounces (no
 * responders). The pings come from an endpoint of their own: anybody may have written the record, and for pings from
 * the node's endpoint the node would keep state of each process that a record names.
 */
export class Prover {
  readonly #options: ProverOptions;
  readonly #endpoint: string;
  readonly #answers: string;
  readonly #bounces: string;
  readonly #subscriptions: readonly Subscription[];

  /** Subscribes to answers and bounces at once. */
  constructor(options: ProverOptions) {
    const { transport, namespace } = this.#options = options;
    this.#endpoint = proverOf(options.endpoint);
    this.#answers = nodeSubject(namespace, this.#endpoint);
    this.#bounces = bounceSubject(namespace, this.#endpoint);
    this.#subscriptions = [
      transport.subscribe(`${this.#answers}>`, {}, (message) => this.#onAnswer(message)),
      transport.subscribe(`${this.#bounces}>`, {}, (message) => this.#onBounce(message)),
    ];
  }

  /** Sends ping number `n` to the process at this endpoint. */
  ping(endpoint: string, n: number): void {
    const { transport, namespace } = this.#options;
    const frame = `[${PROTOCOL},${n},${Math.round(transport.clock.now())},["p",${n}]]`;
    const reply = `${this.#bounces}${endpoint}.${n}`;
    publishIfOpen(transport, nodeSubject(namespace, endpoint, this.#endpoint), frame, { reply });
  }

  close(): void {
    for (const subscription of this.#subscriptions) subscription.close();
  }

  #onAnswer({ subject, data, headers, noResponders }: TransportMessage): void {
    if (noResponders) return;
    const { malformed, alive } = this.#options;
    const sender = subject.startsWith(this.#answers) ? subject.slice(this.#answers.length) : "";
    if (!isEndpoint(sender)) return malformed.add(subject, "the sender is no endpoint");
    if (headers !== undefined) return malformed.add(subject, HEADERS);
    try {
      readFrame(data);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      return malformed.add(subject, error.message);
    }
    alive(sender);
  }

  /**
   * Handles the bounce of a ping. Any client may publish to this subject, so bounces that are not from the server
   * itself are ignored.
   */
  #onBounce({ subject, data, noResponders }: TransportMessage): void {
    if (!noResponders || data.length > 0 || !subject.startsWith(this.#bounces)) return;
    const place = subject.slice(this.#bounces.length);
    this.#options.bounced(place.slice(0, place.lastIndexOf(".")));
  }
}

/**
 * Returns the endpoint of the process to which this endpoint belongs: as the process's own endpoint, or as that of its
 * {@link Prover}, whose frames show as well that the process is alive.
 */
export function processOf(endpoint: string): string {
  return endpoint.endsWith(SUFFIX) ? endpoint.slice(0, -SUFFIX.length) : endpoint;
}

/** Returns the endpoint from which a process's {@link Prover} sends its pings. */
export function proverOf(endpoint: string): string {
  return endpoint + SUFFIX;
}

/**
 * Suffix that makes a process's endpoint its prover's endpoint; it is unambiguous, because endpoints end with letters
 * and digits.
 */
const SUFFIX = "-ping";
