/** Limits the number of concurrent reads of messages on one connection. */
import { Gate } from "../data/gate.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import { JetStreamRefusal } from "./jetstream_refusal.ts";

/**
 * Limits the number of concurrent reads by the size of their answers, and by how many the server answers in time.
 *
 * - A server disconnects a client for which 64 MiB wait (`max_pending`), even if the client requested them: 200
 *   concurrent reads of 550 kB ended the connection, were sent again, and ended the next one.
 * - A server answers requests even when no client waits for them any more: 2,000 runs that were loaded at once took it
 *   90 s, because most of their reads were sent several times; with this limit they take 3 s.
 * - A caller that waits too long gives up and reads again: 400 waiters of a lock over a slow link had 1,200 reads wait
 *   to be sent, and no other read of the node was sent in time.
 */
export class ReadLimiter {
  readonly #clock: Clock;
  readonly #gate = new Gate(MAX_CONCURRENT_READS);
  /** Reads that wait for their turn, by the text that names their content. */
  readonly #waiting: Map<string, Promise<unknown>> = new Map();
  /** Expected size of an answer, in bytes: the average, or the last size if that is larger. */
  #size = 1024 * 1024;
  /**
   * Number of concurrent reads that the server answers in time. It is halved after a read without an answer, and
   * increased after each answer.
   */
  #timely = MAX_CONCURRENT_READS;
  /** Time of the last answer to a read, by the monotonic clock. */
  #answered = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Sends a request as soon as few enough others are under way, and settles as it does. Rejects like a request without
   * an answer if no read is answered for {@link LONGEST_WAIT} ms while this one waits. `what`: a text that names the
   * content of the read; waiting requests with the same text are sent once.
   */
  do<T>(request: () => Promise<T>, sizeOf: (answer: T) => number, what?: string): Promise<T> {
    this.#gate.most = Math.max(1, Math.min(this.#timely, READ_ROOM / this.#size));
    if (!this.#gate.isFull) return this.#read(this.#gate.enter(), request, sizeOf);
    if (what === undefined) return this.#read(this.#turn(), request, sizeOf);
    const waiting = this.#waiting.get(what) as Promise<T> | undefined; // cast: `what` determines the type of the answer
    if (waiting !== undefined) return waiting;
    const turn = this.#turn().finally(() => this.#waiting.delete(what));
    const answer = this.#read(turn, request, sizeOf);
    this.#waiting.set(what, answer);
    return answer;
  }

  async #read<T>(turn: Promise<() => void>, request: () => Promise<T>, sizeOf: (answer: T) => number): Promise<T> {
    const leave = await turn;
    try {
      const answer = await request();
      const size = sizeOf(answer);
      this.#answered = this.#clock.monotonic();
      this.#size = Math.max(size, this.#size + (size - this.#size) / 8);
      this.#timely = Math.min(MAX_CONCURRENT_READS, this.#timely + 1 / 4);
      return answer;
    } catch (error) {
      const late = error instanceof JetStreamRefusal && error.refusal === "no answer";
      if (late) this.#timely = Math.max(FEWEST_READS, this.#timely / 2);
      throw error;
    } finally {
      leave();
    }
  }

  async #turn(): Promise<() => void> {
    const patience = new AbortController();
    const since = this.#clock.monotonic();
    let timer: Timer | undefined;
    const look = () => {
      const left = Math.max(since, this.#answered) + LONGEST_WAIT - this.#clock.monotonic();
      if (left > 0) timer = this.#clock.after(left, look, { background: true });
      else patience.abort(new JetStreamRefusal("no answer", `no turn within ${LONGEST_WAIT} ms`, undefined, -left));
    };
    look();
    return await this.#gate.enter(patience.signal).finally(() => timer?.cancel());
  }
}

/**
 * Time for which a read waits to be sent while no other read is answered, in ms: if a server hangs, all waiting reads
 * fail. While a slow server still answers other reads, they go on waiting: with a limit, a listing of runs was given up
 * behind the reads of 3,000 busy runs.
 */
const LONGEST_WAIT = 5_000;

/**
 * Maximum number of concurrent reads; `FEWEST_READS`: minimum number; `READ_ROOM`: maximum size of their answers, in
 * bytes. Over a slow link, more reads at once would take longer than a read waits for its answer, and would then be
 * repeated.
 */
const MAX_CONCURRENT_READS = 64;
const FEWEST_READS = 4;
const READ_ROOM = 8 * 1024 * 1024;
