/**
 * Pings processes that have a record and have exchanged no frame with this node, to find out if they exist. The pings
 * are sent from an endpoint of their own: anybody may have written the record, and pings from the node's own endpoint
 * would make it keep state for any process that a record names.
 */
import { bounceSubject, nodeSubject } from "../../contract/subjects.ts";
import { publishIfOpen, type Subscription, type TransportMessage } from "../../ports/transport.ts";
import { isEndpoint, Malformed, readFrame } from "../wire/frame.ts";
import { PROTOCOL } from "../../version.ts";
import type { EndpointOptions } from "../wire/endpoint.ts";
import { HEADERS } from "../wire/malformed_count.ts";

/** Dependencies of a {@link Prover} on its node. */
interface ProverOptions extends Pick<EndpointOptions, "transport" | "namespace" | "endpoint" | "malformed"> {
  /** Called when the process at this endpoint has answered a ping. */
  alive(endpoint: string): void;
  /** Called when a ping to the process at this endpoint has bounced (no responders). */
  bounced(endpoint: string): void;
}

/**
 * Sends pings to unproven processes (which have a record and never answered), and reports answers and bounces (no
 * responders).
 */
export class Prover {
  readonly #options: ProverOptions;
  readonly #endpoint: string;
  readonly #answers: string;
  readonly #bounces: string;
  readonly #subscriptions: readonly Subscription[];

  /** Subscribes to answers and bounces (no responders) at once. */
  constructor(options: ProverOptions) {
    const { transport, namespace } = this.#options = options;
    this.#endpoint = proverOf(options.endpoint);
    this.#answers = nodeSubject(namespace, this.#endpoint);
    this.#bounces = bounceSubject(namespace, this.#endpoint);
    this.#subscriptions = [
      transport.subscribe(`${this.#answers}>`, {}, (message) => this.#onAnswer(message)),
      transport.subscribe(`${this.#bounces}>`, {}, (message) => this.#onBounce(message)),
    ];
  }

  /** Sends ping number `n` to the process at this endpoint. */
  ping(endpoint: string, n: number): void {
    const { transport, namespace } = this.#options;
    const frame = `[${PROTOCOL},${n},${Math.round(transport.clock.now())},["p",${n}]]`;
    const reply = `${this.#bounces}${endpoint}.${n}`;
    publishIfOpen(transport, nodeSubject(namespace, endpoint, this.#endpoint), frame, { reply });
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

  /**
   * Handles the bounce (no responders) of a ping. Any client may publish to this subject, so bounces that are not from
   * the server itself are ignored.
   */
  #onBounce({ subject, data, noResponders }: TransportMessage): void {
    if (!noResponders || data.length > 0 || !subject.startsWith(this.#bounces)) return;
    const place = subject.slice(this.#bounces.length);
    this.#options.bounced(place.slice(0, place.lastIndexOf(".")));
  }
}

/**
 * Returns the endpoint of the process to which this endpoint belongs: as the process's own endpoint, or as that of its
 * {@link Prover}, whose frames show as well that the process is alive.
 */
export function processOf(endpoint: string): string {
  return endpoint.endsWith(SUFFIX) ? endpoint.slice(0, -SUFFIX.length) : endpoint;
}

/** Returns the endpoint from which a process's {@link Prover} sends its pings. */
export function proverOf(endpoint: string): string {
  return endpoint + SUFFIX;
}

/**
 * Suffix that makes a process's endpoint its prover's endpoint; it is unambiguous, because endpoints end with letters
 * and digits.
 */
const SUFFIX = "-ping";
