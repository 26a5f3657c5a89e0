/**
 * Finds the declarations among the exports of a program's modules: contracts, handlers, entities, workflows and
 * subscriptions. Nothing runs: no app is made, and no handler is called.
 */
import { type AnyContract, isKind } from "../contract/declaration/contract.ts";
import type { EntityDefinition } from "../contract/declaration/entity_definition.ts";
import { type Handler, isHandler } from "../contract/declaration/handler.ts";
import { subscriptionName } from "../contract/nodes/announcement.ts";
import type { AnyQuestion, AnySignal, AnyWorkflow, Signal } from "../contract/calls/flow.ts";
import type { ContractMeta } from "../contract/declaration/program_types.ts";
import type { Schema } from "../contract/schemas/schema.ts";
import type { WorkflowBody, WorkflowDefinition } from "../contract/declaration/workflow_body.ts";
import { isPlain, isRecord } from "../data/checks.ts";

/** A route of an edge: a contract that callers reach by HTTP under a name. */
export interface ProgramRoute {
  readonly contract: AnyContract | (AnyWorkflow & { readonly "~workflow": WorkflowDefinition });
  readonly meta: ContractMeta | undefined;
  /** Options of the edge's entry that decide what callers may do. */
  readonly options: {
    readonly tell?: Readonly<Record<string, AnySignal>> | undefined;
    readonly ask?: Readonly<Record<string, AnyQuestion>> | undefined;
    readonly cancel?: boolean | undefined;
    readonly key?: unknown;
  };
}

/** The declarations that a program's modules export. */
export interface Program {
  /** Contracts that the program handles or exports, by name. */
  readonly contracts: ReadonlyMap<string, ProgramContract>;
  /** Entities whose commands the program handles, or that it exports, by name. */
  readonly entities: ReadonlyMap<string, EntityDefinition<unknown>>;
  /** Workflows that the program handles or exports, by name. */
  readonly workflows: ReadonlyMap<string, ProgramWorkflow>;
  /** Signals with a schema that the program exports, by workflow and name. */
  readonly signals: ReadonlyMap<string, ReadonlyMap<string, Schema<never, unknown>>>;
  /** Questions that the program exports, by workflow and name. */
  readonly questions: ReadonlyMap<string, ReadonlyMap<string, AnyQuestion>>;
  /**
   * By name of a stored subscription of the program's service: the names of its events. Read models have no stored
   * subscription.
   */
  readonly subscriptions: ReadonlyMap<string, readonly string[]>;
  /** Routes of the edges that the program exports, by name; of several edges with one name the routes of each. */
  readonly routes: ReadonlyMap<string, readonly ProgramRoute[]>;
}

/** A contract in a program. */
export interface ProgramContract {
  readonly contract: AnyContract;
  /** True if the program has a handler for the contract; false: `catga check` assumes that the program sends it. */
  readonly handled: boolean;
  /** Name of the entity that handles the command; `undefined`: the contract is not an entity's. */
  readonly entity: string | undefined;
  /** Names of the subscriptions that handle the contract's messages from the log, without read models. */
  readonly subscriptions: ReadonlySet<string>;
  /** True if a read model, or a new subscription, will read all stored messages of the contract. */
  readonly fromStart: boolean;
  /** `"only"`: an edge lets callers follow the event, and the program does not export it otherwise. */
  readonly followed: "only" | "also" | undefined;
}

/** A workflow in a program. */
export interface ProgramWorkflow {
  readonly definition: WorkflowDefinition;
  /** The workflow's handler, if the program has it. */
  readonly body: WorkflowBody | undefined;
}

