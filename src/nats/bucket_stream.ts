/** The stream under a bucket: how it is made, found wanting, and made anew when it was lost. */
import { CatgaError } from "../error.ts";
import { delay, within } from "../ports/clock.ts";
import type { BucketOptions } from "../ports/key_value_store.ts";
import { isForbidden } from "../ports/transport.ts";
import { bucketSettings, checkSettings } from "./bucket_settings.ts";
import { ServerClock } from "./expiry.ts";
import { type JetStream, JetStreamRefusal, type Refusal, type StreamInfo, type StreamRecord } from "./jetstream.ts";
import { tooLarge } from "./nats_error.ts";
import type { NatsTransport } from "./transport.ts";

/** How long one operation tries, in ms; an election in a cluster takes up to 10 s. */
const OPERATION_LIMIT = 5_000;
const OPEN_LIMIT = 12_000;
/** How long one of several tries waits for its answer, in ms. */
const TRY_LIMIT = 2_000;
/** How long the server may take to tell its time, in ms. */
const TIME_LIMIT = 1_000;
/** How old the last look at the stream's settings may be when something is done with it, in ms. */
const CHECK = 30_000;
/** How long an operation waits for that look, in ms: while the stream has no leader, its own answer is worth more. */
const CHECK_WAIT = 250;

/** Refusals that say that nothing was done, and that it may work a little later. */
const PASSING: readonly Refusal[] = ["no stream", "nobody", "busy", "full"];

/** The stream `KV_<bucket>`, as `Kvm.open` and `nats kv` know it. */
export class BucketStream {
  /** The stream's name. */
  readonly name: string;
  /** What the subjects of its keys begin with, the dot included. */
  readonly prefix: string;
  readonly transport: NatsTransport;
  readonly js: JetStream;
  /** The clock by which the server that leads the stream expires its entries. */
  readonly time: ServerClock;
  readonly #bucket: string;
  readonly #settings: Readonly<Record<string, unknown>>;
  readonly #onMade = new Set<() => void>();
  #making: Promise<void> | undefined;
  #reading: Promise<void> | undefined;
  /** The highest revision heard of: what is made anew starts above it, even when this machine's clock is behind. */
  #highest = 0;
  /** When its settings were last seen to be right, by the monotonic clock. */
  #checkedAt = -Infinity;
  #checking: Promise<void> | undefined;

