/**
 * Writes the frames that `frame.ts` reads. Requests of one contract that are sent in one frame are grouped in one item,
 * and so are answers to consecutive requests; what has tags (`data/encoding.ts`) stands in items of its own. What does
 * not fit into a frame begins another one.
 */
import type { Dropped } from "../../dispatch/admission_queue.ts";
import { isTagged } from "../../data/tag.ts";
import type { Meta } from "../../dispatch/remote.ts";
import { type PongItem, PROTOCOL, TAGGED_PROTOCOL } from "./frame.ts";

/** The items of one frame: requests first, then answers and everything else. */
export interface WrittenItems {
  readonly requests: string;
  readonly others: string;
  /** Whether an answer or a refusal is among them, not only pings and the like. */
  readonly answering: boolean;
}

/** The frame that a writer writes. */
export interface OpenFrame {
  /** Length of its items, in UTF-16 code units, at which another frame is begun (`frame.ts`). */
  readonly frameLimit: number;
}

/** Gathers the items of the next frame to one process. */
export class FrameWriter {
  readonly #frame: OpenFrame;
  readonly #send: () => void;
  #requests = "";
  #count = 0;
  /** The contract and ttl of the item that is open at the end of `#requests`. */
  #openName = "";
  #openTtl = 0;
  #openTagged = false;
  #others = "";
  #answering = false;
  /** The frame, and the place after the last answer, of the item that is open at the end of `#others`. */
  #openSeq = 0;
  #openIndex = 0;
  #answersTagged = false;
  /** The number of the next item of the stream whose item is open; -1: answers are. */
  #openItem = -1;

  /** `send` is called when the frame is full: it takes and sends what has been gathered. */
  constructor(frame: OpenFrame, send: () => void) {
    this.#frame = frame;
    this.#send = send;
  }

  /** The length of the items, in UTF-16 code units. */
  get length(): number {
    return this.#requests.length + this.#others.length;
  }

