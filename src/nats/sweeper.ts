/**
 * Removes entries whose ttl a server has forgotten from a bucket that nobody watches: results, and the cache's values. Reads
 * take none of them for alive (`expiry.ts`), but they would stay in the store for good. Servers forget at restarts alone, so
 * it is looked for after reconnects, by one client at a time, less and less often, until nothing with a ttl is left from
 * before.
 */
import type { Timer } from "../ports/clock.ts";
import { isForbidden } from "../ports/transport.ts";
import type { BucketStream } from "./bucket_stream.ts";
import { Feed } from "./feed.ts";
import { JetStreamRefusal, type StreamRecord } from "./jetstream.ts";
import { remove } from "./removal.ts";

/** From one look to the next, in ms, at least; and as a part of the time since the reconnect. */
const LEAST = 2_000;
const PART = 0.2;
/** Where the record of who looks stands, until the others may; no key of ours has this subject. */
const TURN_SUBJECT = "=sweep";
/** How long the server may take to say that the bucket is there, in ms. */
const ANSWER = 2_000;
/** How many are removed at once. */
const REMOVALS = 32;

/** The sweeping of one bucket, for as long as its connection lives. */
export class Sweeper {
  readonly #stream: BucketStream;
  readonly #onNotice: (notice: string) => void;
  #reconnected = 0;
  #timer: Timer | undefined;

  constructor(stream: BucketStream, onNotice: (notice: string) => void) {
    this.#stream = stream;
    this.#onNotice = onNotice;
    const { clock } = stream.transport;
    stream.transport.onStatus(({ state }) => {
      this.#timer?.cancel();
      if (state !== "connected") return;
      this.#reconnected = clock.monotonic();
      this.#after(LEAST);
    });
  }

  #after(ms: number): void {
    const { clock, random } = this.#stream.transport;
    const { generation } = this.#stream.transport.status;
    this.#timer?.cancel();
    this.#timer = clock.after(ms * (1 + random() / 4), () => {
      const current = () => this.#stream.transport.status.generation === generation;
      this.#sweep().then(
        (left) => {
          if (left !== Infinity && current()) this.#after(Math.max(left, this.#pause()));
        },
        (error) => {
          // who may not list a bucket is told so once, by NATS
          if (!current() || isForbidden(error)) return;
          this.#onNotice(`${this.#stream.name} could not be looked through for what is over: ${error.message}`);
          this.#after(Math.max(LEAST, this.#pause()));
        },
      );
    }, { background: true });
  }

  #pause(): number {
    return Math.max(LEAST, PART * (this.#stream.transport.clock.monotonic() - this.#reconnected));
  }

  /** Removes what is over. Gives in how many ms the next of what was there at the reconnect is, `Infinity` when none is. */
  async #sweep(): Promise<number> {
    const { transport: { clock }, js, name, time } = this.#stream;
    try {
      const { ts, asked } = await js.info(name, ANSWER);
      time.read(ts, asked);
    } catch (error) {
      // it is not for the sweeper to make it
      if (error instanceof JetStreamRefusal && error.refusal === "no stream") return Infinity;
      throw error;
    }
    if (!await this.#myTurn()) return 0;
    const [listed, left] = await this.#list();
    const over = await this.#stream.over(listed);
    for (let i = 0; i < over.length; i += REMOVALS) {
      await Promise.all(
        over.slice(i, i + REMOVALS).map(({ subject, revision }) =>
          remove(this.#stream, { subject: subject.slice(this.#stream.prefix.length), revision, overdue: true })
        ),
      );
    }
    let next = Infinity;
    for (const record of left) next = Math.min(next, time.endOf(record) - clock.monotonic());
    return next;
  }

  /** Whether nobody else looks at the moment. */
  async #myTurn(): Promise<boolean> {
    const { js, name, prefix, transport } = this.#stream;
    const headers = { "Nats-TTL": `${Math.floor(this.#pause() / 1_000)}s` };
    const take = (expected: number) => this.#stream.write(TURN_SUBJECT, "", headers, expected, { whenFull: "fail" });
    try {
      if (await take(0) !== undefined) return true;
      const asked = transport.clock.monotonic();
      const last = await this.#stream.attempt((limit) => js.last(name, prefix + TURN_SUBJECT, limit), { again: true });
      if (last === undefined) return false;
      if (last.type === "put" && (await this.#stream.alive([last], asked)).length > 0) return false;
      return await take(last.revision) !== undefined;
    } catch (error) {
      // nobody needs it more than a full store
      if (error instanceof JetStreamRefusal && error.refusal === "full") return true;
      throw error;
    }
  }

  /** The entries whose time is over, and those with a ttl from before the reconnect whose time is to come. */
  async #list(): Promise<[over: StreamRecord[], left: StreamRecord[]]> {
    const { transport, js, name, prefix, time } = this.#stream;
    const asked = transport.clock.monotonic();
    const over: StreamRecord[] = [];
    const left: StreamRecord[] = [];
    await this.#stream.attempt(async (limit) => {
      over.length = left.length = 0;
      const listed = Promise.withResolvers<void>();
      listed.promise.catch(() => {});
      const feed = await Feed.open(transport, js, name, `${prefix}>`, limit, {
        onRecord: (record) => {
          if (record.type !== "put" || record.ttl === undefined) return;
          if (time.endOf(record) <= asked) over.push(record);
          else if (record.stored < time.at(this.#reconnected)) left.push(record);
        },
        onListed: () => listed.resolve(),
        onBroken: (why) => listed.reject(new JetStreamRefusal("silence", why)),
      }, { headersOnly: true });
      await listed.promise.finally(() => feed.close());
    }, { again: true });
    return [over, left];
  }
}
