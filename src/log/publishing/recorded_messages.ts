/**
 * Stores messages that an outbox has recorded: as they were recorded, without their contracts, each message of the
 * stream in one attempt under an id that its relay has noted. It also says which of them the log has, and keeps the
 * mark by which a database is recognized that was restored from an older copy.
 */
import {
  isOlder,
  type RecordedLog,
  type RecordedMessage,
  type RelayMark,
} from "../../contract/nodes/attached_store.ts";
import { isCount, isRecord } from "../../data/checks.ts";
import { thrownMessage } from "../../data/cause_text.ts";
import { parsedJson } from "../../data/encoding.ts";
import { CatgaError, isCatgaError, unavailable } from "../../error.ts";
import { type Appended, type LogStream, messagesFrom, neverStored, notStoredNow } from "../../ports/event_log.ts";
import { isReadable, readGroup } from "../format/group.ts";
import { categorySubject, relayMarkSubject } from "../format/names.ts";
import type { LogSource } from "./schedule_store.ts";
import type { StreamMessages } from "./stream_message.ts";

/** Options of {@link RecordedMessages}. */
export interface RecordedMessagesOptions {
  readonly namespace: string;
  /** The stream of the log. */
  readonly source: LogSource;
  /** Opens the stream of subscriptions, which has the marks. */
  kept(): LogStream | Promise<LogStream>;
  readonly messages: Pick<StreamMessages, "recorded" | "hasOtherPayload">;
}

/**
 * The log of one node, for relays of outboxes.
 * @decides the message of the stream that rows of an outbox become
 */
export class RecordedMessages implements RecordedLog {
  readonly #options: RecordedMessagesOptions;
  /** True if the last append was not answered: the stream may be lost. */
  #doubtful = false;

  constructor(options: RecordedMessagesOptions) {
    this.#options = options;
  }

  async append(message: RecordedMessage, timeout: number): Promise<Appended> {
    const { source, messages } = this.#options;
    const made = messages.recorded(message);
    let stream: LogStream;
    let appended: Appended;
    try {
      stream = await (this.#doubtful ? source.again() : source.get());
    } catch (error) {
      return notStoredNow(asCatgaError(error));
    }
    try {
      appended = await stream.append(made.subject, made.data, { ...made.options, timeout });
    } catch (cause) {
      const why = `${message.kind} ${message.contract} cannot be stored: ${thrownMessage(cause)}`;
      return neverStored(new CatgaError("INVALID_MESSAGE", why, { cause }));
    }
    this.#doubtful = appended.type !== "stored";
    if (appended.type !== "stored" || !appended.duplicate || !("given" in message.id)) return appended;
    // the stream has a message of this id: the sender is told if it has another payload
    const found = await stream.at(appended.sequence).catch(() => undefined);
    if (found === undefined || !messages.hasOtherPayload(made, found)) return appended;
    const why = `${message.kind} ${message.contract} was not stored: the id ${JSON.stringify(message.id.given)} came ` +
      "before with another payload; give each its own";
    return neverStored(new CatgaError("ID_REUSED", why));
  }

  async end(): Promise<number> {
    const state = await (await this.#options.source.get()).state();
    if (state === undefined) throw unavailable("the stream of the log is missing; it is made anew");
    return state.last;
  }

  async stored(contract: string, after: number, ids: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    const { namespace, source } = this.#options;
    const found = new Set<string>();
    const stream = await source.get();
    for await (const message of messagesFrom(stream, categorySubject(namespace, contract), after + 1)) {
      const group = readGroup(namespace, message);
      if (isReadable(group)) { for (const { id } of group) if (ids.has(id)) found.add(id); }
    }
    return found;
  }

  async mark(store: string): Promise<RelayMark | undefined> {
    const found = await (await this.#options.kept()).last(this.#markSubject(store), { latest: true });
    return found && markIn(found.data);
  }

  async raiseMark(store: string, mark: RelayMark): Promise<void> {
    const stream = await this.#options.kept();
    const subject = this.#markSubject(store);
    const data = JSON.stringify({ v: MARK_VERSION, ...mark });
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      // a process that stood still may come here when another one has led since: its mark must not go back
      const found = await stream.last(subject, { latest: true });
      if (!isOlder(found && markIn(found.data), mark)) return;
      const options = { rollup: true, expect: found?.sequence ?? 0, timeout: MARK_TIMEOUT };
      const written = await stream.append(subject, data, options);
      if (written.type === "stored") return;
      if (written.type !== "conflict") throw written.error;
    }
    throw unavailable("the mark of the relay was not stored: others write it all the time");
  }

  async forgetMark(store: string): Promise<void> {
    await (await this.#options.kept()).purge(this.#markSubject(store));
  }

  #markSubject(store: string): string {
    return relayMarkSubject(this.#options.namespace, store);
  }
}

function markIn(data: Uint8Array): RelayMark | undefined {
  const value = parsedJson(data);
  if (!isRecord(value) || value.v !== MARK_VERSION) return undefined;
  const { term, batch } = value;
  return isCount(term) && isCount(batch) ? { term, batch } : undefined;
}

function asCatgaError(error: unknown): CatgaError {
  return isCatgaError(error) ? error : new CatgaError("UNAVAILABLE", "the log could not be opened", { cause: error });
}

/** Version of the format of a relay's mark. */
const MARK_VERSION = 1;
/** Time that writing a mark waits for its acknowledgement, in ms. */
const MARK_TIMEOUT = 5_000;
/** Maximum number of attempts to write a mark that others write, too. */
const MOST_TRIES = 10;
