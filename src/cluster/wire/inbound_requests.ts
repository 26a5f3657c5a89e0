/**
 * Runs the requests and events that other processes send: a limited number of handlers at once; the others wait, or are
 * refused. After every 5 ms of handlers the event loop gets a turn, so that pings, cancellations and other senders are
 * served while handlers compute. An `InboundRequest` is one of these requests, and sends its answer.
 */
import type { Clock } from "../../ports/clock.ts";
import type { ContextHost } from "../../dispatch/context_host.ts";
import { MessageContext } from "../../dispatch/message_context.ts";
import type { AdmissionWatcher } from "../../dispatch/execution.ts";
import { abandoned, type Later, type Outcome, Refusal, VersionRefusal } from "../../dispatch/outcome.ts";
import { CatgaError } from "../../error.ts";
import { AdmissionQueue, type Backlog, type Dropped, QueueEntry } from "../../dispatch/admission_queue.ts";
import { areAmong, QueuedMessage, type RunNow, watchForDeadlock } from "../../dispatch/admission.ts";
import type { TurnBudget } from "../../dispatch/turn_budget.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import { type AnyContract, isInternalName } from "../../contract/declaration/contract.ts";
import type { Counts } from "../../dispatch/contract_counts.ts";
import { EntityOutcome } from "../../dispatch/handler_call.ts";
import type { Receipt, Runner } from "../../dispatch/runner.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import type { CancelItem, ProgressItem, WireMeta } from "./frame.ts";
import { failureItem } from "./frame_writer.ts";
import { unreadable } from "./frame_reader.ts";
import { WireEnvelope } from "./wire_envelope.ts";
import { refuseLate } from "./received_frames.ts";
import { answerOf, OpenStreams, ReaderLine } from "./open_streams.ts";
import type { Peer } from "./peer.ts";
import { unlessFits } from "../../data/message_room.ts";
import { Unreadable } from "../../data/tags.ts";
import { toText } from "../../data/encoding.ts";
import { writeError } from "../../dispatch/error_encoding.ts";
import type { RunningRequest } from "./request_ledger.ts";

/** Dependencies of {@link InboundRequests} on the node. */
export interface InboundRequestsOptions extends RequestAnswerOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly host: Pick<ContextHost, "wheel" | "underWay">;
  /** Maximum number of handlers that run at once on behalf of other nodes. */
  readonly concurrency: number;
  readonly runner: Pick<Runner, "always" | "budget" | "counts" | "patience" | "receive" | "repeatable">;
}

/** The requests and events that other processes have sent to one node. */
export class InboundRequests implements AdmissionWatcher {
  readonly #options: InboundRequestsOptions;
  readonly #queue: AdmissionQueue;
  readonly #budget: TurnBudget;
  readonly #counts: Counts;
  readonly #streams: OpenStreams;
  /**
   * Number of messages that have been let through the limit of running handlers and do not run, because they wait for
   * their handler's `concurrency` or for their key. They do not count among the
   * {@link InboundRequestsOptions.concurrency} running handlers.
   */
  #aside = 0;
  #refusing = false;
  /**
   * Messages that have been let through the limit of running handlers and have not ended, to detect deadlocks;
   * `undefined` if the limit is greater than the longest possible chain of messages that wait for each other.
   */
  readonly #admitted: Set<MessageContext> | undefined;
  /** Time at which a request last arrived or was answered, by the monotonic clock. */
  busyAt = -Infinity;

  constructor(options: InboundRequestsOptions) {
    const { clock, concurrency, runner: { budget, counts } } = options;
    this.#options = options;
    this.#budget = budget;
    this.#counts = counts;
    this.#streams = new OpenStreams(clock, concurrency);
    this.#queue = new AdmissionQueue(clock, { limit: concurrency, budget });
    this.#admitted = concurrency <= MAX_ANCESTORS ? new Set() : undefined;
  }

