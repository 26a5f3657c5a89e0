/** Tests of an edge for each risk of the OWASP API Security list of 2023, as in the table of docs/http.md. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import * as z from "zod";
import { type Catga, catga, command, event, fail, query, workflow } from "../../mod.ts";
import { consoleErrors } from "../../test/support/console_errors.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { deny, edge, type EdgeCall, type EdgeHandlerOptions } from "./mod.ts";

interface User {
  readonly id: string;
  readonly role: string;
}

const Read = query("Read", {
  input: z.object({ owner: z.string() }),
  output: z.object({ owner: z.string(), total: z.number() }),
  failures: ["NOT_YOURS"],
});
const Refund = command<{ order: string }>("Refund", { meta: { role: "admin" } });
const Internal = command("Internal");
const Placed = event<{ order: string }>("Placed", { durable: true, key: ({ order }) => order });
const Trip = workflow<{ to: string }, string>("Trip");
const Packed = Trip.signal("Packed");
const Lost = Trip.signal("Lost");
const Broken = command("Broken");

const api = edge({
  read: Read,
  refund: Refund,
  placed: Placed,
  trip: [Trip, { tell: { packed: Packed } }],
  broken: Broken,
});
const handlers = [
  Read.handle(({ owner }, { caller }) =>
    (caller as User | undefined)?.id === owner
      ? { owner, total: 3, cardNumber: "4111" }
      : fail("NOT_YOURS", "not of this caller")
  ),
  Refund.handle(() => {}),
  Internal.handle(() => {}),
  Trip.handle(async (flow) => {
    await flow.wait(Packed);
    await flow.wait(Lost);
    return "";
  }),
  Broken.handle(() => {
    throw new Error("password 1234 at node-7");
  }),
];

/** Returns the caller, from a header `authorization` of the form `<id>:<role>`. */
function userOf(request: Request): User | undefined {
  const [id, role] = request.headers.get("authorization")?.split(":") ?? [];
  return id === undefined || role === undefined ? undefined : { id, role };
}

function authorize(request: Request, { meta, key, run, action }: EdgeCall) {
  const user = userOf(request);
  if (user === undefined) return deny(401);
  if ((meta as { role?: string } | undefined)?.role === "admin" && user.role !== "admin") return deny(403);
  if (key !== undefined && !key.startsWith(user.id)) return deny(403);
  if (run !== undefined && action !== "start" && !run.startsWith(user.id)) return deny(404);
  return user;
}

type Asks = (method: string, path: string, init?: { headers?: Record<string, string>; body?: string }) => Promise<
  Response
>;

async function withApp(
  use: (ask: Asks, app: Catga) => Promise<void>,
  options: Partial<EdgeHandlerOptions<User>> = {},
): Promise<void> {
  await using app = await catga({ logger: QUIET, handlers });
  const handle = api.handler(app, { base: "/api", authorize, identify: ({ id }) => id, ...options });
  await use((method, path, { headers = {}, body } = {}) => {
    const type: Record<string, string> = body === undefined ? {} : { "content-type": "application/json" };
    const init = { method, headers: { authorization: "ann:buyer", ...type, ...headers }, ...(body && { body }) };
    return handle(new Request(`http://shop.example/api/${path}`, init));
  }, app);
}

const read = (owner: string) => `read?input=${encodeURIComponent(JSON.stringify({ owner }))}`;

