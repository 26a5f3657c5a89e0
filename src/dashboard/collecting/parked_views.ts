/**
 * Reads the messages that subscriptions have parked, for the page: dead letters, and messages that wait for their
 * next attempt.
 */
import { isBusiness } from "../../contract/nodes/alarms.ts";
import { shownPayload } from "../../contract/declaration/redaction.ts";
import type { FailedWith, ParkedMessage } from "../../log/format/parked_message.ts";
import { type ParkedState, readMessageId } from "../../log/format/commit.ts";
import { readSubscriptionKey } from "../../log/format/names.ts";
import type { StoredSubscription } from "../../log/administration/stored_subscriptions.ts";
import { payloadOf } from "../../log/format/logged_message.ts";
import { shownId, shownLines, shownText, shownValue } from "../shown.ts";
import type { Capped, LetterGroup, LetterView, ParkedView, RetryView } from "../view.ts";

/** Reads stored data of parked messages, besides the states of subscriptions. */
export interface ParkedSource {
  /** Resolves with a parked message, by its subscription's key and its id; `undefined`: it is gone. */
  message(key: string, id: string): Promise<ParkedMessage | undefined>;
  /**
   * Resolves with the requests to replay or discard dead letters that a subscription's leader has not carried out, by
   * the letters' ids.
   */
  requested(stored: StoredSubscription): Promise<ReadonlyMap<string, "replay" | "discard">>;
}

interface Parked {
  readonly stored: StoredSubscription;
  readonly id: string;
  readonly state: ParkedState;
}

/**
 * The rows of the page's tables of dead letters and retries. Keeps the messages that were read, as long as they are
 * shown.
 */
export class ParkedViews {
  readonly #source: ParkedSource;
  readonly #showSecrets: boolean;
  #read = new Map<string, ParkedMessage>();
  /** Summaries of the dead letters that were read, by subscription, message id and time of death (`placeOf`). */
  #known = new Map<string, Digest>();
  /** Stack traces, each kept once, because many dead letters have the same stack trace. */
  #stacks = new Map<string, string>();

  /** `showSecrets`: true to show payloads with the members that contracts hide by `redact`. */
  constructor(source: ParkedSource, showSecrets = false) {
    this.#source = source;
    this.#showSecrets = showSecrets;
  }

  /**
   * Resolves with dead letters, grouped by their failures, the group with the newest letter first. Each call reads a
   * limited number of letters that were not read yet, of each subscription in turn: so with many letters, the counts
   * grow for a while.
   */
  async groups(subscriptions: readonly StoredSubscription[], most: number): Promise<Capped<LetterGroup>> {
    const known = new Map<string, Digest>();
    const unknown: Parked[] = [];
    for (const stored of subscriptions) {
      for (const [id, state] of stored.state.parked) {
        if (state.dead === 0) continue;
        const place = `${placeOf(stored.key, id)} ${state.dead}`;
        const digest = this.#known.get(place);
        if (digest === undefined) unknown.push({ stored, id, state });
        else known.set(place, digest);
      }
    }
    this.#known = known;
    if (known.size === 0) this.#stacks.clear();
    unknown.sort(({ state: a }, { state: b }) => b.dead - a.dead);
    const next = inTurns(unknown, MAX_LETTERS, ({ stored }) => stored.key);
    for (let i = 0; i < next.length; i += MAX_BATCH) {
      await Promise.all(
        next.slice(i, i + MAX_BATCH).map(async ({ stored, id, state }) => {
          const message = await this.#source.message(stored.key, id);
          if (message !== undefined) {
            const digest = digestOf(stored, state, message);
            const stack = this.#stacks.get(digest.stack) ?? digest.stack;
            this.#stacks.set(stack, stack);
            known.set(`${placeOf(stored.key, id)} ${state.dead}`, { ...digest, stack });
          }
        }),
      );
    }
    const read = new Set(next);
    const unread = new Set(
      unknown.filter((each) => !read.has(each)).map(({ stored: { service, name } }) =>
        `${shownText(service)}/${shownText(name)}`
      ),
    );
    const alike = Map.groupBy(known.values(), ({ at: _, stack: __, ...digest }) => JSON.stringify(digest));
    const groups = [...alike.values()].map((own): LetterGroup => {
      const { at: last, ...newest } = own.reduce((a, b) => b.at > a.at ? b : a);
      return {
        ...{ ...newest, business: isBusiness(newest.code), count: own.length, last },
        first: own.reduce((first, { at }) => Math.min(first, at), last),
        partial: unread.has(`${newest.service}/${newest.subscription}`),
      };
    });
    const newer = (a: LetterGroup, b: LetterGroup) => b.last - a.last || b.count - a.count;
    const all = inTurns(groups.sort(newer), most, (each) => `${each.service}/${each.subscription}`);
    return { shown: all.sort(newer), total: groups.length };
  }

