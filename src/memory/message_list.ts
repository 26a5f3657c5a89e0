/** A list of messages, found by sequence and by subject; any of them may be removed. */
import { firstIndex } from "../data/binary_search.ts";
import type { StoredMessage } from "../ports/event_log.ts";
import { isPattern, matcher } from "./subject_match.ts";

/** A message without its sequence, which {@link MessageList.push} gives it. */
export type Unnumbered = Omit<StoredMessage, "sequence">;

/** Messages in the order of their sequences, which grow by one. */
export class MessageList {
  /** Messages from the sequence `#base` on; `undefined` in place of a removed message. */
  #messages: (StoredMessage | undefined)[] = [];
  #base: number;
  /** Index in `#messages` of the first message that was not removed. */
  #head = 0;
  readonly #subjects = new Map<string, number[]>();
  #size = 0;
  #bytes = 0;

  /** Makes an empty list, whose first message will get the sequence `first`. */
  constructor(first: number) {
    this.#base = first;
  }

  /** Sequence of the list's first message; if the list is empty, of the next message to be added. */
  get first(): number {
    return this.#base + this.#head;
  }

  /** Sequence that the next message will get. */
  get next(): number {
    return this.#base + this.#messages.length;
  }

  get messages(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push({ subject, data, headers, time }: Unnumbered): number {
    const sequence = this.next;
    const message = Object.freeze({ sequence, subject, time, data, headers });
    this.#messages.push(message);
    this.#size++;
    this.#bytes += sizeOf(message);
    const sequences = this.#subjects.get(subject);
    if (sequences) sequences.push(sequence);
    else this.#subjects.set(subject, [sequence]);
    return sequence;
  }

  at(sequence: number): StoredMessage | undefined {
    return this.#messages[sequence - this.#base];
  }

  last(subject: string): StoredMessage | undefined {
    const sequence = this.#subjects.get(subject)?.at(-1);
    return sequence === undefined ? undefined : this.at(sequence);
  }

  /** Subjects that have a message in the list. */
  get subjects(): Iterable<string> {
    return this.#subjects.keys();
  }

  /** Returns at most `most` sequences of messages of a subject (a pattern), from `from` on and before `before`. */
  sequences(subject: string, before = Infinity, from = 0, most = Infinity): number[] {
    const found: number[] = [];
    if (!isPattern(subject)) {
      const all = this.#subjects.get(subject) ?? [];
      for (
        let i = firstIndex(all.length, (at) => all[at] < from);
        i < all.length && all[i] < before && found.length < most;
        i++
      ) {
        if (this.at(all[i])) found.push(all[i]);
      }
      return found;
    }
    const matches = matcher([subject]);
    const end = Math.min(this.next, before);
    for (let sequence = Math.max(from, this.first); sequence < end && found.length < most; sequence++) {
      const message = this.at(sequence);
      if (message && matches(message.subject)) found.push(sequence);
    }
    return found;
  }

  remove(sequence: number): StoredMessage | undefined {
    const message = this.at(sequence);
    if (!message) return undefined;
    this.#messages[sequence - this.#base] = undefined;
    this.#size--;
    while (this.#head < this.#messages.length && this.#messages[this.#head] === undefined) this.#head++;
    if (this.#head > 1_024 && 2 * this.#head > this.#messages.length) {
      this.#messages = this.#messages.slice(this.#head);
      this.#base += this.#head;
      this.#head = 0;
    }
    this.#bytes -= sizeOf(message);
    const sequences = this.#subjects.get(message.subject)!;
    while (sequences.length > 0 && !this.at(sequences.at(-1)!)) sequences.pop();
    if (sequences.length === 0) this.#subjects.delete(message.subject);
    // removed messages at the front of a subject's list are dropped many at a time
    else if (sequences.length > 64 && !this.at(sequences[sequences.length >>> 1])) {
      this.#subjects.set(message.subject, sequences.filter((each) => this.at(each)));
    }
    return message;
  }

  /**
   * Sets the sequence of the next message to the one behind `last`. All messages behind `last` must have been
   * removed.
   */
  truncate(last: number): void {
    if (last + 1 >= this.next) return;
    if (last + 1 < this.first) {
      this.#messages = [];
      this.#base = last + 1;
      this.#head = 0;
    } else this.#messages.length = last + 1 - this.#base;
  }
}

/** Approximate size of a message, as nats-server counts it in memory. */
function sizeOf({ subject, data, headers }: StoredMessage): number {
  let size = subject.length + data.length + 16;
  for (const name in headers) size += name.length + headers[name].length + 4;
  return size;
}
