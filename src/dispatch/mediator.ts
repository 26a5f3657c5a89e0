/**
 * The handlers of a node by contract name, with all that runs around them. They are compiled once, when the app
 * starts.
 */
import type { AnyBehavior } from "../contract/behavior.ts";
import type { AnyContract } from "../contract/contract.ts";
import type { Handler, SubscriptionSettings } from "../contract/handler.ts";
import type { Observer } from "../contract/observer.ts";
import type { Admission } from "./admission_deadlock.ts";
import { ContractCounts, Counts } from "./contract_counts.ts";
import type { MessageContext } from "./message_context.ts";
import { orRefusal } from "./message_schema.ts";
import type { Registration } from "./registry.ts";
import { TurnBudget } from "./turn_budget.ts";
import type { Clock } from "../ports/clock.ts";
import { type BehaviorTools, fold, type RunHandler } from "./behavior_chain.ts";
import { HandlerCall, type HandlerRun } from "./handler_call.ts";
import { ConcurrencyLimit } from "./concurrency_limit.ts";
import { runOnce } from "./run_once.ts";
import { KeyQueue } from "./key_queue.ts";

/** The handlers of a node by contract name. */
export class Mediator {
  /** The time that these handlers may take in a turn of the event loop. */
  readonly budget: TurnBudget;
  /** Handlers of durable contracts. Only messages of the log reach those of events. */
  readonly durable: readonly DurableHandler[];
  /** Counts of the node by contract. */
  readonly counts: Counts = new Counts();
  readonly #dispatches: Map<string, Dispatch> = new Map();
  /** Dispatches of contracts that only Catga itself sends. */
  readonly #internal: Map<string, Dispatch> = new Map();
  /** The contracts by which nodes drive runs of workflows. */
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
      // what drives workflows is no message of the program's
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

  /** Kinds of {@link Mediator.names}, a letter each. */
  get kinds(): string {
    return this.#contracts.map(({ kind }) => kind[0]).join("");
  }

  /** The contracts with handlers, sorted by name. */
  get handled(): readonly AnyContract[] {
    return this.#contracts;
  }

  /** The names of the contracts that {@link Mediator.find} finds. */
  get served(): readonly string[] {
    return [...this.#dispatches.keys(), ...this.#internal.keys()];
  }

  /** The handlers of a contract that messages reach without the log; `undefined` if it has none here. */
  find(name: string): Dispatch | undefined {
    return this.#dispatches.get(name) ?? this.#internal.get(name);
  }

  /** Handles a contract that only Catga itself sends: it is none of {@link Mediator.names}. */
  serve(contract: AnyContract, run: HandlerRun, how: Pick<Dispatch, "always" | "lasts"> = {}): void {
    const own = { contract, runs: [run], nodeRuns: [], call: undefined, entity: false, ...how };
    this.#internal.set(contract.name, { ...own, counts: new ContractCounts(contract) });
  }

  /** The commands, queries and streams of the program with handlers, sorted by name. */
  get requests(): readonly AnyContract[] {
    return this.#contracts.filter(({ kind, name }) => kind !== "event" && !this.#ofWorkflows.has(name));
  }

  /** The names of the commands of entities, sorted. */
  get ofEntities(): readonly string[] {
    return this.requests.map(({ name }) => name).filter((name) => this.find(name)?.entity);
  }

  /** The events with handlers. */
  get events(): readonly Dispatch[] {
    return [...this.#dispatches.values()].filter(({ contract }) => contract.kind === "event");
  }

  /** Contracts with handlers, once each, sorted by name. */
  get #contracts(): readonly AnyContract[] {
    const contracts = new Map(
      [...this.durable, ...this.#dispatches.values()].map(({ contract }) => [contract.name, contract]),
    );
    return [...contracts.values()].sort((a, b) => a.name < b.name ? -1 : 1);
  }
}

/** Nothing that comes to it needs a turn, as messages for a run of a workflow, which wait for what runs. */
export const ALWAYS = (): boolean => true;

/** A handler of a durable contract. */
export interface DurableHandler {
  readonly contract: AnyContract;
  readonly settings: SubscriptionSettings;
  /** With all that runs around it. */
  readonly run: HandlerRun;
  /** True if its contract is a command of an entity. */
  readonly entity: boolean;
}

/** The handlers of one contract: one of a command or a query, any number of an event. */
export interface Dispatch {
  readonly contract: AnyContract;
  /** The one handler of a command or a query; of an event, those that run once in each service. */
  readonly runs: readonly HandlerRun[];
  /** Handlers of an event that run on every node. */
  readonly nodeRuns: readonly HandlerRun[];
  /** Handler of a command or a query, if nothing runs around it. */
  readonly call: HandlerCall | undefined;
  /** True if it is a command of an entity. */
  readonly entity: boolean;
  /** Returns true for a payload that needs no turn: it begins nothing of the program, or waits for what runs. */
  readonly always?: ((payload: unknown) => boolean) | undefined;
  /** How long it may run, in ms: it waits for its turn only while its sender will wait as long; any time. */
  readonly lasts?: number | undefined;
  /** Counts its messages. */
  readonly counts: ContractCounts;
}

/** Wraps a handler, from the outside in: the order of its key, its claim, its concurrency, its behaviors. */
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
  // the order of a key is that of arrival, not the one in which claims are acknowledged
  return ordered ? admitted(new KeyQueue(clock, budget), once) : once;
}

/**
 * A handler and the behaviors around it. If the message is aborted before one of them has called the handler, it does
 * not begin.
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
    // once the handler has begun, what it has done counts, and nothing is refused
    return result instanceof Promise && ctx.preparing ? orRefusal(ctx, result) : result;
  };
}

/** A handler of the log that is counted, and timed. */
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
