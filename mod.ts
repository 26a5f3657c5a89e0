/**
 * Catga: commands, queries and events with types, in one process or over a cluster. Without a NATS address everything
 * runs in memory; with one the same program becomes a node of a cluster: each message goes to a node that handles it,
 * and to another node when the first certainly did not run it. Results say whether a command ran, did not run, or may
 * have run.
 *
 * @example
 * ```ts
 * import { catga, command, fail } from "@catga/catga";
 *
 * const CreateOrder = command<{ sku: string; qty: number }, { orderId: string }>("CreateOrder");
 * const createOrder = CreateOrder.handle(({ sku, qty }) =>
 *   qty < 1 ? fail("BAD_QUANTITY", `cannot order ${qty} of ${sku}`) : { orderId: crypto.randomUUID() }
 * );
 *
 * await using app = await catga({ handlers: createOrder });
 * const result = await app.send(CreateOrder, { sku: "tea", qty: 2 });
 * if (result.ok) console.log(result.value.orderId);
 * else console.error(result.error.code, result.error.message);
 * ```
 *
 * @module
 */

export { catga, type CatgaOptions } from "./src/catga.ts";
export type { ConnectionOptions } from "./src/catga.ts";
export type { Catga } from "./src/contract/running_node.ts";
export type { Behavior, SendBehavior } from "./src/contract/behavior.ts";
export { command, event, query } from "./src/contract/definition.ts";
export type { CodeOf, Contract, InputOf, OutputOf } from "./src/contract/contract.ts";
export type {
  Command,
  DurableCommand,
  DurableEvent,
  DurableKeyedCommand,
  EventContract,
  KeyedCommand,
  Query,
} from "./src/contract/definition.ts";
export type { Batch, Handler, Handlers } from "./src/contract/handler.ts";
export { type Entity, entity, type EntityEvent, type EntityHandler } from "./src/contract/entity.ts";
export { type Stream, stream } from "./src/contract/stream.ts";
export { type Workflow, workflow } from "./src/contract/workflow.ts";
export type { Flow, RunInfo } from "./src/contract/flow.ts";
export type { Context } from "./src/contract/context.ts";
export { CatgaError, type ErrorCode } from "./src/error.ts";
export type { NodeInfo, Strategy } from "./src/contract/node_info.ts";
export type { Health } from "./src/contract/node_info.ts";
export type { Logger } from "./src/contract/observer.ts";
export type { SendOptions } from "./src/contract/send_options.ts";
export type { DeadLetter, SubscriptionInfo } from "./src/contract/durable_messages.ts";
export type {
  EventFollower,
  FollowableEvent,
  FollowedEvent,
  FollowEventsOptions,
} from "./src/contract/followed_event.ts";
export type { Caller, ContractMeta, ProgramTypes } from "./src/contract/program_types.ts";
export { fail, unwrap } from "./src/contract/result.ts";
export type { Failure, Result } from "./src/contract/result.ts";
export type { Schema } from "./src/contract/schema.ts";
export type { Sender } from "./src/contract/sender.ts";
export type { Lock } from "./src/contract/shared_state.ts";
