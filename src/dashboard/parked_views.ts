/** What the subscriptions have put aside, as the page shows it: dead letters, and messages that wait for their next attempt. */
import type { ParkedMessage } from "../log/format/parked_message.ts";
import { type ParkedState, readMessageId } from "../log/format/commit.ts";
import { readSubscriptionKey } from "../log/format/names.ts";
import type { StoredSubscription } from "../log/administration/stored_subscriptions.ts";
import { payloadOf } from "../log/administration/payload_of.ts";
import { shownLines, shownText, shownValue } from "./shown.ts";
import type { Capped, LetterView, ParkedView, RetryView } from "./view.ts";

/** What is stored beside the states of subscriptions. */
export interface ParkedSource {
  /** A parked message of a subscription, by their key and id; `undefined`: it is gone. */
  message(key: string, id: string): Promise<ParkedMessage | undefined>;
  /** What a subscription's leader is asked about letters, by their ids. */
  requested(stored: StoredSubscription): Promise<ReadonlyMap<string, "replay" | "discard">>;
}

interface Parked {
  readonly stored: StoredSubscription;
  readonly id: string;
  readonly state: ParkedState;
}

/** The rows of both tables. Keeps the messages that it has read, as long as they are shown. */
export class ParkedViews {
  readonly #source: ParkedSource;
  #read = new Map<string, ParkedMessage>();

  constructor(source: ParkedSource) {
    this.#source = source;
  }

  /** The newest dead letters, and the retries that are due next: `most` of each. */
  async of(
    subscriptions: readonly StoredSubscription[],
    most: number,
  ): Promise<{ letters: Capped<LetterView>; retries: Capped<RetryView> }> {
    const all = subscriptions.flatMap((stored) =>
      [...stored.state.parked].map(([id, state]): Parked => ({ stored, id, state }))
    );
    const dead = all.filter(({ state }) => state.dead > 0)
      .sort(({ state: a }, { state: b }) => b.dead - a.dead || b.position - a.position);
    const due = ({ state }: Parked) => state.due || Infinity;
    const waiting = all.filter(({ state }) => state.dead === 0)
      .sort((a, b) => due(a) < due(b) ? -1 : due(a) > due(b) ? 1 : a.state.position - b.state.position);
    const read = new Map<string, ParkedMessage>();
    const requested = new Map<StoredSubscription, ReadonlyMap<string, "replay" | "discard">>();
    const letters: LetterView[] = [];
    const retries: RetryView[] = [];
    for (const parked of dead.slice(0, most)) {
      const message = await this.#messageOf(parked, read);
      if (message === undefined) continue;
      const { stored, id, state } = parked;
      const of = requested.get(stored) ?? await this.#source.requested(stored);
      requested.set(stored, of);
      letters.push({
        place: placeOf(stored.key, id),
        ...viewOf(parked, message),
        at: state.dead,
        payload: shownValue(payloadOf(message.message)),
        request: of.get(id),
      });
    }
    for (const parked of waiting.slice(0, most)) {
      const message = await this.#messageOf(parked, read);
      if (message !== undefined) retries.push({ ...viewOf(parked, message), due: parked.state.due });
    }
    this.#read = read;
    return { letters: { shown: letters, total: dead.length }, retries: { shown: retries, total: waiting.length } };
  }

  async #messageOf(
    { stored: { key }, id, state: { attempts, dead } }: Parked,
    read: Map<string, ParkedMessage>,
  ): Promise<ParkedMessage | undefined> {
    // its error is another one after each attempt
    const of = `${placeOf(key, id)} ${attempts} ${dead}`;
    const message = this.#read.get(of) ?? await this.#source.message(key, id);
    if (message !== undefined) read.set(of, message);
    return message;
  }
}

/** Where a letter is kept: by the key of its subscription, and its identity. */
export function placeOf(key: string, id: string): string {
  return `${key}.${id}`;
}

/** The subscription and identity of a place; `undefined` if it is none. */
export function readPlace(place: string): { service: string; name: string; id: string } | undefined {
  const dot = place.lastIndexOf(".");
  const [key, id] = [place.slice(0, dot), place.slice(dot + 1)];
  const found = readSubscriptionKey(key);
  return found === undefined || readMessageId(id) === undefined ? undefined : { ...found, id };
}

function viewOf({ stored, state }: Parked, { message, error }: ParkedMessage): ParkedView {
  return {
    service: shownText(stored.service),
    subscription: shownText(stored.name),
    position: state.position,
    id: shownText(message.id),
    contract: shownText(message.category),
    key: message.key === undefined ? undefined : shownText(message.key),
    attempts: state.attempts,
    code: shownText(error?.code ?? ""),
    error: shownText(error?.message ?? "", 1_000),
    cause: shownLines(error?.cause ?? ""),
  };
}
