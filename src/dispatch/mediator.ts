/**
 * The handlers of a node by contract name, with the behaviors and limits around them. They are put together once, when
 * the app starts.
 */
import type { AnyBehavior } from "../contract/declaration/behavior.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { Handler, SubscriptionSettings } from "../contract/declaration/handler.ts";
import type { Observer } from "../contract/nodes/observer.ts";
import type { Admission } from "./admission.ts";
import { ContractCounts, Counts } from "./contract_counts.ts";
import type { MessageContext } from "./message_context.ts";
import { orRefusal } from "./message_schema.ts";
import type { Registration } from "./registry.ts";
import { TurnBudget } from "./turn_budget.ts";
import type { Clock } from "../ports/clock.ts";
import { type BehaviorTools, fold, HandlerCall, type HandlerRun, type RunHandler, runOnce } from "./handler_call.ts";
import { ConcurrencyLimit, KeyQueue } from "./concurrency_limit.ts";

/** The handlers of a node by contract name. */
export class Mediator {
  /** The time that the node's handlers may take in a turn of the event loop. */
  readonly budget: TurnBudget;
  /** Handlers of durable contracts. Handlers of durable events get messages only from the log. */
  readonly durable: readonly DurableHandler[];
  /** Counts of the node's messages, failures and durations, by contract. */
  readonly counts: Counts = new Counts();
  readonly #dispatches: Map<string, Dispatch> = new Map();
  /** Handlers of contracts whose messages only Catga itself sends. */
  readonly #internal: Map<string, Dispatch> = new Map();
  /** Names of the internal contracts with which nodes execute runs of workflows. */
  readonly #ofWorkflows: Set<string> = new Set();

