/**
 * The NATS stream in which leaders store the state of subscriptions, here in memory and filled by a test instead of
 * leaders: for tests of code that reads stored subscriptions.
 */
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { type Commit, type Head, messageId, type ParkedState, writeCommit } from "../format/commit.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { commitSubject, parkedSubject, subscriptionKey } from "../format/names.ts";
import { type ParkedMessage, writeParked } from "../format/parked_message.ts";
import { streamOptions } from "../format/streams.ts";
import { streamName } from "../format/stream_name.ts";
import type { KeptCommits } from "./stored_subscriptions.ts";

export const NAMESPACE = "default";
/** Returns the time at which the message at this position was stored in the log, in ms since 1970. */
export const stored = (position: number) => 1_795_000_000_000 + position;

/**
 * A parked message of a test. Members that are absent have defaults: the message has failed three times, and its next
 * attempt is due.
 */
export interface GivenParked extends Partial<ParkedState> {
  readonly position: number;
  readonly message?: Partial<LoggedMessage>;
  readonly error?: ParkedMessage["error"];
}

export function parkedState({ message: _, error: __, ...given }: GivenParked): ParkedState {
  return { time: stored(given.position), epoch: 0, attempts: 3, due: 0, dead: 0, ...given };
}

export function headOf(given: Partial<Head> = {}): Head {
  const place = { created: "c", read: 0, time: 0, epoch: 0 };
  return { leader: "a.1", token: 1, place, open: [], began: {}, requests: 0, doubt: undefined, ...given };
}

/**
 * Makes the stream in which leaders store the state of subscriptions, empty and in memory, with its clock and network.
 */
export async function subscriptionsStream() {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 1 });
  const { log } = network.connect();
  const options = streamOptions(NAMESPACE, "subscriptions", 1);
  const stream = await clock.until(log.open(streamName(NAMESPACE, "subscriptions"), options));
  const kept: KeptCommits = { namespace: NAMESPACE, clock, stream };
  const append = (subject: string, text: string) => clock.until(appendTo(stream, subject, text));
  return { clock, network, stream, kept, append, put: putter(append) };
}

/** Appends a message to a stream. Resolves with the message's sequence. */
export async function appendTo(stream: LogStream, subject: string, text: string): Promise<number> {
  const appended = await stream.append(subject, text, { timeout: 5_000 });
  if (appended.type !== "stored") throw new Error(appended.type);
  return appended.sequence;
}

/**
 * Returns a function that parks messages, and commits a state with exactly these messages as the next commit of their
 * subscription. The function resolves with the sequence of the commit.
 */
export function putter(append: (subject: string, text: string) => Promise<number>) {
  const numbers = new Map<string, number>();
  return async (
    name: string,
    parked: readonly GivenParked[] = [],
    { service = "shop", ...more }: Partial<Commit & Head> & { readonly service?: string } = {},
  ): Promise<number> => {
    const key = subscriptionKey(service, name);
    for (const given of parked) {
      const { message, error = { code: "BROKE", message: "no" } } = given;
      const { position, time } = parkedState(given);
      const about = { position, category: "Placed", id: `m${position}`, key: undefined, payload: position };
      const whole = { ...about, tagged: false, meta: { h: { tenant: "t" } }, time, ...message };
      const id = messageId({ position, time });
      await append(parkedSubject(NAMESPACE, key, id), writeParked({ message: whole, error }));
    }
    const n = (numbers.get(key) ?? 0) + 1;
    numbers.set(key, n);
    const states = parked.map(parkedState);
    const { leader, token, place, open, began, requests, doubt } = headOf(more);
    const text = writeCommit({
      id: ["t", n],
      prev: n === 1 ? undefined : ["t", n - 1],
      full: true,
      base: 0,
      parked: states,
      ended: [],
      counts: { parked: states.length, dead: states.filter(({ dead }) => dead > 0).length },
      ...more,
      head: { leader, token, place, open, began, requests, doubt },
    });
    return await append(commitSubject(NAMESPACE, key), text);
  };
}