describe("OWASP API security, at an edge", () => {
  it("API1, object level: handlers know the caller, authorize the key of a tail and the run", async () => {
    await withApp(async (ask) => {
      assertEquals((await ask("GET", read("ann"))).status, 200);
      assertEquals((await ask("GET", read("bob"))).status, 422);
      assertEquals((await ask("GET", "placed?key=bob-1")).status, 403);
      const own = await ask("GET", "placed?key=ann-1");
      assertEquals(own.status, 200);
      await own.body?.cancel();
      const bobs = { authorization: "bob:buyer", "idempotency-key": "1" };
      assertEquals((await ask("POST", "trip", { body: '{"to":"rome"}', headers: bobs })).status, 202);
      assertEquals((await ask("GET", "trip/bob%2F1", { headers: bobs })).status, 202);
      assertEquals((await ask("GET", "trip/bob%2F1")).status, 404);
      assertEquals((await ask("POST", "trip/bob%2F1/packed")).status, 404);
      const started = await ask("POST", "trip", { body: '{"to":"oslo"}', headers: { "idempotency-key": "1" } });
      assertEquals([started.status, (await started.json()).run], [202, "ann/1"]);
      assertEquals((await ask("GET", "trip/ann%2F1")).status, 202);
    });
  });

  it("API1, object level: a key with a slash is none of a caller whose text goes on with it", async () => {
    await withApp(async (ask) => {
      const start = async (user: string, key: string) => {
        const headers = { authorization: `${user}:buyer`, "idempotency-key": key };
        return (await (await ask("POST", "trip", { body: '{"to":"rome"}', headers })).json()).run;
      };
      const runs = [
        await start("acme/bob", "1"),
        await start("acme", "bob/1"),
        await start("acme%2Fbob", "1"),
        await start("a b", "1/2"),
      ];
      assertEquals(runs, ["acme%2Fbob/1", "acme/bob/1", "acme%252Fbob/1", "a b/1/2"]);
    });
  });

  it("API2, authentication: there is no handler without authorize, and no call without a caller", async () => {
    await withApp(async (ask, app) => {
      assertThrows(() => api.handler(app, {} as never), TypeError, "authorize");
      const response = await ask("GET", read("ann"), { headers: { authorization: "" } });
      assertEquals([response.status, response.headers.get("www-authenticate")], [401, "Bearer"]);
    });
  });

  it("API3, properties: what the output schema does not have stays inside", async () => {
    await withApp(async (ask) => {
      assertEquals(await (await ask("GET", read("ann"))).json(), { owner: "ann", total: 3 });
    });
  });

  it("API4, resources: bodies are bounded, calls are limited by caller", async () => {
    await withApp(async (ask) => {
      const large = { body: `{"order":"${"x".repeat(100)}"}`, headers: { authorization: "eve:admin" } };
      assertEquals((await ask("POST", "refund", large)).status, 413);
      const bob = { authorization: "bob:buyer" };
      assertEquals((await ask("GET", read("bob"), { headers: bob })).status, 200);
      const limited = await ask("GET", read("bob"), { headers: bob });
      assertEquals(limited.status, 429);
      assert(Number(limited.headers.get("retry-after")) > 0);
    }, { maxBody: 64, limit: { rate: 0.001, burst: 1 } });
  });

  it("API5, functions: meta of the contract says who may; a signal or cancel that is not listed is not there", async () => {
    await withApp(async (ask) => {
      const body = '{"order":"7"}';
      assertEquals((await ask("POST", "refund", { body })).status, 403);
      assertEquals((await ask("POST", "refund", { body, headers: { authorization: "eve:admin" } })).status, 204);
      assertEquals((await ask("POST", "trip/ann%2F1/lost")).status, 404);
      assertEquals((await ask("DELETE", "trip/ann%2F1")).status, 405);
    });
  });

  it("API6, business flows: a limit holds one caller, and no other", async () => {
    await withApp(async (ask) => {
      const statuses = [];
      for (const user of ["ann", "ann", "bob"]) {
        statuses.push((await ask("GET", read(user), { headers: { authorization: `${user}:buyer` } })).status);
      }
      assertEquals(statuses, [200, 429, 200]);
    }, { limit: { rate: 0.001, burst: 1 } });
  });

  it("API7, server side requests: a call requests nothing, whatever URLs are in it", async () => {
    const { fetch } = globalThis;
    const requested: unknown[] = [];
    globalThis.fetch = ((input: unknown) => {
      requested.push(input);
      throw new Error("nothing may be requested");
    }) as typeof fetch;
    try {
      await withApp(async (ask) => {
        const url = "http://169.254.169.254/latest";
        assertEquals((await ask("GET", read(url), { headers: { referer: url, origin: url } })).status, 422);
      });
    } finally {
      globalThis.fetch = fetch;
    }
    assertEquals(requested, []);
  });

  it("API8, configuration: no other origin, no form post, no cause, no cookie without an origin", async () => {
    await withApp(async (ask) => {
      const foreign = await ask("GET", read("ann"), { headers: { origin: "https://evil.example" } });
      assertEquals(foreign.headers.get("access-control-allow-origin"), null);
      const form = { "content-type": "application/x-www-form-urlencoded" };
      assertEquals((await ask("POST", "refund", { body: "order=7", headers: form })).status, 415);
      assertEquals((await ask("POST", "broken", { headers: { cookie: "session=1" } })).status, 403);
      let text = "";
      await consoleErrors(async () => {
        const broken = await ask("POST", "broken");
        assertEquals(broken.status, 500);
        text = await broken.text();
      });
      for (const secret of ["1234", "node-7", " at "]) assert(!text.includes(secret), text);
    });
  });

  it("API9, inventory: what is listed is all there is, and the description names it", async () => {
    await withApp(async (ask) => {
      for (const name of ["internal", "Internal"]) assertEquals((await ask("POST", name)).status, 404);
      const { paths } = api.openapi({ title: "shop", version: "1" }) as { paths: Record<string, unknown> };
      assertEquals([...new Set(Object.keys(paths).map((path) => path.split("/")[1]))].sort(), [
        "broken",
        "read",
        "refund",
        "trip",
      ]);
    });
  });
});