  /** Number of handlers that run for other processes, and number of their messages that wait. */
  get load(): readonly [inFlight: number, queued: number] {
    return [this.#queue.running, this.#queue.waiting + this.#aside];
  }

  /** The messages that wait because the maximum number of handlers runs; `undefined`: none must wait. */
  get backlog(): Backlog | undefined {
    return this.#queue.backlog;
  }

  /**
   * Refuses new and waiting requests with `DRAINING` from now on; waiting events are still handled. Returns false if
   * requests were refused already.
   */
  refuse(): boolean {
    if (this.#refusing) return false;
    this.#refusing = true;
    for (const entry of this.#queue.entries()) if (entry.due < Infinity) entry.quit("DRAINING");
    return true;
  }

  /** Like {@link InboundRequests.refuse}, but also drops the waiting events. */
  close(): void {
    this.#streams.stop();
    this.refuse();
    for (const entry of this.#queue.entries()) entry.quit("DRAINING");
  }

  /** Runs, queues or refuses the request at place `index` of frame `seq`. `ttl`: the time until its deadline, in ms. */
  request(peer: Peer, seq: number, index: number, name: string, ttl: number, payload: unknown, meta?: WireMeta): void {
    if (this.#refusing) {
      this.#counts.find(name)?.refused("DRAINING");
      return peer.outgoing.refuse(seq, index, "DRAINING");
    }
    if (refuseLate(peer.outgoing, seq, index, ttl)) return this.#counts.find(name)?.refused("LATE");
    const request = new InboundRequest(peer, seq, index, name, meta);
    if (payload instanceof Unreadable) {
      return request.answer({ ok: false, error: unreadable(name, payload) }, this.#options);
    }
    const timeout = Math.min(ttl, MAX_TTL);
    if ((this.#queue.open && this.#aside < MAX_ASIDE) || this.#options.runner.always(name, payload)) {
      this.#queue.occupy();
      return this.#run(request, payload, timeout);
    }
    this.#wait(request, payload, timeout);
  }

  /** Queues a request, or refuses it. A method of its own, so that requests that run at once create no closures. */
  #wait(request: InboundRequest, payload: unknown, timeout: number): void {
    const { peer, seq, index, ancestry, contract } = request;
    const { clock, host: { wheel }, runner } = this.#options;
    const counts = this.#counts;
    const now = clock.monotonic();
    const refuse = (why: Dropped) => {
      counts.find(contract)?.refused(why);
      peer.outgoing.refuse(seq, index, why);
    };
    const waiting = new QueuedTurn(now + runner.patience(contract, timeout), (why) => {
      wheel.delete(waiting);
      counts.queued(contract, -1);
      request.ended();
      if (why !== undefined) refuse(why);
      else this.#run(request, payload, now + timeout - clock.monotonic());
    });
    request.begun(waiting);
    counts.queued(contract, 1);
    if (this.#aside < MAX_ASIDE && this.#queue.enter(waiting)) {
      wheel.add(waiting);
      if (this.#admitted !== undefined) watchForDeadlock(clock, waiting, ancestry, () => this.#heldBy(ancestry));
      return;
    }
    counts.queued(contract, -1);
    request.ended();
    refuse("OVERLOADED");
  }

  /**
   * Runs a handler of an event, at once or when fewer than the maximum number of handlers run. Returns false if the
   * event is dropped, because too many messages wait.
   */
  event(name: string, begin: () => Receipt): boolean {
    const counts = this.#counts;
    if (this.#queue.open && this.#aside < MAX_ASIDE) {
      this.#queue.occupy();
      this.#runEvent(begin);
      return true;
    }
    const { host } = this.#options;
    // the event's timeout begins when it runs, not when it waits
    const waiting = new QueuedTurn(Infinity, (why) => {
      counts.queued(name, -1);
      if (why === undefined) this.#runEvent(begin);
      host.underWay.end();
    });
    if (this.#aside >= MAX_ASIDE || !this.#queue.enter(waiting)) {
      counts.find(name)?.refused("OVERLOADED");
      return false;
    }
    host.underWay.begin(); // a drain waits for the event
    counts.queued(name, 1);
    return true;
  }

  /** Runs a request of a plain NATS client, which has no frame, when its turn comes. */
  admit(ctx: MessageContext, run: RunNow): MaybePromise<Outcome> {
    if (this.#refusing) return new Refusal("DRAINING", ctx);
    if (ctx.contract.kind === "stream") return run();
    if (this.#aside >= MAX_ASIDE) return new Refusal("OVERLOADED", ctx);
    const { clock } = this.#options;
    const counts = this.#counts;
    const start = (): MaybePromise<Outcome> => {
      const result = run();
      if (!(result instanceof Promise)) {
        this.#queue.leave(this.#budget.spent());
        return result;
      }
      this.#watch(ctx);
      this.#budget.spent();
      return result.then((outcome) => {
        this.#finished(ctx, outcome, this.#budget.spent());
        return outcome;
      });
    };
    if (this.#queue.open) {
      this.#queue.occupy();
      return start();
    }
    const { contract: { name } } = ctx;
    counts.stepAside(name);
    return new Promise((resolve) => {
      const end = (outcome: MaybePromise<Outcome>) => {
        counts.stepBack(name);
        resolve(outcome);
      };
      const drop = (why: Dropped) => end(new Refusal(why, ctx));
      const message = new QueuedMessage(ctx, clock, { start: () => end(start()), drop });
      ctx.enqueued(message);
      if (!this.#queue.enter(message)) drop("OVERLOADED");
    });
  }

  /**
   * Aborts the run of a request whose sender has given up, or has moved it to another node. If it was moved, a handler
   * that has acquired the claim (record that reserves the request's id) goes on.
   */
  cancel(peer: Peer, [, seq, index, moved]: CancelItem): void {
    const run = peer.running.find(seq, index);
    if (moved === 1 && run instanceof MessageContext && run.fence !== undefined && !run.isQueued) return;
    run?.abort(new CatgaError("CANCELLED", "the sender of the message gave up"));
  }

  /** Passes the progress of a stream's reader (items consumed and received) to the handler that feeds the stream. */
  onProgress(peer: Peer, [, seq, index, consumed, received, again]: ProgressItem): void {
    const run = peer.running.find(seq, index);
    if (!(run instanceof MessageContext)) return;
    const { envelope } = run;
    if (envelope instanceof InboundRequest) envelope.items.line.onProgress(consumed, received, again === 1);
  }

  stepsAside({ name }: AnyContract): void {
    this.#counts.stepAside(name);
    this.#aside++;
    this.#queue.stepAside();
  }

  stepsBack({ name }: AnyContract): void {
    this.#counts.stepBack(name);
    this.#aside--;
    this.#queue.occupy();
  }

  #run(request: InboundRequest, payload: unknown, timeout: number): void {
    const receipt = this.#options.runner.receive(request.contract, payload, timeout, request);
    if (receipt === undefined) {
      request.peer.outgoing.refuse(request.seq, request.index, "NO_HANDLER");
      return this.#queue.stepAside();
    }
    const { result, counts, ctx } = receipt;
    if (ctx.contract.kind === "stream") return this.#feed(request, receipt);
    if (result instanceof Promise || result instanceof EntityOutcome) {
      return this.#answerLater(request, receipt, result);
    }
    counts.end(result);
    request.answer(result, this.#options);
    const now = this.#budget.spent();
    counts.took(now - request.at);
    this.#queue.leave(now);
  }

  #answerLater(request: InboundRequest, { ctx, counts }: Receipt, result: Later): void {
    request.begun(ctx);
    counts.inHand++;
    this.#onEnd(ctx, result, (outcome, now) => {
      request.ended();
      this.busyAt = now;
      counts.endInHand(outcome);
      counts.took(now - request.at);
      const { aborted } = ctx;
      if (aborted?.code === "CLOSED" && this.#runsElsewhere(ctx.contract, outcome)) return;
      // an abort does not show how far the handler had come: the sender must be told that the request may have run
      const gaveUp = aborted !== undefined && this.#comesOfAbort(ctx, aborted, outcome);
      request.answer(gaveUp ? abandoned(ctx.contract, aborted) : outcome, this.#options);
    });
  }

  /**
   * Returns true if a request that this node has aborted, because it stops, gets no answer: its sender then finds the
   * process gone, and sends the request to another node. An answer would be final. Returns false if the request may not
   * run twice, or if its outcome cannot come from the abort, but is the handler's decision.
   */
  #runsElsewhere({ name }: AnyContract, outcome: Outcome): boolean {
    return !(outcome instanceof Refusal) && !outcome.ok && ABORTED.has(outcome.error.code) &&
      this.#options.runner.repeatable(name);
  }

  /**
   * Returns true if an aborted message failed with the reason of its abort; or if it is a command, and its handler,
   * which had begun, passed on a failure with which sends, locks and the cache end after an abort: as the failure of
   * the command, that would say that the handler had not run.
   */
  #comesOfAbort(ctx: MessageContext, aborted: CatgaError, outcome: Outcome): boolean {
    if (outcome instanceof Refusal || outcome.ok) return false;
    if (outcome.error === aborted) return true;
    const { kind, name } = ctx.contract;
    return kind === "command" && SAYS_NOT_RUN.has(outcome.error.code) &&
      ctx.execution.stage === "handler" && !ctx.isQueued && !isInternalName(name);
  }

  /**
   * Runs the handler of a stream. The handler is not one of the limited number of handlers that run at once, because
   * most of the time it waits for the stream's reader.
   */
  #feed(request: InboundRequest, { ctx, result, counts }: Receipt): void {
    request.begun(ctx);
    counts.inHand++;
    const over = this.#streams.add({ peer: request.peer, line: request.items.line, ctx });
    ctx.run(Promise.resolve(result), (outcome) => {
      over();
      request.ended();
      this.busyAt = this.#options.clock.monotonic();
      counts.endInHand(outcome);
      request.answer(answerOf(ctx, outcome), this.#options);
    });
    this.#budget.spent();
    this.#queue.stepAside();
  }

  /**
   * Returns true if the maximum number of handlers runs, and each of them is one of `runs`: then no other message can
   * begin before one of `runs` ends.
   */
  #heldBy(runs: readonly string[]): boolean {
    const holders = [...this.#admitted ?? []].filter(({ isAside }) => !isAside);
    return this.#queue.full && holders.length === this.#queue.running && areAmong(runs, holders);
  }

  #runEvent(begin: () => Receipt): void {
    const { ctx, result } = begin();
    if (result instanceof Promise) this.#onEnd(ctx, result, () => {});
    else this.#queue.leave(this.#budget.spent());
  }

  /**
   * Waits for a handler that returned a promise, or whose message waits for its handler's `concurrency` or for its key;
   * calls `ended` with the outcome.
   */
  #onEnd(ctx: MessageContext, result: Later, ended: (outcome: Outcome, now: number) => void): void {
    this.#watch(ctx);
    ctx.run(result, (outcome) => {
      const now = this.#budget.spent();
      ended(outcome, now);
      this.#finished(ctx, outcome, now);
    });
    this.#budget.spent();
  }

  /**
   * Watches a message, so that it does not count as running while it waits for its handler's `concurrency`, for its
   * key, or for the outcome of another message.
   */
  #watch(ctx: MessageContext): void {
    if (ctx.isAside) this.stepsAside(ctx.contract);
    ctx.execution.watcher = this;
    this.#admitted?.add(ctx);
  }

  /**
   * Records the end of a handler that returned a promise. `now`: time at which the end is recorded, by the monotonic
   * clock.
   */
  #finished(ctx: MessageContext, outcome: Outcome, now: number): void {
    this.#admitted?.delete(ctx);
    if (ctx.isAside) {
      this.#counts.stepBack(ctx.contract.name);
      this.#aside--;
    } else if (outcome instanceof Refusal) this.#queue.stepAside();
    else this.#queue.leave(now);
  }
}

/**
 * A message that waits until it may run. `onEnd` is called once, also if the message is dropped, then with the
 * reason.
 */
class QueuedTurn extends QueueEntry {
  readonly #onEnd: (why?: Dropped) => void;

  constructor(due: number, onEnd: (why?: Dropped) => void) {
    super(due);
    this.#onEnd = onEnd;
  }

  override start(): void {
    this.#onEnd();
  }

  override drop(why: Dropped): void {
    this.#onEnd(why);
  }
}

/**
 * Codes of the failures that an abort can cause: that of the abort itself, that of a send of the handler which the
 * abort cuts off, and that of an error which the handler then throws.
 */
const ABORTED: ReadonlySet<string> = new Set(["CLOSED", "OUTCOME_UNKNOWN", "HANDLER_FAILED"]);
/** Codes with which what a handler calls fails after its message was aborted, and that say "did not run". */
const SAYS_NOT_RUN: ReadonlySet<string> = new Set(["CLOSED", "UNAVAILABLE"]);
/**
 * Maximum number of messages that have been let through the limit of running handlers and wait for their handler's
 * `concurrency` or for their key; more would fill the memory.
 */
const MAX_ASIDE = 65_536;
const MAX_ANCESTORS = 64; // maximum number of runs in a chain, each waiting for the next
const MAX_TTL = 2_147_483_647;

/** Dependencies on the node for answering a request. */
interface RequestAnswerOptions {
  readonly observer: Observer;
  /** Returns the size of the largest answer, in bytes. */
  payloadLimit(): number;
}

/** A request that has arrived in a frame: its place there, its meta (id, headers and the like), and its answer. */
export class InboundRequest extends WireEnvelope {
  readonly peer: Peer;
  readonly seq: number;
  readonly index: number;
  /** Name of the request's contract. */
  readonly contract: string;
  /** Time at which the request's frame arrived, by the monotonic clock. */
  readonly at: number;
  override readonly sentAt: number;
  #items: { readonly line: ReaderLine } | undefined = undefined;

  /** Makes the request at place `index` among the requests of frame `seq`. */
  constructor(peer: Peer, seq: number, index: number, contract: string, meta: WireMeta | undefined) {
    super(meta);
    this.peer = peer;
    this.seq = seq;
    this.index = index;
    this.contract = contract;
    this.at = peer.lastSeenAt;
    this.sentAt = this.at - peer.late;
  }

  /**
   * The {@link ReaderLine} that sends the items of the requested stream to its reader; only for requests of streams.
   */
  get items(): { readonly line: ReaderLine } {
    return this.#items ??= { line: new ReaderLine(this) };
  }

  /** Registers the handler's run (or wait for a turn) for this request, so that it can be cancelled. */
  begun(run: RunningRequest): void {
    this.peer.running.begun(this.seq, this.index, run);
  }

  /** Removes the registration made by `begun`. Called when the request no longer runs or waits. */
  ended(): void {
    this.peer.running.ended(this.seq, this.index);
  }

  /** Answers the request, with its result or with the code of a refusal. */
  answer(outcome: Outcome, { observer, payloadLimit }: RequestAnswerOptions): void {
    const { peer, seq, index, contract } = this;
    if (outcome instanceof Refusal) return peer.outgoing.refuse(seq, index, outcome.code);
    const { value } = outcome;
    if (outcome.ok && value === undefined) return peer.outgoing.answer(seq, index, undefined);
    const fail = (error: CatgaError, refused: 0 | 1 | 2 = 0) =>
      peer.outgoing.answerItem(failureItem(seq, index, writeError(error, payloadLimit()), refused));
    if (!outcome.ok) return fail(outcome.error, outcome instanceof VersionRefusal ? outcome.ofStored ? 2 : 1 : 0);
    let text: string;
    try {
      text = toText(value, "INVALID_RESPONSE", "the answer", contract);
      const error = unlessFits(`the answer of ${contract}`, text, payloadLimit(), "return");
      if (error !== undefined) throw error;
    } catch (thrown) {
      const error = thrown as CatgaError; // `toText` throws CatgaErrors only
      observer({ type: "fault", during: "sending an answer", error });
      return fail(error);
    }
    peer.outgoing.answer(seq, index, text);
  }

  protected override name(): string {
    return `${this.peer.theirCalls}${this.seq}.${this.index}`;
  }
}