/** Returns the declarations that the modules export, also inside of exported arrays and modules. */
export function programOf(modules: readonly unknown[]): Program {
  const contracts = new Map<string, ProgramContract>();
  const entities = new Map<string, EntityDefinition<unknown>>();
  const workflows = new Map<string, ProgramWorkflow>();
  const signals = new Map<string, Map<string, Schema<never, unknown>>>();
  const questions = new Map<string, Map<string, AnyQuestion>>();
  const subscriptions = new Map<string, string[]>();
  const handled = (handler: Handler) => {
    const { contract, "~handler": { workflow, entity, subscription, with: others = [] } } = handler;
    if (workflow !== undefined) {
      workflows.set(workflow.definition.name, { definition: workflow.definition, body: workflow });
      return; // left out: messages of a run are internal to its workflow
    }
    const known = contracts.get(contract.name);
    const names = new Set(known?.subscriptions);
    if (subscription?.each === "service") names.add(subscriptionName(contract, subscription.name));
    contracts.set(contract.name, {
      ...{ contract, handled: true, entity: entity?.definition.name, subscriptions: names },
      fromStart: known?.fromStart === true || subscription?.from === "start",
      followed: undefined,
    });
    if (entity !== undefined) entities.set(entity.definition.name, entity.definition);
    if (subscription?.each === "service" && contract.kind === "event") {
      const name = subscriptionName(contract, subscription.name);
      const known = subscriptions.get(name) ?? [];
      if (!known.includes(contract.name)) known.push(contract.name);
      subscriptions.set(name, known);
    }
    for (const other of others) handled(other);
  };
  const routes = new Map<string, ProgramRoute[]>();
  const seen = new Set<unknown>();
  const left: unknown[] = [...modules];
  // handlers are read first, so that a contract which is exported beside its handler is recorded as handled
  const exported: unknown[] = [];
  for (const value of left) {
    if (seen.has(value)) continue;
    seen.add(value);
    if (isHandler(value)) handled(value);
    else if (isQuestion(value)) {
      // before signals: a signal may have the name of a question
      const known = questions.get(value.workflow) ?? new Map();
      questions.set(value.workflow, known.set(value.name, value));
    } else if (isSignal(value)) {
      const known = signals.get(value.workflow) ?? new Map();
      signals.set(value.workflow, known.set(value.name, value["~input"]));
    } else if (isEdge(value)) {
      for (const [name, route] of value["~routes"]) routes.set(name, [...routes.get(name) ?? [], route]);
    } else if (isEntity(value) || isWorkflow(value) || (isContract(value) && value.options.entity === undefined)) {
      exported.push(value);
    } else if (Array.isArray(value) || isPlain(value)) left.push(...Object.values(value as object));
  }
  // the definition of an entity that the program has says what its events are; an edge may follow those of another's
  const isDefinedElsewhere = ({ options: { entity } }: AnyContract) => entity === undefined || !entities.has(entity);
  const alone = new Set(exported);
  const routed = [...routes.values()].flat().map(({ contract }) => contract);
  for (const value of [...exported, ...routed.filter((contract) => !alone.has(contract))]) {
    if (isEntity(value)) {
      const definition = value["~entity"];
      if (!entities.has(definition.name)) entities.set(definition.name, definition);
    } else if (isWorkflow(value)) {
      const definition = value["~workflow"];
      if (!workflows.has(definition.name)) workflows.set(definition.name, { definition, body: undefined });
    } else if (isContract(value) && !contracts.has(value.name) && isDefinedElsewhere(value)) {
      contracts.set(value.name, {
        ...{ contract: value, handled: false, entity: undefined },
        ...{ subscriptions: new Set<string>(), fromStart: false, followed: undefined },
      });
    }
  }
  for (const event of routed.filter(({ kind }) => kind === "event")) {
    const known = contracts.get(event.name);
    if (known !== undefined) contracts.set(event.name, { ...known, followed: alone.has(event) ? "also" : "only" });
  }
  return { contracts, entities, workflows, signals, questions, subscriptions, routes };
}

function isEdge(value: unknown): value is { readonly "~routes": ReadonlyMap<string, ProgramRoute> } {
  return isRecord(value) && value["~routes"] instanceof Map;
}

function isEntity(value: unknown): value is { readonly "~entity": EntityDefinition<unknown> } {
  return isRecord(value) && isRecord(value["~entity"]);
}

function isWorkflow(value: unknown): value is { readonly "~workflow": WorkflowDefinition } {
  return isRecord(value) && value.kind === "workflow" && isRecord(value["~workflow"]);
}

function isQuestion(value: unknown): value is AnyQuestion {
  return isRecord(value) && typeof value.workflow === "string" && typeof value.name === "string" &&
    isRecord(value["~question"]);
}

function isSignal(value: unknown): value is Required<Pick<Signal<never, unknown>, "workflow" | "name" | "~input">> {
  return isRecord(value) && typeof value.workflow === "string" && typeof value.name === "string" &&
    value["~input"] !== undefined;
}

function isContract(value: unknown): value is AnyContract {
  return isRecord(value) && isKind(value.kind) && typeof value.name === "string" && isRecord(value.options);
}