  constructor(
    registrations: readonly Registration[],
    behaviors: readonly AnyBehavior[],
    observer: Observer,
    tools: BehaviorTools,
  ) {
    const budget = this.budget = new TurnBudget(tools.clock);
    const durable: DurableHandler[] = [];
    this.durable = durable;
    for (const { handler } of registrations) {
      const { contract } = handler;
      const { subscription } = handler["~handler"];
      const { runs, nodeRuns } = this.#dispatches.get(contract.name) ?? { runs: [], nodeRuns: [] };
      const counts = this.counts.of(contract);
      const call = new HandlerCall(handler, observer, counts);
      // the internal messages of workflows do not pass the program's behaviors
      const driven = handler["~handler"].workflow !== undefined;
      if (driven) this.#ofWorkflows.add(contract.name);
      const around = driven ? [] : behaviors;
      const run = compile(handler, around, call, { ...tools, subscription: subscription?.name, budget });
      if (subscription !== undefined) {
        const entity = handler["~handler"].entity !== undefined;
        durable.push({ contract, settings: subscription, run: counted(counts, run, tools.clock), entity });
        if (contract.kind === "event") continue;
      }
      const own = handler["~handler"].each === "node";
      this.#dispatches.set(contract.name, {
        contract,
        runs: own ? runs : [...runs, run],
        nodeRuns: own ? [...nodeRuns, run] : nodeRuns,
        call: run === call.run ? call : undefined,
        entity: handler["~handler"].entity !== undefined,
        always: driven ? ALWAYS : undefined,
        counts,
      });
    }
  }

  /** The names of the contracts with handlers, sorted. */
  get names(): readonly string[] {
    return this.#contracts.map(({ name }) => name);
  }

  /** The kinds of the contracts in {@link Mediator.names}, at the same positions: a letter each. */
  get kinds(): string {
    return this.#contracts.map(({ kind }) => kind[0]).join("");
  }

  /** The contracts with handlers, sorted by name. */
  get handled(): readonly AnyContract[] {
    return this.#contracts;
  }

  /** The names of all contracts for which this node has handlers, Catga's internal contracts included. */
  get served(): readonly string[] {
    return [...this.#dispatches.keys(), ...this.#internal.keys()];
  }

  /** Returns the handlers of a contract for messages that do not come from the log; `undefined`: this node has none. */
  find(name: string): Dispatch | undefined {
    return this.#dispatches.get(name) ?? this.#internal.get(name);
  }

  /** Adds the handler of a contract whose messages only Catga itself sends; {@link Mediator.names} does not list it. */
  serve(contract: AnyContract, run: HandlerRun, how: Pick<Dispatch, "always" | "lasts"> = {}): void {
    const own = { contract, runs: [run], nodeRuns: [], call: undefined, entity: false, ...how };
    this.#internal.set(contract.name, { ...own, counts: new ContractCounts(contract) });
  }

  /** The commands, queries and streams for which the program has handlers, sorted by name. */
  get requests(): readonly AnyContract[] {
    return this.#contracts.filter(({ kind, name }) => kind !== "event" && !this.#ofWorkflows.has(name));
  }

  /** The names of the commands of entities for which the program has handlers, sorted. */
  get ofEntities(): readonly string[] {
    return this.requests.map(({ name }) => name).filter((name) => this.find(name)?.entity);
  }

  /** The events with handlers. */
  get events(): readonly Dispatch[] {
    return [...this.#dispatches.values()].filter(({ contract }) => contract.kind === "event");
  }

  /** The contracts with handlers, once each, sorted by name: of an event in both forms the durable one. */
  get #contracts(): readonly AnyContract[] {
    const contracts = new Map(
      [...this.#dispatches.values(), ...this.durable].map(({ contract }) => [contract.name, contract]),
    );
    return [...contracts.values()].sort((a, b) => a.name < b.name ? -1 : 1);
  }
}

/**
 * A function for `Dispatch.always`: no message of the contract has to wait for admission (a place at the handler). For
 * messages to a run of a workflow, for example, which wait for code that runs already.
 */
export const ALWAYS = (): boolean => true;

/** A handler of a durable contract. */
export interface DurableHandler {
  readonly contract: AnyContract;
  readonly settings: SubscriptionSettings;
  /** The handler with the behaviors and limits around it. */
  readonly run: HandlerRun;
  /** True if the contract is a command of an entity, which the entity handles. */
  readonly entity: boolean;
}

/** The handlers of one contract: one for a command or a query, any number for an event. */
export interface Dispatch {
  readonly contract: AnyContract;
  /** For a command or a query, its one handler; for an event, the handlers that run once in each service. */
  readonly runs: readonly HandlerRun[];
  /** For an event, the handlers that run on every node. */
  readonly nodeRuns: readonly HandlerRun[];
  /** For a command or a query, its handler, if no behavior and no limit runs around it. */
  readonly call: HandlerCall | undefined;
  /** True if the contract is a command of an entity. */
  readonly entity: boolean;
  /**
   * Returns true for a payload whose message need not wait for admission (a place at the handler), because it starts no
   * code of the program, or waits for code that runs already.
   */
  readonly always?: ((payload: unknown) => boolean) | undefined;
  /**
   * Maximum time of a run of the handler, in ms: a message waits for admission (a place at the handler) only as long as
   * its sender will still wait for the run. Absent: no limit.
   */
  readonly lasts?: number | undefined;
  /** Counts of the contract's messages. */
  readonly counts: ContractCounts;
}

/**
 * Wraps a handler in four layers, from the outside in: the order of its key, the claim (record that reserves the id) of
 * an idempotent command, its concurrency limit, its behaviors.
 */
function compile(
  { contract, "~handler": { behaviors, concurrency } }: Handler,
  around: readonly AnyBehavior[],
  call: HandlerCall,
  { budget, ...tools }: BehaviorTools & { budget: TurnBudget },
): HandlerRun {
  const { clock } = tools;
  const { ordered = false, idempotent = false } = contract.options;
  const folded = aroundHandler(contract, [...around, ...behaviors], call, tools);
  const limited = concurrency === undefined
    ? folded
    : admitted(new ConcurrencyLimit(clock, budget, concurrency), folded);
  const once = idempotent === false ? limited : runOnce(idempotent === true ? {} : idempotent, clock, limited);
  // the layer of the key's order is outermost: messages of a key run in the order of their arrival, not in the order in
  // which the store acknowledges their claims (records that reserve ids)
  return ordered ? admitted(new KeyQueue(clock, budget), once) : once;
}

/**
 * Wraps a handler in its behaviors. If the message is aborted before a behavior has called the handler, the handler is
 * not called.
 * @decides the layers around a handler, and their order
 */
function aroundHandler(
  contract: AnyContract,
  behaviors: readonly AnyBehavior[],
  call: HandlerCall,
  tools: BehaviorTools,
): HandlerRun {
  if (behaviors.length === 0) return call.run;
  const begin: RunHandler<MessageContext> = (payload, ctx) => {
    const { aborted } = ctx;
    if (aborted !== undefined && ctx.preparing) return { ok: false, error: aborted };
    ctx.preparing = false;
    return call.run(payload, ctx);
  };
  const folded = fold(contract, behaviors, begin, (error, ctx) => call.thrown(error, ctx, "behavior"), tools);
  return (payload, ctx) => {
    ctx.preparing = true;
    const result = folded(payload, ctx);
    // once the handler has begun, the message may have had effects, so its outcome is the handler's, and no refusal
    return result instanceof Promise && ctx.preparing ? orRefusal(ctx, result) : result;
  };
}

/** Wraps a handler of messages of the log so that its runs are counted and timed. */
function counted(counts: ContractCounts, run: HandlerRun, clock: Clock): HandlerRun {
  return (payload, ctx) => {
    const timing = counts.timing(clock);
    const outcome = run(payload, ctx);
    if (!(outcome instanceof Promise)) {
      counts.end(outcome, timing);
      return outcome;
    }
    counts.inHand++;
    return outcome.then((later) => {
      counts.endInHand(later, timing);
      return later;
    });
  };
}

function admitted(by: { admit: Admission }, run: HandlerRun): HandlerRun {
  return (payload, ctx) => by.admit(ctx, () => run(payload, ctx));
}
