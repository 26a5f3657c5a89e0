/**
 * Notices that one namespace is in two JetStream domains, as on both sides of a link to a leaf node with its own
 * domain. The two sides share messages and no state: each durable event is stored and handled on both sides, and a lock
 * is held on both. It is noticed by acknowledgements of another domain than that of this connection's buckets (whose
 * subjects do not cross such a link), and by answers to `$SRV.PING` of nodes of the namespace that name another domain.
 * Connections to servers without a domain ask nothing.
 * @decides when a namespace counts as split between two JetStream domains
 */
import { type Clock, OnceAMinute } from "../../ports/clock.ts";
import { isRecord } from "../../data/checks.ts";
import { parsedJson } from "../../data/encoding.ts";
import {
  DOMAIN_HEADER,
  NAMESPACE_HEADER,
  type SubscribeOptions,
  type Subscription,
  type TransportMessage,
  type TransportPublishOptions,
} from "../../ports/transport.ts";

/** The two JetStream domains in which a namespace is: that of this connection, and another one. */
export interface SplitReport {
  readonly own: string;
  readonly other: string;
}

/** The members of a transport that {@link StoreDomain.watch} uses. */
interface AskingTransport {
  readonly status: { readonly state: string };
  inbox(): string;
  subscribe(subject: string, options: SubscribeOptions, onMessage: (message: TransportMessage) => void): Subscription;
  publish(subject: string, data: string, options: TransportPublishOptions): void;
}

/** Knows the JetStream domain in which a connection's streams and buckets are. */
export class StoreDomain {
  readonly #clock: Clock;
  readonly #report: (split: SplitReport) => void;
  readonly #reports: OnceAMinute;
  #own: string | undefined;
  /** True if the present connection has had no acknowledgement of a write to a bucket that names a domain. */
  #isNew = true;
  #mayAsk = true;

  constructor(clock: Clock, report: (split: SplitReport) => void) {
    this.#clock = clock;
    this.#report = report;
    this.#reports = new OnceAMinute(clock);
  }

  /** Name of the domain; `undefined`: the store has none, or nothing was written to a bucket yet. */
  get own(): string | undefined {
    return this.#own;
  }

  /**
   * Takes the domain from the acknowledgement of a write to a bucket: the first one of each connection. A later one
   * with another domain is not that of the store: anybody may answer on these subjects.
   */
  takeOwn(domain: unknown): void {
    if (typeof domain !== "string" || domain === "") return;
    if (this.#isNew) [this.#own, this.#isNew] = [domain, false];
    else this.isForeign(domain);
  }

  /** Notes that there is a new connection, which may be to a server of another domain, and may ask for services. */
  connected(): void {
    this.#isNew = true;
    this.#mayAsk = true;
  }

  /** Returns true if a domain is not that of the store, and reports it, at most once a minute. */
  isForeign(domain: unknown): boolean {
    if (this.#own === undefined || typeof domain !== "string" || domain === "" || domain === this.#own) return false;
    if (this.#reports.due(domain.slice(0, 80))) this.#report({ own: this.#own, other: domain.slice(0, 80) });
    return true;
  }

  /** Notes that this NATS user may not ask for services. */
  forbid(): void {
    this.#mayAsk = false;
  }

  /** Asks the nodes of a namespace for their domains, now and every {@link INTERVAL} ms. */
  watch(transport: AskingTransport, namespace: string): void {
    if (this.#own !== undefined && this.#mayAsk && transport.status.state === "connected") {
      this.#ask(transport, namespace);
    }
    this.#clock.after(INTERVAL, () => this.watch(transport, namespace), { background: true });
  }

  #ask(transport: AskingTransport, namespace: string): void {
    const reply = transport.inbox();
    const answers = transport.subscribe(reply, { optional: true }, ({ data }) => {
      const answer = parsedJson(data);
      const metadata = isRecord(answer) && isRecord(answer.metadata) ? answer.metadata : {};
      if (metadata["catga.namespace"] === namespace) this.isForeign(metadata["catga.domain"]);
    });
    // nodes on the other side, which have asked before, learn of this one by the headers
    const headers = { [NAMESPACE_HEADER]: namespace, [DOMAIN_HEADER]: this.#own ?? "" };
    transport.publish("$SRV.PING", "", { reply, headers });
    this.#clock.after(PATIENCE, () => answers.close(), { background: true });
  }
}

/** Time between two questions, in ms. */
const INTERVAL = 60_000;
/** Time for which answers are taken, in ms. */
const PATIENCE = 5_000;
