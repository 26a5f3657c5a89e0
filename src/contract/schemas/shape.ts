/**
 * The shape of a contract identifies a version of the contract: it is a short hash of the contract's declaration. Two
 * programs have the same shape of a contract exactly if other programs can see no difference between their
 * declarations. The hash covers the kind, the options that other programs depend on, the failures, the JSON Schemas of
 * input, output and items, and `version`; not descriptions, nor the order of members.
 */
import { isCount, isRecord, isStringArray } from "../../data/checks.ts";
import { fingerprint } from "../../data/value_text.ts";
import { type JsonSchema, jsonSchemaOf } from "./json_schema.ts";
import { type AnyContract, type ContractOptions, isKind, type Kind } from "../declaration/contract.ts";
import type { Schema } from "./schema.ts";
import type { EntityDefinition } from "../declaration/entity_definition.ts";
import { drivenWorkflow } from "../declaration/workflow.ts";
import type { WorkflowDefinition } from "../declaration/workflow_body.ts";

/** A contract as other programs see it, in plain JSON. A node answers with it when it is asked for a contract. */
export interface ContractDescription {
  readonly kind: Kind;
  readonly version?: number | undefined;
  /** The names of the options that are set and that other programs depend on, sorted. */
  readonly options?: readonly string[] | undefined;
  readonly failures?: readonly string[] | undefined;
  /** JSON Schemas of the validators; absent without a validator, `null` for a validator that has no JSON Schema. */
  readonly input?: JsonSchema | null | undefined;
  readonly output?: JsonSchema | null | undefined;
  readonly items?: JsonSchema | null | undefined;
  /**
   * True if the node handles a durable event in both forms: stored events of this name, and events of this name that
   * are published without being stored. `undefined`: the contract is no durable event, or the node is of an older
   * build, which does not say.
   */
  readonly inBothForms?: boolean | undefined;
}

/**
 * The shapes of a program's contracts: of each, a hash of its declaration, which identifies its version. A shape is
 * computed when it is first needed, which takes some 0.5 ms. The internal contracts of a workflow have the shape of the
 * workflow.
 */
export class ContractShapes {
  readonly #workflows: ReadonlyMap<string, WorkflowDefinition>;
  readonly #entities: readonly EntityDefinition<unknown>[];
  readonly #known = new WeakMap<object, { readonly shape: string | undefined }>();
  readonly #copies = new WeakMap<AnyContract, AnyContract>();

  /** `workflows`, `entities`: the workflows and entities that this program handles. */
  constructor(workflows: readonly WorkflowDefinition[] = [], entities: readonly EntityDefinition<unknown>[] = []) {
    this.#workflows = new Map(workflows.map((workflow) => [workflow.name, workflow]));
    this.#entities = [...new Set(entities)];
  }

  /** The events of the entities that this program handles: it reads them from the store, and applies them. */
  get ofEntities(): readonly AnyContract[] {
    return this.#entities.flatMap(({ events }) => [...events.values()].map(({ contract }) => contract));
  }

  /**
   * Returns true if a contract has a shape (a hash of its declaration): if it has a schema or a version. For the
   * internal contract of a workflow, returns true if the workflow has a shape.
   */
  has(contract: AnyContract): boolean {
    const workflow = this.#workflowOf(contract);
    return workflow === undefined ? isShaped(contract) : isShapedWorkflow(workflow);
  }

  /**
   * Returns the shape of a contract (a hash of its declaration); `undefined`: the contract has neither a schema nor a
   * version, or a validator has no JSON Schema.
   */
  of(given: AnyContract): string | undefined {
    const contract = this.#copies.get(given) ?? given;
    const workflow = this.#workflowOf(contract);
    if (workflow !== undefined) return this.ofWorkflow(workflow);
    return isShaped(contract) ? this.#of(contract, () => describeContract(contract)) : undefined;
  }

