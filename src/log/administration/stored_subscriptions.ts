/**
 * Reads the stored subscriptions of a namespace, for processes that do not lead them: each subscription's state from
 * its commits, and its parked messages.
 */
import { fewAtOnce } from "../../data/gate.ts";
import { compareTexts } from "../../data/text_order.ts";
import { unavailable } from "../../error.ts";
import { type Clock, delay } from "../../ports/clock.ts";
import { type LogStream, messagesFrom, type StoredMessage, textOf } from "../../ports/event_log.ts";
import { type Commit, type ParkedState, readCommit, stateOf, type StoredState } from "../format/commit.ts";
import {
  commitSubject,
  parkedId,
  parkedSubject,
  readCommitSubject,
  readSubscriptionKey,
  requestSubject,
} from "../format/names.ts";
import { sequenceOf } from "../format/group_text.ts";
import { type ParkedMessage, readParked } from "../format/parked_message.ts";
import { readRequest, type SubscriptionRequest } from "../format/subscription_request.ts";

/** The stream in which the state of subscriptions is stored, and the clock for pauses between reads. */
export interface KeptCommits {
  readonly namespace: string;
  readonly clock: Clock;
  /** The stream of subscriptions. */
  readonly stream: LogStream;
}

/** A subscription as the stream of subscriptions has it. */
export interface StoredSubscription {
  readonly key: string;
  readonly service: string;
  readonly name: string;
  /** Sequence of the subscription's last commit. */
  readonly sequence: number;
  readonly state: StoredState;
}

/**
 * Reads all stored subscriptions, sorted by service and name. Unreadable subscriptions are left out. `known`: the
 * result of an earlier call, by key; only newer commits are then read.
 */
export async function storedSubscriptions(
  kept: KeptCommits,
  known: ReadonlyMap<string, StoredSubscription> = new Map(),
): Promise<StoredSubscription[]> {
  const found = await fewAtOnce(
    await storedKeys(kept),
    MAX_CONCURRENT_READS,
    (key) => storedSubscription(kept, key, known.get(key)),
  );
  return found.filter((each) => each !== undefined).sort((a, b) =>
    compareTexts(a.service, b.service) || compareTexts(a.name, b.name)
  );
}

/** Returns the keys of all stored subscriptions. */
export async function storedKeys({ stream, namespace }: KeptCommits): Promise<readonly string[]> {
  const subjects = await stream.subjects(commitSubject(namespace, ">"));
  return subjects.flatMap((subject) => readCommitSubject(namespace, subject) ?? []);
}

/** Returns the greatest sequence of the log's stream that any subscription has read; 0: none has read anything. */
export async function mostRead(kept: KeptCommits): Promise<number> {
  const read = (await storedSubscriptions(kept)).map(({ state: { head: { place } } }) => sequenceOf(place.read));
  return Math.max(0, ...read);
}

/**
 * Reads one subscription; `undefined`: missing or unreadable. Rejects with `UNAVAILABLE` if the server lags behind
 * for too long.
 */
export async function storedSubscription(
  kept: KeptCommits,
  key: string,
  known?: StoredSubscription,
): Promise<StoredSubscription | undefined> {
  const { stream, namespace, clock } = kept;
  const place = readSubscriptionKey(key);
  if (place === undefined) return undefined;
  const subject = commitSubject(namespace, key);
  for (let tries = 0; tries < MAX_READS; tries++) {
    if (tries > 0) await delay(clock, READ_PAUSE);
    const last = await stream.last(subject, { latest: true });
    if (last === undefined) return undefined;
    if (last.sequence === known?.sequence) return known;
    const newest = commitOf(last);
    let from = Math.min(newest?.base ?? 0, last.sequence);
    for (;;) {
      const messages: StoredMessage[] = [];
      for await (const message of messagesFrom(stream, subject, from, PAGE)) {
        messages.push(message);
        // stop at the last known commit: new commits may be stored faster than they are read
        if (message.sequence >= last.sequence) break;
      }
      // the server that answered lags behind the stream's leader: read again
      if (!messages.some(({ sequence }) => sequence >= last.sequence)) break;
      const commits = messages.flatMap((message) => commitOf(message) ?? []);
      const state = stateOf(commits);
      if (state !== undefined) return { key, ...place, sequence: messages[messages.length - 1].sequence, state };
      if (from === 0) return undefined;
      const earlier = Math.min(from, ...commits.map(({ base }) => base));
      // an invalid commit (anybody may write one) may name any `base`: all commits are read then, from the first
      from = earlier < from ? earlier : 0;
    }
  }
  throw unavailable(`the server lags behind with what is stored of ${subject}; try again`);
}

