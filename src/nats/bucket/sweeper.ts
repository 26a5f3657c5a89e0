/**
 * Sweeps buckets: removes entries whose ttl the server has forgotten. Without sweeps, two kinds would fill the store
 * for ever, although reads ignore them (`expiry.ts`): entries of buckets that no client watches (results, values of the
 * cache), and markers (messages that replace removed entries) of every bucket. Servers forget ttls only at restarts, so
 * the first sweep begins 2 s after a client's reconnect; sweeps are repeated at growing intervals until no entry with a
 * ttl from before the reconnect is left. One client sweeps at a time.
 *
 * A client that begins to sweep writes an entry into the bucket, which keeps other clients from sweeping (its turn).
 * The client removes the entry itself when its ttl has passed (a server may forget that ttl as well), or after its last
 * sweep. If the entry is there although its ttl has passed, its client has died during a sweep: a client that then
 * opens the bucket sweeps.
 */
import { OnceAMinute, type Timer } from "../../ports/clock.ts";
import { fewAtOnce } from "../../data/gate.ts";
import { isForbidden } from "../../ports/transport.ts";
import { type BucketStream, remove } from "./bucket_stream.ts";
import { MARGIN } from "../stream/expiry.ts";
import { subjectBelow } from "./key_subject.ts";
import { Feed } from "../reading/feed.ts";
import { JetStreamRefusal } from "../stream/jetstream_refusal.ts";
import { recordOf, type StreamRecord } from "../stream/stored_message.ts";

/** The pause between two sweeps is `PART` of the time since the reconnect, at least `LEAST` ms. */
const LEAST = 2_000;
const PART = 0.2;
/** Subject of the entry that names the client whose turn it is to sweep; no key has this subject. */
const TURN_SUBJECT = "=sweep";
/** Timeout of the check if the bucket exists, in ms. */
const ANSWER = 2_000;
/** Number of entries that a sweep removes at once. */
const REMOVALS = 32;

/** Sweeps one bucket after each reconnect, and after an interrupted sweep, until the connection is closed. */
export class Sweeper {
  readonly #stream: BucketStream;
  readonly #onNotice: (notice: string) => void;
  readonly #notices: OnceAMinute;
  /** Time at which the present connection was made, or the bucket was opened, by the monotonic clock. */
  #reconnected: number;
  #timer: Timer | undefined;
  /** Timer for the end of this client's last turn to sweep. */
  #turnTimer: Timer | undefined;