  /**
   * Returns the shape of a workflow: a hash of its schemas, failures and version. `undefined`: the workflow has no
   * schema and its version is 1, or a validator has no JSON Schema.
   */
  ofWorkflow(workflow: WorkflowDefinition): string | undefined {
    if (!isShapedWorkflow(workflow)) return undefined;
    const { version, input, output, failures } = workflow;
    return this.#of(workflow, () => ({ kind: "command", version, ...schemasOf({ input, output, failures }) }));
  }

  /**
   * Gives `copy`, a copy of a contract without some of its options, the shape (hash of the declaration) of the original
   * contract, so that both count as one version.
   */
  copied(copy: AnyContract, contract: AnyContract): void {
    this.#copies.set(copy, contract);
  }

  #workflowOf({ name }: AnyContract): WorkflowDefinition | undefined {
    if (this.#workflows.size === 0) return undefined;
    const workflow = drivenWorkflow(name);
    return workflow === undefined ? undefined : this.#workflows.get(workflow);
  }

  #of(key: object, describe: () => ContractDescription): string | undefined {
    let known = this.#known.get(key);
    if (known === undefined) this.#known.set(key, known = { shape: shapeOf(describe()) });
    return known.shape;
  }
}

/** Takes the place of the shape of a workflow whose validator has no JSON Schema. */
export const UNKNOWN_SHAPE = "?";

/**
 * Returns true if a workflow has a shape (a hash of its declaration), by which its versions are told apart: if it has a
 * schema, or its version is above 1.
 */
export function isShapedWorkflow({ input, output, version }: WorkflowDefinition): boolean {
  return (input ?? output) !== undefined || version > 1;
}

/**
 * Returns true if a contract has a shape (a hash of its declaration), by which its versions are told apart: if it has a
 * validator, or a version. Without both, no node refuses its messages.
 */
export function isShaped({ options: { input, output, items, version } }: AnyContract): boolean {
  return (input ?? output ?? items ?? version) !== undefined;
}

/** Describes a contract as other programs see it, in plain JSON. */
export function describeContract({ kind, options }: AnyContract): ContractDescription {
  const { input, output, items, failures, version } = options;
  const set = OPTIONS.filter((name) => options[name]);
  return {
    kind,
    ...(version === undefined ? {} : { version }),
    ...(set.length === 0 ? {} : { options: set }),
    ...schemasOf({ input, output, items, failures }),
  };
}

function schemasOf(
  { input, output, items, failures }: Pick<ContractOptions, "input" | "output" | "items" | "failures">,
): Omit<ContractDescription, "kind"> {
  return {
    ...(failures === undefined ? {} : { failures: [...failures].sort() }),
    ...(input === undefined ? {} : { input: schemaOf(input) }),
    ...(output === undefined ? {} : { output: schemaOf(output) }),
    ...(items === undefined ? {} : { items: schemaOf(items) }),
  };
}

/**
 * Returns the shape (the hash) of a contract's description; `undefined` if a validator has no JSON Schema, or one that
 * is nested too deep.
 */
export function shapeOf(description: ContractDescription): string | undefined {
  const { input, output, items } = description;
  if (input === null || output === null || items === null) return undefined;
  try {
    const [own, answer, item] = [input, output, items].map((schema) => significant(schema));
    return fingerprint({ ...description, input: own, output: answer, items: item }).slice(0, SHAPE_LENGTH);
  } catch (error) {
    // a schema of the description is nested deeper than the stack allows, or contains a value that JSON lacks
    if (error instanceof RangeError || error instanceof TypeError) return undefined;
    throw error;
  }
}

/**
 * Returns one hash of the shapes of all contracts that a node handles or reads: nodes with the same hash handle and
 * read the same contracts, in the same versions, as far as their shapes are known.
 */
export function shapesHash({ handles, reads }: Pick<NodeShapes, "handles" | "reads">): string {
  return fingerprint(reads === undefined ? handles : { handles, reads }).slice(0, SHAPE_LENGTH);
}

/** Returns true if the value is a valid shape: a hash as text. */
export function isShape(value: unknown): value is string {
  return typeof value === "string" && value.length === SHAPE_LENGTH && /^[A-Za-z0-9_-]+$/.test(value);
}

