/**
 * The streams that handlers of this process feed for readers in other processes: sends their items, and ends streams
 * that have lost their readers. A reader's process pings, because it awaits an answer; a process that is silent is
 * pinged, and counts as gone 3 s after a bounce. A reader that has ended, and whose cancellation was lost, is found
 * because it leaves the questions unanswered that every reader is sent, one every 10 s.
 */
import type { Bursts, ItemLine, LineSender } from "../../dispatch/item_ports.ts";
import type { MessageContext } from "../../dispatch/message_context.ts";
import { asResult, type Outcome } from "../../dispatch/outcome.ts";
import { CatgaError } from "../../error.ts";
import type { Clock, Timer } from "../../ports/clock.ts";
import type { FrameWriter } from "./frame_writer.ts";
import type { Peer } from "./peer.ts";
import { MAY_RETURN } from "../../ports/evidence_of_life.ts";

/** A request that is answered by a stream. */
interface StreamRequest {
  readonly peer: Peer;
  readonly seq: number;
  readonly index: number;
}

/** Sends the items of one stream to its reader in another process. */
export class ReaderLine implements ItemLine {
  sender: LineSender | undefined = undefined;
  /** Number of questions sent to the reader since it last reported its progress. */
  asked = 0;
  readonly #request: StreamRequest;
  #questions = false;
  /** True if the peer will call {@link ReaderLine.write} at the end of this turn of the event loop. */
  #waits = false;

  constructor(request: StreamRequest) {
    this.#request = request;
  }

  get limit(): number {
    return this.#request.peer.turn.payloadLimit;
  }

  get bursts(): Bursts {
    return this.#request.peer.turn.bursts;
  }

  /**
   * Asks the peer to call {@link ReaderLine.write} at the end of the turn of the event loop. So the stream's items
   * are written together, although other streams send between them.
   */
  gather(): void {
    if (this.#waits) return;
    this.#waits = true;
    this.#request.peer.outgoing.gather(this);
  }

  /** Asks the reader to report at once how many items it has consumed. */
  question(): void {
    this.asked++;
    this.#questions = true;
    this.gather();
  }

  /** Writes the items and questions of this turn of the event loop into the next frame. */
  write(writer: FrameWriter): void {
    const { seq, index } = this.#request;
    this.#waits = false;
    if (this.#questions) writer.add(["a", seq, index, 0]);
    this.#questions = false;
    this.sender?.write({
      items: (n, list, first, strings) => writer.streamItems(seq, index, n, list, first, strings),
      ask: (n) => writer.add(["a", seq, index, n]),
      end: (n) => writer.add(["z", seq, index, n]),
    });
  }

  /**
   * Passes the progress of the reader (items consumed and received) to the stream's sender. `again`: items beyond these
   * may be lost, and must be sent again.
   */
  onProgress(consumed: number, received: number, again: boolean): void {
    this.asked = 0;
    this.sender?.onProgress(consumed, received, again);
  }
}

/** A stream that a handler feeds for a reader in another process. */
interface OpenStream {
  readonly peer: Peer;
  readonly line: ReaderLine;
  readonly ctx: MessageContext;
}

/** The open streams that handlers of one process feed. */
export class OpenStreams {
  readonly #clock: Clock;
  readonly #open: Set<OpenStream> = new Set();
  readonly #most: number;
  #ticks = 0;
  #timer: Timer | undefined;

  /** `concurrency`: maximum number of handlers that run at once on behalf of other nodes. */
  constructor(clock: Clock, concurrency: number) {
    this.#clock = clock;
    this.#most = MAX_STREAMS * concurrency;
  }

  /**
   * Adds a stream. Returns a function that removes it. If too many streams are open, this one is aborted with
   * `OVERLOADED`.
   */
  add(stream: OpenStream): () => void {
    const { size } = this.#open;
    if (size >= this.#most) {
      stream.ctx.abort(new CatgaError("OVERLOADED", `this node feeds ${size} streams already`, { retryable: true }));
    }
    this.#open.add(stream);
    this.#watch();
    return () => this.#open.delete(stream);
  }

  /** Stops looking for lost readers, because the process leaves. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #watch(): void {
    this.#timer ??= this.#clock.after(LOOK_INTERVAL, () => {
      this.#timer = undefined;
      this.#check();
      if (this.#open.size > 0) this.#watch();
    }, { background: true });
  }

  #check(): void {
    const now = this.#clock.monotonic();
    const question = ++this.#ticks % QUESTION === 0;
    const pinged = new Set<Peer>();
    for (const { peer, line, ctx } of this.#open) {
      if (peer.bounces.lastedFor(MAY_RETURN, now)) {
        ctx.abort(new CatgaError("CANCELLED", "the reader's process is gone"));
      } else if (question && line.asked === MAX_QUESTIONS) {
        ctx.abort(new CatgaError("CANCELLED", "the reader's process does not answer"));
      } else {
        if (question) line.question();
        if (now - peer.lastSeenAt >= LOOK_INTERVAL && !pinged.has(peer)) {
          pinged.add(peer);
          peer.ping();
        }
      }
    }
  }
}

/**
 * Returns the answer that ends a stream. If this process has ended the stream because its reader seemed gone, the
 * answer tells the reader that it may try again.
 */
export function answerOf({ aborted, contract: { name }, node }: MessageContext, outcome: Outcome): Outcome {
  if (aborted?.code !== "CANCELLED" || asResult(outcome).error?.code !== "CANCELLED") return outcome;
  const options = { retryable: true, node };
  return { ok: false, error: new CatgaError("STREAM_BROKEN", `stream ${name} broke: ${aborted.message}`, options) };
}

const MAX_STREAMS = 64; // streams that are fed at once, for each handler that may run at once
const LOOK_INTERVAL = 1_000; // ms
const QUESTION = 10; // checks
const MAX_QUESTIONS = 3; // number of questions without an answer
