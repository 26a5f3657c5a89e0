/**
 * Catga: commands, queries and events with types, in one process or over a cluster. Without a NATS address everything
 * runs in memory. With an address the same program becomes a node of a cluster: each message goes to a node that
 * handles it, and to another node if the first node certainly did not run it. Results say whether a command ran, did
 * not run, or may have run.
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
export type { ConnectionOptions, FileOptions, NatsConnection } from "./src/catga.ts";
export type { Catga } from "./src/contract/nodes/running_node.ts";
export type { Behavior, SendBehavior } from "./src/contract/declaration/behavior.ts";
export { command, event, query } from "./src/contract/declaration/definition.ts";
export type { CodeOf, Contract, InputOf, OutputOf } from "./src/contract/declaration/contract.ts";
export type {
  Command,
  DurableCommand,
  DurableEvent,
  DurableKeyedCommand,
  EventContract,
  KeyedCommand,
  Query,
} from "./src/contract/declaration/definition.ts";
export type { Batch, Handler, Handlers } from "./src/contract/declaration/handler.ts";
export { type Entity, entity, type EntityEvent, type EntityHandler } from "./src/contract/declaration/entity.ts";
export { type Stream, stream } from "./src/contract/declaration/definition.ts";
export { type Workflow, workflow } from "./src/contract/declaration/workflow.ts";
export type { Flow, RunInfo } from "./src/contract/calls/flow.ts";
export type { Context } from "./src/contract/calls/context.ts";
export type { AttachedStore } from "./src/contract/nodes/attached_store.ts";
export { CatgaError, type ErrorCode } from "./src/error.ts";
export type { NodeInfo, Strategy } from "./src/contract/nodes/node_info.ts";
export type { Health } from "./src/contract/nodes/node_info.ts";
export type { Logger } from "./src/contract/nodes/observer.ts";
export type { SendOptions } from "./src/contract/calls/send_options.ts";
export type { DeadLetter, SubscriptionInfo } from "./src/contract/calls/durable_messages.ts";
export type {
  EventFollower,
  FollowableEvent,
  FollowedEvent,
  FollowEventsOptions,
  LimitControl,
  LimitPauseOptions,
  LimitSettings,
  PauseOptions,
} from "./src/contract/calls/durable_messages.ts";
export type {
  AppBehaviorCode,
  BehaviorCodes,
  Caller,
  CodeOfBehavior,
  ContractMeta,
  ProgramCode,
  ProgramTypes,
} from "./src/contract/declaration/program_types.ts";
export { fail, unwrap } from "./src/contract/calls/result.ts";
export type { Failure, Result } from "./src/contract/calls/result.ts";
export type { Schema } from "./src/contract/schemas/schema.ts";
export type { Sender } from "./src/contract/calls/sender.ts";
export type { Lock } from "./src/contract/calls/shared_state.ts";
export type { AnyBehavior, Attachment, BehaviorMessage, OutgoingMessage } from "./src/contract/declaration/behavior.ts";
export type {
  AnyContract,
  ContractOptions,
  DurableContract,
  DurableContractOptions,
  Kind,
  PublishableEvent,
} from "./src/contract/declaration/contract.ts";
export type {
  AnyCommandOptions,
  CommandOptions,
  Durable,
  DurableCommandOptions,
  DurableEventOptions,
  DurableKeyedCommandOptions,
  DurableOption,
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
  PlainCommandOptions,
  QueryOptions,
  RequestOptions,
  TransientEventOptions,
  UnorderedIdempotentCommandOptions,
  UnorderedKeyedCommandOptions,
  WithoutId,
} from "./src/contract/declaration/contract_options.ts";
export type { MemberOf, RedactedPath } from "./src/contract/declaration/redaction.ts";
export type { EmittedEvent, KeyedContractOptions, RequestContract } from "./src/contract/declaration/definition.ts";
export type {
  DeadLetterOptions,
  EnqueueOptions,
  KeepOptions,
  PublishOptionsOf,
} from "./src/contract/calls/durable_messages.ts";
export type { EntityEventOptions, EntityOptions } from "./src/contract/declaration/entity.ts";
export type { Decision, DecisionOptions, Given } from "./src/contract/declaration/entity.ts";
export type {
  AnyEntity,
  EntityDefinition,
  EntityEventDefinition,
  Loaded,
  LoadedEntity,
  LoadOptions,
  OfEntity,
} from "./src/contract/declaration/entity_definition.ts";
export type {
  AgainOptions,
  AnyWorkflow,
  Askable,
  Asked,
  AskOptions,
  CallbackOptions,
  Decided,
  FlowCallback,
  FlowSendOptions,
  MapOptions,
  NoSignal,
  PendingStep,
  Question,
  QuestionDefinition,
  ResultOptions,
  RunEntry,
  RunsOptions,
  RunStatus,
  Signal,
  SignalPayload,
  StartAndTell,
  StartOptions,
  Step,
  StepOptions,
  StepStore,
  TakenSignal,
  TellOptions,
  ViewChange,
  Waitable,
  WaitOptions,
  WatchOptions,
  WorkflowContract,
} from "./src/contract/calls/flow.ts";
export type {
  BatchSettings,
  CommandHandlerOptions,
  EntityBody,
  EventHandlerOptions,
  Fair,
  FairOptions,
  FairSettings,
  HandlerBody,
  HandlerModule,
  HandlerOptions,
  Limit,
  LimitOptions,
  Over,
  RetryOptions,
  SubscriptionOptions,
  SubscriptionSettings,
} from "./src/contract/declaration/handler.ts";
export type { LimitNumbers, NamedLimit } from "./src/contract/nodes/announcement.ts";
export type {
  KeyPause,
  LimitHealth,
  LimitOverride,
  LimitSetting,
  NodeChange,
  Route,
  RouteName,
  RouteRequest,
  StoreHealth,
  SubscriptionHealth,
  SubscriptionPause,
  WaitingKey,
} from "./src/contract/nodes/node_info.ts";
export type { LogFields } from "./src/contract/nodes/observer.ts";
export type { FailOptions, Success } from "./src/contract/calls/result.ts";
export type { DrainOptions } from "./src/contract/nodes/running_node.ts";
export type { MaybePromise, SchemaIssue, SchemaResult } from "./src/contract/schemas/schema.ts";
export type { BroadcastOptions, PublishOptions, SendArgs, StreamOptions } from "./src/contract/calls/send_options.ts";
export type { CacheKey, Sendable, SendableDetails, SendableName, Unsendable } from "./src/contract/calls/sendable.ts";
export type { BroadcastResult, SendAllOptions, Sharing } from "./src/contract/calls/sender.ts";
export type {
  Cache,
  CacheLoadOptions,
  CacheSetOptions,
  LeadOptions,
  LockOptions,
  Term,
} from "./src/contract/calls/shared_state.ts";
export type { Items, StreamContractOptions } from "./src/contract/declaration/definition.ts";
export type { PayloadCodec, PayloadOf } from "./src/contract/declaration/payload_codec.ts";
export type { QuestionOptions, SignalOptions, WorkflowOptions } from "./src/contract/declaration/workflow.ts";
export type { WorkflowBody, WorkflowDefinition } from "./src/contract/declaration/workflow_body.ts";
export type { AnyCode, CatgaErrorOptions, Code } from "./src/error.ts";
export type { AppClock, Clock, Random, Timer } from "./src/ports/clock.ts";