/** Length of a shape, in characters. */
export const SHAPE_LENGTH = 8;
const OPTIONS = ["durable", "entity", "idempotent", "ordered"] as const satisfies readonly (keyof ContractOptions)[];

function schemaOf(schema: Schema<never, unknown>): JsonSchema | null {
  return jsonSchemaOf(schema) ?? null;
}

/**
 * Returns a JSON Schema without keywords for people, and with the items sorted in those keywords whose order has no
 * meaning, such as `required`. `isMap`: the keys of `schema` are names that the program chose, not keywords.
 */
function significant(schema: unknown, isMap = false): unknown {
  if (Array.isArray(schema)) return schema.map((each) => significant(each));
  if (!isRecord(schema)) return schema;
  const clean: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(schema)) {
    if (!isMap && NOTES.has(key)) continue;
    if (!isMap && VALUES.has(key)) clean[key] = key === "enum" && Array.isArray(value) ? sorted(value) : value;
    else {
      const part = significant(value, !isMap && MAPS.has(key));
      clean[key] = !isMap && SETS.has(key) && Array.isArray(part) ? sorted(part) : part;
    }
  }
  return clean;
}

function sorted(values: readonly unknown[]): readonly string[] {
  return values.map((value) => JSON.stringify(value) ?? "").sort();
}

/** Keywords of JSON Schema that do not decide which values are valid. */
const NOTES = new Set([
  ...["$schema", "$comment", "$id", "title", "description", "examples", "default", "deprecated"],
  ...["readOnly", "writeOnly"],
]);
/** Keywords of JSON Schema whose value has names that the program chose. */
const MAPS = new Set(["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"]);
/** Keywords of JSON Schema whose value is a set: the order of its items does not matter. */
const SETS = new Set(["required", "anyOf", "oneOf", "allOf", "type"]);
/** Keywords of JSON Schema whose value holds plain values, no schemas. */
const VALUES = new Set(["enum", "const"]);

// The answer of a node that is asked for the shapes of its contracts.

/**
 * The shapes (hashes of the declarations) of a node's contracts, by contract name; `null`: the node does not know the
 * shape, because a validator has no JSON Schema.
 */
export interface NodeShapes {
  /** Shapes of contracts that the node has handlers for. */
  readonly handles: Readonly<Record<string, string | null>>;
  /** Shapes of contracts that the node sends and does not handle. */
  readonly sends: Readonly<Record<string, string | null>>;
  /**
   * Shapes of events that the node reads from the store without a handler: those that it follows, its edges' included,
   * and those of the entities whose commands it handles. Absent: none.
   */
  readonly reads?: Readonly<Record<string, string | null>> | undefined;
}

/** Parses another node's answer with its shapes; `undefined` if the answer is invalid. */
export function readNodeShapes(value: unknown): NodeShapes | undefined {
  if (!isRecord(value)) return undefined;
  const { handles, sends, reads } = value;
  if (!areShapes(handles) || !areShapes(sends)) return undefined;
  return { handles, sends, ...(areShapes(reads) ? { reads } : {}) };
}

function areShapes(value: unknown): value is Record<string, string | null> {
  return isRecord(value) && Object.values(value).every((shape) => shape === null || isShape(shape));
}

/** Parses another node's description of a contract; `undefined` if the description is invalid. */
export function readDescription(value: unknown): ContractDescription | undefined {
  if (!isRecord(value)) return undefined;
  const { kind, version, options, input, output, items, inBothForms } = value;
  if (!isKind(kind)) return undefined;
  const schemas = { input, output, items };
  const known = Object.entries(schemas).filter(([, schema]) => schema !== undefined);
  if (!known.every(([, schema]) => schema === null || typeof schema === "boolean" || isRecord(schema))) {
    return undefined;
  }
  // the type is certain: each member has been checked
  return {
    ...{ kind, ...(isCount(version) ? { version } : {}), ...(isStringArray(options) ? { options } : {}) },
    ...(typeof inBothForms === "boolean" ? { inBothForms } : {}),
    ...Object.fromEntries(known),
  } as ContractDescription;
}
