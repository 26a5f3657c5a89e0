/**
 * A program that names its callers and the behaviors around its apps, with its types written out: the codes of those
 * are those of every send.
 * What must compile and what must not (`@ts-expect-error`). Only its types are built. No other file of the repository
 * is read together with it: what it adds to `ProgramTypes` holds for a whole program.
 *
 * @module
 */
import { type Behavior, type Catga, catga, type CodeOf, type Command, command, type Context, fail } from "@catga/catga";
import { type Flow, type Handler, type Result, type Workflow, workflow } from "@catga/catga";
import { logging, rateLimit } from "@catga/catga/behaviors";
import { client, type ClientResult } from "@catga/catga/client";
import { deny, type Edge, edge, respond } from "@catga/catga/http";

export const allow: Behavior<"FORBIDDEN"> = ({ ctx }, next) =>
  ctx.headers["x-role"] === "buyer" ? next() : fail("FORBIDDEN", "buyers only");
export const behaviors: readonly [Behavior<"FORBIDDEN">, Behavior] = [allow, logging()];

declare module "@catga/catga" {
  interface ProgramTypes {
    caller: { id: string };
    behaviors: typeof behaviors;
  }
}

export const Buy: Command<{ seat: string }, string, "TAKEN" | "RATE_LIMITED"> = command("Buy", {
  failures: ["TAKEN", "RATE_LIMITED"],
});
export const Free: Command<{ seat: string }, string, "TAKEN"> = command("Free", { failures: ["TAKEN"] });
export const Trip: Workflow<{ seat: string }, string, "TAKEN"> = workflow("Trip");
export const buy: Handler = Buy.handle(({ seat }) => seat, { behaviors: [rateLimit({ rate: 1 })] });
export const api: Edge<{ readonly buy: typeof Buy }> = edge({ buy: Buy });

export type Bought = Result<string, "TAKEN" | "RATE_LIMITED" | "FORBIDDEN">;
export const openApp = (): Promise<Catga> => catga({ handlers: [buy], behaviors });

export const sends = {
  app: (app: Catga): Promise<Bought> => app.send(Buy, { seat: "A" }),
  handler: (ctx: Context): Promise<Bought> => ctx.send(Buy, { seat: "A" }),
  typed: async (app: Catga): Promise<boolean> => (await app.send(Buy, { seat: "A" })).error?.code === "FORBIDDEN",
  all: async (app: Catga): Promise<Bought | undefined> => (await app.sendAll(Buy, [{ seat: "A" }]))[0],
  each: async (app: Catga): Promise<Bought | undefined> => (await app.broadcast(Buy, { seat: "A" }))[0]?.result,
  step: async (flow: Flow): Promise<boolean> => (await flow.send(Buy, { seat: "A" })).error?.code === "FORBIDDEN",
  respond: async (app: Catga): Promise<Response> =>
    respond(await app.send(Buy, { seat: "A" }), { failures: { TAKEN: 409, FORBIDDEN: 403, RATE_LIMITED: 429 } }),
  browser: (): Promise<ClientResult<string, "TAKEN" | "RATE_LIMITED">> =>
    client<typeof api>("https://shop.example/api").buy.send({ seat: "A" }),
  code: (code: CodeOf<typeof Free>): boolean => code === "FORBIDDEN" || code === "TAKEN",
  strange: async (app: Catga): Promise<unknown> =>
    // @ts-expect-error nobody fails with that code
    (await app.send(Free, { seat: "A" })).error?.code === "RATE_LIMITED",
  status: async (app: Catga): Promise<Response> =>
    // @ts-expect-error nobody fails with that code
    respond(await app.send(Free, { seat: "A" }), { failures: { RATE_LIMITED: 429 } }),
  unnamed: (): Promise<Catga> =>
    // @ts-expect-error a behavior whose codes the program does not name
    catga({ behaviors: [rateLimit({ rate: 1 })] }),
  // @ts-expect-error the contract may not fail with RATE_LIMITED
  limited: (): Handler => Free.handle(({ seat }) => seat, { behaviors: [rateLimit({ rate: 1 })] }),
};

export const callers = {
  context: ({ caller }: Context): string | undefined => caller?.id,
  flow: ({ caller }: Flow): string | undefined => caller?.id,
  named: (app: Catga): unknown =>
    api.handler(app, { authorize: (request) => request.headers.has("a") ? { id: "a", age: 7 } : deny(401) }),
  nobody: (app: Catga): unknown => api.handler(app, { authorize: () => undefined }),
  // @ts-expect-error a caller of this program has an id
  strange: (app: Catga): unknown => api.handler(app, { authorize: () => ({ name: "ann" }) }),
  // @ts-expect-error a caller of this program is no text
  text: (app: Catga): unknown => api.handler(app, { authorize: async () => await "ann" }),
  // @ts-expect-error there may be no caller
  unchecked: ({ caller }: Context): string => caller.id,
};
