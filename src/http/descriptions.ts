/**
 * Descriptions of an edge (contracts on HTTP) for tools, made from the JSON Schemas of its contracts (Standard JSON
 * Schema): OpenAPI 3.1 for commands, queries and workflows, AsyncAPI 3 for streams and durable events. A contract
 * without a JSON Schema is described as any JSON.
 */
import type { AnyContract } from "../contract/declaration/contract.ts";
import { CALLBACK_PATH } from "../contract/calls/flow.ts";
import {
  checkBoolean,
  checkKnown,
  checkString,
  disown,
  isPlain,
  isRecord,
  isThenable,
  isToken,
  show,
} from "../data/checks.ts";
import type { EdgeRoute } from "./edge_types.ts";
import { failureStatus, titleOf } from "./respond.ts";
import { type Json, SchemaComponents } from "./schema_components.ts";

/** How callers say who they are, as OpenAPI describes it: a header or a cookie, a scheme of HTTP, OAuth or OpenID. */
export type SecurityScheme =
  | { readonly type: "apiKey"; readonly in: "header" | "cookie" | "query"; readonly name: string }
  | { readonly type: "http"; readonly scheme: string; readonly bearerFormat?: string }
  | { readonly type: "oauth2"; readonly flows: Readonly<Record<string, unknown>> }
  | { readonly type: "openIdConnect"; readonly openIdConnectUrl: string };

/** Facts about the API as a whole that a description contains. */
export interface DescriptionInfo {
  /** Title of the API. */
  readonly title: string;
  /** Version of the API. */
  readonly version: string;
  /** Path before the names of the entries, as in the options of the handler. Default: `""`. */
  readonly base?: string | undefined;
  /** True: the description has the paths of callbacks, as the option of the handler. Default: false. */
  readonly callbacks?: boolean | undefined;
  /**
   * Schemes by which callers say who they are, one of which is enough, by names of your own, such as
   * `{ session: { type: "apiKey", in: "cookie", name: "session" } }`. Default: none.
   */
  readonly security?: Readonly<Record<string, SecurityScheme>> | undefined;
}

/** Returns the OpenAPI 3.1 description of an edge's commands, queries and workflows. */
export function openapi(routes: readonly EdgeRoute[], info: DescriptionInfo): Json {
  const { title, version, base, security } = checkedInfo("openapi", info);
  const schemas = new SchemaComponents({ Problem: PROBLEM, Run: RUN });
  const paths: Json = {};
  for (const route of routes) Object.assign(paths, pathsOf(`${base}/${route.name}`, route, schemas));
  if (info.callbacks) Object.assign(paths, callbackPaths(base));
  const isOpen = Object.keys(security).length === 0;
  return {
    openapi: "3.1.0",
    info: { title, version },
    ...(isOpen ? {} : { security: Object.keys(security).map((name) => ({ [name]: [] })) }),
    paths,
    components: { schemas: schemas.schemas, ...(isOpen ? {} : { securitySchemes: security }) },
  };
}

/** Returns the AsyncAPI 3 description of an edge's streams and durable events. */
export function asyncapi(routes: readonly EdgeRoute[], info: DescriptionInfo): Json {
  const { title, version, base, security } = checkedInfo("asyncapi", info);
  const schemas = new SchemaComponents();
  const channels: Json = {};
  const operations: Json = {};
  const messages: Json = {};
  for (const { name, kind, contract } of routes) {
    if (kind !== "stream" && kind !== "event") continue;
    const { input, items } = (contract as AnyContract).options;
    const isStream = kind === "stream";
    const payload = isStream
      ? schemas.of(items, "output", `${contract.name}Item`)
      : schemas.add(eventSchema(schemas.of(input, "input", `${contract.name}Payload`)), contract.name);
    messages[name] = { name: contract.name, title: contract.name, contentType: "application/json", payload };
    const part = isStream ? "item" : "event";
    channels[name] = {
      address: `${base}/${name}`,
      title: contract.name,
      description: isStream ? "Items, as server-sent events." : "Events as they are stored, as server-sent events.",
      messages: { [part]: { $ref: `#/components/messages/${name}` } },
    };
    operations[`read_${name}`] = {
      action: "send",
      channel: { $ref: `#/channels/${name}` },
      summary: `${kind} ${contract.name}`,
      messages: [{ $ref: `#/channels/${name}/messages/${part}` }],
      ...(Object.keys(security).length === 0 ? {} : {
        security: Object.keys(security).map((each) => ({ $ref: `#/components/securitySchemes/${each}` })),
      }),
      bindings: {
        http: { method: "GET", query: urlOf(kind, input, `${contract.name}Input`, schemas), bindingVersion: "0.3.0" },
      },
    };
  }
  const schemes = Object.entries(security).map(([name, scheme]) => [name, asyncScheme(scheme)]);
  return {
    asyncapi: "3.0.0",
    info: { title, version },
    defaultContentType: "application/json",
    channels,
    operations,
    components: { messages, schemas: schemas.schemas, securitySchemes: Object.fromEntries(schemes) },
  };
}

