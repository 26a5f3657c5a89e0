/**
 * Descriptions of an edge (contracts on HTTP) for tools, made from the JSON Schemas of its contracts (Standard JSON
 * Schema): OpenAPI 3.1 for commands, queries and workflows, AsyncAPI 3 for streams and durable events. A contract
 * without a JSON Schema is described as any JSON.
 */
import type { AnyContract } from "../contract/contract.ts";
import { checkKnown, checkString } from "../data/checks.ts";
import type { EdgeRoute } from "./edge_types.ts";
import { failureStatus, titleOf } from "./respond.ts";

/** Facts about the API as a whole that a description contains. */
export interface DescriptionInfo {
  /** Title of the API. */
  readonly title: string;
  /** Version of the API. */
  readonly version: string;
  /** Path before the names of the entries, as in the options of the handler. Default: `""`. */
  readonly base?: string | undefined;
}

type Json = Record<string, unknown>;

/** Returns the OpenAPI 3.1 description of an edge's commands, queries and workflows. */
export function openapi(routes: readonly EdgeRoute[], info: DescriptionInfo): Json {
  const { title, version, base } = checkedInfo("openapi", info);
  const paths: Json = {};
  for (const route of routes) Object.assign(paths, pathsOf(`${base}/${route.name}`, route));
  return {
    openapi: "3.1.0",
    info: { title, version },
    paths,
    components: { schemas: { Problem: PROBLEM, Run: RUN } },
  };
}

/** Returns the AsyncAPI 3 description of an edge's streams and durable events. */
export function asyncapi(routes: readonly EdgeRoute[], info: DescriptionInfo): Json {
  const { title, version, base } = checkedInfo("asyncapi", info);
  const channels: Json = {};
  const operations: Json = {};
  for (const { name, kind, contract } of routes) {
    if (kind !== "stream" && kind !== "event") continue;
    const { input, items } = (contract as AnyContract).options;
    const payload = kind === "stream" ? schemaOf(items, "output") : eventSchema(schemaOf(input, "input"));
    channels[name] = {
      address: `${base}/${name}`,
      title: contract.name,
      description: kind === "stream"
        ? "Items, as server-sent events."
        : "Events as they are stored, as server-sent events.",
      messages: { [kind === "stream" ? "item" : "event"]: { contentType: "application/json", payload } },
    };
    operations[`read_${name}`] = {
      action: "send",
      channel: { $ref: `#/channels/${name}` },
      summary: `${kind} ${contract.name}`,
    };
  }
  return { asyncapi: "3.0.0", info: { title, version }, defaultContentType: "application/json", channels, operations };
}

function pathsOf(path: string, route: EdgeRoute): Json {
  const { kind, contract, options } = route;
  if (kind === "command" || kind === "query") {
    const { input, output, failures = [], idempotent, id } = (contract as AnyContract).options;
    const common = { operationId: route.name, summary: `${kind} ${contract.name}` };
    const responses = {
      ...(output === undefined
        ? { 200: json({}), 204: { description: "No value" } }
        : { 200: json(schemaOf(output, "output")) }),
      ...problems(failures, options.failures),
    };
    if (kind === "query") {
      const parameters = input === undefined ? [] : [inputParameter(schemaOf(input, "input"))];
      return { [path]: { get: { ...common, parameters, responses } } };
    }
    const parameters = idempotent ? keyUnless(id) : [];
    return { [path]: { post: { ...common, parameters, ...body(input), responses } } };
  }
  if (kind !== "workflow") return {};
  const { "~workflow": { input, output, failures = [], id } } = contract as unknown as {
    "~workflow": Pick<AnyContract["options"], "input" | "output" | "failures" | "id">;
  };
  const run = {
    name: "run",
    in: "path",
    required: true,
    description: "The id of the run.",
    schema: { type: "string" },
  };
  const open = json({ $ref: "#/components/schemas/Run" }, "It goes on");
  const accepted = { 202: { description: "It is stored" }, ...problems([], undefined) };
  const paths: Json = {
    [path]: {
      post: {
        ...{
          operationId: `${route.name}_start`,
          summary: `start workflow ${contract.name}`,
          parameters: keyUnless(id),
        },
        ...body(input),
        responses: {
          202: { ...open, headers: { location: { schema: { type: "string" } } } },
          ...problems([], undefined),
        },
      },
    },
    [`${path}/{run}`]: {
      get: {
        ...{ operationId: `${route.name}_result`, summary: `result of a run of ${contract.name}` },
        parameters: [run, PREFER],
        responses: {
          200: json(output === undefined ? {} : schemaOf(output, "output")),
          202: open,
          ...problems(failures, options.failures),
        },
      },
      ...(options.cancel
        ? {
          delete: {
            operationId: `${route.name}_cancel`,
            summary: `cancel a run of ${contract.name}`,
            parameters: [run],
            responses: accepted,
          },
        }
        : {}),
    },
  };
  for (const [name, { "~input": told }] of Object.entries(options.tell ?? {})) {
    paths[`${path}/{run}/${name}`] = {
      post: {
        ...{ operationId: `${route.name}_tell_${name}`, summary: `tell a run of ${contract.name} ${name}` },
        ...{ parameters: [run], ...body(told), responses: accepted },
      },
    };
  }
  return paths;
}

