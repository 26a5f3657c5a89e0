/** Dependencies of the durable log on its node. */
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { NodeInfo } from "../contract/nodes/node_info.ts";
import type { Result } from "../contract/calls/result.ts";
import type { TrackedCaller } from "../dispatch/remote.ts";
import type { SendOptions } from "../contract/calls/send_options.ts";
import type { StreamsHost } from "../dispatch/node_host.ts";
import type { Random } from "../ports/clock.ts";

/** The app of a node, as the node's log uses it. */
export interface LogApp {
  /** Returns the live nodes, including this one; `subscriptions` of a node lists the contracts that it handles. */
  nodes(): readonly NodeInfo[];
  /** Calls the listener when {@link LogApp.nodes} has changed. Returns a function that removes the listener. */
  onNodes(listener: () => void): () => void;
  /**
   * Resolves with true when NATS has answered all pings to the endpoint for 6 s with "no responders": its process has
   * ended. Resolves with false as soon as that can no longer be proved.
   */
  gone(endpoint: string): Promise<boolean>;
  /**
   * Returns for how long NATS has answered every ping to the endpoint with "no responders", in ms: the process there
   * has ended, or has lost its connection. 0: the process may be connected, or this node has just begun to ask (the
   * first call begins to ask). Always 0 if there are several NATS servers, and for a while after a reconnect of this
   * node.
   */
  absent(endpoint: string): number;
  /**
   * Called when a subscription that this node leads has noticed that the stream that it reads has lost messages.
   * `contracts`: names of the subscription's contracts.
   */
  lost(contracts: readonly string[]): void;
  /** Sends an internal command, without running behaviors: to this node, or through the router. */
  sendInternal(contract: AnyContract, payload: unknown, options: SendOptions): Promise<Result<unknown>>;
  /** Like {@link LogApp.sendInternal}, but passes the result to `caller` instead of returning a promise of it. */
  handOut(contract: AnyContract, payload: unknown, options: SendOptions, caller: TrackedCaller): void;
}

/**
 * Dependencies of the durable log on its node.
 * @decides interfaces that the log needs of its node
 */
export interface LogHost extends StreamsHost {
  readonly app: LogApp;
  readonly service: string;
  /** Id of this node. */
  readonly node: string;
  /** `maxPayload`: maximum size of a message that the network accepts at present, in bytes. */
  readonly network: { readonly maxPayload: number };
  readonly random: Random;
  /** `watched`: true if observers want figures of stored and handled messages, which the node does not log. */
  readonly hooks: { readonly watched: boolean };
  /** True if recorded failures include the errors that handlers throw. */
  readonly causes: boolean;
  /** True if the node has no network, so that every other process that has written into its store has ended. */
  readonly isAlone?: boolean;
  /** True if the node is connected to its network. */
  readonly connected: boolean;
  /** Returns the shape of a contract on a node; `undefined`: unknown. */
  shapeAt(node: NodeInfo, contract: string): string | undefined;
  /** Returns the shape of a contract in this program; `undefined`: unknown. */
  shapeOf(contract: AnyContract): string | undefined;
  /**
   * Removes the recorded failure of an idempotent command, so that the command may be tried again under the same id.
   * Rejects when the store does not answer.
   */
  forgetFailure(contract: string, id: string): Promise<void>;
}
