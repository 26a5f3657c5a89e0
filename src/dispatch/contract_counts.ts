/**
 * Counts of a node by contract: plain fields of objects that stand on the way of a message anyway. Nobody is
 * told; who wants to know asks.
 */
import { isHandlerFailing } from "../contract/alarms.ts";
import { type AnyContract, isInternalName, type Kind } from "../contract/contract.ts";
import type { ContractStats } from "../contract/node_stats.ts";
import type { Failure, Result } from "../contract/result.ts";
import { type CatgaError, isErrorCode } from "../error.ts";
import { LATENCY_BUCKETS, latencyBucket } from "../data/latency_buckets.ts";
import type { Observer } from "../contract/observer.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import { type Outcome, Refusal } from "./outcome.ts";

/** The counts of one contract in one node; {@link ContractStats} says what each is. */
export class ContractCounts {
  readonly name: string;
  readonly kind: Kind;
  /** The contract of its sender, once this process has sent a message of it. */
  contract: AnyContract | undefined = undefined;
  handled = 0;
  inHand = 0;
  queued = 0;
  sent = 0;
  heard = 0;
  published = 0;
  /** Sends of this process to its own handler by the shortest way: sent and handled at once. */
  local = 0;
  /** Sends to an asynchronous handler, and how many of them have ended. */
  localBegun = 0;
  localDone = 0;
  #failed: Map<string, number> | undefined = undefined;
  #failure: string | undefined = undefined;
  #sendFailed: Map<string, number> | undefined = undefined;
  #latency: number[] | undefined = undefined;
  /** After how many more runs one is timed, and for how many it stands; when that was last, by the monotonic clock. */
  #untimed = 0;
  #stride = 1;
  #timedAt = -Infinity;

  constructor({ name, kind }: Pick<AnyContract, "name" | "kind">) {
    this.name = name;
    this.kind = kind;
  }

  /** A handler has ended, or its message was refused; `timing` timed it. */
  end(outcome: Outcome, timing?: Timing): void {
    timing?.end();
    if (outcome instanceof Refusal) return this.refused(outcome.code);
    this.handled++;
    if (!outcome.ok) this.#handlerFailed(outcome);
  }

  /** A handler runs into its deadline. That counts at once, for it may never end; what it ends with then, no more. */
  expired(error: CatgaError): void {
    this.#handlerFailed({ ok: false, error });
    EXPIRED.add(error);
  }

