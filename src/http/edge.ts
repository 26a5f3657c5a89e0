/**
 * An edge: contracts that HTTP clients can call by name. Server and browser share the edge: the server makes a handler
 * of it, and a browser imports only its type. A contract that is not listed cannot be reached.
 */
import { isHandler } from "../contract/declaration/handler.ts";
import type { Caller } from "../contract/declaration/program_types.ts";
import type { Catga } from "../contract/nodes/running_node.ts";
import {
  checkBoolean,
  checkFunction,
  checkHeader,
  checkKnown,
  checkObject,
  checkString,
  isPlain,
  isRecord,
  isToken,
  show,
} from "../data/checks.ts";
import { asyncapi, type DescriptionInfo, openapi } from "./descriptions.ts";
import type { EdgeContract, EdgeEntries, EdgeEntry, EdgeEntryOptions, EdgeRoute } from "./edge_types.ts";
import { edgeHandler } from "./edge_handler.ts";
import type { EdgeHandlerOptions } from "./edge_options.ts";
import { checkFailures } from "./respond.ts";

/** An edge, which offers contracts over HTTP; made by {@link edge}. */
export interface Edge<E extends EdgeEntries> {
  /** Compile time only, never has a value: carries the types of the entries for clients. */
  readonly "~entries"?: E;
  /**
   * Makes the function that handles HTTP requests, for `Deno.serve`, `Bun.serve`, Hono and Node. Throws a `TypeError`
   * or `RangeError` if an option is invalid. The option `authorize` has to return the caller (of the type `caller` in
   * `ProgramTypes`), `undefined`, or a refusal.
   */
  handler<Given extends Caller | undefined>(
    app: Catga,
    options: EdgeHandlerOptions<Given>,
  ): (request: Request) => Promise<Response>;
  /**
   * Returns the OpenAPI 3.1 description of the edge's commands, queries and workflows, for tools, from the schemas of
   * the contracts.
   */
  openapi(info: DescriptionInfo): Record<string, unknown>;
  /**
   * Returns the AsyncAPI 3 description of the edge's streams and durable events, for tools, from the schemas of the
   * contracts.
   */
  asyncapi(info: DescriptionInfo): Record<string, unknown>;
}

/**
 * Lists contracts for HTTP: commands, queries, streams, durable events and workflows, each under a name of its own of 1
 * to 64 letters, digits, `-` and `_`. A caller without Catga's client gives the input as JSON: of a query or a stream
 * as `?input=` in the URL, else as the body of a `POST`. Throws a `TypeError` for an invalid entry.
 *
 * @example
 * ```ts
 * import { catga, command, query } from "@catga/catga";
 * import { edge } from "@catga/catga/http";
 *
 * const CreateOrder = command<{ sku: string }, { orderId: string }>("CreateOrder");
 * const CountOrders = query<void, number>("CountOrders");
 * const api = edge({ createOrder: CreateOrder, orders: [CountOrders, { cache: "max-age=5" }] });
 *
 * let orders = 0;
 * const handlers = [CreateOrder.handle(({ sku }) => ({ orderId: `${sku}-${++orders}` })), CountOrders.handle(() => orders)];
 * await using app = await catga({ handlers });
 * const handle = api.handler(app, { base: "/api", authorize: () => ({ id: "anyone" }) });
 * const body = JSON.stringify({ sku: "tea" });
 * const headers = { "content-type": "application/json" };
 * const made = await handle(new Request("http://localhost/api/createOrder", { method: "POST", body, headers }));
 * console.log(made.status, await made.json()); // 200 { orderId: "tea-1" }
 * console.log(await (await handle(new Request("http://localhost/api/orders"))).json()); // 1
 * ```
 * @decides `edge()` and the options of its entries
 */
export function edge<const E extends EdgeEntries>(entries: E): Edge<E> {
  if (!isPlain(entries)) throw new TypeError(`edge must be an object of contracts by name; got ${show(entries)}`);
  const routes = new Map<string, EdgeRoute>();
  for (const [name, entry] of Object.entries(entries)) routes.set(name, routeOf(name, entry));
  return Object.freeze({
    "~routes": routes, // for `catga check`
    handler: <Given extends Caller | undefined>(app: Catga, options: EdgeHandlerOptions<Given>) =>
      edgeHandler(app, routes, options),
    openapi: (info: DescriptionInfo) => openapi([...routes.values()], info),
    asyncapi: (info: DescriptionInfo) => asyncapi([...routes.values()], info),
  });
}

