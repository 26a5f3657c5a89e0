/**
 * What other processes ask of this one: requests find their handlers, so many at once, and their answers the way back. The
 * event loop is given back every 5 ms, so that pings, cancellations and other senders are heard while handlers compute.
 */
import type { Clock } from "../clock.ts";
import type { Envelope, MessageContext } from "../context.ts";
import { CatgaError } from "../error.ts";
import { writeError } from "../error_text.ts";
import { Gate, type Ticket } from "../gate.ts";
import type { Observer } from "../observer.ts";
import type { Result } from "../result.ts";
import type { Receipt } from "../runner.ts";
import { Refusal } from "../turns.ts";
import { byteLength, exceeds } from "../utf8.ts";
import type { WireMeta } from "./frame.ts";
import type { Peer, RunningFrame } from "./peer.ts";

/** What an inbox is made of. */
export interface InboxOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  /** How many handlers run at once for other nodes. */
  readonly concurrency: number;
  /** The largest answer, in bytes. */
  payloadLimit(): number;
  /** Runs a request from the wire; `undefined` when there is no handler. */
  receive(name: string, payload: unknown, timeout: number, envelope: Envelope): Receipt | undefined;
}

/** Where a request stands in a frame of which process. */
interface Place {
  readonly peer: Peer;
  readonly seq: number;
  readonly index: number;
  readonly name: string;
}

/** The requests of other processes. */
export class Inbox {
  readonly #options: InboxOptions;
  readonly #gate: Gate;
  #refusing = false;
  /** When this turn of the event loop began to run handlers, by the monotonic clock; -1 before. */
  #sliceAt = -1;
  /** When the clock was last looked at, how many handlers ago the next look is due, and how many lie between two. */
  #now = 0;
  #unseen = 0;
  #stride = 1;
  /** When something was last asked or answered, by the monotonic clock. */
  busyAt = -Infinity;

  constructor(options: InboxOptions) {
    this.#options = options;
    this.#gate = new Gate(options.clock, { limit: options.concurrency });
  }

  /** Handlers that run for others, and requests that wait for their turn. */
  get load(): readonly [inFlight: number, queued: number] {
    return [this.#gate.running, this.#gate.waiting];
  }

  /** From now on requests are refused with `DRAINING`; those that wait have their turn. */
  refuse(): void {
    this.#refusing = true;
  }

  /** Takes the request at this place. `ttl`: what is left of its time, in ms. */
  request(peer: Peer, seq: number, index: number, name: string, ttl: number, payload: unknown, meta?: WireMeta): void {
    if (this.#refusing) return peer.refuse(seq, index, "DRAINING");
    if (!(ttl > 0)) return peer.refuse(seq, index, "LATE");
    const place: Place = { peer, seq, index, name };
    const timeout = Math.min(ttl, MAX_TTL);
    if (this.#gate.open) {
      this.#gate.pass();
      return this.#run(place, payload, timeout, meta);
    }
    const due = this.#options.clock.monotonic() + timeout;
    const waiting = new Waiting(due, {
      start: (left) => {
        this.#ended(place);
        this.#run(place, payload, left, meta);
      },
      drop: () => {
        this.#ended(place);
        peer.refuse(seq, index, "LATE");
      },
    }, this.#options.clock);
    this.#begun(place, waiting);
    if (this.#gate.enter(waiting)) return;
    this.#ended(place);
    peer.refuse(seq, index, "OVERLOADED");
  }

  /** Has an event handled when its turn comes. `false` when there is no room for it. */
  event(run: () => Promise<unknown>): boolean {
    const gate = this.#gate;
    const start = () => {
      run().then(() => gate.leave());
    };
    return gate.enter({ due: Infinity, gone: false, start, drop() {} });
  }

  /** The sender of the request at this place has given up. */
  cancel(peer: Peer, seq: number, index: number): void {
    peer.running.get(seq)?.asked[index]?.abort(new CatgaError("CANCELLED", "the sender of the message gave up"));
  }

  #run(place: Place, payload: unknown, timeout: number, meta: WireMeta | undefined): void {
    const { peer, seq, index, name } = place;
    const receipt = this.#options.receive(name, payload, timeout, envelope(peer, seq, index, meta));
    if (receipt === undefined) {
      peer.refuse(seq, index, "NO_HANDLER");
      return this.#gate.leave();
    }
    const { ctx, result } = receipt;
    if (!(result instanceof Promise)) {
      this.#answer(place, result);
      return this.#gate.leave(this.#slice());
    }
    this.#begun(place, ctx);
    ctx.run(result, (ended) => {
      this.#ended(place);
      this.busyAt = this.#options.clock.monotonic();
      this.#answer(place, ended);
      this.#gate.leave(this.busyAt);
    });
  }

  /**
   * Gives the event loop back when handlers have had it for long enough; the rest wait for the next turn. The clock is
   * looked at the more seldom the faster they are. Gives the time, by the monotonic clock.
   */
  #slice(): number {
    if (--this.#unseen > 0) return this.#now;
    const now = this.#options.clock.monotonic();
    if (this.#sliceAt < 0) {
      this.#sliceAt = now;
      this.#stride = 1;
      this.#options.clock.soon(() => {
        this.#sliceAt = -1;
        this.#unseen = 0;
        this.#gate.resume();
      });
    } else {
      this.#stride = now - this.#now < FAST ? Math.min(2 * this.#stride, MAX_STRIDE) : 1;
      if (now - this.#sliceAt > SLICE) this.#gate.pause();
    }
    this.#unseen = this.#stride;
    return this.#now = now;
  }

  #begun({ peer, seq, index }: Place, asked: Waiting | MessageContext): void {
    let frame: RunningFrame | undefined = peer.running.get(seq);
    if (frame === undefined) peer.running.add(frame = { seq, asked: [], open: 0 });
    frame.asked[index] = asked;
    frame.open++;
  }

  #ended({ peer, seq, index }: Place): void {
    const frame = peer.running.get(seq);
    if (frame === undefined) return;
    frame.asked[index] = undefined;
    if (--frame.open === 0) peer.running.delete(seq);
  }