  /**
   * Resolves with the newest dead letters, of each subscription in turn, and with the retries that are due next; at
   * most `most` of each.
   */
  async of(
    subscriptions: readonly StoredSubscription[],
    most: number,
  ): Promise<{ letters: Capped<LetterView>; retries: Capped<RetryView> }> {
    const all = subscriptions.flatMap((stored) =>
      [...stored.state.parked].map(([id, state]): Parked => ({ stored, id, state }))
    );
    const newer = ({ state: a }: Parked, { state: b }: Parked) => b.dead - a.dead || b.position - a.position;
    const dead = all.filter(({ state }) => state.dead > 0).sort(newer);
    const due = ({ state }: Parked) => state.due || Infinity;
    const waiting = all.filter(({ state }) => state.dead === 0)
      .sort((a, b) => due(a) < due(b) ? -1 : due(a) > due(b) ? 1 : a.state.position - b.state.position);
    const read = new Map<string, ParkedMessage>();
    const requested = new Map<StoredSubscription, ReadonlyMap<string, "replay" | "discard">>();
    const letters: LetterView[] = [];
    const retries: RetryView[] = [];
    for (const parked of inTurns(dead, most, ({ stored }) => stored.key).sort(newer)) {
      const message = await this.#messageOf(parked, read);
      if (message === undefined) continue;
      const { stored, id, state } = parked;
      const of = requested.get(stored) ?? await this.#source.requested(stored);
      requested.set(stored, of);
      const { meta, category, earlier = [] } = message.message;
      const about = { contract: category, headers: meta?.h };
      letters.push({
        place: placeOf(stored.key, id),
        ...viewOf(parked, message),
        at: state.dead,
        payload: shownValue(shownPayload(payloadOf(message.message), about, this.#showSecrets)),
        request: of.get(id),
        group: shownCause(message.error),
        business: isBusiness(message.error?.code ?? ""),
        history: earlier.slice(-MAX_EARLIER).map(([dead, payload]) =>
          `${timeOf(dead)}  ${shownText(shownPayload(payload, about, this.#showSecrets), 1_000)}`
        )
          .join("\n"),
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
    // the number of attempts is part of the key, because each attempt has another error
    const of = `${placeOf(key, id)} ${attempts} ${dead}`;
    const message = this.#read.get(of) ?? await this.#source.message(key, id);
    if (message !== undefined) read.set(of, message);
    return message;
  }
}

/**
 * Returns at most `most` items: the first of each subscription, then the second of each, and so on, so that no
 * subscription hides another's.
 */
function inTurns<T>(items: readonly T[], most: number, subscriptionOf: (item: T) => string): T[] {
  const lists = [...Map.groupBy(items, subscriptionOf).values()];
  const taken: T[] = [];
  for (let turn = 0; taken.length < Math.min(most, items.length); turn++) {
    for (const list of lists) if (turn < list.length) taken.push(list[turn]);
  }
  return taken.slice(0, most);
}

/** Formats a time, given in ms since 1970; `-` if it is invalid, because anybody may have written it. */
function timeOf(ms: number): string {
  return ms <= 8.64e15 ? new Date(ms).toISOString() : "-";
}

interface Digest extends Pick<LetterGroup, "service" | "subscription" | "contract" | "code" | "cause" | "stack"> {
  readonly at: number;
}

function digestOf({ service, name }: StoredSubscription, { dead }: ParkedState, message: ParkedMessage): Digest {
  const { code = "", cause } = message.error ?? {};
  return {
    service: shownText(service),
    subscription: shownText(name),
    contract: shownText(message.message.category),
    code: shownText(code),
    cause: shownCause(message.error),
    stack: shownLines(cause ?? ""),
    at: dead,
  };
}

/**
 * Returns the text by which dead letters are grouped: the first line of the cause, or else the message of the error,
 * without its numbers.
 */
export function shownCause(error: FailedWith | undefined): string {
  const line = error?.cause?.split("\n", 1)[0];
  // the message is enough for an error that the handler decided on, because its code is shown beside it
  const text = line === undefined || line.startsWith("CatgaError ") ? error?.message ?? "" : line;
  // numbers are replaced, so that failures that differ only in ids and numbers fall into one group
  return shownText(text.replace(/\b\d[\d.,:-]*\b/g, "#"), 300);
}

/**
 * Maximum number of a letter's earlier payloads that are shown. Limited because anybody may write a letter with many.
 */
const MAX_EARLIER = 5;
/** Maximum number of dead letters that are read in one call. */
const MAX_LETTERS = 400;
/** Maximum number of dead letters that are read at the same time. */
const MAX_BATCH = 16;

/** Returns the place of a dead letter, which identifies it: the key of its subscription, and its id. */
export function placeOf(key: string, id: string): string {
  return `${key}.${id}`;
}

/** Parses the place of a dead letter into its subscription's service and name, and its id; `undefined`: invalid. */
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
    id: shownId(message.id),
    contract: shownText(message.category),
    key: message.key === undefined ? undefined : shownId(message.key),
    attempts: state.attempts,
    code: shownText(error?.code ?? ""),
    error: shownText(error?.message ?? "", 1_000),
    cause: shownLines(error?.cause ?? ""),
  };
}
