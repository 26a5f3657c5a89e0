/**
 * The store of a subscription in the stream `catga_<ns>_subscriptions`: commits, parked messages, requests, and what
 * operators have set.
 */
import { KEEP } from "../../contract/declaration/defaults.ts";
import { fewAtOnce } from "../../data/gate.ts";
import { CatgaError } from "../../error.ts";
import { type Clock, dateOf, delay, doubled } from "../../ports/clock.ts";
import { PAUSES, repeat, untilDone } from "../../ports/repeat.ts";
import { type LogStream, messagesFrom, type StoredMessage, textOf } from "../../ports/event_log.ts";
import { readCommit } from "../format/commit.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { commitSubject, overridesSubject, parkedId, parkedSubject, requestSubject } from "../format/names.ts";
import {
  isLeftOut,
  type KeysByFunction,
  type ListedMessage,
  type ParkedMessage,
  readParked,
  withoutPayload,
  writeParked,
} from "../format/parked_message.ts";
import { readRequest, type SubscriptionRequest } from "../format/subscription_request.ts";
import type { CommitSteps, Request, RequestAnswer, StoredCommit } from "./commits.ts";
import type { Item } from "./category.ts";
import { limitKeyOf, NO_KEY } from "../format/limit_key.ts";

/** Options of a {@link SubscriptionStore}. */
export interface SubscriptionStoreOptions {
  /** The stream that has the states of all subscriptions. */
  readonly stream: LogStream;
  readonly namespace: string;
  /** Key that identifies the subscription in subjects: its service and its name. */
  readonly key: string;
  readonly clock: Clock;
  /** Signal on whose abort all operations reject with its reason. */
  readonly signal: AbortSignal;
  /**
   * Reads a parked message as the log has it; `undefined`: the log no longer has it. Called if the message is too large
   * to be parked with its payload. Rejects with `UNAVAILABLE`.
   */
  original(message: LoggedMessage): Promise<LoggedMessage | undefined>;
  /**
   * Lists the keys of the subscriptions that have overrides (an operator has paused them, or set their limits): only
   * for these are overrides read. Absent: for all.
   */
  readonly overridden?: (() => Promise<ReadonlySet<string>>) | undefined;
  /** Returns the functions that return the keys of a contract's messages in limits. Absent: there are none. */
  readonly keyFunctions?: ((category: string) => readonly ((payload: never) => unknown)[]) | undefined;
  /** Called with errors of operations that are retried. */
  fault(error: unknown): void;
}

/** Reads and writes what the log stores for one subscription: commits, requests and parked messages. */
export class SubscriptionStore {
  readonly #options: SubscriptionStoreOptions;
  readonly #subject: string;

  constructor(options: SubscriptionStoreOptions) {
    this.#options = options;
    this.#subject = commitSubject(options.namespace, options.key);
  }

  /** Carries out all requests that these steps yield. Resolves with the steps' result. */
  async carryOut<T>(steps: CommitSteps<T>): Promise<T> {
    const { clock, signal } = this.#options;
    let next = steps.next({ type: "done" });
    for (let pauses = 0; !next.done;) {
      let answer: RequestAnswer = { type: "done" };
      if (next.value.type === "pause") {
        await delay(clock, doubled(pauses++, ...PAUSES.background), signal);
      } else answer = await this.#do(next.value);
      signal.throwIfAborted();
      next = steps.next(answer);
    }
    return next.value;
  }

  /**
   * Reads the parked messages with these ids; messages that the store has lost are missing from `found`. `garbage`: ids
   * of other messages in the store.
   */
  async listed(ids: ReadonlySet<string>): Promise<{ found: Map<string, ListedMessage>; garbage: string[] }> {
    const found = new Map<string, ListedMessage>();
    const garbage = new Set<string>();
    for await (const message of this.#all(this.#parked("*"))) {
      const id = parkedId(message.subject);
      if (ids.has(id)) await this.#list(found, id, message);
      else garbage.add(id);
    }
    // the server that answered may lag behind: messages that it lacks are read from the stream's leader
    for (const id of ids) {
      if (found.has(id)) continue;
      const message = await this.#again(() => this.#options.stream.last(this.#parked(id), { latest: true }));
      if (message !== undefined) await this.#list(found, id, message);
    }
    return { found, garbage: [...garbage] };
  }

