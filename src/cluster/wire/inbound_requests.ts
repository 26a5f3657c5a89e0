/**
 * What other processes ask of this one: requests and events find their handlers, so many at once, and answers the way back.
 * The event loop is given back every 5 ms, so that pings, cancellations and other senders are heard while handlers compute.
 */
import type { Clock } from "../../ports/clock.ts";
import type { ContextHost, Envelope } from "../../dispatch/context_host.ts";
import { MessageContext } from "../../dispatch/message_context.ts";
import { abandoned, type AdmissionWatcher } from "../../dispatch/execution.ts";
import { CatgaError } from "../../error.ts";
import { writeError } from "../../dispatch/error_text.ts";
import { AdmissionQueue, type Dropped, QueueEntry } from "../../dispatch/admission_queue.ts";
import { toJson } from "../../data/json.ts";
import type { Observer } from "../../contract/observer.ts";
import type { Receipt } from "../../dispatch/runner.ts";
import type { MaybePromise } from "../../contract/schema.ts";
import type { TurnBudget } from "../../dispatch/turn_budget.ts";
import { QueuedMessage, type RunNow } from "../../dispatch/admission.ts";
import { areAmong, watchForDeadlock } from "../../dispatch/admission_deadlock.ts";
import { type Outcome, Refusal } from "../../dispatch/outcome.ts";
import { byteLength, exceeds } from "../../data/utf8.ts";
import { InboundRequest } from "./inbound_request.ts";
import type { CancelItem, WireMeta } from "./frame.ts";
import type { Peer, RunningFrame } from "./peer.ts";

/** What an inbox is made of. */
export interface InboundRequestsOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly host: Pick<ContextHost, "wheel" | "pending" | "idle">;
  readonly budget: TurnBudget;
  /** How many handlers run at once for other nodes. */
  readonly concurrency: number;
  /** The largest answer, in bytes. */
  payloadLimit(): number;
  /** Runs a request from the wire; `undefined` when there is no handler. */
  receive(name: string, payload: unknown, timeout: number, envelope: Envelope): Receipt | undefined;
}

/** The requests of other processes, and events. */
export class InboundRequests implements AdmissionWatcher {
  readonly #options: InboundRequestsOptions;
  readonly #queue: AdmissionQueue;
  readonly #budget: TurnBudget;
  /** Messages that wait for the turn of their handler, or of their key: others may run meanwhile. */
  #aside = 0;
  #refusing = false;
  /** The messages of handlers that go on; where there are more turns than runs can wait for one, nobody asks. */
  readonly #under: Set<MessageContext> | undefined;
  /** When something was last asked or answered, by the monotonic clock. */
  busyAt = -Infinity;

  constructor(options: InboundRequestsOptions) {
    const { clock, concurrency, budget } = options;
    this.#options = options;
    this.#budget = budget;
    this.#queue = new AdmissionQueue(clock, { limit: concurrency, budget });
    this.#under = concurrency <= MOST_ANCESTORS ? new Set() : undefined;
  }