  #handlerFailed({ error, error: { code, message } }: Failure): void {
    if (EXPIRED.has(error)) return;
    this.refused(code);
    if (isHandlerFailing(code)) this.#failure = `${code}: ${message}`;
  }

  /** As {@link ContractCounts.end}, of what was in hand. */
  endInHand(outcome: Outcome, timing?: Timing): void {
    this.inHand--;
    this.end(outcome, timing);
  }

  /** A request was refused before a handler saw it. */
  refused(code: string): void {
    count(this.#failed ??= new Map(), code);
  }

  /** A run took so long, in ms, and `runs` others as long as that. */
  took(ms: number, runs = 1): void {
    (this.#latency ??= new Array<number>(LATENCY_BUCKETS).fill(0))[latencyBucket(ms)] += runs;
  }

  /**
   * A run begins that no request of another process asked for, which has the time of its arrival: what times it;
   * `undefined` if another one stands for it. To read the clock takes longer than a run may (80 ns in Deno): the more
   * runs in a ms, the fewer are timed.
   */
  timing(clock: Clock): Timing | undefined {
    return --this.#untimed > 0 ? undefined : this.#timing(clock);
  }

  #timing(clock: Clock): Timing {
    const now = clock.monotonic();
    const timing = new Timing(this, clock, now, this.#stride);
    if (now - this.#timedAt < OFTEN) this.#stride = Math.min(2 * this.#stride, MAX_STRIDE);
    this.#timedAt = now;
    this.#untimed = this.#stride;
    return timing;
  }

  /** A request that was sent has failed. */
  sendFailed(code: string): void {
    count(this.#sendFailed ??= new Map(), code);
  }

  /** A send by the shortest way has ended. */
  localResult(result: Result<unknown>): Result<unknown> {
    this.local++;
    return result.ok ? result : this.#localFailed(result);
  }

  /** A send by the shortest way to an asynchronous handler has ended, `timing` timed it. */
  localEnd(result: Result<unknown>, timing: Timing | undefined): Result<unknown> {
    this.localDone++;
    timing?.end();
    return result.ok ? result : this.#localFailed(result);
  }

  #localFailed(failure: Failure): Failure {
    this.#handlerFailed(failure);
    this.sendFailed(failure.error.code);
    return failure;
  }

  /** All messages that were counted. */
  get total(): number {
    return this.handled + this.sent + this.heard + this.published + 2 * (this.local + this.localDone);
  }

  /** As it is answered: without what is 0 or empty. */
  toJSON(): Pick<ContractStats, "name" | "kind"> & Partial<ContractStats> {
    // whoever asks again in a second shall find the runs that are seldom by then
    this.#untimed = this.#stride = 1;
    const { name, kind, queued, heard, published, localBegun, localDone } = this;
    const local = this.local + localDone;
    const [handled, sent, inHand] = [this.handled + local, this.sent + local, this.inHand + localBegun - localDone];
    // not by spreading: hundreds of these are made for an answer, by code that has hardly run before
    const answer: { -readonly [Field in keyof ContractStats]?: ContractStats[Field] } & { name: string; kind: Kind } = {
      name,
      kind,
    };
    if (handled > 0) answer.handled = handled;
    if (this.#failed !== undefined) answer.failed = Object.fromEntries(this.#failed);
    if (this.#failure !== undefined) answer.failure = this.#failure.slice(0, MOST_OF_FAILURE);
    if (inHand > 0) answer.inHand = inHand;
    if (queued > 0) answer.queued = queued;
    // without the zeros at the end
    if (this.#latency !== undefined) answer.latency = this.#latency.slice(0, this.#latency.findLastIndex(Boolean) + 1);
    if (sent > 0) answer.sent = sent;
    if (this.#sendFailed !== undefined) answer.sendFailed = Object.fromEntries(this.#sendFailed);
    if (heard > 0) answer.heard = heard;
    if (published > 0) answer.published = published;
    return answer;
  }
}

/** Times a run. */
export class Timing {
  readonly #counts: ContractCounts;
  readonly #clock: Clock;
  readonly #began: number;
  readonly #runs: number;

  /** `runs`: for how many it stands. */
  constructor(counts: ContractCounts, clock: Clock, began: number, runs: number) {
    this.#counts = counts;
    this.#clock = clock;
    this.#began = began;
    this.#runs = runs;
  }

  /** Its handler has ended. */
  end(): void {
    this.#counts.took(this.#clock.monotonic() - this.#began, this.#runs);
  }
}

/** The counts of one node by contract. */
export class Counts {
  readonly #byName: Map<string, ContractCounts> = new Map();
  /** Counts of messages that only Catga itself sends, and of contracts for which there is no room. */
  readonly #others: ContractCounts = new ContractCounts({ name: "", kind: "command" });

  /** Counts of a contract, made at its first message. */
  of(contract: Pick<AnyContract, "name" | "kind">): ContractCounts {
    return this.#byName.get(contract.name) ?? this.#add(contract);
  }

  /** Counts of the contract of this name, if there are any. */
  find(name: string): ContractCounts | undefined {
    return this.#byName.get(name);
  }

  /** Adds `more` messages of the contract that wait for their turn. */
  queued(name: string, more: number): void {
    const counts = this.find(name);
    if (counts !== undefined) counts.queued += more;
  }

  /** A request of this contract that was sent has ended. */
  sent(contract: AnyContract, { error }: Result<unknown>): void {
    const counts = this.of(contract);
    counts.sent++;
    counts.contract ??= contract;
    if (error !== undefined) counts.sendFailed(error.code);
  }

  /** Adds `more` events of this contract, or queued commands, that were published. */
  published(contract: Pick<AnyContract, "name" | "kind"> & Partial<AnyContract>, more: number): void {
    const counts = this.of(contract);
    counts.published += more;
    if (contract.options !== undefined) counts.contract ??= contract as AnyContract;
  }

  /** The contracts of which this process has sent messages. */
  get sentContracts(): readonly AnyContract[] {
    return [...this.#byName.values()].flatMap(({ contract }) => contract ?? []);
  }

  /** A message that was in hand waits for a turn of its own. */
  stepAside(name: string): void {
    this.#move(name, 1);
  }

  /** Such a message goes on, or has ended. */
  stepBack(name: string): void {
    this.#move(name, -1);
  }

  #move(name: string, waiting: number): void {
    const counts = this.find(name);
    if (counts === undefined) return;
    counts.queued += waiting;
    counts.inHand -= waiting;
  }

  /** All of them, the busiest first. */
  get all(): ContractCounts[] {
    return [...this.#byName.values()].sort((a, b) => b.total - a.total);
  }

  #add(contract: Pick<AnyContract, "name" | "kind">): ContractCounts {
    if (this.#byName.size >= MAX_CONTRACTS || isInternalName(contract.name)) return this.#others;
    const counts = new ContractCounts(contract);
    this.#byName.set(contract.name, counts);
    return counts;
  }
}

function count(codes: Map<string, number>, code: string): void {
  const isTold = codes.size < MAX_CODES || codes.has(code) || isErrorCode(code);
  const key = isTold ? code : OTHER_CODES;
  codes.set(key, (codes.get(key) ?? 0) + 1);
}

/** Reasons of aborts that are counted. */
const EXPIRED = new WeakSet<CatgaError>();
const MAX_CONTRACTS = 16_384; // names may come from anywhere, such as a gateway's clients
const MAX_CODES = 64;
const MOST_OF_FAILURE = 400; // characters
/** Between two runs that are timed: fewer are from then on, in ms; and the most runs that one stands for. */
const OFTEN = 1;
const MAX_STRIDE = 4_096;
const OTHER_CODES = "_OTHER";

// How many messages were handled for a subscription: observed once a second, and only while somebody looks.

/** Dependencies of a {@link HandledCount} on its node. */
interface HandledCountHost {
  readonly clock: Clock;
  readonly observer: Observer;
  /** `watched`: anybody observes what is not logged. */
  readonly hooks: { readonly watched: boolean };
}

/** The messages of one subscription that this node saw handled. */
export class HandledCount {
  readonly #host: HandledCountHost;
  readonly #subscription: string;
  /** By contract, since the last observation. */
  readonly #counts = new Map<string, number>();
  #timer: Timer | undefined;

  /** `subscription`: for observations, `<service>/<name>`. */
  constructor(host: HandledCountHost, subscription: string) {
    this.#host = host;
    this.#subscription = subscription;
  }

  /** A message of this contract was handled. */
  add(contract: string): void {
    this.#counts.set(contract, (this.#counts.get(contract) ?? 0) + 1);
    this.#timer ??= this.#host.clock.after(COUNT_INTERVAL, () => this.flush(), { background: true });
  }

  /** Observes what was counted, before the pause is over. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { hooks: { watched }, observer } = this.#host;
    if (watched) {
      for (const [contract, count] of this.#counts) {
        observer({ type: "handled", subscription: this.#subscription, contract, count });
      }
    }
    this.#counts.clear();
  }
}

const COUNT_INTERVAL = 1_000; // ms
