/**
 * Serves NATS clients without Catga: accepts the node's commands and queries as plain requests (`plain_calls.ts`), and
 * presents the node as a NATS service, which `nats micro` lists (`Directory`). Requests between nodes do not pass
 * through {@link Interop}.
 */
import { callSubject } from "../../contract/nodes/subjects.ts";
import { OnceAMinute } from "../../ports/clock.ts";
import {
  CallStats,
  FORBIDDEN_REPLY,
  mayAnswer,
  PlainCalls,
  type PlainCallsOptions,
  QUEUE,
  respond,
  type ServedContract,
} from "./plain_calls.ts";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import { DOMAIN_HEADER, NAMESPACE_HEADER, type Subscription, type Transport } from "../../ports/transport.ts";
import { exceeds } from "../../data/utf8.ts";
import { jsonSchemas } from "../../contract/schemas/json_schema.ts";

/** Dependencies of {@link Interop} on its node. */
interface InteropOptions extends Omit<PlainCallsOptions, "served"> {
  /** Description of this node, without the members that change while the node runs. */
  readonly info: NodeInfo;
  /** The commands and queries that this node has handlers for. */
  readonly requests: readonly AnyContract[];
  /** Returns the contract with which this node sends the requests of plain clients. */
  plainOf(contract: AnyContract): AnyContract;
}

/** Serves plain NATS clients (without Catga) at one node. */
export class Interop {
  readonly calls: PlainCalls;
  readonly #directory: Directory;
  readonly #transport: Transport;
  /** True if the node handles a command or query; otherwise it is not listed as a service. */
  readonly #serves: boolean;

  constructor(options: InteropOptions) {
    const { namespace, requests, transport, plainOf } = options;
    this.#transport = transport;
    const served: ServedContract[] = requests.map((contract) => ({
      contract,
      plain: plainOf(contract),
      subject: callSubject(namespace, contract.name),
      stats: new CallStats(),
    }));
    this.#serves = served.length > 0;
    this.calls = new PlainCalls({ ...options, served });
    this.#directory = new Directory({ ...options, served });
  }

  /** Begins to accept requests of plain clients. Resolves when the server has the subscriptions. */
  async start(): Promise<void> {
    if (!this.#serves) return;
    this.calls.start();
    this.#directory.start();
    // errors are ignored: if the connection is lost at this moment, nats.js subscribes again after the reconnect
    await this.#transport.flush().catch(() => {});
  }

  /** Stops accepting requests of plain clients. Resolves when all delivered requests have begun. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([this.calls.close(), this.#directory.close()]);
  }
}

/** Dependencies of a {@link Directory} on its node. */
interface DirectoryOptions
  extends Pick<PlainCallsOptions, "transport" | "namespace" | "observer" | "malformed" | "served"> {
  readonly info: NodeInfo;
}

/**
 * Answers `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS` (NATS's ADR-32), each for all services, the node's service and the
 * node itself, about the contracts that this node serves, and how often each was called.
 */
class Directory {
  readonly #options: DirectoryOptions;
  #subscriptions: Subscription[] = [];
  #info: string | undefined;
  readonly #splits: OnceAMinute;

  constructor(options: DirectoryOptions) {
    this.#options = options;
    this.#splits = new OnceAMinute(options.transport.clock);
  }

  /**
   * Subscribes to NATS's questions about services (`$SRV.PING`, `$SRV.INFO`, `$SRV.STATS`) and begins to answer them.
   */
  start(): void {
    const { transport, malformed, info: { service, id } } = this.#options;
    const ping = () => JSON.stringify({ type: `${TYPE}.ping_response`, ...this.#identity() });
    const verbs = { PING: ping, INFO: () => this.#info ??= this.#describe(), STATS: () => this.#stats() };
    for (const [verb, describe] of Object.entries(verbs)) {
      for (const scope of ["", `.${service}`, `.${service}.${id}`]) {
        this.#subscriptions.push(
          transport.subscribe(
            `$SRV.${verb}${scope}`,
            { optional: true },
            ({ subject, reply, headers, noResponders }) => {
              if (noResponders || reply === undefined) return;
              if (headers !== undefined) this.#compare(headers);
              if (!mayAnswer(reply)) return malformed.add(subject, FORBIDDEN_REPLY);
              respond(this.#options, reply, describe());
            },
          ),
        );
      }
    }
  }

  /** Stops answering questions about the node's NATS service. */
  async close(): Promise<void> {
    await Promise.all(this.#subscriptions.splice(0).map((subscription) => subscription.drain()));
  }

  /** Describes the contracts as JSON, with their schemas if all schemas fit into one message. */
  #describe(): string {
    const full = this.#describeWith((contract) => jsonSchemas(contract));
    return exceeds(full, this.#options.transport.maxPayload) ? this.#describeWith(() => ({})) : full;
  }

  #describeWith(schemas: (contract: ServedContract["contract"]) => Record<string, string>): string {
    const { info, namespace, served } = this.#options;
    const endpoints = served.map((each) => ({
      ...this.#endpoint(each),
      metadata: {
        kind: each.contract.kind,
        ...(each.contract.options.idempotent ? { idempotent: "true" } : {}),
        ...(each.contract.options.ordered ? { ordered: "true" } : {}),
        ...schemas(each.contract),
      },
    }));
    const description = `service ${info.service} of the Catga namespace ${namespace}`;
    return JSON.stringify({ type: `${TYPE}.info_response`, ...this.#identity(), description, endpoints });
  }

  #stats(): string {
    const { info, served } = this.#options;
    const endpoints = served.map((each) => ({ ...this.#endpoint(each), ...each.stats.counts }));
    const started = new Date(info.startedAt).toISOString();
    return JSON.stringify({ type: `${TYPE}.stats_response`, ...this.#identity(), started, endpoints });
  }

  /** Reports that the namespace is split if another node of it asks, which has its store in another domain. */
  #compare(headers: Readonly<Record<string, string>>): void {
    const { transport: { domain: own }, namespace, observer } = this.#options;
    const other = headers[DOMAIN_HEADER];
    if (own === undefined || !other || other === own || headers[NAMESPACE_HEADER] !== namespace) return;
    if (this.#splits.due()) observer({ type: "split", namespace, own, other: other.slice(0, 80) });
  }

  #identity(): Record<string, unknown> {
    const { namespace, info: { service, id, version, endpoint, metadata } } = this.#options;
    const { domain } = this.#options.transport;
    const place = domain === undefined ? {} : { "catga.domain": domain };
    const own = { "catga.namespace": namespace, "catga.endpoint": endpoint, ...place };
    return { name: service, id, version, metadata: { ...metadata, ...own } };
  }

  #endpoint({ contract, subject }: ServedContract): Record<string, unknown> {
    // dots are replaced, because names of endpoints must not contain any
    return { name: contract.name.replaceAll(".", "_"), subject, queue_group: QUEUE };
  }
}

const TYPE = "io.nats.micro.v1";
