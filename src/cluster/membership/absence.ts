/**
 * Decides whether a process is certainly gone, so that its idempotency claims may be freed. The failure detector is
 * faster, and may be wrong about a node that is cut off; a claim that is freed by mistake would let a command run
 * twice. So pings have to bounce for longer than a short loss of the connection lasts, as seen by a process that was
 * connected and awake all the while.
 *
 * A bounce (the server's answer that a message had no subscriber) shows that nobody subscribed to the endpoint at
 * some moment between the sending of its ping and its arrival. So an absence begins no later than the arrival of the
 * first bounce, and lasts at least until the last ping was sent. Two bounces that are too far apart show nothing of
 * the time between them: this process may have been paused.
 */
import type { Clock, Timer } from "../../ports/clock.ts";
import { HOLDER_BOUNCES_FOR } from "../../ports/evidence_of_life.ts";

/** Pause between the bounce of a ping and the next ping to the same process. */
const PING_INTERVAL = 250; // ms
/** Maximum time between two bounces that prove that the process was absent between them. */
const GAP = 1_000; // ms
/** Time without a bounce after which {@link Absence.gone} resolves with `false`, although no answer has come either. */
const ENDS_AFTER = 1_000; // ms

/** Dependencies of an {@link Absence} on its node. */
interface AbsenceOptions {
  readonly clock: Clock;
  /**
   * Returns true if a bounce proves that no process subscribes to the endpoint. Returns false for a while after each
   * reconnect of this process, and always if the cluster has several servers.
   */
  conclusive(): boolean;
  /** Sends a ping to a process. Returns the number of the last frame that was sent to it before the ping. */
  ping(endpoint: string): number;
}

/** Pending questions of this process about others: each asks if a process is gone. */
export class Absence {
  readonly #options: AbsenceOptions;
  readonly #questions = new Map<string, AbsenceQuestion>();

  constructor(options: AbsenceOptions) {
    this.#options = options;
  }

  /**
   * Resolves with `true` when the process at this endpoint has been gone for 6 s since this call, with `false` as soon
   * as its absence is not certain. Calls at the same time share the pings. Each counts from its own begin: between two
   * earlier pings the process may have been back, and may have written the claim because of which this call is made.
   */
  gone(endpoint: string): Promise<boolean> {
    const known = this.#questions.get(endpoint);
    if (known !== undefined) return known.join();
    const question = new AbsenceQuestion(this.#options, endpoint, () => this.#questions.delete(endpoint));
    this.#questions.set(endpoint, question);
    const answer = question.join();
    question.ask();
    return answer;
  }

  /**
   * Returns for how many ms all pings to the process at this endpoint have bounced; 0: no two in a row have. The first
   * call begins to ping the process, until it answers or {@link Absence.gone} is known.
   */
  absent(endpoint: string): number {
    if (!this.#questions.has(endpoint)) void this.gone(endpoint);
    return this.#questions.get(endpoint)?.absent ?? 0;
  }

  /**
   * Resolves the pending promises of {@link Absence.gone} for the process at this endpoint with `gone`. Called with
   * `gone: false` when a frame has come from the process.
   */
  conclude(endpoint: string, answer: { readonly gone: boolean }): void {
    this.#questions.get(endpoint)?.end(answer);
  }

  /**
   * Counts a bounce of a ping to the process at this endpoint, while {@link Absence.gone} is pending for it. Called
   * when the frame with the number `seq` has bounced.
   */
  bounced(endpoint: string, seq: number): void {
    this.#questions.get(endpoint)?.bounced(seq);
  }

  /**
   * Resolves all pending promises of {@link Absence.gone} with `false`. Called when this process has lost its
   * connection, because earlier bounces then prove nothing.
   */
  reset(): void {
    for (const question of this.#questions.values()) question.end({ gone: false });
  }
}

/** A call of {@link Absence.gone}. */
interface AbsenceAsker {
  /** Time of the call, by the monotonic clock. */
  readonly from: number;
  resolve(gone: boolean): void;
}

/** The question if one process is gone, and the bounces that prove its absence so far. */
class AbsenceQuestion {
  readonly #options: AbsenceOptions;
  readonly #endpoint: string;
  readonly #onEnd: () => void;
  #askers: AbsenceAsker[] = [];
  #timer: Timer | undefined;
  /** Number of the last frame sent before the ping that waits for its bounce; -1 if no ping waits. */
  #before = -1;
  /**
   * Time at which the last ping was sent, by both clocks: the monotonic clock may stand still while a machine is
   * suspended.
   */
  #sent = { wall: 0, monotonic: 0 };
  /** Time at which the last ping that has bounced was sent, by both clocks; `undefined`: none has. */
  #bounced: { readonly wall: number; readonly monotonic: number } | undefined;
  /** Arrival of the first bounce in the present series of bounces that prove an absence, by the monotonic clock. */
  #since = 0;

  /** `onEnd`: called when the last asker has its answer. */
  constructor(options: AbsenceOptions, endpoint: string, onEnd: () => void) {
    this.#options = options;
    this.#endpoint = endpoint;
    this.#onEnd = onEnd;
  }

  /** Adds an asker, and resolves with its answer. */
  join(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#askers.push({ from: this.#options.clock.monotonic(), resolve });
    return promise;
  }

  /** Time for which the absence of the process is proved, in ms. */
  get absent(): number {
    return this.#bounced === undefined ? 0 : Math.max(0, this.#bounced.monotonic - this.#since);
  }

  ask(): void {
    const { clock, conclusive, ping } = this.#options;
    if (!conclusive()) return this.end({ gone: false });
    this.#sent = { wall: clock.now(), monotonic: clock.monotonic() };
    this.#timer = clock.after(ENDS_AFTER, () => this.end({ gone: false }), { background: true });
    this.#before = ping(this.#endpoint);
  }

  bounced(seq: number): void {
    const { clock, conclusive } = this.#options;
    if (this.#before < 0 || seq <= this.#before) return;
    this.#before = -1;
    this.#timer?.cancel();
    if (!conclusive()) return this.end({ gone: false });
    const { wall, monotonic } = this.#sent;
    const now = clock.monotonic();
    const last = this.#bounced;
    const unseen = last === undefined ? Infinity : Math.max(now - last.monotonic, clock.now() - last.wall);
    if (unseen > GAP) this.#since = now;
    else if (this.#answer(monotonic)) return this.end({ gone: true });
    this.#bounced = { wall, monotonic };
    this.#timer = clock.after(PING_INTERVAL, () => this.ask(), { background: true });
  }

  end({ gone }: { readonly gone: boolean }): void {
    this.#timer?.cancel();
    this.#before = -1;
    for (const { resolve } of this.#askers.splice(0)) resolve(gone);
    this.#onEnd();
  }

  /** Answers who asked long enough before the ping that was sent at this time. Returns true if all are answered. */
  #answer(sent: number): boolean {
    const isAnswered = ({ from }: AbsenceAsker) => sent - Math.max(this.#since, from) >= HOLDER_BOUNCES_FOR;
    for (const { resolve } of this.#askers.filter(isAnswered)) resolve(true);
    this.#askers = this.#askers.filter((asker) => !isAnswered(asker));
    return this.#askers.length === 0;
  }
}
