/**
 * Reads of one stream by direct get, which any server that has the stream may answer. So may every mirror of the stream
 * in its account (nats-server 2.15, whatever the mirror's settings are), and a mirror may lack messages or lag behind.
 * Hence an answer that names another stream is discarded, and "not found", which names no stream, counts only while it
 * is known that no other stream answers; in both cases the stream's leader is asked.
 *
 * After a "not found", a message that the stream certainly has is read several times at once, to find out if another
 * stream answers. nats-server picks each answerer at random, so that a mirror gives itself away, by its name or because
 * it lacks the message. The result is used for some seconds: while nobody mirrors the
 * stream, one "not found" in that time costs a second request, and all others cost none.
 */
import type { Clock } from "../../ports/clock.ts";
import type { StoredMessage } from "../../ports/event_log.ts";
import type { DirectAnswer, JetStream } from "./jetstream.ts";

/** Dependencies of {@link DirectReads} on their stream. */
interface DirectReadsOptions {
  readonly name: string;
  readonly js: JetStream;
  readonly clock: Clock;
  /** Returns true if a server has a replica of the stream that stands still, and answers direct gets. */
  hasStaleReplica(): boolean;
}

/**
 * Reads one stream by direct get, or from its leader where a direct get may be wrong.
 * @decides what a mirror answers in the place of its origin is discarded; when the leader is asked again
 */
export class DirectReads {
  readonly #options: DirectReadsOptions;
  /** Time until which no other stream is expected to answer, by the monotonic clock. */
  #aloneUntil = -Infinity;
  /** Time from which on it may be found out again whether another stream answers, by the monotonic clock. */
  #nextLook = -Infinity;
  /** Number of calls of {@link DirectReads.reset}: what a look has begun before is worth nothing behind it. */
  #resets = 0;

  constructor(options: DirectReadsOptions) {
    this.#options = options;
  }

  /** Forgets that no other stream answers, because this client may be connected to another server now. */
  reset(): void {
    this.#aloneUntil = this.#nextLook = -Infinity;
    this.#resets++;
  }

  /**
   * Reads the last message on a subject. The server that answers may lag behind the leader. `undefined`: the subject
   * has no message.
   */
  last(subject: string, limit: number): Promise<StoredMessage | undefined> {
    const { name, js } = this.#options;
    return this.read(
      `${name}.>`,
      () => js.lastDirect(name, subject, limit),
      () => js.message(name, { last_by_subj: subject }, limit),
    );
  }

  /**
   * Reads by `direct`, and by `ofLeader` if the answer to that is another stream's, or may be, or if the NATS user may
   * not use direct gets. `kind`: names the requests that share a permission.
   */
  async read<T>(kind: string, direct: () => Promise<DirectAnswer<T>>, ofLeader: () => Promise<T>): Promise<T> {
    const { name, js, hasStaleReplica } = this.#options;
    const answer = hasStaleReplica() ? undefined : await js.direct(kind, direct);
    if (answer !== undefined) {
      const { found, by } = answer;
      if (by === name || (by === undefined && this.#isAlone())) return found;
      if (by !== undefined) this.#aloneUntil = -Infinity;
    }
    return await ofLeader();
  }

  /** Returns true if no other stream answers; if that is not known, begins to find out. */
  #isAlone(): boolean {
    const now = this.#options.clock.monotonic();
    if (now < this.#aloneUntil) return true;
    if (now >= this.#nextLook) {
      this.#nextLook = now + PAUSE;
      // an error is ignored: the leader is asked meanwhile, and the next look may succeed
      this.#look(now).catch(() => {});
    }
    return false;
  }

  async #look(began: number): Promise<void> {
    const { name, js } = this.#options;
    const resets = this.#resets;
    const first = await js.message(name, { seq: 1, next_by_subj: ">" }, LIMIT);
    if (first === undefined || first.data.length > MAX_SIZE) return;
    const answers = await Promise.all(
      Array.from({ length: LOOKS }, () => js.askLastDirect(name, first.subject, LIMIT)),
    );
    if (resets === this.#resets && answers.every(({ by }) => by === name)) this.#aloneUntil = began + VALID;
  }
}

/**
 * Number of direct gets by which it is found out whether another stream answers: one mirror, which answers half of
 * them, is overlooked once in 65,536 times.
 */
const LOOKS = 16;
/** Time for which the result of a look is used, in ms. */
const VALID = 10_000;
/** Shortest time between two looks, in ms. */
const PAUSE = 1_000;
/** Time for which an answer is awaited, in ms. */
const LIMIT = 2_000;
/** Largest message with which it is found out whether another stream answers, in bytes. */
const MAX_SIZE = 16 * 1024;
