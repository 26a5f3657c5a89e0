/**
 * What NATS clients that know nothing of Catga see of a node: its commands and queries as plain requests, and itself as a
 * NATS service that `nats micro` lists. Costs nothing for what nodes send each other.
 */
import { PlainCalls, type PlainCallsOptions, type ServedContract } from "./plain_calls.ts";
import { CallStats } from "./call_stats.ts";
import { Directory } from "./directory.ts";
import type { AnyContract } from "../../contract/contract.ts";
import type { NodeInfo } from "../../contract/node_info.ts";
import type { Transport } from "../../ports/transport.ts";

/** What interop needs of its node. */
export interface InteropOptions extends Omit<PlainCallsOptions, "served"> {
  /** This node, but for what changes while it runs. */
  readonly info: NodeInfo;
  /** The commands and queries that it has handlers for. */
  readonly requests: readonly AnyContract[];
}

/** What plain clients see of one node. */
export class Interop {
  readonly #calls: PlainCalls;
  readonly #directory: Directory;
  readonly #transport: Transport;
  /** Without contracts there is nothing to call, and nothing to list. */
  readonly #serves: boolean;

  constructor(options: InteropOptions) {
    const { namespace, requests, transport } = options;
    this.#transport = transport;
    const served: ServedContract[] = requests.map((contract) => ({
      contract,
      subject: `catga.${namespace}.call.${contract.name}`,
      stats: new CallStats(),
    }));
    this.#serves = served.length > 0;
    this.#calls = new PlainCalls({ ...options, served });
    this.#directory = new Directory({ ...options, served });
  }

  /** Takes requests from now on; resolves when the network knows of it. */
  async start(): Promise<void> {
    if (!this.#serves) return;
    this.#calls.start();
    this.#directory.start();
    // when the connection is lost just now, they go with the next one
    await this.#transport.flush().catch(() => {});
  }

  /** Takes no more requests; resolves when those that the network has handed over have been begun. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([this.#calls.close(), this.#directory.close()]);
  }
}