/** A parked message as the store has it. */
export interface KeptMessage extends ParkedMessage {
  /** Time at which the message was stored with its newest failure, by the server's clock, in ms since 1970. */
  readonly storedAt: number;
}

/**
 * Reads a parked message (one that waits in the store for its next attempt, or is dead); `undefined`: missing or
 * unreadable.
 */
export async function parkedMessage(
  { stream, namespace }: KeptCommits,
  key: string,
  id: string,
): Promise<KeptMessage | undefined> {
  const subject = parkedSubject(namespace, key, id);
  // a server that lags behind may not have the message yet: ask the stream's leader
  const message = await stream.last(subject) ?? await stream.last(subject, { latest: true });
  const parked = message && readParked(id, textOf(message));
  return parked === undefined || typeof parked === "string" ? undefined : { ...parked, storedAt: message!.time };
}

/**
 * Yields the parked messages of a subscription whose state is `wanted`, in the order in which they were stored; without
 * those that the server does not have yet, and unreadable ones.
 */
export async function* parkedMessages(
  { stream, namespace }: KeptCommits,
  { key, state: { parked } }: StoredSubscription,
  wanted: (state: ParkedState) => boolean = () => true,
): AsyncGenerator<readonly [id: string, message: KeptMessage]> {
  if (parked.size === 0) return;
  for await (const stored of messagesFrom(stream, parkedSubject(namespace, key, "*"), 0, PAGE)) {
    const id = parkedId(stored.subject);
    const state = parked.get(id);
    if (state === undefined || !wanted(state)) continue;
    const message = readParked(id, textOf(stored));
    if (typeof message !== "string") yield [id, { ...message, storedAt: stored.time }];
  }
}

/**
 * Reads the contract and key of those parked messages that have a key, by message id. Payloads are dropped: all of
 * them together may exceed the memory.
 */
export async function parkedLines(kept: KeptCommits, subscription: StoredSubscription): Promise<Map<string, string>> {
  const lines = new Map<string, string>();
  const missing = new Set(subscription.state.parked.keys());
  const add = (id: string, { message: { category, key } }: ParkedMessage) => {
    missing.delete(id);
    if (key !== undefined) lines.set(id, `${category}/${key}`);
  };
  for await (const [id, message] of parkedMessages(kept, subscription)) add(id, message);
  for (const id of [...missing]) {
    const parked = await parkedMessage(kept, subscription.key, id);
    if (parked !== undefined) add(id, parked);
  }
  return lines;
}

/** Sorts parked messages (which wait for their next attempt, or are dead) by their position in the log. */
export function inOrder(parked: ReadonlyMap<string, ParkedState>): (readonly [id: string, state: ParkedState])[] {
  return [...parked].sort(([, a], [, b]) => a.epoch - b.epoch || a.position - b.position || a.time - b.time);
}

/**
 * Reads the last request stored under an id. `request`: `undefined` if there is none that is valid and that the leader
 * has not carried out. `sequence`: sequence of the last message under this id (0: there is none), which a new request
 * must name as the message that it replaces.
 */
export async function pendingRequest(
  { stream, namespace }: KeptCommits,
  { key, state }: StoredSubscription,
  id: string,
): Promise<{ readonly request: SubscriptionRequest | undefined; readonly sequence: number }> {
  const message = await stream.last(requestSubject(namespace, key, id), { latest: true });
  if (message === undefined) return { request: undefined, sequence: 0 };
  const request = message.sequence <= state.head.requests ? undefined : readRequest(textOf(message));
  return { request: typeof request === "string" ? undefined : request, sequence: message.sequence };
}

/** Reads the requests to replay or discard dead letters that the leader has not carried out, by message id. */
export async function requestedLetters(
  { stream, namespace }: KeptCommits,
  { key, state: { head, parked } }: StoredSubscription,
): Promise<Map<string, "replay" | "discard">> {
  const requested = new Map<string, "replay" | "discard">();
  for await (const message of messagesFrom(stream, requestSubject(namespace, key, "*"), head.requests + 1, PAGE)) {
    const request = readRequest(textOf(message));
    if (typeof request === "string" || !("message" in request)) continue;
    if (request.dead > 0 && parked.get(request.message)?.dead === request.dead) {
      requested.set(request.message, request.kind);
    }
  }
  return requested;
}

function commitOf(message: StoredMessage): Commit | undefined {
  const commit = readCommit(textOf(message));
  return typeof commit === "string" ? undefined : commit;
}

/** Number of subscriptions that are read at once. */
const MAX_CONCURRENT_READS = 16;
/** Number of messages that are read at once. */
const PAGE = 64;
/** Maximum number of reads while the answering servers lag behind; `READ_PAUSE`: pause between them, in ms. */
const [MAX_READS, READ_PAUSE] = [40, 50];
