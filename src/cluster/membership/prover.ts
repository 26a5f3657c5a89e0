/**
 * Asks processes that nothing is known of whether they are there. Under an endpoint of its own, so that a record that
 * anybody may have written makes this process remember nothing about the one that it names: no peer, no number of a frame.
 */
import type { Subscription, Transport, TransportMessage } from "../../ports/transport.ts";
import { isEndpoint, Malformed, PROTOCOL, readFrame } from "../wire/frame.ts";
import { HEADERS, type MalformedCount } from "../wire/malformed_count.ts";

/** What a prover is made of. */
export interface ProverOptions {
  readonly transport: Transport;
  readonly namespace: string;
  /** This process: `<id>.<nonce>`. */
  readonly endpoint: string;
  readonly malformed: MalformedCount;
  /** A process has answered. */
  alive(endpoint: string): void;
  /** Nobody is there. */
  bounced(endpoint: string): void;
}

/** The way of one process to those that it does not know. */
export class Prover {
  readonly #options: ProverOptions;
  readonly #endpoint: string;
  readonly #inbox: string;
  readonly #bounces: string;
  readonly #subscriptions: readonly Subscription[];

  /** Subscribes at once. */
  constructor(options: ProverOptions) {
    const { transport, namespace } = this.#options = options;
    this.#endpoint = options.endpoint + PROVER;
    this.#inbox = `catga.${namespace}.node.${this.#endpoint}.`;
    this.#bounces = `catga.${namespace}.bounce.${this.#endpoint}.`;
    this.#subscriptions = [
      transport.subscribe(`${this.#inbox}>`, {}, (message) => this.#onMessage(message)),
      transport.subscribe(`${this.#bounces}>`, {}, (message) => this.#onBounce(message)),
    ];
  }

  /** Sends ping number `n` to a process. */
  ping(endpoint: string, n: number): void {
    const { transport, namespace } = this.#options;
    const frame = `[${PROTOCOL},${n},${Math.round(transport.clock.now())},["p",${n}]]`;
    const reply = `${this.#bounces}${endpoint}.${n}`;
    transport.publish(`catga.${namespace}.node.${endpoint}.${this.#endpoint}`, frame, { reply });
  }

  close(): void {
    for (const subscription of this.#subscriptions) subscription.close();
  }

  #onMessage({ subject, data, headers, noResponders }: TransportMessage): void {
    if (noResponders) return;
    const { malformed, alive } = this.#options;
    const sender = subject.startsWith(this.#inbox) ? subject.slice(this.#inbox.length) : "";
    if (!isEndpoint(sender)) return malformed.add(subject, "the sender is no endpoint");
    if (headers !== undefined) return malformed.add(subject, HEADERS);
    try {
      readFrame(data);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      return malformed.add(subject, error.message);
    }
    alive(sender);
  }

  /** Anybody may publish here; only the server's own news counts. */
  #onBounce({ subject, data, noResponders }: TransportMessage): void {
    if (!noResponders || data.length > 0 || !subject.startsWith(this.#bounces)) return;
    const place = subject.slice(this.#bounces.length);
    this.#options.bounced(place.slice(0, place.lastIndexOf(".")));
  }
}

/** The process behind a sender: that of a prover shows that its process is there. */
export function processOf(endpoint: string): string {
  return endpoint.endsWith(PROVER) ? endpoint.slice(0, -PROVER.length) : endpoint;
}

/** The endpoint of a process's prover. */
export function proverOf(endpoint: string): string {
  return endpoint + PROVER;
}

/** What the nonce of a prover ends with; others are letters and digits. */
const PROVER = "-ping";
