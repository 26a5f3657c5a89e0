/**
 * Counts of a node by contract. They are plain fields of objects that the code of each message uses anyway, so that
 * counting costs little. Tools read them at intervals.
 */
import { isHandlerFailing } from "../contract/nodes/alarms.ts";
import { type AnyContract, isInternalName, type Kind } from "../contract/declaration/contract.ts";
import type { ContractStats } from "../contract/nodes/node_stats.ts";
import type { Failure, Result } from "../contract/calls/result.ts";
import { type CatgaError, isErrorCode } from "../error.ts";
import { LATENCY_BUCKETS, latencyBucket } from "../data/latency_buckets.ts";
import type { Clock } from "../ports/clock.ts";
import { type Outcome, Refusal } from "./outcome.ts";

/**
 * The counts of one contract on one node: of its messages, failures and durations ({@link ContractStats}).
 * @decides what the statistics count
 */
export class ContractCounts {
  readonly name: string;
  readonly kind: Kind;
  /** The contract object that the sender used; `undefined` until this process has sent a message of this contract. */
  contract: AnyContract | undefined = undefined;
  handled = 0;
  inHand = 0;
  queued = 0;
  sent = 0;
  heard = 0;
  published = 0;
  /**
   * Number of sends from this process to its own handler by the fast path (`local_fast_path.ts`). In answers to tools
   * it is added to both `sent` and `handled`, which do not contain it here.
   */
  local = 0;
  /** Number of sends by the fast path to an asynchronous handler that have begun. */
  localBegun = 0;
  /** Number of sends by the fast path to an asynchronous handler that have ended. */
  localDone = 0;
  #failed: Map<string, number> | undefined = undefined;
  #failure: string | undefined = undefined;
  #sendFailed: Map<string, number> | undefined = undefined;
  #latency: number[] | undefined = undefined;
  /** Number of runs of the contract's handler until the next run is timed. */
  #untimed = 0;
  /** Number of runs of the handler for which one timed run stands: so many runs are counted with its duration. */
  #stride = 1;
  /** Time at which a run of the handler was last timed, by the monotonic clock. */
  #timedAt = -Infinity;

  constructor({ name, kind }: Pick<AnyContract, "name" | "kind">) {
    this.name = name;
    this.kind = kind;
  }

  /** Counts a message whose handler has ended, or that was refused; `timing` measures the run of the handler. */
  end(outcome: Outcome, timing?: Timing): void {
    timing?.end();
    if (outcome instanceof Refusal) return this.refused(outcome.code);
    this.handled++;
    if (!outcome.ok) this.#handlerFailed(outcome);
  }

  /**
   * Counts a handler that runs past its deadline as failed, at once, because the handler may never end. Its later
   * outcome is not counted.
   */
  expired(error: CatgaError): void {
    this.#handlerFailed({ ok: false, error });
    EXPIRED.add(error);
  }

