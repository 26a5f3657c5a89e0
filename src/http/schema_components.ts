/**
 * JSON Schemas of contracts as parts of one document: schemas that have a name, and those that contain themselves,
 * become components of the document, and every reference points to one of them. Equal schemas of one name are one
 * component.
 */

/** A JSON Schema, or a part of a document. */
export type Json = Record<string, unknown>;

/**
 * The schemas of a document's `components`.
 * @decides names of components in OpenAPI and AsyncAPI, and where references point
 */
export class SchemaComponents {
  /** The components by their names. */
  readonly schemas: Json;
  /** By the text of a schema with all that it refers to: its name. */
  readonly #names = new Map<string, string>();

  /** `own`: components that are there from the start; other schemas of their names get other ones. */
  constructor(own: Readonly<Json> = {}) {
    this.schemas = { ...own };
  }

  /**
   * Returns a validator's JSON Schema for its input or its output, with references that hold in the document; any JSON
   * if it has no JSON Schema. `name`: for schemas that need a name and have none.
   */
  of(validator: unknown, side: "input" | "output", name: string): Json {
    const root = jsonSchemaOf(validator, side);
    const defs: Json = { ...root.definitions as Json, ...root.$defs as Json };
    const names = new Map<string, string>();
    // the components are named before any is made, because they refer to each other
    const made: [name: string, schema: unknown][] = [];
    const named = (key: string, schema: unknown, wanted: string) => {
      const [component, isNew] = this.#name(textOf(key, schema, root, defs), wanted, side);
      names.set(key, component);
      if (isNew) made.push([component, schema]);
    };
    const { $defs: _, definitions: __, ...own } = root;
    const isNamed = typeof root.id === "string";
    if (isNamed || hasRef(own, pointsIntoRoot) || Object.values(defs).some((def) => hasRef(def, pointsIntoRoot))) {
      named("#", own, isNamed ? `${root.id}` : name);
    }
    for (const [key, schema] of Object.entries(defs)) named(key, schema, MADE_UP.test(key) ? `${name}Part` : key);
    const pointed = (ref: string) => {
      const key = DEFINITION.exec(ref)?.[1];
      const known = key === undefined ? undefined : names.get(unescaped(key));
      if (known !== undefined) return refTo(known);
      return ref.startsWith("#") ? `${refTo(names.get("#")!)}${ref.slice(1)}` : ref;
    };
    for (const [component, schema] of made) this.schemas[component] = mapped(schema, pointed);
    const component = names.get("#");
    return component === undefined ? mapped(own, pointed) as Json : { $ref: refTo(component) };
  }

  /** Adds a schema that is already of this document, and returns a reference to it. */
  add(schema: Json, wanted: string): Json {
    const [component, isNew] = this.#name(JSON.stringify(schema), wanted, "output");
    if (isNew) this.schemas[component] = schema;
    return { $ref: refTo(component) };
  }

  #name(text: string, wanted: string, side: "input" | "output"): [name: string, isNew: boolean] {
    const clean = wanted.replace(/[^\w.-]/g, "_");
    const known = this.#names.get(`${clean} ${text}`);
    if (known !== undefined) return [known, false];
    // what a validator takes may differ from what it returns
    const other = `${clean}${side === "input" ? "Input" : "Output"}`;
    const candidates = function* () {
      yield clean;
      yield other;
      for (let n = 2;; n++) yield `${other}${n}`;
    };
    let name = clean;
    for (name of candidates()) if (!Object.hasOwn(this.schemas, name)) break;
    this.schemas[name] = {}; // taken
    this.#names.set(`${clean} ${text}`, name);
    return [name, true];
  }
}

function jsonSchemaOf(validator: unknown, side: "input" | "output"): Json {
  const { "~standard": standard } = (validator ?? {}) as {
    readonly "~standard"?: {
      readonly jsonSchema?: Readonly<Record<string, (options: { readonly target: string }) => unknown>>;
    };
  };
  try {
    const { $schema: _, ...made } = standard?.jsonSchema?.[side]?.({ target: "draft-2020-12" }) as Json ?? {};
    return made;
  } catch {
    return {}; // a part of the schema cannot be expressed in JSON Schema
  }
}

/** Returns a text that is equal for equal schemas: of the schema, and of all definitions to which it leads. */
function textOf(key: string, schema: unknown, root: Json, defs: Json): string {
  const parts = new Map([[key, schema]]);
  for (const [, part] of parts) {
    hasRef(part, (ref) => {
      const to = DEFINITION.exec(ref)?.[1];
      const found = to === undefined ? undefined : unescaped(to);
      if (found !== undefined && Object.hasOwn(defs, found)) parts.set(found, defs[found]);
      else parts.set("#", root);
      return false;
    });
  }
  return JSON.stringify([...parts]);
}

/** Returns true if a schema has a reference for which `is` returns true. */
function hasRef(schema: unknown, is: (ref: string) => boolean): boolean {
  let found = false;
  mapped(schema, (ref) => {
    found ||= is(ref);
    return ref;
  });
  return found;
}

/** Returns a copy of a schema with other references. Values that are no schemas, such as examples, stay as they are. */
function mapped(schema: unknown, to: (ref: string) => string): unknown {
  if (Array.isArray(schema)) return schema.map((part) => mapped(part, to));
  if (typeof schema !== "object" || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([key, part]) => {
      if (key === "$ref" && typeof part === "string") return [key, to(part)];
      if (VALUES.has(key)) return [key, part];
      if (!BY_NAME.has(key) || typeof part !== "object" || part === null) return [key, mapped(part, to)];
      return [key, Object.fromEntries(Object.entries(part).map(([name, each]) => [name, mapped(each, to)]))];
    }),
  );
}

function pointsIntoRoot(ref: string): boolean {
  return ref.startsWith("#") && !DEFINITION.test(ref);
}

function refTo(component: string): string {
  return `#/components/schemas/${component}`;
}

/** Undoes the escapes of a JSON Pointer in a URI (RFC 6901). */
function unescaped(key: string): string {
  return decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~");
}

const DEFINITION = /^#\/(?:\$defs|definitions)\/([^/]+)$/;
/** Names that validators make up for schemas that have none. */
const MADE_UP = /^_|^\d|^(?:schema|intersection|union|alias)\d*$/i;
/** Members of schemas whose values are no schemas. */
const VALUES: ReadonlySet<string> = new Set(["const", "enum", "default", "examples", "example"]);
/** Members of schemas that contain schemas by names that users choose. */
const BY_NAME: ReadonlySet<string> = new Set([
  "properties",
  "patternProperties",
  "dependentSchemas",
  "$defs",
  "definitions",
]);
