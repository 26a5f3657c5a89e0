/**
 * Describes the interface of a program as a value that is kept in the file `contracts.json`: its contracts with their
 * JSON Schemas, the events of its entities, its workflows, its subscriptions and the routes of its edges.
 */
import { type JsonSchema, jsonSchemaOf } from "../contract/schemas/json_schema.ts";
import { isKind, type Kind } from "../contract/declaration/contract.ts";
import type { Schema } from "../contract/schemas/schema.ts";
import { isRecord, isStrings } from "../data/checks.ts";
import { parsedJson } from "../data/encoding.ts";
import type { AnyQuestion } from "../contract/calls/flow.ts";
import type { Program, ProgramRoute } from "./program.ts";

/**
 * The JSON Schema of a validator; `"unknown"`: the validator has no JSON Schema; `undefined`: there is no validator.
 */
export type Described = JsonSchema | "unknown" | undefined;

/** The description of a program. */
export interface Description {
  /** Version of the format of descriptions. */
  readonly catga: 1;
  readonly contracts: Readonly<Record<string, DescribedContract>>;
  readonly entities: Readonly<Record<string, DescribedEntity>>;
  readonly workflows: Readonly<Record<string, DescribedWorkflow>>;
  /** Signals with a schema, by workflow and name, as `Order.Paid`; absent if there are none. */
  readonly signals?: Readonly<Record<string, { readonly input?: Described }>>;
  /** Questions, named as signals are; absent in files of earlier versions, and if there are none. */
  readonly questions?: Readonly<Record<string, { readonly input?: Described; readonly output?: Described }>>;
  /** By name of a subscription: the names of its events. */
  readonly subscriptions: Readonly<Record<string, readonly string[]>>;
  /** Routes of edges by name; absent in files of earlier versions, and for a program without edges. */
  readonly routes?: Readonly<Record<string, readonly DescribedRoute[]>>;
}

/** The description of a contract. Members that would be false are left out. */
export interface DescribedContract {
  readonly kind: Kind;
  /** True if the program has a handler for the contract. */
  readonly handled?: true;
  readonly durable?: true;
  readonly idempotent?: true;
  /** True if the contract makes the ids of its messages (option `id`). */
  readonly ids?: true;
  readonly ordered?: true;
  /** True if the contract's messages have a routing key. */
  readonly keyed?: true;
  /** Name of the entity that handles the command; absent for other contracts. */
  readonly entity?: string;
  /** Present if an edge of the program lets callers follow the event: alone, or beside what else the program does. */
  readonly followed?: "only" | "also";
  readonly input?: Described;
  readonly output?: Described;
  /** Schema of an item; streams only. */
  readonly items?: Described;
}

/** The description of an entity: its version, and the schemas of its events by name. */
export interface DescribedEntity {
  readonly version: number;
  readonly events: Readonly<Record<string, { readonly input?: Described }>>;
}

/** The description of a workflow. */
export interface DescribedWorkflow {
  readonly version: number;
  readonly handled?: true;
  readonly input?: Described;
}

/** The description of a route of an edge. Members that would be false or empty are left out. */
export interface DescribedRoute {
  readonly kind: Kind | "workflow";
  /** Name of the route's contract, which callers do not see. */
  readonly contract: string;
  /** Option `meta` of the contract, by which `authorize` decides; a text in place of what JSON cannot write. */
  readonly meta?: unknown;
  /** True if the key comes from the caller (option `key`). */
  readonly keyed?: true;
  readonly cancel?: true;
  /** Signals that callers may send, by the callers' names for them, and the schemas of their payloads. */
  readonly tell?: Readonly<Record<string, { readonly input?: Described }>>;
  /** Questions that callers may ask, by the callers' names for them. */
  readonly ask?: Readonly<Record<string, { readonly input?: Described; readonly output?: Described }>>;
  readonly input?: Described;
  readonly output?: Described;
  readonly items?: Described;
}