  /** Handlers that run for others, and messages that wait for their turn. */
  get load(): readonly [inFlight: number, queued: number] {
    return [this.#queue.running, this.#queue.waiting + this.#aside];
  }

  /** From now on requests are refused with `DRAINING`, those that wait too; events that wait have their turn. */
  refuse(): void {
    this.#refusing = true;
    for (const entry of this.#queue.entries()) if (entry.due < Infinity) entry.quit("DRAINING");
  }

  /** Nothing has a turn any more. */
  close(): void {
    this.refuse();
    for (const entry of this.#queue.entries()) entry.quit("DRAINING");
  }

  /** Takes the request at this place. `ttl`: what is left of its time, in ms. */
  request(peer: Peer, seq: number, index: number, name: string, ttl: number, payload: unknown, meta?: WireMeta): void {
    if (this.#refusing) return peer.refuse(seq, index, "DRAINING");
    if (!(ttl > 0)) return peer.refuse(seq, index, "LATE");
    const asked = new InboundRequest(peer, seq, index, name, meta);
    const timeout = Math.min(ttl, MAX_TTL);
    if (this.#queue.open && this.#aside < MAX_ASIDE) {
      this.#queue.occupy();
      return this.#run(asked, payload, timeout);
    }
    this.#wait(asked, payload, timeout);
  }

  /** Apart from the way without waiting, which makes no closures. */
  #wait(asked: InboundRequest, payload: unknown, timeout: number): void {
    const { peer, seq, index } = asked;
    const { clock, host: { wheel } } = this.#options;
    const waiting = new Waiting(clock.monotonic() + timeout, (why) => {
      wheel.delete(waiting);
      this.#ended(asked);
      if (why !== undefined) peer.refuse(seq, index, why);
      else this.#run(asked, payload, waiting.due - clock.monotonic());
    });
    this.#begun(asked, waiting);
    if (this.#aside < MAX_ASIDE && this.#queue.enter(waiting)) {
      wheel.add(waiting);
      if (this.#under !== undefined) {
        watchForDeadlock(clock, waiting, asked.ancestry, () => this.#heldBy(asked.ancestry));
      }
      return;
    }
    this.#ended(asked);
    peer.refuse(seq, index, "OVERLOADED");
  }

  /** Has a handler of an event run when its turn comes. `false` when there is no room for it. */
  event(begin: () => Receipt): boolean {
    if (this.#aside >= MAX_ASIDE) return false;
    if (this.#queue.open) {
      this.#queue.occupy();
      this.#runEvent(begin);
      return true;
    }
    const { host } = this.#options;
    // its time begins with its turn
    const waiting = new Waiting(Infinity, (why) => {
      if (why === undefined) this.#runEvent(begin);
      if (--host.pending === 0) host.idle();
    });
    const taken = this.#queue.enter(waiting);
    if (taken) host.pending++; // a drain waits for it
    return taken;
  }

  /** Has a request that came in no frame run when its turn comes. */
  admit(ctx: MessageContext, run: RunNow): MaybePromise<Outcome> {
    if (this.#refusing) return new Refusal("DRAINING", ctx);
    if (this.#aside >= MAX_ASIDE) return new Refusal("OVERLOADED", ctx);
    const { clock } = this.#options;
    const start = (): MaybePromise<Outcome> => {
      const result = run();
      if (!(result instanceof Promise)) {
        this.#queue.leave(this.#budget.spent());
        return result;
      }
      this.#watch(ctx);
      this.#budget.spent();
      return result.then((outcome) => {
        this.#left(ctx, outcome);
        return outcome;
      });
    };
    if (this.#queue.open) {
      this.#queue.occupy();
      return start();
    }
    return new Promise((resolve) => {
      const drop = (why: Dropped) => resolve(new Refusal(why, ctx));
      const message = new QueuedMessage(ctx, clock, { start: () => resolve(start()), drop });
      ctx.wait(message);
      if (!this.#queue.enter(message)) drop("OVERLOADED");
    });
  }

  /** The sender of a request has given up. One that has asked another node only gives up what does not run here under a claim. */
  cancel(peer: Peer, [, seq, index, moved]: CancelItem): void {
    const asked = peer.running.get(seq)?.asked[index];
    if (moved === 1 && asked instanceof MessageContext && asked.fence !== undefined && !asked.waiting) return;
    asked?.abort(new CatgaError("CANCELLED", "the sender of the message gave up"));
  }

  waits(): void {
    this.#aside++;
    this.#queue.stepAside();
  }

  goes(): void {
    this.#aside--;
    this.#queue.occupy();
  }

  #run(asked: InboundRequest, payload: unknown, timeout: number): void {
    const receipt = this.#options.receive(asked.contract, payload, timeout, asked);
    if (receipt === undefined) {
      asked.peer.refuse(asked.seq, asked.index, "NO_HANDLER");
      return this.#queue.stepAside();
    }
    const { ctx, result } = receipt;
    if (!(result instanceof Promise)) {
      this.#answer(asked, result);
      return this.#queue.leave(this.#budget.spent());
    }
    this.#go(asked, ctx, result);
  }

  #go(asked: InboundRequest, ctx: MessageContext, result: Promise<Outcome>): void {
    this.#begun(asked, ctx);
    this.#follow(ctx, result, (outcome) => {
      this.#ended(asked);
      this.busyAt = this.#options.clock.monotonic();
      const { aborted } = ctx;
      // why it was given up says nothing of what it had done by then
      const handedOn = aborted !== undefined && !(outcome instanceof Refusal) && outcome.error === aborted;
      this.#answer(asked, handedOn ? abandoned(ctx.contract, aborted) : outcome);
    });
  }

  /** Whether these runs have all turns. */
  #heldBy(runs: readonly string[]): boolean {
    const holders = [...this.#under ?? []].filter(({ waiting }) => !waiting);
    return this.#queue.full && holders.length === this.#queue.running && areAmong(runs, holders);
  }

  #runEvent(begin: () => Receipt): void {
    const { ctx, result } = begin();
    if (result instanceof Promise) this.#follow(ctx, result, () => {});
    else this.#queue.leave(this.#budget.spent());
  }

  /** A handler goes on, or waits for its own turn. */
  #follow(ctx: MessageContext, result: Promise<Outcome>, ended: (outcome: Outcome) => void): void {
    this.#watch(ctx);
    ctx.run(result, (outcome) => {
      ended(outcome);
      this.#left(ctx, outcome);
    });
    this.#budget.spent();
  }

  /** Follows from now on whether it waits for its own turn. */
  #watch(ctx: MessageContext): void {
    if (ctx.waiting) this.waits();
    ctx.execution.watcher = this;
    this.#under?.add(ctx);
  }

  /** It has come to its end. */
  #left(ctx: MessageContext, outcome: Outcome): void {
    this.#under?.delete(ctx);
    if (ctx.waiting) this.#aside--;
    else if (outcome instanceof Refusal) this.#queue.stepAside();
    else this.#queue.leave(this.#budget.spent());
  }