  /**
   * Loads payload and cause of a parked message into memory. Resolves with "loaded"; with "lost" if the store no longer
   * has the message; or with "without payload" if neither the store nor the log has its payload any more.
   */
  async load(item: Item): Promise<"loaded" | "lost" | "without payload"> {
    if (item.loaded) return "loaded";
    const message = await this.#again(() => this.#options.stream.last(this.#parked(item.id), { latest: true }));
    const read = message && readParked(item.id, textOf(message));
    const known = typeof read === "object" && isLeftOut(read.message)
      ? await this.#again(() => this.#options.original(read.message))
      : undefined;
    if (item.loaded) return "loaded"; // another call has loaded the message meanwhile, and it may have changed since
    if (read === undefined || typeof read === "string") return "lost";
    item.message = known ?? read.message;
    const [own, kept] = [item.error, read.error];
    if (own?.cause === undefined && own?.code === kept?.code && own?.message === kept?.message) item.error = kept;
    item.loaded = known !== undefined || !isLeftOut(read.message);
    return item.loaded ? "loaded" : "without payload";
  }

  /**
   * Reads the requests of nodes and operators behind a sequence, in order, from a server that may lag behind. A
   * string in place of a request: why it is invalid.
   */
  async requests(behind: number): Promise<readonly (readonly [sequence: number, SubscriptionRequest | string])[]> {
    const { namespace, key } = this.#options;
    const found = await Array.fromAsync(this.#all(requestSubject(namespace, key, "*"), behind + 1));
    return found.map((message) => [message.sequence, readRequest(textOf(message))] as const);
  }

  /** Reads what operators have set of the subscription; `undefined`: nothing ever was. */
  async overrides(): Promise<StoredMessage | undefined> {
    const { namespace, key, stream, overridden } = this.#options;
    if (overridden !== undefined && !(await this.#again(overridden)).has(key)) return undefined;
    return await this.#again(() => stream.last(overridesSubject(namespace, key), { latest: true }));
  }

  /** Erases the subscription's commits (stored states) before a sequence. */
  async eraseCommits(before: number): Promise<void> {
    await this.#options.stream.purge(this.#subject, { before });
  }

  /** Erases the requests of operators to the subscription up to a sequence. */
  async eraseRequests(upTo: number): Promise<void> {
    const { stream, namespace, key } = this.#options;
    await stream.purge(requestSubject(namespace, key, "*"), { before: upTo + 1 });
  }

  /** Erases a parked message (one that waits for its next attempt, or is dead). */
  async eraseMessage(id: string): Promise<void> {
    await this.#options.stream.purge(this.#parked(id));
  }

  async #do(request: Exclude<Request, { type: "pause" }>): Promise<RequestAnswer> {
    const { stream } = this.#options;
    switch (request.type) {
      case "commit":
        return await this.#append(request.text, request.expect);
      case "entries":
        await fewAtOnce(request.items, MAX_BATCH, (item) => this.#put(item));
        return { type: "done" };
      case "last": {
        const message = await this.#again(() => stream.last(this.#subject, { latest: true }));
        return { type: "commits", commits: message === undefined ? [] : [stored(message)] };
      }
      case "commits":
        return { type: "commits", commits: await Array.fromAsync(this.#all(this.#subject, request.from), stored) };
    }
  }

  async #append(data: string, expect: number): Promise<Extract<RequestAnswer, { type: "stored" | "not stored" }>> {
    const { stream, fault } = this.#options;
    const appended = await stream.append(this.#subject, data, { timeout: ANSWER_TIMEOUT, expect });
    if (appended.type === "stored") return { type: "stored", sequence: appended.sequence };
    if (appended.type !== "conflict") fault(appended.error);
    return { type: "not stored" };
  }

  /**
   * Stores a parked message, with retries until it is acknowledged. One that is too large, as after the server's
   * `max_payload` was lowered, is stored without its payload, which stays in the log, as long as the log keeps it.
   */
  async #put(item: Item): Promise<void> {
    const { stream, clock, signal, fault } = this.#options;
    if (await this.load(item) === "lost") return; // nothing to write
    const { message, error } = item;
    for (let [tries, failures] = [0, 0];; failures++) {
      const kept = tries < 2 ? { message, error } : withoutPayload({ message, error });
      const data = writeParked(kept, tries === 0 ? undefined : 0);
      const appended = await stream.append(this.#parked(item.id), data, { timeout: ANSWER_TIMEOUT });
      signal.throwIfAborted();
      if (appended.type === "stored") {
        if (
          (data.length > KEPT_CHARACTERS || tries === 2) && item.place === "parked" && item.turn === "waits" &&
          item.message === message &&
          item.error === error
        ) {
          Object.assign(item, withoutLarge(item), { loaded: false });
        }
        return;
      }
      if (appended.type === "not stored" && appended.error.code === "TOO_LARGE" && tries < 2) {
        if (++tries === 2) fault(onlyInLog(message));
      } else {
        if (appended.type !== "conflict") fault(appended.error);
        await delay(clock, doubled(failures, ...PAUSES.background), signal);
      }
    }
  }

  async #list(found: Map<string, ListedMessage>, id: string, message: StoredMessage): Promise<void> {
    const { fault } = this.#options;
    const read = readParked(id, textOf(message));
    if (typeof read === "string") return fault(new CatgaError("INVALID_MESSAGE", `${message.subject}: ${read}`));
    const loaded = message.data.length <= KEPT_CHARACTERS && !isLeftOut(read.message);
    const keys = loaded ? undefined : await this.#keysOf(read.message);
    const known = { in: "store", loaded, size: message.data.length, ...(keys && { keys }) } as const;
    found.set(id, { ...known, ...(loaded ? read : withoutLarge(read)) });
  }

  /**
   * Returns the keys of a message in limits, which are known without its payload then; `undefined`: it has none, or
   * neither the store nor the log has its payload any more.
   */
  async #keysOf(message: LoggedMessage): Promise<KeysByFunction | undefined> {
    const functions = this.#options.keyFunctions?.(message.category) ?? [];
    if (functions.length === 0) return undefined;
    const whole = isLeftOut(message) ? await this.#again(() => this.#options.original(message)) : message;
    return whole && new Map(functions.map((each) => [each, keyOf(each, whole)]));
  }

  /** Reads the messages of a subject whose sequence is at least `from`. */
  #all(subject: string, from = 0): AsyncIterable<StoredMessage> {
    const { stream } = this.#options;
    const read: LogStream["read"] = (subject, options) => this.#again(() => stream.read(subject, options));
    return messagesFrom({ read }, subject, from);
  }

  #again<T>(read: () => Promise<T>): Promise<T> {
    return repeat(read, untilDone(this.#options));
  }

  #parked(id: string): string {
    return parkedSubject(this.#options.namespace, this.#options.key, id);
  }
}

/** Parses a commit (a stored state of a subscription) from its message. */
export function stored(message: Pick<StoredMessage, "sequence" | "data">): StoredCommit {
  return { sequence: message.sequence, commit: readCommit(textOf(message)) };
}

/** Makes the error for a message that is too large to be parked with its payload. */
function onlyInLog({ category, id, time, meta }: LoggedMessage): CatgaError {
  const keep = meta?.k ?? KEEP;
  const end = keep === 0 ? "" : `, until ${dateOf(time + keep).toISOString()}`;
  const message = `${category} ${id} is too large to be put aside: only the log has its payload${end}. ` +
    "Raise the server's max_payload";
  return new CatgaError("TOO_LARGE", message);
}

/** Returns the key that a function returns for a message; `NO_KEY` if it returns none, as was logged before. */
function keyOf(of: (payload: never) => unknown, message: LoggedMessage): string {
  try {
    return limitKeyOf(of, message, "key");
  } catch {
    return NO_KEY;
  }
}

/**
 * Returns the part of a parked message that stays in memory: a message with a large payload or cause is kept without
 * both.
 */
function withoutLarge({ message, error }: ParkedMessage): ParkedMessage {
  const { cause: _, ...known } = error ?? { code: "", message: "" };
  return { message: { ...message, payload: undefined, meta: undefined }, error: error && known };
}

/** Timeout of a write to the store, in ms. */
const ANSWER_TIMEOUT = 2_000;
/** Maximum number of parked messages that are written to the store at the same time. */
const MAX_BATCH = 64;
/** Size of payload and cause up to which a parked message stays in memory as a whole, in bytes or characters. */
const KEPT_CHARACTERS = 1_024;