  constructor(transport: NatsTransport, js: JetStream, bucket: string, options: Required<BucketOptions>) {
    this.transport = transport;
    this.js = js;
    this.time = new ServerClock(transport.clock);
    this.#bucket = bucket;
    this.name = `KV_${bucket}`;
    this.prefix = `$KV.${bucket}.`;
    this.#settings = bucketSettings(bucket, options);
    // whatever was there before may be another one now
    transport.onStatus(() => this.#checkedAt = -Infinity);
  }

  /** Finds the stream or makes it. Rejects as `KeyValueStore.open` does. */
  async open(): Promise<void> {
    await this.#ensure(this.transport.clock.monotonic() + OPEN_LIMIT);
  }

  /** Notes a revision that the stream has given. */
  saw(revision: number): void {
    if (revision > this.#highest) this.#highest = revision;
  }

  /**
   * Those of some records whose time was not over at the moment of the monotonic clock at which they were asked for. The
   * server is asked for its time before one is left out.
   */
  async alive(records: readonly StreamRecord[], asked: number): Promise<readonly StreamRecord[]> {
    const over = (record: StreamRecord) => this.time.endOf(record) <= asked;
    if (!records.some(over)) return records;
    await this.readTime(this.transport.clock.monotonic());
    return records.filter((record) => !over(record));
  }

  /** Those of some records whose time is over now. */
  async over(records: readonly StreamRecord[]): Promise<readonly StreamRecord[]> {
    const asked = this.transport.clock.monotonic();
    const alive = new Set(await this.alive(records, asked));
    return records.filter((record) => !alive.has(record));
  }

  /** Reads the server's clock, unless that was done just now, and after that moment of the monotonic clock. */
  async readTime(since: number): Promise<void> {
    // one that is under way may have been asked before
    await this.#reading;
    if (this.time.freshSince(since)) return;
    await (this.#reading ??= this.attempt((limit) => this.js.info(this.name, limit), { again: true })
      .then(({ ts, asked }) => this.time.read(ts, asked))
      .finally(() => {
        this.#reading = undefined;
      }));
  }

  /** Calls back when the stream has been made anew; the answer stops that. */
  onMade(listener: () => void): () => void {
    this.#onMade.add(listener);
    return () => this.#onMade.delete(listener);
  }

  /**
   * Looks at the stream's settings again when the last look is 30 s old, or older than the connection: somebody else may have
   * changed it, or made it anew. Rejects with `BUCKET_MISMATCH` as long as they are wrong; a server that does not answer
   * is no news.
   */
  check(): Promise<void> | undefined {
    if (this.#checking !== undefined) return this.#checking;
    const { clock } = this.transport;
    if (clock.monotonic() - this.#checkedAt < CHECK) return undefined;
    return this.#checking = this.js.info(this.name, TRY_LIMIT).then((info) => this.#check(info)).catch((error) => {
      // what follows finds out, and a stream that is not there is made and checked there
      if (!(error instanceof JetStreamRefusal)) throw error;
    }).finally(() => {
      this.#checking = undefined;
    });
  }

  /**
   * Does `work`, which gets the ms that it may take. It is done again as long as the server says that it was certainly
   * not done (the stream is lost: it is made anew; there is no leader yet; there is no room, unless `whenFull` says to
   * fail then), and with `again` when there was no answer. Rejects with a `CatgaError`, or with a {@link JetStreamRefusal} that is the operation's own affair.
   */
  async attempt<T>(
    work: (limit: number) => Promise<T>,
    options: { again: boolean; whenFull?: "fail" },
  ): Promise<T> {
    const { clock } = this.transport;
    const end = clock.monotonic() + OPERATION_LIMIT;
    const checking = this.check();
    if (checking !== undefined) await within(clock, CHECK_WAIT, checking);
    let full: JetStreamRefusal | undefined;
    for (let failures = 0;; failures++) {
      const left = end - clock.monotonic();
      try {
        return await work(options.again ? Math.min(left, TRY_LIMIT) : left);
      } catch (error) {
        if (!(error instanceof JetStreamRefusal)) throw error;
        const passing = PASSING.includes(error.refusal) || (options.again && error.refusal === "silence");
        const over = options.whenFull === "fail" && error.refusal === "full";
        if (error.refusal === "full") full = error;
        // the last try may have had no time for its answer
        const told = error.refusal === "silence" ? full ?? error : error;
        if (!passing || over || clock.monotonic() >= end) throw over ? error : this.#failed(told);
        if (error.refusal === "no stream" || error.refusal === "nobody") await this.#ensure(end);
        if (failures > 0 || error.refusal === "busy" || error.refusal === "full") await this.#pause(failures, end);
      }
    }
  }

  /** Writes below the bucket's prefix; `undefined` when the subject does not stand at `expected`. */
  async write(
    subject: string,
    data: string,
    headers: Readonly<Record<string, string>>,
    expected: number | undefined,
    options: { whenFull?: "fail" } = {},
  ): Promise<number | undefined> {
    const all = expected === undefined ? headers : { ...headers, "Nats-Expected-Last-Subject-Sequence": `${expected}` };
    try {
      const revision = await this.attempt(
        (limit) => this.js.write(this.prefix + subject, data, all, limit),
        { again: false, ...options },
      );
      this.saw(revision);
      return revision;
    } catch (error) {
      if (error instanceof JetStreamRefusal && error.refusal === "lost race") return undefined;
      throw error;
    }
  }

  /** What a refusal is to the caller. */
  #failed(error: JetStreamRefusal): Error {
    if (error.refusal === "lost race" || error.refusal === "too large") return error;
    if (error.refusal === "disabled") return this.#noJetStream(error);
    if (error.refusal === "full") return this.#full(error);
    return new CatgaError("UNAVAILABLE", `the bucket ${this.#bucket} does not answer: ${error.message}`, {
      retryable: true,
      cause: error,
    });
  }

  #ensure(end: number): Promise<void> {
    return this.#making ??= this.#findOrMake(end).finally(() => {
      this.#making = undefined;
    });
  }

  async #findOrMake(end: number): Promise<void> {
    const { clock } = this.transport;
    for (let failures = 0;; failures++) {
      const limit = Math.min(TRY_LIMIT, Math.max(1, end - clock.monotonic()));
      try {
        return this.#check(await this.js.info(this.name, limit));
      } catch (error) {
        if (!(error instanceof JetStreamRefusal)) throw error;
        try {
          if (error.refusal === "no stream") return await this.#make(limit);
        } catch (second) {
          if (!(second instanceof JetStreamRefusal)) throw second;
          // somebody else made it in between, with another first_seq
          if (second.refusal === "other settings") continue;
          this.#giveUp(second, end);
        }
        this.#giveUp(error, end);
      }
      await this.#pause(failures, end);
    }
  }

  /** Throws unless it is worth while to try again. */
  #giveUp(error: JetStreamRefusal, end: number): void {
    const { refusal } = error;
    const { connection, server } = this.transport;
    // a server of a cluster may have no JetStream where others have it, and one that starts says that it will have it
    const never = refusal === "nobody" && !server.clustered && connection.info?.jetstream !== true;
    const over = this.transport.clock.monotonic() >= end;
    if (refusal === "disabled" || never || (over && refusal === "nobody")) throw this.#noJetStream(error);
    const passing = PASSING.includes(refusal) || refusal === "silence";
    if (passing && !over) return;
    if (refusal === "full") throw this.#full(error);
    throw new CatgaError(
      "UNAVAILABLE",
      `cannot open the bucket ${this.#bucket} on ${connection.getServer()}: ${error.message}`,
      { retryable: passing, cause: error },
    );
  }

  #noJetStream(cause: JetStreamRefusal): CatgaError {
    return new CatgaError(
      "UNAVAILABLE",
      `no JetStream on the NATS server at ${this.transport.connection.getServer()}: start it with \`nats-server -js\` ` +
        "(or put `jetstream {}` into its configuration, and enable it for the account)",
      { cause },
    );
  }

  #full(cause: JetStreamRefusal): CatgaError {
    return new CatgaError(
      "UNAVAILABLE",
      `the bucket ${this.#bucket} takes no writes, because the store is full: ${cause.message}; raise max_file_store of ` +
        "the server, the limits of the account, or max_bytes of the stream, or remove something",
      { retryable: true, cause },
    );
  }

  async #make(limit: number): Promise<void> {
    const lost = this.#highest > 0;
    // tokens must grow over a bucket that was lost and made anew (nats.js's Kvm cannot set it), whoever makes it: by the
    // server's clock, for those of nodes may differ by hours
    const now = await this.js.time(TIME_LIMIT) ?? this.transport.clock.now();
    const first_seq = Math.max(Math.floor(now * 1_000), this.#highest + 1_000);
    try {
      this.#check(await this.js.createStream({ name: this.name, ...this.#settings, first_seq }, limit));
    } catch (error) {
      throw error instanceof CatgaError && isForbidden(error) ? this.#missing(error) : error;
    }
    if (lost) { for (const listener of [...this.#onMade]) listener(); }
  }

  #check(info: StreamInfo): void {
    checkSettings(this.#bucket, info.config, this.#settings);
    this.time.read(info.ts, info.asked);
    this.#checkedAt = this.transport.clock.monotonic();
    this.saw(info.state.last_seq);
  }

  #missing(cause: CatgaError): CatgaError {
    return new CatgaError(
      "UNAVAILABLE",
      `the bucket ${this.#bucket} is missing, and the NATS user may not make it (publish to ` +
        `$JS.API.STREAM.CREATE.${this.name}): have an operator run \`catga setup\` (docs/security.md)`,
      { details: cause.details, cause },
    );
  }

  #pause(failures: number, end: number): Promise<void> {
    const { clock, random } = this.transport;
    const left = Math.max(0, end - clock.monotonic());
    return delay(clock, Math.min(left, 20 + random() * Math.min(500, 40 * 2 ** failures)));
  }

  /** The error for a value that did not fit. */
  tooLarge(error: JetStreamRefusal, key: string, value: string): CatgaError {
    const size = new TextEncoder().encode(value).length;
    const { maxPayload } = this.transport;
    if (error.message.includes("max_payload")) {
      return tooLarge(size, maxPayload, `value for ${JSON.stringify(key.slice(0, 80))}`);
    }
    return new CatgaError(
      "TOO_LARGE",
      `a value of ${size} bytes is over the limit of the bucket ${this.#bucket}: ${error.message}`,
      { details: { size }, cause: error },
    );
  }
}