/** Describes a program. Names are sorted, so that the description changes only if the program does. */
export function describe(program: Program): Description {
  const { contracts, entities, workflows, signals, questions, subscriptions, routes } = program;
  return {
    catga: 1,
    contracts: sorted(contracts, ({ contract: { kind, options }, handled, entity, followed }) => ({
      kind,
      ...flag("handled", handled),
      ...flag("durable", Boolean(options.durable)),
      ...flag("idempotent", Boolean(options.idempotent)),
      ...flag("ids", options.id !== undefined),
      ...flag("ordered", Boolean(options.ordered)),
      ...flag("keyed", options.key !== undefined),
      ...(entity === undefined ? {} : { entity }),
      ...(followed === undefined ? {} : { followed }),
      ...schema("input", options.input),
      ...schema("output", options.output),
      ...schema("items", options.items),
    })),
    entities: sorted(entities, ({ version, events }) => ({
      version,
      events: sorted(events, ({ contract }) => ({ ...schema("input", contract.options.input) })),
    })),
    workflows: sorted(workflows, ({ definition: { version, input }, body }) => ({
      version,
      ...flag("handled", body !== undefined),
      ...schema("input", input),
    })),
    ...named("signals", ofWorkflows(signals), (input) => schema("input", input)),
    ...named("questions", ofWorkflows(questions), describedQuestion),
    subscriptions: sorted(subscriptions, (events) => [...events].sort()),
    ...(routes.size === 0 ? {} : { routes: sorted(routes, (all) => all.map(describedRoute)) }),
  };
}

function describedQuestion({ "~input": input, "~question": { output } }: AnyQuestion) {
  return { ...schema("input", input), ...schema("output", output) };
}

/** Returns what workflows have, by the name of the workflow and its own. */
function ofWorkflows<T>(all: ReadonlyMap<string, ReadonlyMap<string, T>>): Record<string, T> {
  return Object.fromEntries(
    [...all].flatMap(([workflow, own]) => [...own].map(([name, one]) => [`${workflow}.${name}`, one])),
  );
}

function describedRoute({ contract, meta, options }: ProgramRoute): DescribedRoute {
  const { tell = {}, ask = {}, cancel, key } = options;
  const own = "options" in contract ? contract.options : contract["~workflow"];
  return {
    ...{ kind: contract.kind, contract: contract.name },
    ...(meta === undefined ? {} : { meta: parsedJson(JSON.stringify(meta, writable)) }),
    ...flag("keyed", key !== undefined),
    ...flag("cancel", cancel === true),
    ...named("tell", tell, (signal) => schema("input", signal["~input"])),
    ...named("ask", ask, describedQuestion),
    ...schema("input", own.input),
    ...schema("output", own.output),
    ...("items" in own ? schema("items", own.items) : {}),
  };
}

/** Replaces what JSON cannot write by a text, so that a change of it is seen. */
function writable(_: string, value: unknown): unknown {
  return typeof value === "bigint" || typeof value === "function" || typeof value === "symbol" ? String(value) : value;
}

function named<Name extends string, T, R>(
  name: Name,
  of: Readonly<Record<string, T>>,
  describe: (value: T) => R,
): { readonly [N in Name]?: Readonly<Record<string, R>> } {
  const made = sorted(new Map(Object.entries(of)), describe);
  return (Object.keys(made).length === 0 ? {} : { [name]: made }) as { readonly [N in Name]?: Record<string, R> };
}

/** Returns the JSON Schema of a validator, without the member that names the draft of JSON Schema. */
export function described(validator: Schema<never, unknown> | undefined): Described {
  if (validator === undefined) return undefined;
  const made = jsonSchemaOf(validator);
  if (!isRecord(made)) return made ?? "unknown";
  const { $schema: _, ...rest } = made;
  return rest;
}

/** Returns the text of the file `contracts.json`, which `catga contracts` prints and {@link readDescription} parses. */
export function descriptionText(description: Description): string {
  return `${JSON.stringify(description, undefined, 2)}\n`;
}

/**
 * Parses and checks the text of `contracts.json`, the file with a program's contracts that `catga contracts` has made.
 * Returns the description of the program, or, if the text is invalid, the reason as a string.
 */
