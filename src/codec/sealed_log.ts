/**
 * Streams whose payloads a codec encodes ("seals"): appended messages are sealed first, in the order of the calls, and
 * messages that are read are opened (decoded). A payload that cannot be opened, for instance because its encryption key
 * is unknown in this process, stays sealed: readers that need its value find it unreadable, and a dead letter keeps it
 * as it is.
 */
import { CatgaError } from "../error.ts";
import { andThen, type MaybePromise } from "../contract/schemas/schema.ts";
import { parsedJson } from "../data/encoding.ts";
import { isTagged } from "../data/tags.ts";
import { encode } from "../data/utf8.ts";
import {
  type Appended,
  type AppendOptions,
  type AppendReceiver,
  callbackFault,
  checkAppend,
  type ConditionalAppend,
  type EventLog,
  type FollowOptions,
  type LogAbilities,
  type LogMark,
  type LogOptions,
  type LogReader,
  type LogState,
  type LogStream,
  notStoredNow,
  type ReadOptions,
  type StoredMessage,
} from "../ports/event_log.ts";
import { InOrder } from "./in_order.ts";
import type { Sealing } from "./sealing.ts";
import { changePayloads } from "./stored_text.ts";

/** A log whose payloads a codec encodes. */
export class SealedLog implements EventLog {
  readonly #log: EventLog;
  readonly #sealing: Sealing;

  constructor(log: EventLog, sealing: Sealing) {
    this.#log = log;
    this.#sealing = sealing;
  }

  async open(name: string, options: LogOptions): Promise<LogStream> {
    return new SealedStream(await this.#log.open(name, options), this.#sealing);
  }
}

/** A stream whose payloads a codec encodes. */
export class SealedStream implements LogStream {
  readonly #stream: LogStream;
  readonly #sealing: Sealing;
  readonly #appends = new InOrder();

  constructor(stream: LogStream, sealing: Sealing) {
    this.#stream = stream;
    this.#sealing = sealing;
  }

  get name(): string {
    return this.#stream.name;
  }

  get serverTime(): number {
    return this.#stream.serverTime;
  }

  get latestServerTime(): number {
    return this.#stream.latestServerTime;
  }

  get abilities(): LogAbilities | undefined {
    return this.#stream.abilities;
  }

  measureTime(): Promise<void> | undefined {
    return this.#stream.measureTime();
  }

  append(subject: string, data: string | Uint8Array, options: AppendOptions): Promise<Appended> {
    checkAppend(subject, options); // checked here, so that a wrong argument throws at once
    const { promise, resolve, reject } = Promise.withResolvers<Appended>();
    this.#appends.pass(
      this.#seal(subject, data),
      (sealed) => this.#stream.append(subject, sealed, options).then(resolve, reject),
      (error) => resolve(unsealed(error)),
    );
    return promise;
  }

