/**
 * Serves NATS clients without Catga: accepts the node's commands and queries as plain requests (`plain_calls.ts`), and
 * presents the node as a NATS service, which `nats micro` lists (`directory.ts`). Requests between nodes do not pass
 * through {@link Interop}.
 */
import { callSubject } from "../../contract/subjects.ts";
import { CallStats } from "./call_stats.ts";
import { PlainCalls, type PlainCallsOptions, type ServedContract } from "./plain_calls.ts";
import type { AnyContract } from "../../contract/contract.ts";
import type { NodeInfo } from "../../contract/node_info.ts";
import type { Transport } from "../../ports/transport.ts";
import { Directory } from "./directory.ts";

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