  #begun({ peer, seq, index }: InboundRequest, under: QueueEntry | MessageContext): void {
    let frame: RunningFrame | undefined = peer.running.get(seq);
    if (frame === undefined) peer.running.add(frame = { seq, asked: [], open: 0 });
    frame.asked[index] = under;
    frame.open++;
  }

  #ended({ peer, seq, index }: InboundRequest): void {
    const frame = peer.running.get(seq);
    if (frame === undefined) return;
    frame.asked[index] = undefined;
    if (--frame.open === 0) peer.running.delete(seq);
  }

  #answer({ peer, seq, index, contract }: InboundRequest, outcome: Outcome): void {
    if (outcome instanceof Refusal) return peer.refuse(seq, index, outcome.code);
    const limit = this.#options.payloadLimit();
    if (!outcome.ok) return peer.failure(seq, index, writeError(outcome.error, limit));
    const { value } = outcome;
    if (value === undefined) return peer.answer(seq, index, undefined);
    let text: string;
    try {
      text = toJson(value, "INVALID_RESPONSE", "the answer", contract);
    } catch (error) {
      return this.#unfit(peer, seq, index, error as CatgaError); // the only one that it throws
    }
    if (exceeds(text, limit)) {
      const reason = `the answer of ${contract} is ${byteLength(text)} bytes; the server takes ${limit} at most`;
      return this.#unfit(peer, seq, index, new CatgaError("TOO_LARGE", reason));
    }
    peer.answer(seq, index, text);
  }

  #unfit(peer: Peer, seq: number, index: number, error: CatgaError): void {
    this.#options.observer({ type: "fault", during: "answering", error });
    peer.failure(seq, index, writeError(error, this.#options.payloadLimit()));
  }
}

/** A message that waits for its turn. `then` is told why it has none. */
class Waiting extends QueueEntry {
  readonly #then: (why?: Dropped) => void;

  constructor(due: number, then: (why?: Dropped) => void) {
    super(due);
    this.#then = then;
  }

  override start(): void {
    this.#then();
  }

  override drop(why: Dropped): void {
    this.#then(why);
  }
}

/** As many as may wait aside: they would fill the memory. */
const MAX_ASIDE = 65_536;
const MOST_ANCESTORS = 64; // runs that wait for one, in a chain
const MAX_TTL = 2_147_483_647;
