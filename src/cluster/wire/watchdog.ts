/**
 * Finds out what became of unanswered requests: pings the processes to which they were sent, concludes from bounces (no
 * responders) that a process is gone with its requests, and from unanswered pings that it does not respond. Bounces
 * prove nothing in the grace after this node's own reconnect (`ReconnectGrace`), and may not come at all
 * (`BounceProbe`).
 * @decides requests without an answer: pings, and what bounces and silence mean
 */
import type { Clock, Timer } from "../../ports/clock.ts";
import { MAY_RETURN, RECONNECT_GRACE } from "../../ports/evidence_of_life.ts";
import { stoodStill } from "../../ports/standstill.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import type { Peer } from "./peer.ts";
import { publishIfOpen, type Transport } from "../../ports/transport.ts";

/** Dependencies of a {@link Watchdog} on the endpoint. */
interface WatchdogOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  /** Returns true if this process is connected, so that frames can be sent. */
  connected(): boolean;
  /**
   * Returns true if there are several NATS servers. A bounce then only proves that no process subscribes as seen from
   * one of them.
   */
  clustered(): boolean;
  /**
   * Returns true if a bounce proves that the process is gone; false if it may be reconnecting, or connected to another
   * server, or leaving in order.
   */
  conclusive(peer: Peer): boolean;
  /** Returns all other processes with which frames were exchanged. */
  peers(): Iterable<Peer>;
  /** Called when a frame to the process has bounced, or the process has not answered a ping in time. */
  observed(peer: Peer, sign: "bounced" | "silent"): void;
}

/** Watches the unanswered requests of one process. The checks run only while requests are unanswered. */
export class Watchdog {
  /** True while checks of unanswered requests are going on. */
  running = false;
  readonly #options: WatchdogOptions;
  /** Time at which the next check of unanswered requests is due, by the monotonic clock. */
  #checkAt = 0;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  /** Starts the checks. Called when a request begins to wait for an answer while no checks run. */
  start(): void {
    if (this.#stopped) return;
    this.running = true;
    this.#checkAt = this.#options.clock.monotonic() + CHECK_EVERY;
    this.#timer = this.#options.clock.after(CHECK_EVERY, () => this.#check(), { background: true });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /**
   * Handles the bounce of frame `seq` to a process: its requests did not run, and the process, or its connection, is
   * gone.
   */
  bounced(peer: Peer, seq: number): void {
    const { clock, conclusive, observed, observer } = this.#options;
    observer({ type: "bounce", endpoint: peer.endpoint });
    peer.bounces.add(clock.monotonic());
    peer.bouncedSeq = Math.max(peer.bouncedSeq, seq);
    peer.pingedAt = peer.lastSeenAt = -1; // reset, so that the next frame of the process counts as a sign of life
    peer.ledger.undelivered(seq, "BOUNCED");
    observed(peer, "bounced");
    if (conclusive(peer)) this.#gone(peer, seq);
  }

  #check(): void {
    this.running = false;
    if (this.#stopped) return;
    const { clock, connected, clustered, peers } = this.#options;
    const owing = [...peers()].filter((peer) => peer.ledger.outstanding > 0);
    if (owing.length === 0) return;
    const now = clock.monotonic();
    // a late check shows that this process stood still: answers may be unread in its socket
    const onTime = !stoodStill(now, this.#checkAt);
    for (const peer of connected() ? owing : []) {
      // a live process may be moving to another server, or leaving: its answer may still come for some time
      const mayAnswer = clustered() || peer.leaving;
      if (mayAnswer && peer.bounces.lastedFor(MAY_RETURN, now)) this.#gone(peer, peer.bouncedSeq);
      if (onTime && peer.pingedAt >= 0 && now - peer.pingedAt > peer.patience) this.#options.observed(peer, "silent");
      if (now - peer.lastPingAt < Math.max(PING_EVERY, PING_EACH * owing.length)) continue;
      if (peer.ledger.sent.values().some(({ at }) => now - at >= OWED)) peer.ping();
    }
    this.start();
  }

  /**
   * Fails the calls in the frames sent before frame number `before`: their process is gone, and the calls may have run.
   */
  #gone(peer: Peer, before: number): void {
    const inHand = peer.ledger.lost(before);
    if (inHand > 0) this.#options.observer({ type: "gone", endpoint: peer.endpoint, inHand });
  }
}

const CHECK_EVERY = 50; // ms
const OWED = 50; // ms without an answer until the first ping
const PING_EVERY = 100; // ms
const PING_EACH = 5; // ms: interval of pings for each process that owes an answer, if there are more than 20

/**
 * The grace: the time after this node's own reconnect in which bounces and silence of other nodes prove nothing. An
 * outage of the server cuts off every node, and the others may still be reconnecting.
 */
export class ReconnectGrace {
  readonly #clock: Pick<Clock, "monotonic">;
  #begunAt = -Infinity;

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** Begins the grace (in which bounces prove nothing) anew. Called when the connection is back. */
  begin(): void {
    this.#begunAt = this.#clock.monotonic();
  }

  /** True while other nodes may still be reconnecting. */
  get running(): boolean {
    return this.#clock.monotonic() - this.#begunAt < RECONNECT_GRACE;
  }
}

/** Options of a {@link BounceProbe}. */
interface BounceProbeOptions {
  readonly transport: Transport;
  /** A subject to which no part of Catga subscribes. */
  readonly subject: string;
  /** Subject to which the bounce is sent; its subscriber calls {@link BounceProbe.stop}. */
  readonly reply: string;
  /** Called at most once, if messages to a subject without subscribers do not bounce. */
  noBounces(): void;
}

/**
 * One test if messages to a subject without subscribers bounce (the server answers that there is none). They do not if
 * a client or stream subscribes to every subject (a tap); then the death of a node is found later, by unanswered pings.
 * The test is repeated once if no bounce comes, because a single message may get lost.
 */
export class BounceProbe {
  readonly #options: BounceProbeOptions;
  #unanswered = 0;
  #stopped = false;
  #timer: Timer | undefined;

  /** Publishes the test message at once, if the transport is connected. */
  constructor(options: BounceProbeOptions) {
    this.#options = options;
    this.#publish();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #publish(): void {
    const { transport, subject, reply } = this.#options;
    const { state, generation } = transport.status;
    if (state !== "connected") return;
    publishIfOpen(transport, subject, "", { reply });
    this.#after(BOUNCE_TIMEOUT, () => {
      // the server answers in order: the bounce would come before the answer to the flush
      transport.flush().then(() => this.#after(SETTLE, () => this.#noBounce(generation)), () => {
        // nothing to conclude: the connection was lost, and perhaps the test message with it
      });
    });
  }

  #noBounce(generation: number): void {
    const { transport, noBounces } = this.#options;
    if (transport.status.state !== "connected" || transport.status.generation !== generation) return;
    if (++this.#unanswered < PROBES) return this.#publish();
    this.#stopped = true;
    noBounces();
  }

  #after(ms: number, then: () => void): void {
    if (!this.#stopped) this.#timer = this.#options.transport.clock.after(ms, then, { background: true });
  }
}

const BOUNCE_TIMEOUT = 1_000; // ms; a bounce takes less than 1 ms (docs/internals/measurements.md)
const SETTLE = 10; // ms from the arrival of a message to its subscriber
const PROBES = 2;
