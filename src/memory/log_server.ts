/** The streams of a `MemoryNetwork`: what its server stores, without clients. */
import { CatgaError } from "../error.ts";
import type { Clock } from "../ports/clock.ts";
import type { LogOptions, StoredMessage } from "../ports/event_log.ts";
import type { FaultSource, LogOutage } from "./faults.ts";
import { StreamState } from "./stream_state.ts";
import { overlap } from "./subject_match.ts";

/** Streams by their names. */
export class LogServer {
  readonly #clock: Clock;
  readonly #faults: FaultSource | undefined;
  readonly #streams = new Map<string, StreamState>();
  readonly #doubters = new Set<(name: string) => void>();
  /** The greatest sequence that a stream of this name has had. */
  readonly #greatest = new Map<string, number>();
  #made = 0;
  readonly #outages = new Set<LogOutage>();
  /** Writes that wait for a quorum. */
  #waiting: (() => void)[] = [];

  /** With `faults`, the server is as slow as its network. */
  constructor(clock: Clock, faults?: FaultSource) {
    this.#clock = clock;
    this.#faults = faults;
  }

  /** Whether the streams have a leader. */
  get led(): boolean {
    return !this.#outages.has("noLeader");
  }

  /** Throws `UNAVAILABLE` if the streams have no leader. */
  checkLed(): void {
    if (!this.led) throw new CatgaError("UNAVAILABLE", "the streams have no leader now", { retryable: true });
  }

  /** Performs a write: at once, or when there is a quorum again, in the order of the calls. */
  readonly write = (perform: () => void): void => {
    if (this.#outages.has("noQuorum")) this.#waiting.push(perform);
    else perform();
  };

  /** Begins an outage, which lasts until {@link LogServer.end}. */
  begin(outage: LogOutage): void {
    this.#outages.add(outage);
    if (outage !== "noLeader") return;
    for (const state of this.#streams.values()) state.interrupt();
  }

  end(outage: LogOutage): void {
    this.#outages.delete(outage);
    if (outage !== "noQuorum") return;
    for (const perform of this.#waiting.splice(0)) perform();
  }

  /** Finds a stream, or makes it. */
  open(name: string, options: LogOptions): StreamState {
    const found = this.#streams.get(name);
    if (found) {
      compare(name, found.settings, options);
      return found;
    }
    for (const [other, { settings }] of this.#streams) {
      const both = settings.subjects.find((one) => options.subjects.some((subject) => overlap(one, subject)));
      if (both === undefined) continue;
      throw new CatgaError(
        "LOG_MISMATCH",
        `the stream ${name} cannot be made: the stream ${other} has its subjects, ${both}`,
        {
          details: { stream: name, setting: "subjects", is: other, wanted: name },
        },
      );
    }
    const least = (this.#greatest.get(name) ?? 0) + 1;
    // as precise as on NATS; the last digits tell apart streams of one ms
    const created = new Date(this.#clock.now()).toISOString().replace("Z", `${`${++this.#made}`.padStart(6, "0")}Z`);
    const ready = () => this.#outages.size === 0;
    const lag = () => this.#faults?.lag() ?? 0;
    const state = new StreamState(this.#clock, Object.freeze({ ...options }), { created, least, ready, lag });
    this.#streams.set(name, state);
    return state;
  }

  /** The stream of a name, if there is one. */
  get(name: string): StreamState | undefined {
    return this.#streams.get(name);
  }

  /** As `MemoryEventLog.messages`. */
  messages(name: string, after: number): readonly StoredMessage[] {
    return this.#streams.get(name)?.read(">", after + 1, 1_000) ?? [];
  }

  /** Loses a stream, with everything in it. Throws a `TypeError` if there is none of this name. */
  remove(name: string): void {
    const state = this.#find(name);
    this.#streams.delete(name);
    this.#noteGreatest(name, state);
    state.remove();
    this.#doubt(name);
  }

  /** As `MemoryEventLog.truncate`. */
  truncate(name: string, last: number, { quietly = false }: { readonly quietly?: boolean } = {}): void {
    const state = this.#find(name);
    this.#noteGreatest(name, state);
    state.truncate(last);
    if (!quietly) this.#doubt(name);
  }

  /** Calls back when a stream has lost messages, until the returned function is called. */
  onDoubt(listener: (name: string) => void): () => void {
    const own = (name: string) => listener(name);
    this.#doubters.add(own);
    return () => this.#doubters.delete(own);
  }

  #find(name: string): StreamState {
    const found = this.#streams.get(name);
    if (found) return found;
    const others = [...this.#streams.keys()].join(", ") || "none";
    throw new TypeError(`there is no stream ${JSON.stringify(name)}; there are ${others}`);
  }

  /** To be called before a stream loses messages. */
  #noteGreatest(name: string, { next }: StreamState): void {
    this.#greatest.set(name, Math.max(this.#greatest.get(name) ?? 0, next - 1));
  }

  #doubt(name: string): void {
    for (const listener of [...this.#doubters]) listener(name);
  }
}

function compare(name: string, is: LogOptions, wanted: LogOptions): void {
  const text = ({ subjects, replicas, schedules }: LogOptions) => ({
    subjects: [...subjects].sort().join(", "),
    replicas,
    schedules,
  });
  const [left, right] = [text(is), text(wanted)];
  for (const setting of ["subjects", "replicas", "schedules"] as const) {
    if (left[setting] === right[setting]) continue;
    throw new CatgaError(
      "LOG_MISMATCH",
      `the stream ${name} exists with ${setting}: ${left[setting]}, not ${right[setting]}`,
      { details: { stream: name, setting, is: left[setting], wanted: right[setting] } },
    );
  }
}
