/**
 * The side of a node for NATS clients without Catga: its commands and queries as plain requests (`plain_calls.ts`), and
 * the node as a NATS service that `nats micro` lists. Requests between nodes do not pass through here.
 */
import { callSubject } from "../../contract/subjects.ts";
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
import type { AnyContract } from "../../contract/contract.ts";
import type { NodeInfo } from "../../contract/node_info.ts";
import type { Subscription, Transport } from "../../ports/transport.ts";
import { exceeds } from "../../data/utf8.ts";

/** Dependencies of interop on its node. */
interface InteropOptions extends Omit<PlainCallsOptions, "served"> {
  /** This node, except for what changes while it runs. */
  readonly info: NodeInfo;
  /** The commands and queries that this node has handlers for. */
  readonly requests: readonly AnyContract[];
  /** The contract that requests of plain clients are sent with. */
  plainOf(contract: AnyContract): AnyContract;
}

/** One node as plain clients see it. */
export class Interop {
  readonly calls: PlainCalls;
  readonly #directory: Directory;
  readonly #transport: Transport;
  /** A node without contracts has nothing to call, and is not listed. */
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

  /** Takes requests from now on. Resolves when the server has the subscriptions. */
  async start(): Promise<void> {
    if (!this.#serves) return;
    this.calls.start();
    this.#directory.start();
    // if the connection is lost just now, the subscriptions are made with the next one
    await this.#transport.flush().catch(() => {});
  }

  /** Takes no more requests. Resolves when all those that have been delivered have begun. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([this.calls.close(), this.#directory.close()]);
  }
}

// The node as a NATS service: answers `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`, each for all services, for the node's
// service and for the node itself, as NATS's ADR-32 defines them.

/** Dependencies of a directory on its node. */
interface DirectoryOptions
  extends Pick<PlainCallsOptions, "transport" | "namespace" | "observer" | "malformed" | "served"> {
  readonly info: NodeInfo;
}

/** Describes what this node serves, and how often it was called. */
class Directory {
  readonly #options: DirectoryOptions;
  #subscriptions: Subscription[] = [];
  #info: string | undefined;

  constructor(options: DirectoryOptions) {
    this.#options = options;
  }

  /** Answers from now on. */
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

  /** Stops answering. */
  async close(): Promise<void> {
    await Promise.all(this.#subscriptions.splice(0).map((subscription) => subscription.drain()));
  }

  /** With the schemas, if they all fit into one message. */
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
    // names of endpoints must not contain dots
    return { name: contract.name.replaceAll(".", "_"), subject, queue_group: QUEUE };
  }
}

const TYPE = "io.nats.micro.v1";

// The JSON Schema of validators that provide it: [Standard JSON Schema](https://standardschema.dev/json-schema).

/** The part of the interface that is used here, copied as its authors advise. */
interface WithJsonSchema {
  readonly jsonSchema?: { readonly input?: (options: { readonly target: string }) => unknown };
}

/**
 * The schemas of what a plain client sends for a contract, and of what it gets, as JSON; without those that are not
 * known.
 */
export function jsonSchemas({ options: { input, output } }: AnyContract): { input?: string; output?: string } {
  const [sent, answered] = [jsonSchema(input), jsonSchema(output)];
  return {
    ...(sent === undefined ? {} : { input: sent }),
    ...(answered === undefined ? {} : { output: answered }),
  };
}

/**
 * The schema of the input of a validator, for that is what travels; its output exists only in programs that have it.
 */
function jsonSchema(schema: { readonly "~standard": object } | undefined): string | undefined {
  try {
    const { jsonSchema } = (schema?.["~standard"] ?? {}) as WithJsonSchema;
    return JSON.stringify(jsonSchema?.input?.({ target: "draft-2020-12" }));
  } catch {
    return undefined; // by its interface it throws for what JSON Schema cannot express
  }
}