/** Returns the JSON Schema of a validator, for its input or its output; any JSON if it has no JSON Schema. */
function schemaOf(schema: unknown, side: "input" | "output"): Json {
  const { "~standard": standard } = (schema ?? {}) as {
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

function eventSchema(payload: Json): Json {
  return {
    type: "object",
    required: ["position", "id", "stored"],
    properties: {
      position: { type: "integer" },
      id: { type: "string" },
      key: { type: "string" },
      payload,
      stored: { type: "string", format: "date-time" },
      due: { type: "string", format: "date-time" },
    },
  };
}

function body(input: unknown): Json {
  return {
    requestBody: {
      required: input !== undefined,
      content: { "application/json": { schema: schemaOf(input, "input") } },
    },
  };
}

function inputParameter(schema: Json): Json {
  return {
    name: "input",
    in: "query",
    description: "The input, as JSON.",
    content: { "application/json": { schema } },
  };
}

/** Returns the parameter `Idempotency-Key`, which an edge ignores if the contract makes its ids. */
function keyUnless(id: unknown): readonly Json[] {
  return id === undefined ? [IDEMPOTENCY_KEY] : [];
}

function json(schema: Json, description = "The value"): Json {
  return { description, content: { "application/json": { schema } } };
}

/** Returns the responses for failures: for each status, the codes that have it. */
function problems(failures: readonly string[], statuses: Readonly<Record<string, number>> = {}): Json {
  const codes = [...failures, ...Object.keys(statuses), "INVALID_MESSAGE", "UNAUTHORIZED", "FORBIDDEN", "UNAVAILABLE"];
  const own = { ...OWN_STATUS, ...statuses };
  const byStatus = Map.groupBy(new Set(codes), (code) => failureStatus(code, own));
  return Object.fromEntries([...byStatus].map(([status, codes]) => [status, {
    description: `${titleOf(status)}: ${codes.join(", ")}`,
    content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
  }]));
}

function checkedInfo(
  method: string,
  info: DescriptionInfo,
): Required<{ title: string; version: string; base: string }> {
  checkKnown(method, info, INFO);
  const { title, version, base = "" } = info;
  checkString(`${method}: title`, title);
  checkString(`${method}: version`, version);
  checkString(`${method}: base`, base);
  return { title, version, base };
}

/** HTTP statuses of the edge's own error codes. */
const OWN_STATUS: Readonly<Record<string, number>> = { UNAUTHORIZED: 401, FORBIDDEN: 403 };
const INFO: ReadonlySet<string> = new Set<keyof DescriptionInfo>(["title", "version", "base"]);
const IDEMPOTENCY_KEY = {
  name: "Idempotency-Key",
  in: "header",
  description: "The same key gets the same outcome.",
  schema: { type: "string", maxLength: 128 },
};
const PREFER = {
  name: "Prefer",
  in: "header",
  description: "wait=20 waits up to 20 s for the end.",
  schema: { type: "string" },
};
const PROBLEM = {
  type: "object",
  required: ["status", "code"],
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    code: { type: "string" },
    details: {},
    ended: { type: "boolean" },
  },
};
const RUN = {
  type: "object",
  required: ["run"],
  properties: {
    run: { type: "string" },
    status: { type: "string" },
    stage: { type: "string" },
    pending: {
      type: "array",
      items: {
        type: "object",
        required: ["name"],
        properties: { name: { type: "string" }, next: { type: "string", format: "date-time" } },
      },
    },
  },
};
