/**
 * What the subscriptions have put aside, followed as it changes: dead letters, and messages that wait for their next
 * attempt.
 */
import { readParkedKey } from "../log/format/names.ts";
import { type ParkedEntry, readParked } from "../log/format/parked_entry.ts";
import { payloadOf } from "../log/administration/payload_of.ts";
import type { Change } from "../ports/key_value_store.ts";
import { shownText, shownValue } from "./shown.ts";
import type { Capped, LetterView, ParkedView, RetryView } from "./view.ts";

/** Of one subscription. */
export interface ParkedCounts {
  readonly retrying: number;
  readonly dead: number;
  /** When the oldest that is no dead letter was stored in the log; `undefined`: there is none. */
  readonly oldest: number | undefined;
}

interface Kept {
  readonly service: string;
  readonly name: string;
  readonly time: number;
  readonly letter: LetterView | undefined;
  readonly retry: RetryView | undefined;
}

/** The entries of the bucket, as far as the page shows them. */
export class ParkedWatch {
  readonly #kept = new Map<string, Kept>();

  /** A change of the bucket. */
  take(change: Change): void {
    if (change.type !== "put") return void this.#kept.delete(change.key);
    const place = readParkedKey(change.key);
    const entry = place && readParked(place.position, change.value);
    if (place === undefined || entry === undefined || typeof entry === "string") {
      this.#kept.delete(change.key);
      return;
    }
    const { service, name } = place;
    const common: ParkedView = {
      service: shownText(service),
      subscription: shownText(name),
      position: place.position,
      id: shownText(entry.message.id),
      contract: shownText(entry.message.category),
      key: entry.message.key === undefined ? undefined : shownText(entry.message.key),
      attempts: entry.attempts,
      code: shownText(entry.error?.code ?? ""),
      error: shownText(entry.error?.message ?? "", 1_000),
    };
    this.#kept.set(change.key, {
      service,
      name,
      time: entry.message.time,
      letter: entry.dead > 0 ? letterOf(change.key, common, entry) : undefined,
      retry: entry.dead > 0 ? undefined : { ...common, due: entry.due },
    });
  }

  counts(service: string, name: string): ParkedCounts {
    let [retrying, dead, oldest]: [number, number, number | undefined] = [0, 0, undefined];
    for (const kept of this.#kept.values()) {
      if (kept.service !== service || kept.name !== name) continue;
      if (kept.letter !== undefined) dead++;
      else {
        retrying++;
        oldest = Math.min(kept.time, oldest ?? Infinity);
      }
    }
    return { retrying, dead, oldest };
  }

  /** The newest first. */
  letters(most: number): Capped<LetterView> {
    const all = [...this.#kept.values()].flatMap(({ letter }) => letter ?? []);
    return { shown: all.sort((a, b) => b.at - a.at || b.position - a.position).slice(0, most), total: all.length };
  }

  /** Those that are tried next first. */
  retries(most: number): Capped<RetryView> {
    const all = [...this.#kept.values()].flatMap(({ retry }) => retry ?? []);
    const due = (retry: RetryView) => retry.due || Infinity;
    return {
      shown: all.sort((a, b) => due(a) < due(b) ? -1 : due(a) > due(b) ? 1 : a.position - b.position).slice(0, most),
      total: all.length,
    };
  }
}

function letterOf(place: string, common: ParkedView, { message, dead, request }: ParkedEntry): LetterView {
  return { place, ...common, at: dead, payload: shownValue(payloadOf(message)), request };
}
