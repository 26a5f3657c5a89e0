/**
 * Catga: commands, queries and events with types, in one process or over a cluster. Without a NATS address everything
 * runs in memory; with one the same program becomes a node of a cluster: each message goes to a node that handles it, and
 * to another node when the first certainly did not run it. Results say whether a command ran, did not run, or may have run.
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

export { catga, type CatgaOptions, MemoryNetwork, VirtualClock } from "./src/catga.ts";
export type { ConnectionOptions, Faults, MemoryNetworkOptions, NatsConnection, Outages } from "./src/catga.ts";
export type { Catga, DrainOptions } from "./src/contract/running_node.ts";
export type { Attachment, Behavior, BehaviorMessage, OutgoingMessage, SendBehavior } from "./src/contract/behavior.ts";
export type { AppClock, Clock, Random, Timer } from "./src/ports/clock.ts";
export { command, event, query } from "./src/contract/definition.ts";
export type {
  AnyContract,
  CodeOf,
  Contract,
  ContractOptions,
  DurableContract,
  DurableContractOptions,
  InputOf,
  Kind,
  OutputOf,
  PublishableEvent,
} from "./src/contract/contract.ts";
export type {
  Command,
  DurableCommand,
  DurableEvent,
  DurableKeyedCommand,
  EmittedEvent,
  EventContract,
  KeyedCommand,
  KeyedContractOptions,
  Query,
  RequestContract,
} from "./src/contract/definition.ts";
export type {
  AnyCommandOptions,
  CommandOptions,
  Durable,
  DurableCommandOptions,
  DurableEventOptions,
  DurableKeyedCommandOptions,
  EventOptions,
  Idempotent,
  IdempotentCommandOptions,
  Keyed,
  KeyedCommandOptions,
  Keyless,
  MaybeDurable,
  NotDurable,
  NotIdempotent,
  Ordered,
  QueryOptions,
  RequestOptions,
  Stored,
  TransientEventOptions,
  WithoutId,
} from "./src/contract/contract_options.ts";
export type {
  CommandHandlerOptions,
  EventHandlerOptions,
  Handler,
  HandlerBody,
  HandlerModule,
  HandlerOptions,
  Handlers,
  RetryOptions,
  SubscriptionOptions,
  SubscriptionSettings,
} from "./src/contract/handler.ts";
export {
  type Entity,
  entity,
  type EntityEvent,
  type EntityEventOptions,
  type EntityHandler,
  type EntityOptions,
} from "./src/contract/entity.ts";
export type { Decision, DecisionOptions, Given } from "./src/contract/entity_decision.ts";
export { type Workflow, workflow, type WorkflowOptions } from "./src/contract/workflow.ts";
export type { RunDriver, RunDue, RunJoin, WorkflowBody, WorkflowDefinition } from "./src/contract/workflow_body.ts";
export type {
  Decided,
  Flow,
  FlowSendOptions,
  PendingStep,
  ResultOptions,
  RunEntry,
  RunInfo,
  RunsOptions,
  RunStatus,
  Signal,
  StartOptions,
  Step,
  StepOptions,
  TellOptions,
  WaitOptions,
  WorkflowContract,
} from "./src/contract/flow.ts";
export type { EntityBody } from "./src/contract/handler.ts";
export type {
  AnyEntity,
  EntityDefinition,
  EntityEventDefinition,
  Loaded,
  LoadedEntity,
  LoadOptions,
  OfEntity,
} from "./src/contract/entity_definition.ts";
export type { Context } from "./src/contract/context.ts";
export { type AnyCode, CatgaError, type CatgaErrorOptions, type Code, type ErrorCode } from "./src/error.ts";
export type { NodeEvent, NodeInfo, Route, RouteName, RouteRequest, Strategy } from "./src/contract/node_info.ts";
export type { Health, SubscriptionHealth } from "./src/contract/node_info.ts";
export type { LogFields, Logger } from "./src/contract/observer.ts";
export type { Observation } from "./src/contract/observer.ts";
export type { BroadcastOptions, PublishOptions, SendArgs, SendOptions } from "./src/contract/send_options.ts";
export type {
  DeadLetter,
  DeadLetterOptions,
  EnqueueOptions,
  KeepOptions,
  SubscriptionInfo,
} from "./src/contract/kept.ts";
export { fail, unwrap } from "./src/contract/result.ts";
export type { FailOptions, Failure, Result, Success } from "./src/contract/result.ts";
export type { CacheKey, Sendable, SendableDetails, SendableName, Unsendable } from "./src/contract/sendable.ts";
export type { MaybePromise, Schema, SchemaIssue, SchemaResult } from "./src/contract/schema.ts";
export type { BroadcastResult, SendAllOptions, Sender, Sharing } from "./src/contract/sender.ts";
export type {
  Cache,
  CacheLoadOptions,
  CacheSetOptions,
  LeadOptions,
  Lock,
  LockOptions,
  Term,
} from "./src/contract/shared_state.ts";
