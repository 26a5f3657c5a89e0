/**
 * Evidence of life: what a process concludes about another one that does not answer, after how long, and why. Two signs
 * count. A bounce is the server's answer that nobody subscribes to the process's subject (no responders); silence is a
 * ping without an answer. Anything that is received from a process shows that it is alive.
 *
 * | who, of whom                               | from what                           | constant              | concludes                       |
 * | ------------------------------------------ | ----------------------------------- | --------------------- | ------------------------------- |
 * | a new leader, of the one before            | bounces, and its lease has ended    | `LEADER_BOUNCES_FOR`  | it leads no more                |
 * | the failure detector, of a member          | bounces                             | `PROCESS_BOUNCES_FOR` | dead: its record is removed     |
 * | the prover, of a record                    | bounces                             | `PROCESS_BOUNCES_FOR` | there is no such process        |
 * | a new leader, of any other node            | bounces                             | `PROCESS_BOUNCES_FOR` | it runs nothing more            |
 * | the failure detector, with several servers | bounces, confirmed from another one | `MOVING_BOUNCES_FOR`  | dead: its record is removed     |
 * | the watchdog, several servers or a leaver  | bounces                             | `MAY_RETURN`          | gone, with the requests it had  |
 * | the feeder of a stream, of its reader      | bounces                             | `MAY_RETURN`          | the reader is gone              |
 * | a waiter, of the holder of a claim         | bounces without a gap               | `HOLDER_BOUNCES_FOR`  | certainly gone: claims are free |
 * | the watchdog, the failure detector         | silence                             | `SILENT_FOR`          | suspect: others are preferred   |
 * | all of them, after their own reconnect     | nothing                             | `RECONNECT_GRACE`     | nothing                         |
 *
 * A ping whose answer may lie unread because this process stood still proves nothing (`standstill.ts`). Each of them
 * pings for itself, because each has a reason of its own to ask: a request that waits, the ring of nodes, a record, a
 * claim. All constants are in ms.
 */

/** Pings to a former leader, whose lease has ended as well. A process without a connection redials after 250 ms. */
export const LEADER_BOUNCES_FOR = 600;
/** Frames to a process, first to last: a period of the failure detector's pings, less the inaccuracy of timers. */
export const PROCESS_BOUNCES_FOR = 900;
/** Frames where a process may move to another server, which takes up to 1.7 s (docs/internals/measurements.md). */
export const MOVING_BOUNCES_FOR = 2_900;
/** Time that a live process may need to move to another server, or for its last answers to arrive. */
export const MAY_RETURN = 3_000;
/** Time for which a node may lose its connection without losing its idempotency claims. */
export const CUT = 4_000;
/** Maximum pause of a redial: 250 ms (`nats/connection/connection.ts`), and up to 1 s of jitter with TLS. */
const REDIAL = 1_250;
/** Time that the handshake of a reconnect may take on a busy machine. */
const HANDSHAKE = 750;
/** Pings to the holder of a claim: a mistake would let a command run twice. */
export const HOLDER_BOUNCES_FOR: number = CUT + REDIAL + HANDSHAKE;
/** Time without an answer to a ping over a fast link; over a slow one, twice the time of the quickest answer. */
export const SILENT_FOR = 500;
/** Time without an answer to a ping, however slow the link is. */
export const LONGEST_SILENCE = 3_000;
/**
 * After this node's own reconnect: all live processes reconnect to a single server within it. They took up to 1.7 s
 * (docs/internals/measurements.md).
 */
export const RECONNECT_GRACE = 2_500;

/** The bounces of frames to one process since it last showed that it is alive. All times by the monotonic clock. */
export class Bounces {
  #since: number | undefined;

  /** Notes a bounce. Returns true if it is the first one. */
  add(now: number): boolean {
    if (this.#since !== undefined) return false;
    this.#since = now;
    return true;
  }

  /** Returns true if the first bounce was at least `ms` ago; false if there was none. */
  lastedFor(ms: number, now: number): boolean {
    return this.#since !== undefined && now - this.#since >= ms;
  }

  /** Forgets all bounces: the process has shown that it is alive, or this node was cut off itself. */
  clear(): void {
    this.#since = undefined;
  }
}
