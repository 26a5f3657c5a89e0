/** The read models of a node: one for each subscription name among the handlers that run on every node. */
import type { SubscriptionHealth } from "../../contract/nodes/node_info.ts";
import { HandledCount } from "../../dispatch/handled_count.ts";
import type { DurableHandler } from "../../dispatch/mediator.ts";
import { TurnBudget } from "../../dispatch/turn_budget.ts";
import { CatgaError } from "../../error.ts";
import { delay } from "../../ports/clock.ts";
import { election, repeat } from "../../ports/repeat.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { isForbidden } from "../../ports/transport.ts";
import { OF_ENTITIES, subscriptionName } from "../../contract/nodes/announcement.ts";
import { categoryHandlers } from "./category_handlers.ts";
import { ReadModel, type ReadModelOptions } from "./read_model.ts";

/** Options of {@link ReadModels}. */
export interface ReadModelsOptions
  extends Pick<ReadModelOptions, "host" | "namespace" | "clock" | "random" | "observer" | "causes"> {
  readonly service: string;
  /** `watched`: true if the app has observers other than its own logger. */
  readonly hooks: { readonly watched: boolean };
  /** Default timeout of handlers, from the app's options, in ms. */
  readonly timeout: number;
  /** All handlers of durable contracts of this node, including those that are no read models. */
  readonly handlers: readonly DurableHandler[];
  /** Opens the stream of the log, or, if `ofEntities`, the stream of entities. Rejects like `EventLog.open`. */
  stream(ofEntities: boolean): LogStream | Promise<LogStream>;
}

/** Starts and ends the read models of one node: subscriptions whose handlers run on every node. */
export class ReadModels {
  readonly #options: ReadModelsOptions;
  readonly #models: Following[] = [];
  readonly #ending = new AbortController();

  constructor(options: ReadModelsOptions) {
    this.#options = options;
    const { host, namespace, service, clock, random, observer, timeout, causes } = options;
    const budget = new TurnBudget(clock);
    for (const [name, handlers] of byName(options.handlers)) {
      const categories = Map.groupBy(handlers, ({ contract }) => contract.name);
      const runs = [...categories].map(([category, own]) => [category, categoryHandlers(own, timeout)] as const);
      const model = new ReadModel({
        ...{ host, namespace, clock, random, observer, budget, causes },
        label: `${service}/${name}`,
        handled: new HandledCount(options, `${service}/${name}`),
        handlers: new Map(runs),
        delay: handlers[0].settings.delay,
      });
      const fromStart = handlers.some(({ settings }) => settings.from === "start");
      this.#models.push({ name, model, fromStart, ofEntities: name.endsWith(OF_ENTITIES) });
    }
  }

  /** True if all read models that read the log from its start have caught up. */
  get caughtUp(): boolean {
    return this.#models.every(({ model, fromStart }) => !fromStart || model.caughtUp);
  }

  get health(): readonly SubscriptionHealth[] {
    const { service } = this.#options;
    return this.#models.map(({ name, model, fromStart }) => {
      const { unreadable: error, hanging, lastFailure } = model;
      const figures = { ...model.figures, dead: 0, ...(lastFailure && { lastFailure }), ...(hanging && { hanging }) };
      if (error !== undefined) return { service, name, state: "stalled", ...figures, error };
      return { service, name, state: !fromStart || model.caughtUp ? "caught up" : "catching up", ...figures };
    });
  }

  /**
   * Starts the read models. Resolves when they have caught up with the log. Rejects if the connection is closed for
   * good, or if only an operator can make the log readable.
   */
  async catchUp(): Promise<void> {
    if (this.#models.length === 0) return;
    for (const [ofEntities, models] of Map.groupBy(this.#models, ({ ofEntities }) => ofEntities)) {
      const stream = await this.#options.stream(ofEntities);
      const last = () => repeat(() => stream.state(), election(this.#options, this.#ending.signal));
      const state = models.every(({ fromStart }) => fromStart) ? undefined : await last();
      const now = state && { created: state.created, sequence: state.last };
      for (const { model, fromStart } of models) model.follow(stream, fromStart ? undefined : now);
    }
    while (!this.caughtUp) {
      const [error] = this.#models.map(({ model }) => model.unreadable).filter((error) => error && isLasting(error));
      if (error !== undefined) throw error;
      this.#ending.signal.throwIfAborted();
      await delay(this.#options.clock, CHECK);
    }
  }

  /** Stops all read models: no further message begins. Idempotent. */
  close(): void {
    this.#ending.abort(new CatgaError("CLOSED", "the node stopped before its read models had caught up"));
    for (const { model } of this.#models) model.close();
  }
}

/** A read model, and the stream that it reads. */
interface Following {
  readonly name: string;
  readonly model: ReadModel;
  readonly fromStart: boolean;
  readonly ofEntities: boolean;
}

/**
 * Groups handlers by subscription name. Handlers of entities' events are grouped separately, because these events are
 * in another stream.
 */
function byName(handlers: readonly DurableHandler[]): Map<string, DurableHandler[]> {
  const own = handlers.filter(({ contract, settings }) => contract.kind === "event" && settings.each === "node");
  return Map.groupBy(own, ({ contract, settings }) => subscriptionName(contract, settings.name));
}

/** Returns true if another attempt to read would not help before an operator has changed something. */
function isLasting(error: CatgaError): boolean {
  return error.code === "CLOSED" || error.code === "CONSUMER_LIMIT" || isForbidden(error);
}

/** Interval between checks whether the read models have caught up, in ms. */
const CHECK = 5;
