/** Dependencies of the log on the node that it belongs to. */
import type { AnyContract } from "../contract/contract.ts";
import type { NodeInfo } from "../contract/node_info.ts";
import type { Result } from "../contract/result.ts";
import type { TrackedCaller } from "../dispatch/remote.ts";
import type { SendOptions } from "../contract/send_options.ts";
import type { StreamsHost } from "../dispatch/node_host.ts";
import type { Random } from "../ports/clock.ts";

/** A node, as its log sees it. */
export interface LogHost extends StreamsHost {
  readonly service: string;
  /** The id of this node. */
  readonly node: string;
  /** `maxPayload`: the largest message that it takes now, in bytes. */
  readonly network: { readonly maxPayload: number };
  readonly random: Random;
  /** `watched`: anybody observes what is not logged: figures of what is stored and handled. */
  readonly hooks: { readonly watched: boolean };
  /** The errors that handlers throw stand beside their failures. */
  readonly causes: boolean;
  /** True if the node is connected to its network. */
  readonly connected: boolean;
  /** The live nodes, this one included. Each says in `subscriptions` what it handles. */
  nodes(): readonly NodeInfo[];
  /** Calls back when {@link LogHost.nodes} has changed. Returns a function that removes the listener. */
  onNodes(listener: () => void): () => void;
  /** The shape of a contract on a node; `undefined`: unknown. */
  shapeAt(node: NodeInfo, contract: string): string | undefined;
  /** The shape of a contract of this program; `undefined`: unknown. */
  shapeOf(contract: AnyContract): string | undefined;
  /** Resolves with true when pings to an endpoint have bounced for 6 s, with false as soon as that is not certain. */
  gone(endpoint: string): Promise<boolean>;
  /**
   * Removes the recorded failure of an idempotent command, so that its id may be tried again. Rejects when the store
   * does not answer.
   */
  forgetFailure(contract: string, id: string): Promise<void>;
  /** A subscription to these contracts, which this node leads, has noticed that its stream has lost messages. */
  lost(contracts: readonly string[]): void;
  /** Sends an internal command, without behaviors: to this node, or through the router. */
  send(contract: AnyContract, payload: unknown, options: SendOptions): Promise<Result<unknown>>;
  /** As {@link LogHost.send}, without a promise. */
  handOut(contract: AnyContract, payload: unknown, options: SendOptions, caller: TrackedCaller): void;
}
