/** Counts findings of `catga check`: equal findings become one, with their number and the id of the first. */
import type { Finding } from "./finding.ts";

/** Counts equal findings together. */
export class Tally {
  readonly #found = new Map<string, Finding & { count: number }>();
  readonly #reasons = new Map<string, number>();

  /** Counts a finding. `what`: its message without the reason; default: the part before a colon with a space. */
  add(
    level: Finding["level"],
    kind: string,
    about: string,
    message: string,
    example: string,
    advice: string,
    what: string = message.slice(0, message.indexOf(": ")),
  ): void {
    const of = `${level} ${kind} ${about}`;
    let key = `${of} ${message}`;
    let known = this.#found.get(key);
    if (known === undefined) {
      const reasons = this.#reasons.get(of) ?? 0;
      // after this number of different reasons, all further reasons share one count: a validator's message may contain
      // the value, so that each value would make a reason of its own
      if (reasons >= MAX_REASONS) {
        key = of;
        known = this.#found.get(key);
        message = `${what}, for other reasons`;
      } else this.#reasons.set(of, reasons + 1);
    }
    if (known === undefined) this.#found.set(key, { level, kind, about, message, example, advice, count: 1 });
    else known.count++;
  }

  findings(): Finding[] {
    return [...this.#found.values()];
  }
}

/** Maximum number of different reasons of one kind of finding that are counted separately. */
const MAX_REASONS = 8;