function routeOf(name: string, entry: EdgeEntry): EdgeRoute {
  const at = `edge: ${name}`;
  if (!isToken(name, 64)) throw new TypeError(`${at}: a name has 1 to 64 letters, digits, "-" and "_"`);
  const [given, options]: readonly [unknown, EdgeEntryOptions] = Array.isArray(entry)
    ? [entry[0], entry[1]]
    : [entry, {}];
  if (!isRecord(given) || !Object.hasOwn(OPTIONS, given.kind as string)) {
    const got = isHandler(given) ? `a handler of ${given.contract.name}: list its contract` : show(entry);
    throw new TypeError(`${at} must be a command, a query, a stream, a durable event or a workflow; got ${got}`);
  }
  const contract = given as unknown as EdgeContract;
  checkObject(at, options, "[contract, options]");
  checkKnown(at, options, OPTIONS[contract.kind]);
  checkOptions(at, contract, options);
  if (contract.kind === "workflow") {
    return Object.freeze({ name, kind: contract.kind, contract, meta: workflowMeta(contract), options });
  }
  if (contract.kind === "event" && !contract.options.durable) {
    throw new TypeError(`${at}: only a durable event can be followed: give ${contract.name} durable: true`);
  }
  return Object.freeze({ name, kind: contract.kind, contract, meta: contract.options.meta, options });
}

function checkOptions(at: string, { name }: EdgeContract, options: EdgeEntryOptions): void {
  const { cache = "no-cache", failures = {}, tell = {}, ask = {}, cancel = false, resume, key } = options;
  checkString(`${at}: cache`, cache);
  checkHeader("cache-control", cache);
  checkFailures(at, failures);
  checkBoolean(`${at}: cancel`, cancel);
  if (key !== undefined) checkFunction(`${at}: key`, key);
  if (resume !== undefined) {
    checkKnown(`${at}: resume`, resume, RESUME);
    checkFunction(`${at}: resume.id`, resume.id);
    checkFunction(`${at}: resume.from`, resume.from);
  }
  checkNamed(`${at}: tell`, name, "signal", tell);
  checkNamed(`${at}: ask`, name, "question", ask);
  const both = Object.keys(ask).find((known) => Object.hasOwn(tell, known));
  if (both !== undefined) {
    throw new TypeError(`${at}: ask.${both} has the name of a signal of tell: both would have one path`);
  }
}

/** Checks the signals or questions that callers may use. */
function checkNamed(at: string, workflow: string, kind: "signal" | "question", given: unknown): void {
  if (!isPlain(given)) throw new TypeError(`${at} must be an object of ${kind}s by name; got ${show(given)}`);
  for (const [known, one] of Object.entries(given)) {
    if (!isToken(known, 64)) {
      throw new TypeError(`${at}: a name has 1 to 64 letters, digits, "-" and "_"; got ${show(known)}`);
    }
    // they must belong to the entry's workflow: those of another workflow would reach runs that the entry does not name
    const isOf = isRecord(one) && one.workflow === workflow && typeof one.name === "string";
    if (isOf && (one["~question"] !== undefined) === (kind === "question")) continue;
    throw new TypeError(`${at}.${known} must be a ${kind} of ${workflow}; got ${show(one)}`);
  }
}

function workflowMeta(contract: unknown): EdgeRoute["meta"] {
  return (contract as { readonly "~workflow": { readonly meta: EdgeRoute["meta"] } })["~workflow"].meta;
}

const RESUME: ReadonlySet<string> = new Set(["id", "from"]);
const OPTIONS: Readonly<Record<EdgeRoute["kind"], ReadonlySet<string>>> = {
  command: new Set(["failures", "key"]),
  query: new Set(["failures", "cache", "key"]),
  stream: new Set(["failures", "resume", "key"]),
  event: new Set(["key"]),
  workflow: new Set(["failures", "tell", "ask", "cancel"]),
};
