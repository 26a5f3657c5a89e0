/**
 * Presents the node as a NATS service: answers `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`, each for all services, for
 * the node's service and for the node itself, as NATS's ADR-32 defines them.
 */
import { FORBIDDEN_REPLY, mayAnswer, respond } from "./plain_answer.ts";
import { type PlainCallsOptions, QUEUE, type ServedContract } from "./plain_calls.ts";
import type { NodeInfo } from "../../contract/node_info.ts";
import type { Subscription } from "../../ports/transport.ts";
import { exceeds } from "../../data/utf8.ts";
import { jsonSchemas } from "../../contract/json_schema.ts";

/** Dependencies of a {@link Directory} on its node. */
interface DirectoryOptions
  extends Pick<PlainCallsOptions, "transport" | "namespace" | "observer" | "malformed" | "served"> {
  readonly info: NodeInfo;
}

/** Answers questions about the contracts that this node serves, and how often each was called. */
export class Directory {
  readonly #options: DirectoryOptions;
  #subscriptions: Subscription[] = [];
  #info: string | undefined;

  constructor(options: DirectoryOptions) {
    this.#options = options;
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
          transport.subscribe(`$SRV.${verb}${scope}`, { optional: true }, ({ subject, reply, noResponders }) => {
            if (noResponders || reply === undefined) return;
            if (!mayAnswer(reply)) return malformed.add(subject, FORBIDDEN_REPLY);
            respond(this.#options, reply, describe());
          }),
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

  #identity(): Record<string, unknown> {
    const { namespace, info: { service, id, version, endpoint, metadata } } = this.#options;
    const own = { "catga.namespace": namespace, "catga.endpoint": endpoint };
    return { name: service, id, version, metadata: { ...metadata, ...own } };
  }

  #endpoint({ contract, subject }: ServedContract): Record<string, unknown> {
    // dots are replaced, because names of endpoints must not contain any
    return { name: contract.name.replaceAll(".", "_"), subject, queue_group: QUEUE };
  }
}

const TYPE = "io.nats.micro.v1";
