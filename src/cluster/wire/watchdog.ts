/**
 * Finds out what became of requests that nobody answers: asks their processes, and from bounces and silence concludes that
 * a process is gone with them in hand, or does not hear.
 */
import type { Clock } from "../../ports/clock.ts";
import type { Observer } from "../../contract/observer.ts";
import type { Peer } from "./peer.ts";

/** What a watchdog needs of the endpoint that it belongs to. */
export interface WatchdogOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  /** Whether frames may leave. */
  connected(): boolean;
  /** Whether there are several servers: a bounce says then only "not seen from here". */
  clustered(): boolean;
  /** Whether a bounce says that a process is gone; else it may be on its way back, as this one was. */
  conclusive(): boolean;
  /** Every process that is known. */
  peers(): Iterable<Peer>;
  /** What is concluded of a process. */
  concluded(peer: Peer, news: "bounced" | "silent"): void;
}

/** The watchdog of one process. It looks only while answers are owed. */
export class Watchdog {
  readonly #options: WatchdogOptions;
  #looking = false;
  /** When the next look is due, by the monotonic clock. */
  #lookAt = 0;
  #stopped = false;

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  /** An answer is owed from now on. */
  owed(): void {
    if (this.#looking || this.#stopped) return;
    this.#looking = true;
    this.#lookAt = this.#options.clock.monotonic() + LOOK;
    this.#options.clock.after(LOOK, () => this.#look(), { background: true });
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Nobody was there for the frame of this number: it did not run, and the process, or its connection, is not there. */
  bounced(peer: Peer, seq: number): void {
    const { clock, conclusive, concluded, observer } = this.#options;
    observer({ type: "bounce", endpoint: peer.endpoint });
    if (peer.bouncedAt < 0) peer.bouncedAt = clock.monotonic();
    peer.bouncedSeq = Math.max(peer.bouncedSeq, seq);
    peer.pingedAt = peer.heardAt = -1; // whatever it sends from now on shows that it is alive
    peer.undeliver(seq, "BOUNCED");
    concluded(peer, "bounced");
    if (conclusive()) this.#gone(peer, seq);
  }

  #look(): void {
    this.#looking = false;
    if (this.#stopped) return;
    const { clock, connected, clustered, peers } = this.#options;
    const owing = [...peers()].filter((peer) => peer.outstanding > 0);
    if (owing.length === 0) return;
    const now = clock.monotonic();
    // then it is this process that stood still, and answers may lie in its socket
    const listened = now - this.#lookAt < LATE;
    for (const peer of connected() ? owing : []) {
      // a live process may be on its way from a dead server to another one: its late answer still counts
      if (clustered() && peer.bouncedAt >= 0 && now - peer.bouncedAt >= GRACE) this.#gone(peer, peer.bouncedSeq);
      if (listened && peer.pingedAt >= 0 && now - peer.pingedAt > SILENT) this.#options.concluded(peer, "silent");
      if (now - peer.lastPingAt < Math.max(PING_EVERY, PING_EACH * owing.length)) continue;
      if (peer.sent.values().some(({ at }) => now - at >= OWED)) peer.ping();
    }
    this.owed();
  }

  /** What it had in hand is lost: it was delivered, or perhaps. */
  #gone(peer: Peer, before: number): void {
    const inHand = peer.lose(before);
    if (inHand > 0) this.#options.observer({ type: "gone", endpoint: peer.endpoint, inHand });
  }
}

const LOOK = 50; // ms
const OWED = 50; // ms without an answer before the first ping
const PING_EVERY = 100; // ms
const PING_EACH = 5; // ms for each process that owes an answer, when that is more
const LATE = 250; // ms that a look may be late
const SILENT = 500; // ms without an answer to a ping before a process is suspect
const GRACE = 3_000; // ms; reconnects to another server took 1.7 s (measured)