  constructor(stream: BucketStream, onNotice: (notice: string) => void) {
    this.#stream = stream;
    this.#onNotice = onNotice;
    const { clock } = stream.transport;
    this.#notices = new OnceAMinute(clock);
    stream.transport.onStatus(({ state }) => {
      this.#timer?.cancel();
      if (state === "closed") this.#turnTimer?.cancel();
      if (state !== "connected") return;
      this.#reconnected = clock.monotonic();
      this.#schedule(LEAST);
    });
    this.#reconnected = clock.monotonic();
    const current = this.#sameConnection();
    this.#mayHaveTurn().then((may) => may ? this.#lastTurn() : undefined).then((last) => {
      if (last?.state === "over" && current()) this.#schedule(0);
    }, () => {
      // errors are ignored: the sweep after the next reconnect will find the expired entries
    });
  }

  #schedule(ms: number): void {
    const { clock, random } = this.#stream.transport;
    const current = this.#sameConnection();
    this.#timer?.cancel();
    this.#timer = clock.after(ms * (1 + random() / 4), () => {
      this.#sweep().then(
        (left) => {
          if (left !== Infinity && current()) this.#schedule(Math.max(left, this.#pause()));
        },
        (error) => {
          // a missing permission is not reported here, because the connection has reported it
          if (!current() || isForbidden(error)) return;
          if (this.#notices.due()) {
            this.#onNotice(`${this.#stream.name} could not be swept of expired entries, retrying: ${error.message}`);
          }
          this.#schedule(Math.max(LEAST, this.#pause()));
        },
      );
    }, { background: true });
  }

  /**
   * Returns a function that returns true while the present connection lasts. (The next connection begins with a
   * sweep.)
   */
  #sameConnection(): () => boolean {
    const { transport } = this.#stream;
    const { generation } = transport.status;
    return () => transport.status.state === "connected" && transport.status.generation === generation;
  }

  #pause(): number {
    return Math.max(LEAST, PART * (this.#stream.transport.clock.monotonic() - this.#reconnected));
  }

  /**
   * Removes the expired entries of the bucket. Resolves with the time in ms until the next entry from before the
   * reconnect expires; 0: another client has the turn, so this one tries again; `Infinity`: no such entry is left.
   */
  async #sweep(): Promise<number> {
    const { transport, js, name, prefix, serverClock } = this.#stream;
    try {
      const { ts, asked } = await js.info(name, ANSWER);
      serverClock.read(ts, asked);
    } catch (error) {
      // nothing to sweep: a sweep does not create a bucket
      if (error instanceof JetStreamRefusal && error.refusal === "no stream") return Infinity;
      throw error;
    }
    const seconds = Math.floor(this.#pause() / 1_000);
    const turn = await this.#takeTurn(seconds);
    if (turn === undefined) return 0;
    if (turn > 0 && transport.status.state !== "closed") this.#endTurnLater(turn, seconds * 1_000 + MARGIN);
    const [listed, left] = await this.#list();
    const over = await this.#stream.expired(listed);
    await fewAtOnce(over, REMOVALS, ({ subject, revision, type }): unknown => {
      if (type !== "put") return this.#erase(revision);
      const below = subjectBelow(prefix, subject);
      return below === undefined ? undefined : remove(this.#stream, { subject: below, revision, expired: true });
    });
    let next = Infinity;
    for (const record of left) next = Math.min(next, serverClock.endOf(record) - transport.clock.monotonic());
    if (next === Infinity && turn > 0) {
      this.#turnTimer?.cancel();
      await this.#erase(turn);
    }
    return next;
  }

  /**
   * Erases the entry of a turn to sweep after `ms`, even if the sweep fails or may not list entries: the next turn,
   * whose entry would replace this one, may be hours away.
   */
  #endTurnLater(turn: number, ms: number): void {
    const current = this.#sameConnection();
    this.#turnTimer?.cancel();
    this.#turnTimer = this.#stream.transport.clock.after(ms, () => {
      this.#erase(turn).catch((error) => {
        if (current() && !isForbidden(error)) this.#schedule(this.#pause());
      });
    }, { background: true });
  }

  /** Erases the entry of a turn to sweep, or a marker, unless the server has done so. */
  async #erase(revision: number): Promise<void> {
    const { js, name } = this.#stream;
    await this.#stream.attempt((limit) => js.erase(name, revision, limit), { whenMissing: "fail" });
  }

  /**
   * Takes the turn to sweep (writes its entry), for `seconds`. Resolves with the revision of the turn's entry; with 0
   * if the store has no room for the entry; with `undefined` if another client has the turn.
   */
  async #takeTurn(seconds: number): Promise<number | undefined> {
    const ttl = `${seconds}s`;
    const take = (expected: number) => this.#stream.write(TURN_SUBJECT, "", { ttl, expected }, { whenFull: "fail" });
    try {
      const free = await take(0);
      if (free !== undefined) return free;
      const last = await this.#lastTurn();
      return last === undefined || last.state === "lasts" ? undefined : await take(last.revision);
    } catch (error) {
      // a full store has no room for the entry, but needs the sweep most: then all clients sweep
      if (error instanceof JetStreamRefusal && error.refusal === "full") return 0;
      throw error;
    }
  }

  /** Resolves with false if the server has stored no turn, as most often: {@link #lastTurn} then is not needed. */
  async #mayHaveTurn(): Promise<boolean> {
    const { js, name, prefix } = this.#stream;
    const { state } = await this.#stream.attempt((limit) => js.info(name, limit, prefix + TURN_SUBJECT), {
      whenMissing: "fail",
    });
    return state.subjects !== undefined;
  }

  /**
   * Resolves with the last turn to sweep that the server has stored; `undefined`: none. `ended`: the turn's entry was
   * removed; `lasts`: the entry's ttl has not passed; `over`: its ttl has passed, but it is still stored.
   */
  async #lastTurn(): Promise<{ revision: number; state: "ended" | "lasts" | "over" } | undefined> {
    const { js, name, prefix, serverClock, transport } = this.#stream;
    const asked = transport.clock.monotonic();
    const last = await this.#stream.attempt((limit) => js.last(name, prefix + TURN_SUBJECT, limit), {
      whenMissing: "fail",
    });
    if (last === undefined) return undefined;
    const { revision, type } = last;
    if (type !== "put") return { revision, state: "ended" };
    // right after the bucket was opened, the server's clock is not known yet
    if (!serverClock.known) await this.#stream.readServerClock(asked);
    return { revision, state: (await this.#stream.alive([last], asked)).length > 0 ? "lasts" : "over" };
  }

  /**
   * Lists the stored messages with a ttl (entries, and markers, which replace removed entries). `over`: those whose ttl
   * has passed; `left`: of the others, those stored before the present connection was made.
   */
  async #list(): Promise<[over: StreamRecord[], left: StreamRecord[]]> {
    const { transport, prefix, serverClock } = this.#stream;
    const asked = transport.clock.monotonic();
    const over: StreamRecord[] = [];
    const left: StreamRecord[] = [];
    await this.#stream.attempt(async (limit) => {
      over.length = left.length = 0;
      await Feed.list(this.#stream, `${prefix}>`, limit, (message) => {
        const record = recordOf(message);
        if (record.ttl === undefined) return;
        if (serverClock.endOf(record) <= asked) over.push(record);
        else if (record.stored < serverClock.at(this.#reconnected)) left.push(record);
      }, { headersOnly: true });
    });
    return [over, left];
  }
}
