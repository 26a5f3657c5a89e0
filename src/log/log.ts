/**
 * The durable log of one node: opens the log's streams when first needed, makes them anew after they were lost, and
 * connects publisher, subscriptions, read models and followers.
 */
import type { RecordedLog } from "../contract/nodes/attached_store.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { SubscriptionHealth } from "../contract/nodes/node_info.ts";
import type {
  DeadLetter,
  DeadLetterOptions,
  EventFollower,
  FollowEventsOptions,
  LimitControl,
  PauseOptions,
  SubscriptionInfo,
} from "../contract/calls/durable_messages.ts";
import type { Result } from "../contract/calls/result.ts";
import type { ContextHost } from "../dispatch/context_host.ts";
import type { AwaitingMessages, DurableLog, DurableMessage } from "../dispatch/remote.ts";
import type { DurableHandler } from "../dispatch/mediator.ts";
import { Administration } from "./administration/administration.ts";
import { mostRead } from "./administration/stored_subscriptions.ts";
import { Followers } from "./following/followers.ts";
import type { UnderWay } from "../ports/under_way.ts";
import type { LogHost } from "./log_host.ts";
import type { LogStream } from "../ports/event_log.ts";
import { Publisher } from "./publishing/publisher.ts";
import { OverdueSchedules } from "./publishing/overdue_schedules.ts";
import { ReadModels } from "./running/read_models.ts";
import { StreamSource } from "./stream_source.ts";
import { type Source, Subscriptions } from "./subscriptions/subscriptions.ts";

/** Arguments of {@link openLog}, from the composition root. */
export interface OpenLogOptions {
  /** Dependencies of the log on its node. */
  readonly host: LogHost & { readonly app: ContextHost };
  /** The node's handlers of durable contracts. */
  readonly handlers: readonly DurableHandler[];
  /**
   * Lists dead letters of a subscription whose handlers still run at this node although their timeout has passed: the
   * contract and the number of these messages, and since when; `undefined`: there are none.
   */
  hanging(service: string, name: string): SubscriptionHealth["hanging"];
  /** Returns the count of a subscription's messages that run at this node; `undefined`: it handles none of them. */
  underWay(service: string, name: string): UnderWay | undefined;
}

/** Makes the log of a node. Streams are opened later, when first needed. */
export function openLog(options: OpenLogOptions): DurableLog {
  return new NodeLog(options);
}

class NodeLog implements DurableLog {
  readonly #options: OpenLogOptions;
  readonly #source: StreamSource;
  readonly #publisher: Publisher;
  readonly #readModels: ReadModels;
  readonly #administration: Administration;
  readonly #followers: Followers;
  /** The stream of entities, whose events are followed like those of the log. */
  readonly #entities: StreamSource;
  /** The stream of subscriptions: their commits, parked messages and requests. */
  readonly #kept: StreamSource;
  /** The subscriptions of this node: to the log, and to events of entities. */
  #subscriptions: Subscriptions | undefined;
  readonly #overdue: OverdueSchedules;
  /** Handlers of this node's subscriptions: to events of entities (`true`), and to other messages. */
  readonly #groups: Map<boolean, DurableHandler[]>;
  #left = false;