  #handlerFailed({ error, error: { code, message } }: Failure): void {
    if (EXPIRED.has(error)) return;
    this.refused(code);
    if (isHandlerFailing(code)) this.#failure = `${code}: ${message}`;
  }

  /** Counts a message whose handler has ended, and that was counted as `inHand`. */
  endInHand(outcome: Outcome, timing?: Timing): void {
    this.inHand--;
    this.end(outcome, timing);
  }

  /** Counts a request that was refused before a handler got it. */
  refused(code: string): void {
    count(this.#failed ??= new Map(), code);
  }

  /** Records `ms` as the duration of each of `runs` runs of the handler. */
  took(ms: number, runs = 1): void {
    (this.#latency ??= new Array<number>(LATENCY_BUCKETS).fill(0))[latencyBucket(ms)] += runs;
  }

  /**
   * Begins to measure the duration of a run of the handler. Returns `undefined` if this run is not measured: then the
   * last measured run before it stands for it, too. Reading the clock may take longer than a run (80 ns in Deno), so
   * the more runs follow each other in a ms, the fewer of them are measured. Not used for requests of other processes,
   * whose durations count from their arrival.
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

  /** Counts a request that was sent and has failed. */
  sendFailed(code: string): void {
    count(this.#sendFailed ??= new Map(), code);
  }

  /** Counts a send by the fast path that has ended. */
  localResult(result: Result<unknown>): Result<unknown> {
    this.local++;
    return result.ok ? result : this.#localFailed(result);
  }

  /** Counts a send by the fast path to an asynchronous handler that has ended; `timing` measures the run. */
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

  /** Number of all messages of the contract that were counted. */
  get total(): number {
    return this.handled + this.sent + this.heard + this.published + 2 * (this.local + this.localDone);
  }

  /** Returns the counts as JSON for an answer, without counts that are 0 or empty. */
  toJSON(): Pick<ContractStats, "name" | "kind"> & Partial<ContractStats> {
    // the next run of the handler is timed, so that a reader that asks again in a second also sees durations of
    // contracts with few runs
    this.#untimed = this.#stride = 1;
    const { name, kind, queued, heard, published, localBegun, localDone } = this;
    const local = this.local + localDone;
    const [handled, sent, inHand] = [this.handled + local, this.sent + local, this.inHand + localBegun - localDone];
    // the answer is made member by member: spreading objects is slow, an answer has hundreds of these objects, and this
    // code has hardly run before
    const answer: { -readonly [Field in keyof ContractStats]?: ContractStats[Field] } & { name: string; kind: Kind } = {
      name,
      kind,
    };
    if (handled > 0) answer.handled = handled;
    if (this.#failed !== undefined) answer.failed = Object.fromEntries(this.#failed);
    if (this.#failure !== undefined) answer.failure = this.#failure.slice(0, MAX_FAILURE_TEXT);
    if (inHand > 0) answer.inHand = inHand;
    if (queued > 0) answer.queued = queued;
    // the zeros at the end of the list are left out
    if (this.#latency !== undefined) answer.latency = this.#latency.slice(0, this.#latency.findLastIndex(Boolean) + 1);
    if (sent > 0) answer.sent = sent;
    if (this.#sendFailed !== undefined) answer.sendFailed = Object.fromEntries(this.#sendFailed);
    if (heard > 0) answer.heard = heard;
    if (published > 0) answer.published = published;
    return answer;
  }
}

/** Measures the duration of one run of a handler. */
export class Timing {
  readonly #counts: ContractCounts;
  readonly #clock: Clock;
  readonly #began: number;
  readonly #runs: number;

  /** `runs`: number of runs for which the measured run stands. */
  constructor(counts: ContractCounts, clock: Clock, began: number, runs: number) {
    this.#counts = counts;
    this.#clock = clock;
    this.#began = began;
    this.#runs = runs;
  }

  /** Ends the measurement, and adds the duration to the counts. Call it when the handler has ended. */
  end(): void {
    this.#counts.took(this.#clock.monotonic() - this.#began, this.#runs);
  }
}

/** The counts of one node by contract. */
export class Counts {
  readonly #byName: Map<string, ContractCounts> = new Map();
  /** Counts of messages that only Catga itself sends, and of contracts beyond the maximum number. */
  readonly #others: ContractCounts = new ContractCounts({ name: "", kind: "command" });

  /** Returns the counts of a contract, made at its first message. */
  of(contract: Pick<AnyContract, "name" | "kind">): ContractCounts {
    return this.#byName.get(contract.name) ?? this.#add(contract);
  }

  /** Returns the counts of the contract of this name; `undefined`: there are none. */
  find(name: string): ContractCounts | undefined {
    return this.#byName.get(name);
  }

  /** Adds `more` to the number of messages of the contract that wait for a handler. */
  queued(name: string, more: number): void {
    const counts = this.find(name);
    if (counts !== undefined) counts.queued += more;
  }

  /** Counts a request of this contract that was sent and has ended. */
  sent(contract: AnyContract, { error }: Result<unknown>): void {
    const counts = this.of(contract);
    counts.sent++;
    counts.contract ??= contract;
    if (error !== undefined) counts.sendFailed(error.code);
  }

  /** Adds `more` to the number of published messages of this contract: events, or queued commands. */
  published(contract: AnyContract, more: number): void {
    const counts = this.of(contract);
    counts.published += more;
    counts.contract ??= contract;
  }

  /** The contracts whose messages this process has sent. */
  get sentContracts(): readonly AnyContract[] {
    return [...this.#byName.values()].flatMap(({ contract }) => contract ?? []);
  }

  /**
   * Moves one message from the count `inHand` (running) to the count `queued` (waiting): it begins to wait for
   * admission (a place at its handler), or a run of a handler that it has begun does. `name`: name of its contract.
   */
  stepAside(name: string): void {
    this.#move(name, 1);
  }

  /**
   * Moves one message from the count `queued` (waiting) back to the count `inHand` (running), when it is admitted,
   * continues or is dropped; undoes {@link Counts.stepAside}.
   */
  stepBack(name: string): void {
    this.#move(name, -1);
  }

  #move(name: string, waiting: number): void {
    const counts = this.find(name);
    if (counts === undefined) return;
    counts.queued += waiting;
    counts.inHand -= waiting;
  }

  /** The counts of all contracts, the busiest first. */
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

/** Errors of handlers that ran past their deadlines; {@link ContractCounts.expired} has counted them already. */
const EXPIRED = new WeakSet<CatgaError>();
const MAX_CONTRACTS = 16_384; // contracts; their names may come from anywhere, such as a gateway's clients
const MAX_CODES = 64;
const MAX_FAILURE_TEXT = 400; // characters, to which the text of a failure is cut
/** Time between two measured runs of a handler, in ms, below which fewer runs are measured. */
const OFTEN = 1;
/** Maximum number of runs of a handler for which one measured run stands. */
const MAX_STRIDE = 4_096;
const OTHER_CODES = "_OTHER";
