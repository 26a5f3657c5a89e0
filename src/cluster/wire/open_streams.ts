/**
 * The streams that handlers of this process feed for other processes: the way of their items, and the end of those that
 * nobody reads any more. A reader's process is owed an answer, and therefore pings; one that does not is pinged, and
 * counts as gone 3 s after a bounce. A reader whose cancellation was lost is found by a question every 10 s.
 */
import type { ItemLine } from "../../dispatch/item_ports.ts";
import type { MessageContext } from "../../dispatch/message_context.ts";
import { CatgaError } from "../../error.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Peer } from "./peer.ts";
import { RECONNECT_GRACE } from "./watchdog.ts";

/** The request that a stream answers. */
interface StreamRequest {
  readonly peer: Peer;
  readonly seq: number;
  readonly index: number;
}

/** The way from a handler to its reader. */
export class ReaderLine implements ItemLine {
  onWord: ItemLine["onWord"] = undefined;
  /** Questions since the reader was last heard of. */
  asked = 0;
  readonly #request: StreamRequest;

  constructor(request: StreamRequest) {
    this.#request = request;
  }

  get limit(): number {
    return this.#request.peer.payloadLimit;
  }

  item(n: number, text: string): void {
    const { peer, seq, index } = this.#request;
    peer.streamItem(seq, index, n, text);
  }

  ask(n: number): void {
    const { peer, seq, index } = this.#request;
    peer.streamNumber("a", seq, index, n);
  }

  end(n: number): void {
    const { peer, seq, index } = this.#request;
    peer.streamNumber("z", seq, index, n);
  }

  /** The reader says how far it is. */
  word(consumed: number, received: number, again: boolean): void {
    this.asked = 0;
    this.onWord?.(consumed, received, again);
  }
}

/** A stream that is fed. */
interface OpenStream {
  readonly peer: Peer;
  readonly line: ReaderLine;
  readonly ctx: MessageContext;
}

/** The open streams of one process. */
export class OpenStreams {
  readonly #clock: Clock;
  readonly #open: Set<OpenStream> = new Set();
  #ticks = 0;
  #watching = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether there may be another one. */
  get room(): boolean {
    return this.#open.size < MAX_OPEN;
  }

  /** A stream is fed from now on, until the function that this returns is called. */
  add(stream: OpenStream): () => void {
    this.#open.add(stream);
    this.#watch();
    return () => this.#open.delete(stream);
  }

  #watch(): void {
    if (this.#watching) return;
    this.#watching = true;
    this.#clock.after(EVERY, () => {
      this.#watching = false;
      this.#check();
      if (this.#open.size > 0) this.#watch();
    }, { background: true });
  }

  #check(): void {
    const now = this.#clock.monotonic();
    const question = ++this.#ticks % QUESTION === 0;
    const pinged = new Set<Peer>();
    for (const { peer, line, ctx } of this.#open) {
      if (peer.bouncedAt >= 0 && now - peer.bouncedAt >= RECONNECT_GRACE) {
        ctx.abort(new CatgaError("CANCELLED", "the reader's process is gone"));
      } else if (question && ++line.asked > MOST_QUESTIONS) {
        ctx.abort(new CatgaError("CANCELLED", "the reader's process does not answer"));
      } else {
        if (question) line.ask(0);
        if (now - peer.lastSeenAt >= EVERY && !pinged.has(peer)) {
          pinged.add(peer);
          peer.ping();
        }
      }
    }
  }
}

const EVERY = 1_000; // ms
const QUESTION = 10; // checks
const MOST_QUESTIONS = 3; // without an answer
const MAX_OPEN = 65_536;