  constructor(options: OpenLogOptions) {
    const { host, handlers } = this.#options = options;
    const { app, namespace, service, endpoint, clock, random, observer, timeout, causes } = host;
    const leading = handlers.filter(({ settings }) => settings.each === "service");
    this.#groups = Map.groupBy(leading, ({ contract }) => contract.options.entity !== undefined);
    const kept = this.#kept = new StreamSource(host, "subscriptions");
    const seen = async () => await mostRead({ namespace, clock, stream: await kept.get() });
    const source = this.#source = new StreamSource(host, "log", seen);
    const entities = this.#entities = new StreamSource(host, "entities", seen);
    this.#publisher = new Publisher({
      ...{ namespace, endpoint, clock, observer, source, hooks: host.hooks },
      host: app,
      maxPayload: () => host.network.maxPayload,
      shapeOf: (contract) => host.shapeOf(contract),
    });
    this.#overdue = new OverdueSchedules(host, () => source.get());
    this.#readModels = new ReadModels({
      ...{ host: app, namespace, service, clock, random, observer, timeout, causes, handlers, hooks: host.hooks },
      stream: (ofEntities) => (ofEntities ? entities : source).get(),
    });
    this.#followers = new Followers({
      ...{ namespace, clock, observer },
      stream: (ofEntities) => (ofEntities ? entities : source).get(),
    });
    this.#administration = new Administration({
      ...{ namespace, clock, network: host.network },
      stream: async () => await source.get(),
      entities: async () => await entities.get(),
      kept: async () => await kept.get(),
      nodes: () => app.nodes(),
    });
  }

  get caughtUp(): boolean {
    return this.#readModels.caughtUp;
  }

  get health(): readonly SubscriptionHealth[] {
    const own = (this.#subscriptions?.health ?? []).map((health) => {
      const hanging = health.hanging ?? this.#options.hanging(health.service, health.name);
      return hanging === undefined ? health : { ...health, hanging };
    });
    return [...own, ...this.#readModels.health];
  }

  publish(message: DurableMessage): Promise<Result<void>> {
    return this.#publisher.publish(message);
  }

  unschedule(contract: AnyContract, id: string): Promise<boolean> {
    return this.#publisher.unschedule(contract, id, contract.options.timeout ?? this.#options.host.timeout);
  }

  recorded(): RecordedLog {
    return this.#publisher.recorded(() => this.#kept.get());
  }

  catchUp(): Promise<void> {
    // the streams are opened while models catch up and the node joins its cluster; `start` throws what this ignores
    if (this.#groups.size > 0) this.#open().catch(() => {});
    return this.#readModels.catchUp();
  }

  async start(): Promise<void> {
    const { host, underWay } = this.#options;
    if (this.#groups.size === 0) return;
    const [kept, ...sources] = await this.#open();
    if (this.#left) return;
    const onError = this.#groups.has(false) ? (error: unknown) => this.#overdue.noteError(error) : undefined;
    this.#subscriptions = new Subscriptions({ host, kept, sources, onError, underWay });
    await this.#subscriptions.start();
  }

  /** Opens the stream of subscriptions, and the streams that they read. */
  #open(): Promise<[LogStream, ...Source[]]> {
    return Promise.all([
      this.#kept.get(),
      ...[...this.#groups].map(async ([ofEntities, handlers]) => {
        return { stream: await (ofEntities ? this.#entities : this.#source).get(), handlers };
      }),
    ]);
  }

  subscriptions(): Promise<readonly SubscriptionInfo[]> {
    return this.#administration.subscriptions();
  }

  deadLetters(options: DeadLetterOptions): AsyncIterableIterator<DeadLetter> {
    return this.#administration.deadLetters(options);
  }

  refused(): AwaitingMessages {
    return this.#administration.refused();
  }

  async rewind(subscription: string, to: "start" | number | Date): Promise<void> {
    await this.#administration.rewind(this.#options.host.service, subscription, to);
  }

  async pause(subscription: string, options: PauseOptions): Promise<void> {
    await this.#administration.pause(this.#options.host.service, subscription, options);
  }

  async resume(subscription: string): Promise<void> {
    await this.#administration.resume(this.#options.host.service, subscription);
  }

  limit(subscription: string, limit: string): LimitControl {
    return this.#administration.limitOf(this.#options.host.service, subscription, limit);
  }

  follow(contract: AnyContract, options: FollowEventsOptions): EventFollower<unknown> {
    return this.#followers.follow(contract, options);
  }

  async leave(patience: number): Promise<void> {
    this.#left = true;
    this.#followers.close();
    this.#overdue.close();
    this.#readModels.close();
    await this.#subscriptions?.leave(patience);
  }

  close(): Promise<void> {
    this.#left = true;
    this.#followers.close();
    this.#overdue.close();
    this.#readModels.close();
    this.#subscriptions?.close();
    return Promise.resolve();
  }
}
