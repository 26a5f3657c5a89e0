/**
 * Describes the interface of a program as a value that is kept in the file `contracts.json`: its contracts with their
 * JSON Schemas, the events of its entities, its workflows and its subscriptions.
 */
import { type JsonSchema, jsonSchemaOf } from "../contract/schemas/json_schema.ts";
import { isKind, type Kind } from "../contract/declaration/contract.ts";
import type { Schema } from "../contract/schemas/schema.ts";
import { isRecord, isStrings } from "../data/checks.ts";
import { parsedJson } from "../data/encoding.ts";
import type { Program } from "./program.ts";

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
  /** By name of a subscription: the names of its events. */
  readonly subscriptions: Readonly<Record<string, readonly string[]>>;
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

/** Describes a program. Names are sorted, so that the description changes only if the program does. */
export function describe({ contracts, entities, workflows, subscriptions }: Program): Description {
  return {
    catga: 1,
    contracts: sorted(contracts, ({ contract: { kind, options }, handled, entity }) => ({
      kind,
      ...flag("handled", handled),
      ...flag("durable", Boolean(options.durable)),
      ...flag("idempotent", Boolean(options.idempotent)),
      ...flag("ids", options.id !== undefined),
      ...flag("ordered", Boolean(options.ordered)),
      ...flag("keyed", options.key !== undefined),
      ...(entity === undefined ? {} : { entity }),
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
    subscriptions: sorted(subscriptions, (events) => [...events].sort()),
  };
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
  const { contracts, entities, workflows, subscriptions } = value;
  const wrong = whyNotAll("contracts", contracts, (each) => {
    if (!isKind(each.kind)) return "kind";
    return ["input", "output", "items"].find((name) => !isDescribed(each[name]));
  }) ?? whyNotAll("entities", entities, (each) => {
    if (!Number.isInteger(each.version)) return "version";
    return whyNotAll("events", each.events, (event) => (isDescribed(event.input) ? undefined : "input"));
  }) ?? whyNotAll("workflows", workflows, (each) => {
    if (!Number.isInteger(each.version)) return "version";
    return isDescribed(each.input) ? undefined : "input";
  });
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
