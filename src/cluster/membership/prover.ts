/**
 * Pings processes that have a record and that this node has exchanged no frame with, to find out whether they are there.
 * It does so under an endpoint of its own: anybody may have written the record, and pings from the node's own endpoint would
 * make it keep state for whatever process the record names.
 */
import type { Subscription, Transport, TransportMessage } from "../../ports/transport.ts";
import { isEndpoint, Malformed, PROTOCOL, readFrame } from "../wire/frame.ts";
import { HEADERS, type MalformedCount } from "../wire/malformed_count.ts";

/** What a prover needs of its node. */
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

/** Sends pings to unproven processes, and reports their answers and bounces. */
export class Prover {
  readonly #options: ProverOptions;
  readonly #endpoint: string;
  readonly #answers: string;
  readonly #bounces: string;
  readonly #subscriptions: readonly Subscription[];

  /** Subscribes at once. */
  constructor(options: ProverOptions) {
    const { transport, namespace } = this.#options = options;
    this.#endpoint = proverOf(options.endpoint);
    this.#answers = `catga.${namespace}.node.${this.#endpoint}.`;
    this.#bounces = `catga.${namespace}.bounce.${this.#endpoint}.`;
    this.#subscriptions = [
      transport.subscribe(`${this.#answers}>`, {}, (message) => this.#onAnswer(message)),
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

  #onAnswer({ subject, data, headers, noResponders }: TransportMessage): void {
    if (noResponders) return;
    const { malformed, alive } = this.#options;
    const sender = subject.startsWith(this.#answers) ? subject.slice(this.#answers.length) : "";
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

  /** Any client may publish to this subject; only a bounce by the server itself counts. */
  #onBounce({ subject, data, noResponders }: TransportMessage): void {
    if (!noResponders || data.length > 0 || !subject.startsWith(this.#bounces)) return;
    const place = subject.slice(this.#bounces.length);
    this.#options.bounced(place.slice(0, place.lastIndexOf(".")));
  }
}

/** The endpoint of the process that a frame's sender belongs to: a prover's frame shows that its process is alive. */
export function processOf(endpoint: string): string {
  return endpoint.endsWith(SUFFIX) ? endpoint.slice(0, -SUFFIX.length) : endpoint;
}

/** The endpoint of a process's prover. */
export function proverOf(endpoint: string): string {
  return endpoint + SUFFIX;
}

/** Ends a prover's endpoint; the nonces of processes are letters and digits. */
const SUFFIX = "-ping";
