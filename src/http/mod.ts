/**
 * Contracts, results and streams on HTTP: results become responses, streams become server-sent events. This module uses
 * only the Fetch API, so that it works in `Deno.serve`, `Bun.serve`, Hono, Node and wherever a `Response` is accepted.
 *
 * @example
 * ```ts
 * import { catga, query, stream } from "@catga/catga";
 * import { events, respond } from "@catga/catga/http";
 *
 * const Greet = query<{ name: string }, string>("Greet");
 * const Count = stream<{ to: number }, number>("Count");
 * const greet = Greet.handle(({ name }) => `hello ${name}`);
 * const count = Count.handle(function* ({ to }) {
 *   for (let n = 1; n <= to; n++) yield n;
 * });
 * await using app = await catga({ handlers: [greet, count] });
 *
 * const fetch = async (request: Request) =>
 *   new URL(request.url).pathname === "/count"
 *     ? events(app.stream(Count, { to: 2 }), { signal: request.signal })
 *     : respond(await app.send(Greet, { name: "tea" }));
 * console.log(await (await fetch(new Request("http://localhost/"))).json()); // hello tea
 * console.log((await (await fetch(new Request("http://localhost/count"))).text()).includes("data: 2")); // true
 * ```
 *
 * @decides exports of the entrypoint `/http`
 *
 * @module
 */

export { respond } from "./respond.ts";
export { events } from "./events.ts";
export { type Edge, edge } from "./edge.ts";
export type { DescriptionInfo, SecurityScheme } from "./descriptions.ts";
export type { EdgeHandlerOptions, EdgeLimit } from "./edge_options.ts";
export type {
  ClientCode,
  ContractOf,
  EdgeCall,
  EdgeCode,
  EdgeContract,
  EdgeEntries,
  EdgeEntry,
  EdgeEntryOptions,
  EdgeResume,
  OpenRun,
  OptionsOf,
} from "./edge_types.ts";
export { deny, EdgeRefusal } from "./refusal.ts";
export type { EventsOptions } from "./events.ts";
export type { RespondOptions } from "./respond.ts";
export type { AnyQuestion, AnySignal } from "../contract/calls/flow.ts";
