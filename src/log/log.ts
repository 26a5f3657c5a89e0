/** The log of one node: opens stream and buckets when they are first needed, and wires the parts below. */
import type { AnyContract } from "../contract/contract.ts";
import type { SubscriptionHealth } from "../contract/node_info.ts";
import type { DeadLetter, DeadLetterOptions, SubscriptionInfo } from "../contract/kept.ts";
import type { Result } from "../contract/result.ts";
import type { ContextHost } from "../dispatch/context_host.ts";
import type { DurableLog, DurableMessage } from "../dispatch/remote.ts";
import type { DurableHandler } from "../dispatch/mediator.ts";
import { Administration } from "./administration/administration.ts";
import { mostRead } from "./administration/stored_subscriptions.ts";
import type { LogHost } from "./log_host.ts";
import { Publisher } from "./publishing/publisher.ts";
import { ReadModels } from "./running/read_models.ts";
import { StreamSource } from "./stream_source.ts";
import { Subscriptions } from "./subscriptions/subscriptions.ts";

/** Arguments of {@link openLog}, from the composition root. */
export interface LogOptions {
  /** The node. */
  readonly host: LogHost;
  /** Its handlers of durable contracts. */
  readonly handlers: readonly DurableHandler[];
  /** Its app, for the contexts of handlers. */
  readonly app: ContextHost;
}

/** Makes the log of a node, which opens nothing yet. */
export function openLog(options: LogOptions): DurableLog {
  return new NodeLog(options);
}

class NodeLog implements DurableLog {
  readonly #options: LogOptions;
  readonly #source: StreamSource;
  readonly #publisher: Publisher;
  readonly #readModels: ReadModels;
  readonly #administration: Administration;
  /** The stream of entities, whose events are followed as the log is. */
  readonly #entities: StreamSource;
  /** The stream of subscriptions. */
  readonly #kept: StreamSource;
  /** Subscriptions to the log, and those to events of entities. */
  #subscriptions: Subscriptions | undefined;
  #left = false;

  constructor(options: LogOptions) {
    const { host, app, handlers } = this.#options = options;
    const { namespace, service, endpoint, clock, random, observer, timeout } = host;
    const kept = this.#kept = new StreamSource(host, "subscriptions");
    const seen = async () => await mostRead({ namespace, clock, stream: await kept.get() });
    const source = this.#source = new StreamSource(host, "log", seen);
    const entities = this.#entities = new StreamSource(host, "entities", seen);
    const stream = (again: boolean) => again ? source.again() : source.get();
    const onStored = (contract: string, count: number) => {
      if (host.watched) observer({ type: "stored", contract, count });
    };
    this.#publisher = new Publisher({
      ...{ namespace, endpoint, clock, stream, onStored },
      host: app,
      maxPayload: () => host.maxPayload,
    });
    this.#readModels = new ReadModels({
      ...{ host: app, namespace, service, clock, random, observer, timeout, handlers },
      get watched() {
        return host.watched;
      },
      stream: (ofEntities) => (ofEntities ? entities : source).get(),
    });
    this.#administration = new Administration({
      namespace,
      clock,
      stream: async () => await source.get(),
      entities: async () => await entities.get(),
      kept: async () => await kept.get(),
      nodes: () => host.nodes(),
    });
  }

  get caughtUp(): boolean {
    return this.#readModels.caughtUp;
  }

  get health(): readonly SubscriptionHealth[] {
    return [...this.#subscriptions?.health ?? [], ...this.#readModels.health];
  }

  publish(message: DurableMessage): Promise<Result<void>> {
    return this.#publisher.publish(message);
  }

  unschedule(contract: AnyContract, id: string): Promise<boolean> {
    return this.#publisher.unschedule(contract, id, contract.options.timeout ?? this.#options.host.timeout);
  }

  catchUp(): Promise<void> {
    return this.#readModels.catchUp();
  }

  async start(): Promise<void> {
    const { host, handlers } = this.#options;
    const leading = handlers.filter(({ settings }) => settings.each === "service");
    if (leading.length === 0) return;
    const groups = Map.groupBy(leading, ({ contract }) => contract.options.entity !== undefined);
    const [kept, ...sources] = await Promise.all([
      this.#kept.get(),
      ...[...groups].map(async ([ofEntities, own]) => {
        return { stream: await (ofEntities ? this.#entities : this.#source).get(), handlers: own };
      }),
    ]);
    if (this.#left) return;
    this.#subscriptions = new Subscriptions({ host, kept, sources });
    await this.#subscriptions.start();
  }

  subscriptions(): Promise<readonly SubscriptionInfo[]> {
    return this.#administration.subscriptions();
  }

  deadLetters(options: DeadLetterOptions): AsyncIterableIterator<DeadLetter> {
    return this.#administration.deadLetters(options);
  }

  rewind(subscription: string, to: "start" | number | Date): Promise<void> {
    return this.#administration.rewind(this.#options.host.service, subscription, to);
  }

  async leave(): Promise<void> {
    this.#left = true;
    this.#readModels.close();
    await this.#subscriptions?.leave();
  }

  close(): Promise<void> {
    this.#left = true;
    this.#readModels.close();
    this.#subscriptions?.close();
    return Promise.resolve();
  }
}