  #answer({ peer, seq, index, name }: Place, result: Result<unknown>): void {
    const limit = this.#options.payloadLimit();
    if (!result.ok) {
      if (result instanceof Refusal) peer.refuse(seq, index, result.code);
      else peer.failure(seq, index, writeError(result.error, limit));
      return;
    }
    const { value } = result;
    if (value === undefined) return peer.answer(seq, index, undefined);
    let text: string | undefined;
    let why = `it is a ${typeof value}`;
    try {
      text = JSON.stringify(value);
    } catch (error) {
      why = error instanceof Error ? error.message.split("\n")[0] : String(error);
    }
    if (text === undefined) {
      const reason = `the answer of ${name} cannot be encoded as JSON: ${why}`;
      return this.#unfit(peer, seq, index, new CatgaError("INVALID_RESPONSE", reason));
    }
    if (exceeds(text, limit)) {
      const reason = `the answer of ${name} is ${byteLength(text)} bytes; the server takes ${limit} at most`;
      return this.#unfit(peer, seq, index, new CatgaError("TOO_LARGE", reason));
    }
    peer.answer(seq, index, text);
  }

  #unfit(peer: Peer, seq: number, index: number, error: CatgaError): void {
    this.#options.observer({ type: "fault", during: "answering", error });
    peer.failure(seq, index, writeError(error, this.#options.payloadLimit()));
  }
}

/** A request that waits for its turn. */
class Waiting implements Ticket {
  readonly due: number;
  gone = false;
  readonly #turn: { start(left: number): void; drop(): void };
  readonly #clock: Clock;

  constructor(due: number, turn: { start(left: number): void; drop(): void }, clock: Clock) {
    this.due = due;
    this.#turn = turn;
    this.#clock = clock;
  }

  start(): void {
    this.#turn.start(this.due - this.#clock.monotonic());
  }

  drop(): void {
    this.#turn.drop();
  }

  abort(): void {
    this.gone = true;
  }
}

const SLICE = 5; // ms
const FAST = 0.5; // ms between two looks: they may lie further apart
const MAX_STRIDE = 64; // handlers
const MAX_TTL = 2_147_483_647;

function envelope(peer: Peer, seq: number, index: number, meta: WireMeta | undefined): Envelope {
  const call = `${peer.theirCalls}${seq}.${index}`;
  return {
    call,
    id: meta?.id ?? call,
    attempt: Math.max(1, meta?.attempt ?? 1),
    correlation: meta?.correlation,
    causation: meta?.causation,
    ancestry: meta?.ancestry ?? [],
    headers: Object.freeze(Object.assign(Object.create(null), meta?.headers)),
    key: meta?.key,
  };
}