  /**
   * Adds a request. `ttl`: what is left of its time, in ms; payload as text, meta as JSON, `undefined` if there is
   * none.
   */
  request(name: string, ttl: number, payload: string | undefined, meta: string | undefined): void {
    const length = (payload === undefined ? 0 : payload.length) + (meta === undefined ? 0 : meta.length);
    if (this.#count >= MAX_REQUESTS || this.length + length > this.#frame.frameLimit) this.#send();
    this.#count++;
    const rounded = roundTtl(ttl);
    const tagged = payload !== undefined && isTagged(payload);
    const written = tagged ? payload.slice(1) : payload;
    if (meta !== undefined) {
      this.#closeRequests();
      const kind = tagged ? "M" : "m";
      this.#requests += `,["${kind}","${name}",${rounded},${meta}${written === undefined ? "" : `,${written}`}]`;
    } else if (written === undefined) {
      this.#closeRequests();
      this.#requests += `,["q","${name}",${rounded}]`;
    } else if (this.#openName === name && this.#openTtl === rounded && this.#openTagged === tagged) {
      this.#requests += "," + written;
    } else {
      this.#closeRequests();
      this.#requests += (tagged ? ',["Q","' : ',["q","') + name + '",' + rounded + "," + written;
      this.#openName = name;
      this.#openTtl = rounded;
      this.#openTagged = tagged;
    }
  }

  /** Adds the answer to the request at this place: a value as text, `undefined` for `undefined`. */
  answer(seq: number, index: number, value: string | undefined): void {
    if (value === undefined) return this.item(`["r",${seq},${index}]`, true);
    if (this.length + value.length > this.#frame.frameLimit) this.#send();
    this.#answering = true;
    const tagged = isTagged(value);
    const written = tagged ? value.slice(1) : value;
    if (
      this.#openSeq === seq && this.#openIndex === index && this.#answersTagged === tagged && this.#openItem < 0
    ) {
      this.#others += "," + written;
      this.#openIndex++;
    } else {
      this.#closeAnswers();
      this.#others += (tagged ? ',["R",' : ',["r",') + seq + "," + index + "," + written;
      this.#openSeq = seq;
      this.#openIndex = index + 1;
      this.#answersTagged = tagged;
    }
  }

  /** Adds item number `n` of the stream at this place, as text. */
  streamItem(seq: number, index: number, n: number, value: string): void {
    if (this.length + value.length > this.#frame.frameLimit) this.#send();
    const tagged = isTagged(value);
    const written = tagged ? value.slice(1) : value;
    if (this.#openItem === n && this.#openSeq === seq && this.#openIndex === index && this.#answersTagged === tagged) {
      this.#others += "," + written;
    } else {
      this.#closeAnswers();
      this.#others += (tagged ? ',["I",' : ',["i",') + seq + "," + index + "," + n + "," + written;
      this.#openSeq = seq;
      this.#openIndex = index;
      this.#answersTagged = tagged;
    }
    this.#openItem = n + 1;
  }

  /** Adds an item. */
  item(text: string, answering = false): void {
    if (this.length + text.length > this.#frame.frameLimit) this.#send();
    if (answering) this.#answering = true;
    this.#closeAnswers();
    this.#others += "," + text;
  }

  /** Returns what has been gathered, and begins anew. */
  take(): WrittenItems {
    this.#closeRequests();
    this.#closeAnswers();
    const items = { requests: this.#requests, others: this.#others, answering: this.#answering };
    this.#requests = this.#others = "";
    this.#count = 0;
    this.#answering = false;
    return items;
  }

  #closeRequests(): void {
    if (this.#openName !== "") this.#requests += "]";
    this.#openName = "";
  }

  #closeAnswers(): void {
    if (this.#openSeq !== 0) this.#others += "]";
    this.#openSeq = 0;
    this.#openItem = -1;
  }
}

/** Requests in a frame; 4,096 and 128 were slower (see docs/internals/measurements.md). */
const MAX_REQUESTS = 512;

/** A frame; `items` as {@link FrameWriter.take} returns them. */
export function frameText(seq: number, sentAt: number, items: string): string {
  return "[" + PROTOCOL + "," + seq + "," + sentAt + items + "]";
}

/** A batch of events; `payloads` are JSON texts, each behind a comma; `tagged`: all of them have tags. */
export function eventFrameText(
  sender: string,
  sentAt: number,
  meta: Meta | undefined,
  seq: number,
  payloads: string,
  tagged = false,
): string {
  const wire = meta === undefined ? `{"seq":${seq}}` : JSON.stringify({ ...meta, seq });
  const version = tagged ? `"${TAGGED_PROTOCOL}"` : PROTOCOL;
  return `[${version},"${sender}",${sentAt},${wire}${payloads}]`;
}

/** The item of an error as text. */
export function failureItem(seq: number, index: number, error: string): string {
  return isTagged(error) ? `["E",${seq},${index},${error.slice(1)}]` : `["e",${seq},${index},${error}]`;
}

/** The item of a request that will not run. */
export function refusalItem(
  seq: number,
  index: number,
  code: Dropped | "NO_HANDLER",
): string {
  return `["n",${seq},${index},"${code}"]`;
}

/** The item that cancels a request: its caller has given up. */
export function cancelItem(seq: number, index: number): string {
  return `["c",${seq},${index}]`;
}

/** The item of an idempotent command that has moved to another node: a run with its claim may go on. */
export function movedItem(seq: number, index: number): string {
  return `["c",${seq},${index},1]`;
}

/** The item that asks a stream's reader to say when it has consumed `n` items; `"z"`: says that there are no more. */
export function numberItem(kind: "a" | "z", seq: number, index: number, n: number): string {
  return `["${kind}",${seq},${index},${n}]`;
}

/** The item of a stream's reader: what it has consumed and received; `again`: it may lack what was sent since. */
export function wordItem(seq: number, index: number, consumed: number, received: number, again: boolean): string {
  return `["w",${seq},${index},${consumed},${received}${again ? ",1" : ""}]`;
}

/** The item of a ping; `missing`: the receiver's frames that have not arrived, as ranges. */
export function pingItem(n: number, again = false, missing: readonly number[] = []): string {
  if (missing.length > 0) return `["p",${n},${again ? 1 : 0},[${missing}]]`;
  return again ? `["p",${n},1]` : `["p",${n}]`;
}

/**
 * The item that answers a ping: which frames have been received, the load, and the pinger's requests that are in hand.
 */
export function pongItem(
  n: number,
  received: { readonly upTo: number; report(): number[] },
  load: readonly [number, number],
  inHand?: readonly number[],
): string {
  const item: PongItem = ["o", n, received.upTo, received.report(), [load[0], load[1]]];
  return JSON.stringify(inHand === undefined ? item : [...item, inHand]);
}

/** The item that says that frames to a process bounce on a server. */
export function bouncesItem(endpoint: string, server: string): string {
  return JSON.stringify(["b", endpoint, server]);
}

/** The item that asks whether a contract was handled lately. */
export function handledItem(name: string): string {
  return `["h","${name}"]`;
}

/** The item that says that a contract was handled lately. `left`: how long that is still remembered, in ms. */
export function gapItem(name: string, left: number): string {
  return `["g","${name}",${left}]`;
}

/** The item that answers what was counted. `stats`: as JSON. */
export function statsItem(n: number, stats: string): string {
  return `["t",${n},${stats}]`;
}

/** The item with the versions of the protocol that are spoken here. */
export function versionsItem(versions: readonly number[]): string {
  return JSON.stringify(["v", ...versions]);
}

/** Rounds a ttl down, so that requests of one turn stand in one group. */
function roundTtl(ttl: number): number {
  if (ttl > 1_000) return ttl - ttl % 100;
  return ttl > 100 ? ttl - ttl % 10 : Math.ceil(ttl);
}
