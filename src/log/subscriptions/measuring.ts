/**
 * Measures every 10 s how many messages the subscriptions that this node leads have not read, and how full their
 * stream is.
 */
import { NEARLY_FULL } from "../../contract/nodes/alarms.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { categoryPattern } from "../format/names.ts";
import { streamName } from "../format/stream_name.ts";
import { lagOf, sequenceOf } from "../format/group_text.ts";

/** Options of {@link Measuring}. */
export interface MeasuringOptions {
  readonly stream: Pick<LogStream, "name" | "state" | "last" | "read">;
  readonly namespace: string;
  readonly observer: Observer;
  /** Signal that aborts when the node stops. */
  readonly signal: AbortSignal;
}

/** A subscription that this node leads, with the position up to which it has read, for {@link Measuring}. */
export interface Measured {
  readonly key: string;
  readonly categories: Iterable<string>;
  /** Position up to which the subscription has read messages. */
  readonly read: number;
}

/** Measures one stream and the subscriptions that read it. */
export class Measuring {
  readonly #options: MeasuringOptions;
  /**
   * Sequence of the last message of a subscription's categories, by subscription key: only of subscriptions that had
   * not read the whole stream at the last measurement.
   */
  readonly #last = new Map<string, number>();
  /** Sequence of the stream's first message at the last measurement. */
  #first = 0;
  #measured = -Infinity;
  #reported = -Infinity;
  #busy = false;

  constructor(options: MeasuringOptions) {
    this.#options = options;
  }

  /**
   * Returns the number of messages in the stream that a subscription has not read, up to the last message of its
   * categories. Messages of other categories before that message count, too.
   */
  lag({ key, read }: Pick<Measured, "key" | "read">): number {
    return lagOf(read, { first: this.#first, last: this.#last.get(key) ?? 0 });
  }

  /**
   * Measures the stream every 10 s while this node leads a subscription; if the stream was reported as nearly full,
   * also when this node leads none any more, until the stream has room. Call often.
   */
  tick(now: number, led: readonly Measured[]): void {
    if (led.length === 0 && this.#reported === -Infinity) return;
    if (this.#busy || now - this.#measured < MEASURE_INTERVAL) return;
    this.#measured = now;
    this.#busy = true;
    const { observer, signal } = this.#options;
    this.#measure(now, led).catch((error) => {
      if (!signal.aborted) observer({ type: "fault", during: "measuring the log", error });
    }).finally(() => void (this.#busy = false));
  }

  async #measure(now: number, led: readonly Measured[]): Promise<void> {
    const { stream, namespace, observer, signal } = this.#options;
    const state = await stream.state();
    if (state === undefined) return this.#last.clear();
    const { bytes, maxBytes, discard } = state;
    this.#first = state.first;
    const filling = maxBytes !== undefined && bytes >= NEARLY_FULL * maxBytes;
    if (filling ? now - this.#reported >= REPORT : this.#reported !== -Infinity) {
      this.#reported = filling ? now : -Infinity;
      observer({ type: "log-filling", stream: stream.name, bytes, maxBytes: maxBytes ?? Infinity, discard });
    }
    const found = new Map<string, number>();
    const asked = new Map<string, number>();
    for (const { key, categories, read } of led) {
      if (state.last <= sequenceOf(read)) continue;
      for (const category of categories) {
        if (signal.aborted) return;
        let last = asked.get(category);
        if (last === undefined) {
          last = await this.#lastOf(category, state.last, read);
          if (stream.name !== streamName(namespace, "entities")) asked.set(category, last);
        }
        found.set(key, Math.max(last, found.get(key) ?? 0));
      }
    }
    this.#last.clear();
    for (const [key, last] of found) this.#last.set(key, last);
  }

  /**
   * Returns the sequence of the last message of a category. For a category of entities' events: `end`, the last
   * sequence of the stream, if an event of the category is stored behind the position `read`, else 0.
   */
  async #lastOf(category: string, end: number, read: number): Promise<number> {
    const { stream, namespace } = this.#options;
    const pattern = categoryPattern(namespace, stream.name, category);
    if (stream.name !== streamName(namespace, "entities")) return (await stream.last(pattern))?.sequence ?? 0;
    const [behind] = await stream.read(pattern, { from: sequenceOf(read) + 1, most: 1 });
    return behind === undefined ? 0 : end;
  }
}

const MEASURE_INTERVAL = 10_000; // ms
const REPORT = 3_600_000; // ms
