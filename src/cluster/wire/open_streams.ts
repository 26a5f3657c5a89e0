/**
 * The streams that handlers of this process feed for other processes: sends their items, and ends those that nobody reads
 * any more. A reader's process pings, because it awaits an answer; one that does not is pinged, and counts as gone 3 s
 * after a bounce. A reader whose cancellation was lost is found by a question every 10 s.
 */
import type { Bursts, ItemLine } from "../../dispatch/item_ports.ts";
import type { MessageContext } from "../../dispatch/message_context.ts";
import { Fifo } from "../../data/fifo.ts";
import { CatgaError } from "../../error.ts";
import type { Clock } from "../../ports/clock.ts";
import { type FrameWriter, numberItem } from "./frame.ts";
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
  /** Items of this turn, from number `#from` on. */
  #texts: string[] = [];
  #from = 0;
  #ask = -1;
  #end = -1;
  /** Its peer knows that there is something to write. */
  #waits = false;

  constructor(request: StreamRequest) {
    this.#request = request;
  }

  get limit(): number {
    return this.#request.peer.payloadLimit;
  }

  get bursts(): Bursts {
    return this.#request.peer.bursts;
  }

  item(n: number, text: string): void {
    // those of a turn are consecutive, unless they are sent again
    if (this.#texts.length > 0 && n !== this.#from + this.#texts.length) this.#request.peer.flush();
    if (this.#texts.length === 0) this.#from = n;
    this.#texts.push(text);
    this.#gathered();
  }

  ask(n: number): void {
    this.#ask = n;
    this.#gathered();
  }

  end(n: number): void {
    this.#end = n;
    this.#gathered();
  }

  /** Writes what was gathered in this turn. */
  write(writer: FrameWriter): void {
    const { seq, index } = this.#request;
    this.#waits = false;
    const texts = this.#texts;
    this.#texts = [];
    for (let i = 0; i < texts.length; i++) writer.streamItem(seq, index, this.#from + i, texts[i]);
    if (this.#ask >= 0) writer.item(numberItem("a", seq, index, this.#ask));
    if (this.#end >= 0) writer.item(numberItem("z", seq, index, this.#end));
    this.#ask = this.#end = -1;
  }

  /** It is written when the turn ends, so that its items stand together although other streams have theirs in between. */
  #gathered(): void {
    if (this.#waits) return;
    this.#waits = true;
    this.#request.peer.gather(this);
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

/** The turns of the streams of one process: some at a time, first come, first served. */
export class TurnBursts implements Bursts {
  readonly #clock: Clock;
  readonly #waiting: Fifo<() => void> = new Fifo();
  #left = BURSTS;
  #resumes = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  take(): boolean {
    if (this.#left === 0 || this.#waiting.size > 0) return false;
    this.#left--;
    this.#resume();
    return true;
  }

  wait(go: () => void): void {
    this.#waiting.push(go);
    this.#resume();
  }

  #resume(): void {
    if (this.#resumes) return;
    this.#resumes = true;
    this.#clock.soon(() => {
      this.#resumes = false;
      this.#left = BURSTS;
      while (this.#left > 0 && this.#waiting.size > 0) {
        this.#left--;
        this.#waiting.shift()!();
      }
      if (this.#left < BURSTS) this.#resume();
    });
  }
}

const BURSTS = 16; // in a turn: with 128 items of 100 bytes each, 200 KB
const EVERY = 1_000; // ms
const QUESTION = 10; // checks
const MOST_QUESTIONS = 3; // without an answer
const MAX_OPEN = 65_536;
