/**
 * Writes frames. Requests of one contract in one frame become one item, and so do answers to consecutive requests;
 * values with tags (`data/tags.ts`) get items of their own. An item that does not fit into a frame begins another
 * frame. NATS accepts messages of up to its `max_payload`; a frame is sent well before that size.
 */
import { MESSAGE_OVERHEAD } from "../../data/message_room.ts";
import { isTagged } from "../../data/tags.ts";
import type { Meta } from "../../dispatch/remote.ts";
import { PROTOCOL } from "../../version.ts";
import type { FrameItem } from "./frame.ts";
import { TAGGED_PROTOCOL } from "./frame_reader.ts";

/** The items of one frame as text: requests first, then answers and all other items. */
export interface WrittenItems {
  readonly requests: string;
  readonly others: string;
  /** True if the items include an answer or a refusal. */
  readonly answering: boolean;
}

/** Limit of the frame that a {@link FrameWriter} is writing. */
export interface OpenFrame {
  /** Length of the frame's items at which another frame is begun, in UTF-16 code units. */
  readonly frameLimit: number;
}

/** Gathers the items of the next frame to one process. */
export class FrameWriter {
  readonly #frame: OpenFrame;
  readonly #send: () => void;
  #requests = "";
  #count = 0;
  /** Contract of the last item of `#requests`, to which further requests may be added. */
  #openName = "";
  /** Time to live of the last item of `#requests`, in ms. */
  #openTtl = 0;
  #openTagged = false;
  #others = "";
  #answering = false;
  /** Frame number of the requests that the last item of `#others` answers. */
  #openSeq = 0;
  /**
   * Place after that of the request that was answered last, in the frame with the number `#openSeq`: an answer to the
   * request at this place goes into the same item.
   */
  #openIndex = 0;
  #answersTagged = false;

  /** `send` is called when the frame is full; it must take and send the gathered items. */
  constructor(frame: OpenFrame, send: () => void) {
    this.#frame = frame;
    this.#send = send;
  }

  /** Length of the gathered items, in UTF-16 code units. */
  get length(): number {
    return this.#requests.length + this.#others.length;
  }

  /**
   * Adds a request. `ttl`: the time until its deadline, in ms; `payload`: as text; `meta`: as JSON; `undefined`:
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

  /**
   * Adds the answer to the request at place `index` of frame `seq`. `value`: the answer as text; `undefined` for the
   * answer `undefined`.
   */
  answer(seq: number, index: number, value: string | undefined): void {
    if (value === undefined) return this.answerItem(`["r",${seq},${index}]`);
    if (this.length + value.length > this.#frame.frameLimit) this.#send();
    this.#answering = true;
    const tagged = isTagged(value);
    const written = tagged ? value.slice(1) : value;
    if (this.#openSeq === seq && this.#openIndex === index && this.#answersTagged === tagged) {
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

  /**
   * Adds items of the stream that answers request `index` of frame `seq`. `list`: the items, as JSON texts or, if
   * `strings` is true, as strings that are not encoded yet; `first`: index in `list` of the first item to be added;
   * `n`: number of that item in the stream.
   */
  streamItems(seq: number, index: number, n: number, list: readonly string[], first: number, strings = false): void {
    for (let from = first, to = first; from < list.length; from = to) {
      const tagged = !strings && isTagged(list[from]);
      if (this.length + list[from].length > this.#frame.frameLimit) this.#send();
      const room = this.#frame.frameLimit - this.length;
      let length = 0;
      do length += list[to++].length + AROUND; while (
        to < list.length && length + list[to].length <= room && (strings || isTagged(list[to]) === tagged)
      );
      let values = itemsText(list.slice(from, to), strings, tagged);
      while (values.length > room && to > from + 1) {
        to = (from + to) >> 1; // does not fit, because the strings contain escapes: try half of them
        values = itemsText(list.slice(from, to), strings, tagged);
      }
      this.#closeAnswers();
      this.#others += `,["${tagged ? "I" : "i"}",${seq},${index},${n + from - first},${values}]`;
    }
  }

  /** Adds an item without a payload, a value or an error, which answers no request. */
  add(item: FrameItem): void {
    this.item(JSON.stringify(item));
  }

  /** Adds an item that answers no request, given as text. */
  item(text: string): void {
    if (this.length + text.length > this.#frame.frameLimit) this.#send();
    this.#closeAnswers();
    this.#others += "," + text;
  }

  /** Adds the text of an item that answers or refuses a request. */
  answerItem(text: string): void {
    this.item(text);
    this.#answering = true; // after `item`, which may have sent the frame before this one
  }

  /** Returns the gathered items, and begins a new frame. */
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
  }
}

/** Returns stream items as a JSON list without the brackets. */
function itemsText(list: readonly string[], strings: boolean, tagged: boolean): string {
  if (strings) return JSON.stringify(list).slice(1, -1);
  return (tagged ? list.map((text) => text.slice(1)) : list).join();
}

const AROUND = 3; // length of the quotes and the comma around a string
/** Maximum number of requests in a frame; 4,096 and 128 were slower (docs/internals/measurements.md). */
const MAX_REQUESTS = 512;

/** Makes the text of a frame from the items that {@link FrameWriter.take} returns. */
export function frameText(seq: number, sentAt: number, items: string): string {
  return "[" + PROTOCOL + "," + seq + "," + sentAt + items + "]";
}

/**
 * Makes the text of a batch of events. `payloads`: JSON texts, each after a comma; `tagged`: true if all of them have
 * tags (texts for values that JSON lacks).
 */
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

/** Makes the text of an item with a handler's error. `refused`: as in {@link FailureItem}; 0: no refusal. */
export function failureItem(seq: number, index: number, error: string, refused: 0 | 1 | 2 = 0): string {
  const place = `${seq},${index},`;
  const end = refused === 0 ? "]" : `,${refused}]`;
  return isTagged(error) ? `["E",${place}${error.slice(1)}${end}` : `["e",${place}${error}${end}`;
}

/**
 * Returns the length at which a frame is sent and the next one begun, in UTF-16 code units.
 * @decides how large a frame may be; a payload that is too large is `TOO_LARGE`
 */
export function frameLimit(maxPayload: number): number {
  // a code unit is at most 3 bytes of UTF-8
  return Math.min(FRAME_LENGTH, Math.floor(maxPayload / 3) - MESSAGE_OVERHEAD);
}

/**
 * Maximum length of a frame, in UTF-16 code units. Larger frames are no faster, and delay the frames behind them
 * (docs/internals/measurements.md).
 */
export const FRAME_LENGTH = 64_000;

/** Rounds a time to live down, so that requests of one turn of the event loop share an item. */
function roundTtl(ttl: number): number {
  if (ttl > 1_000) return ttl - ttl % 100;
  return ttl > 100 ? ttl - ttl % 10 : Math.ceil(ttl);
}
