/** The part of a node that its runs of workflows use. */
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { NodeInfo } from "../contract/nodes/node_info.ts";
import type { Result } from "../contract/calls/result.ts";
import type { SendOptions } from "../contract/calls/send_options.ts";
import type { ContractShapes } from "../contract/schemas/shape.ts";
import type { WorkflowBody } from "../contract/declaration/workflow_body.ts";
import type { StreamsHost } from "../dispatch/node_host.ts";
import type { DurableLog } from "../dispatch/remote.ts";
import type { Transport } from "../ports/transport.ts";
import type { DriveApp } from "./execution/drive_host.ts";

/**
 * The part of a node that its runs of workflows use.
 * @decides interfaces that workflows need of their app
 */
export interface RunsHost extends DriveApp, StreamsHost {
  readonly transport: Transport | undefined;
  /** The workflows that this node handles. */
  readonly handled: readonly WorkflowBody[];
  readonly shapes: ContractShapes;
  maxPayload(): number;
  nodes(): readonly NodeInfo[];
  /** Returns the shape of a contract on another node; `undefined`: not known. */
  shapeAt(node: NodeInfo, contract: string): string | undefined;
  /** Calls `listener` when the list of nodes has changed. Returns a function that removes the listener. */
  onNodes(listener: () => void): () => void;
  /** Resolves with the log of this node, in which schedules are stored. */
  durable(): Promise<DurableLog>;
  sendInternal(contract: AnyContract, payload: unknown, options: SendOptions): Promise<Result<unknown>>;
}