export function readDescription(text: string): Description | string {
  const value = parsedJson(text);
  if (!isRecord(value)) return "it is not a JSON object: `catga contracts FILES… > contracts.json` makes it";
  if (value.catga === undefined) return "it is no file that `catga contracts` has made";
  if (value.catga !== 1) return `it has the format ${JSON.stringify(value.catga)}, and this version of Catga reads 1`;
  const { contracts, entities, workflows, subscriptions, routes = {}, signals = {}, questions = {} } = value;
  const wrong = whyNotAll("contracts", contracts, (each) => {
    if (!isKind(each.kind)) return "kind";
    return ["input", "output", "items"].find((name) => !isDescribed(each[name]));
  }) ?? whyNotAll("entities", entities, (each) => {
    if (!Number.isInteger(each.version)) return "version";
    return whyNotAll("events", each.events, (event) => (isDescribed(event.input) ? undefined : "input"));
  }) ?? whyNotAll("workflows", workflows, (each) => {
    if (!Number.isInteger(each.version)) return "version";
    return isDescribed(each.input) ? undefined : "input";
  }) ?? whyNotAll("signals", signals, whyNotSchemas) ?? whyNotAll("questions", questions, whyNotSchemas) ??
    whyNotRoutes(routes);
  if (wrong !== undefined) return `${wrong} is invalid`;
  const lists = isRecord(subscriptions) ? Object.values(subscriptions) : [undefined];
  if (!lists.every((list) => Array.isArray(list) && isStrings({ ...list }))) return "subscriptions is invalid";
  // the type is certain: each member has been checked
  return value as unknown as Description;
}

/** Returns the path of the first invalid member of a record; `undefined`: all are valid. */
function whyNotAll(
  name: string,
  value: unknown,
  why: (each: Record<string, unknown>) => string | undefined,
): string | undefined {
  if (!isRecord(value)) return name;
  for (const [key, each] of Object.entries(value)) {
    const wrong = isRecord(each) ? why(each) : "";
    if (wrong !== undefined) return [name, key, wrong].filter((part) => part !== "").join(".");
  }
  return undefined;
}

function whyNotSchemas(each: Record<string, unknown>): string | undefined {
  return ["input", "output"].find((name) => !isDescribed(each[name]));
}

/** Returns the path of the first invalid route; `undefined`: all are valid. */
function whyNotRoutes(routes: unknown): string | undefined {
  if (!isRecord(routes)) return "routes";
  for (const [name, all] of Object.entries(routes)) {
    if (!Array.isArray(all)) return `routes.${name}`;
    const wrong = all.findIndex((route) => !isRoute(route));
    if (wrong >= 0) return `routes.${name}.${wrong}`;
  }
  return undefined;
}

function isRoute(route: unknown): boolean {
  if (!isRecord(route) || (route.kind !== "workflow" && !isKind(route.kind))) return false;
  const { contract, tell = {}, ask = {} } = route;
  if (typeof contract !== "string" || !isRecord(tell) || !isRecord(ask)) return false;
  return [route, ...Object.values(tell), ...Object.values(ask)].every((each) =>
    isRecord(each) && ["input", "output", "items"].every((name) => isDescribed(each[name]))
  );
}

function isDescribed(value: unknown): boolean {
  return value === undefined || value === "unknown" || typeof value === "boolean" || isRecord(value);
}

function sorted<T, R>(map: ReadonlyMap<string, T>, describe: (value: T) => R): Record<string, R> {
  const names = [...map.keys()].sort();
  return Object.fromEntries(names.map((name) => [name, describe(map.get(name)!)])); // each name is a key of the map
}

function flag<Name extends string>(name: Name, is: boolean): { readonly [N in Name]?: true } {
  return (is ? { [name]: true } : {}) as { readonly [N in Name]?: true };
}

function schema<Name extends string>(
  name: Name,
  validator: Schema<never, unknown> | undefined,
): { readonly [N in Name]?: Described } {
  const made = described(validator);
  return (made === undefined ? {} : { [name]: made }) as { readonly [N in Name]?: Described };
}