/** Returns the parameters of the URL of a stream, or of a tail. */
function urlOf(kind: "stream" | "event", input: unknown, name: string, schemas: SchemaComponents): Json {
  if (kind === "event") return { type: "object", properties: { from: { type: "string" }, key: { type: "string" } } };
  const { required, schema } = inputParameter(input, name, schemas);
  return { type: "object", properties: { input: schema }, ...(required ? { required: ["input"] } : {}) };
}

/** Returns a security scheme as AsyncAPI describes it. */
function asyncScheme(scheme: SecurityScheme): Json {
  if (scheme.type === "apiKey") return { ...scheme, type: "httpApiKey" };
  if (scheme.type !== "oauth2") return { ...scheme };
  const flows = Object.entries(scheme.flows).map(([name, flow]) => {
    const { scopes, ...rest } = flow as Json;
    return [name, { ...rest, availableScopes: scopes }];
  });
  return { ...scheme, flows: Object.fromEntries(flows) };
}

function pathsOf(path: string, route: EdgeRoute, schemas: SchemaComponents): Json {
  const { kind, contract, options } = route;
  const { name } = contract;
  if (kind === "command" || kind === "query") {
    const { input, output, failures = [], idempotent, id } = (contract as AnyContract).options;
    const common = (operationId: string) => ({ operationId, summary: `${kind} ${name}` });
    const answers = valueResponses(output, `${name}Output`, schemas);
    const post = (operationId: string, parameters: readonly Json[]) => ({
      ...common(operationId),
      parameters,
      ...body(input, `${name}Input`, schemas),
      responses: { ...answers, ...problems([...failures, ...OF_BODIES], options.failures) },
    });
    if (kind === "command") return { [path]: { post: post(route.name, idempotent ? keyUnless(id) : []) } };
    const parameters = input === undefined ? [] : [inputParameter(input, `${name}Input`, schemas)];
    const responses = { ...answers, ...problems(failures, options.failures) };
    return { [path]: { get: { ...common(route.name), parameters, responses }, post: post(`${route.name}_post`, []) } };
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
  const accepted = (more: readonly string[]) => ({
    202: { description: "It is stored" },
    ...problems(more, undefined),
  });
  const paths: Json = {
    [path]: {
      post: {
        ...{ operationId: `${route.name}_start`, summary: `start workflow ${name}`, parameters: keyUnless(id) },
        ...body(input, `${name}Input`, schemas),
        responses: {
          202: { ...open, headers: { location: { schema: { type: "string" } } } },
          ...problems(OF_BODIES, undefined),
        },
      },
    },
    [`${path}/{run}`]: {
      get: {
        ...{ operationId: `${route.name}_result`, summary: `result of a run of ${name}` },
        parameters: [run, PREFER],
        responses: {
          ...valueResponses(output, `${name}Output`, schemas),
          202: open,
          ...problems([...failures, "NOT_FOUND"], options.failures),
        },
      },
      ...(options.cancel
        ? {
          delete: {
            operationId: `${route.name}_cancel`,
            summary: `cancel a run of ${name}`,
            parameters: [run],
            responses: accepted(["NOT_FOUND"]),
          },
        }
        : {}),
    },
  };
  for (const [signal, { "~input": told }] of Object.entries(options.tell ?? {})) {
    paths[`${path}/{run}/${signal}`] = {
      post: {
        ...{ operationId: `${route.name}_tell_${signal}`, summary: `tell a run of ${name} ${signal}` },
        parameters: [run, IDEMPOTENCY_KEY],
        ...body(told, `${name}_${signal}`, schemas),
        responses: accepted([...OF_BODIES, "NOT_FOUND"]),
      },
    };
  }
  for (const [question, { "~input": asked, "~question": of }] of Object.entries(options.ask ?? {})) {
    paths[`${path}/{run}/${question}`] = {
      post: {
        ...{ operationId: `${route.name}_ask_${question}`, summary: `ask a run of ${name} ${question}` },
        parameters: [run, IDEMPOTENCY_KEY, PREFER],
        ...body(asked, `${name}_${question}`, schemas),
        responses: {
          ...valueResponses(of.output, `${name}_${question}Answer`, schemas),
          ...problems([...of.failures ?? [], ...OF_BODIES, "NOT_FOUND"], options.failures),
        },
      },
    };
  }
  return paths;
}

/** Returns the paths by which callbacks of runs are completed: the token is the caller's right. */
function callbackPaths(base: string): Json {
  const token = { name: "token", in: "path", required: true, schema: { type: "string" } };
  const of = (operationId: string, summary: string, schema: Json) => ({
    post: {
      ...{ operationId, summary, parameters: [token], security: [] },
      requestBody: { required: false, content: { "application/json": { schema } } },
      responses: {
        204: { description: "Stored, now or by an earlier request with an equal body" },
        ...problems([...OF_BODIES, "NO_CALLBACK", "CALLBACK_ENDED"], undefined),
      },
    },
  });
  const failure = { type: "object", required: ["code"], properties: { code: STRING, message: STRING } };
  return {
    [`${base}${CALLBACK_PATH}{token}`]: of("complete_callback", "complete a callback with a value", {}),
    [`${base}${CALLBACK_PATH}{token}/fail`]: of("fail_callback", "complete a callback with a failure", failure),
  };
}

const STRING: Json = { type: "string" };

/** Returns the responses of a call that succeeds. */
function valueResponses(output: unknown, name: string, schemas: SchemaComponents): Json {
  return {
    200: json(schemas.of(output, "output", name)),
    ...(takesNothing(output) ? { 204: { description: "No value" } } : {}),
  };
}

/** Returns true if a validator takes `undefined`, so that an input or a value may be left out. */
function takesNothing(validator: unknown): boolean {
  const { "~standard": standard } = (validator ?? {}) as {
    readonly "~standard"?: { validate?(value: unknown): unknown };
  };
  if (standard?.validate === undefined) return true;
  try {
    const outcome = standard.validate(undefined);
    disown(outcome);
    return !isThenable(outcome) && (outcome as { readonly issues?: unknown }).issues === undefined;
  } catch {
    return false; // the validator reads what it gets before it looks at it
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

function body(input: unknown, name: string, schemas: SchemaComponents): Json {
  return {
    requestBody: {
      required: !takesNothing(input),
      content: { "application/json": { schema: schemas.of(input, "input", name) } },
    },
  };
}

/**
 * Returns the parameter `input` of a URL. It is a text that contains JSON: generators of clients write the members of
 * an object in forms of their own, and ignore that a parameter is JSON as a whole.
 */
function inputParameter(input: unknown, name: string, schemas: SchemaComponents) {
  return {
    name: "input",
    in: "query",
    required: !takesNothing(input),
    description: "The input as JSON text: JSON.stringify(input).",
    schema: {
      type: "string",
      contentMediaType: "application/json",
      contentSchema: schemas.of(input, "input", name),
    },
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
  const codes = [...failures, ...Object.keys(statuses), ...OF_ALL];
  const own = { ...OWN_STATUS, ...statuses };
  const byStatus = Map.groupBy(new Set(codes), (code) => failureStatus(code, own));
  return Object.fromEntries([...byStatus].map(([status, codes]) => [status, {
    description: `${titleOf(status)}: ${codes.join(", ")}`,
    ...(status === 429 || status === 503 ? { headers: { "retry-after": RETRY_AFTER } } : {}),
    content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
  }]));
}

function checkedInfo(
  method: string,
  info: DescriptionInfo,
): { title: string; version: string; base: string; security: Readonly<Record<string, SecurityScheme>> } {
  checkKnown(method, info, INFO);
  const { title, version, base = "", security = {} } = info;
  checkString(`${method}: title`, title);
  checkString(`${method}: version`, version);
  checkString(`${method}: base`, base);
  if (info.callbacks !== undefined) checkBoolean(`${method}: callbacks`, info.callbacks);
  if (!isPlain(security)) {
    throw new TypeError(`${method}: security must be an object of schemes by name; got ${show(security)}`);
  }
  for (const [name, scheme] of Object.entries(security)) {
    if (isToken(name, 64) && isRecord(scheme) && typeof scheme.type === "string") continue;
    throw new TypeError(`${method}: security.${name} must be a security scheme of OpenAPI; got ${show(scheme)}`);
  }
  return { title, version, base, security };
}

/** Codes that every route may answer with. */
const OF_ALL = [
  ...["INVALID_MESSAGE", "UNAUTHORIZED", "FORBIDDEN", "RATE_LIMITED"],
  ...["HANDLER_FAILED", "UNAVAILABLE", "TIMEOUT"],
];
/** Codes that routes with a body may answer with besides. */
const OF_BODIES = ["REQUEST_TIMEOUT", "TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"];
/** HTTP statuses of the edge's own error codes. */
const OWN_STATUS: Readonly<Record<string, number>> = {
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  REQUEST_TIMEOUT: 408,
  TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  RATE_LIMITED: 429,
};
const INFO: ReadonlySet<string> = new Set<keyof DescriptionInfo>(["title", "version", "base", "callbacks", "security"]);
const RETRY_AFTER = { description: "Seconds after which another try may help.", schema: { type: "integer" } };
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
    view: {},
    pending: {
      type: "array",
      items: {
        type: "object",
        required: ["name"],
        properties: { name: { type: "string" }, next: { type: "string", format: "date-time" }, progress: {} },
      },
    },
  },
};