  appendNext(receiver: AppendReceiver, subject: string, text: string, options: ConditionalAppend): void {
    this.#appends.pass(
      this.#seal(subject, text),
      (sealed) => this.#stream.appendNext(receiver, subject, utf8.decode(sealed), options),
      (error) => receiver.appended(unsealed(error), options.now),
    );
  }

  state(): Promise<LogState | undefined> {
    return this.#stream.state();
  }

  follow(options: FollowOptions): LogReader {
    return new SealedReader(this.#stream, options, (message) => this.#open(message));
  }

  async last(subject: string, options?: { latest?: boolean }): Promise<StoredMessage | undefined> {
    const found = await this.#stream.last(subject, options);
    return found && await this.#open(found);
  }

  async at(sequence: number): Promise<StoredMessage | undefined> {
    const found = await this.#stream.at(sequence);
    return found && await this.#open(found);
  }

  async read(subject: string, options: ReadOptions): Promise<StoredMessage[]> {
    const { onMessage } = options;
    const found = onMessage === undefined
      ? await this.#stream.read(subject, options)
      : await this.#opening(onMessage, (onMessage) => this.#stream.read(subject, { ...options, onMessage }));
    return await Promise.all(found.map((message) => this.#open(message)));
  }

  subjects(pattern: string): Promise<string[]> {
    return this.#stream.subjects(pattern);
  }

  async lasts(pattern: string, onMessage: (message: StoredMessage) => void): Promise<void> {
    await this.#opening(onMessage, (onMessage) => this.#stream.lasts(pattern, onMessage));
  }

  /**
   * Reads messages, decodes their payloads, and passes them on in order. Rejects with the first error that `onMessage`
   * throws.
   */
  async #opening<T>(
    onMessage: (message: StoredMessage) => void,
    read: (onMessage: (message: StoredMessage) => void) => Promise<T>,
  ): Promise<T> {
    const reads = new InOrder();
    let failure: { readonly error: unknown } | undefined;
    const found = await read((message) => reads.pass(this.#open(message), onMessage, (error) => failure ??= { error }));
    await reads.passed;
    if (failure !== undefined) throw failure.error;
    return found;
  }

  purge(subject: string, options?: { before?: number }): Promise<number> {
    return this.#stream.purge(subject, options);
  }

  onDoubt(listener: () => void): () => void {
    return this.#stream.onDoubt(listener);
  }

  #seal(subject: string, data: string | Uint8Array): MaybePromise<Uint8Array> {
    const bytes = typeof data === "string" ? encode(data) : data;
    return changePayloads(subject, bytes, (text, of) => this.#sealing.seal(text, of));
  }

  /**
   * Returns the message with decoded payloads. Never rejects: a payload that cannot be decoded, or that the codec
   * decodes to something else than the text of a value, stays as it is.
   */
  #open(message: StoredMessage): MaybePromise<StoredMessage> {
    const opened = changePayloads(
      message.subject,
      message.data,
      // only what the codec has decoded is looked at: other payloads come back as they are
      (text, of) =>
        andThen(
          this.#sealing.openOrKeep(text, of),
          (payload) => payload === text || isReadable(payload) ? payload : text,
        ),
    );
    const { sequence, subject, time, headers } = message;
    return andThen(opened, (data) => data === message.data ? message : { sequence, subject, time, headers, data });
  }
}

/** Returns true for the text of a value: JSON, or with tags. Whoever reads a text with tags finds errors in it. */
function isReadable(text: string): boolean {
  return isTagged(text) || parsedJson(text) !== undefined;
}

/** Follows a stream: passes on messages with decoded payloads, and starts of the stream, in their order. */
class SealedReader implements LogReader {
  readonly #reader: LogReader;
  readonly #arrived = new InOrder();
  /** The last message that was passed on; later messages may still wait to be decoded. */
  #delivered: LogMark | undefined;
  #created = "";
  #closed = false;

  constructor(
    stream: LogStream,
    options: FollowOptions,
    open: (message: StoredMessage) => MaybePromise<StoredMessage>,
  ) {
    const failed = (error: unknown) => options.onFault(callbackFault(error));
    this.#reader = stream.follow({
      ...options,
      onMessage: (message) =>
        this.#arrived.pass(open(message), (opened) => {
          if (this.#closed) return;
          this.#delivered = { created: this.#created, sequence: opened.sequence, time: opened.time };
          options.onMessage(opened);
        }, failed),
      onStart: (start) =>
        this.#arrived.pass(start, () => {
          if (this.#closed) return;
          this.#created = start.mark.created;
          this.#delivered = start.mark;
          options.onStart(start);
        }, failed),
    });
  }

  get mark(): LogMark | undefined {
    return this.#arrived.isIdle ? this.#reader.mark : this.#delivered;
  }

  get caughtUp(): boolean {
    return this.#arrived.isIdle && this.#reader.caughtUp;
  }

  get fault(): CatgaError | undefined {
    return this.#reader.fault;
  }

  pause(): void {
    this.#reader.pause();
  }

  resume(): void {
    this.#reader.resume();
  }

  close(): void {
    this.#closed = true;
    this.#reader.close();
  }
}

/**
 * Makes the outcome of an append whose payload could not be encoded: the message is certainly not stored, and another
 * attempt may succeed.
 */
function unsealed(cause: unknown): Appended {
  return notStoredNow(new CatgaError("UNAVAILABLE", "the codec could not encode a payload", { cause }));
}

const utf8 = new TextDecoder();
