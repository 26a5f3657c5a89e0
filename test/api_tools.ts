/**
 * The tools that read the descriptions of an edge, and the clients that they generate, which call a running edge:
 * `deno task test:api`. The packages are fetched from npm into `.cache/`, 200 MB, which takes half a minute; no part of
 * the other tests.
 */
import { assert, assertEquals } from "@std/assert";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import * as z from "zod";
import { serve } from "../examples/shop/http_server.ts";
import { catga, command, event, query, stream } from "../mod.ts";
import { deny, edge } from "../src/http/mod.ts";
import { findChromium } from "../tools/chromium_binary.ts";
import { fetchPackages } from "../tools/npm_packages.ts";
import { runtimeBinary } from "./processes/node_process.ts";
import { Browser } from "./support/browser.ts";
import { QUIET } from "./support/quiet.ts";

const PACKAGES = [
  "@asyncapi/modelina@5.10.1",
  "@asyncapi/parser@3.6.6",
  "@hey-api/openapi-ts@0.95.0",
  "openapi-fetch@0.17.0",
  "openapi-typescript@7.13.0",
  "orval@7.13.2",
  "swagger-ui-dist@5.35.0",
  "typescript@5.9.3",
];
const place = fileURLToPath(new URL("../.cache/api-tools", import.meta.url));
const run = promisify(execFile);
const chromium = await findChromium();
const noBrowser = "missing" in chromium ? chromium.missing : false;

const Money = z.object({ cents: z.int(), currency: z.enum(["EUR", "USD"]) }).meta({ id: "Money" });
const Tree = z.object({
  name: z.string(),
  get children() {
    return z.array(Tree);
  },
});
const SaveTree = command("SaveTree", {
  input: z.object({ tree: Tree }),
  output: z.object({ saved: z.int() }),
  failures: ["TOO_DEEP"],
});
const GetTree = query("GetTree", { input: z.object({ id: z.string() }), output: Tree });
const Quote = query("Quote", { input: z.object({ price: Money, fee: Money }), output: Money });
const Point = command("Point", {
  input: z.object({ at: z.tuple([z.number(), z.number()]), tags: z.record(z.string(), z.string()).optional() }),
  output: z.void(),
});
const Grown = stream("Grown", { input: z.object({ from: z.int() }), items: Tree });
const Moved = event("Moved", { durable: true, input: z.object({ to: Money, at: z.tuple([z.number(), z.number()]) }) });
const api = edge({ saveTree: SaveTree, getTree: GetTree, quote: Quote, point: Point, grown: Grown, moved: Moved });
const INFO = {
  title: "trees",
  version: "1.0.0",
  base: "/api",
  security: { token: { type: "http", scheme: "bearer" } },
} as const;

let depth = 0;
const handlers = [
  SaveTree.handle(({ tree }) => {
    depth = JSON.stringify(tree).split("children").length - 1;
    return { saved: depth };
  }),
  GetTree.handle(({ id }) => ({ name: id, children: [{ name: "leaf", children: [] }] })),
  Quote.handle(({ price, fee }) => ({ cents: price.cents + fee.cents, currency: price.currency })),
  Point.handle(() => {}),
  Grown.handle(function* () {
    yield { name: "a", children: [] };
  }),
];

/** Calls by each client, which prints what it got; `base` is the address of the server. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "openapi-fetch": `
import createClient from "openapi-fetch";
import type { paths } from "./types";
const api = createClient<paths>({ baseUrl: base, headers: { authorization: "Bearer t" } });
const quote = { price: { cents: 5, currency: "EUR" as const }, fee: { cents: 2, currency: "EUR" as const } };
const got = await api.GET("/api/quote", { params: { query: { input: JSON.stringify(quote) } } });
const posted = await api.POST("/api/quote", { body: quote });
const tree = await api.POST("/api/getTree", { body: { id: "oak" } });
const leaf: string | undefined = tree.data?.children[0]?.name;
const saved = await api.POST("/api/saveTree", { body: { tree: { name: "oak", children: [{ name: "x", children: [] }] } } });
const none = await api.POST("/api/point", { body: { at: [1, 2] } });
const wrong = await api.POST("/api/getTree", { body: { id: 7 as unknown as string } });
print([got.data?.cents, posted.data?.cents, leaf, saved.data?.saved, none.response.status, wrong.error?.code]);`,
  "hey-api": `
import { client } from "./hey/client.gen";
import { getTreePost, point, quote, quotePost, saveTree } from "./hey/sdk.gen";
client.setConfig({ baseUrl: base, auth: () => "t" });
const body = { price: { cents: 5, currency: "EUR" as const }, fee: { cents: 2, currency: "EUR" as const } };
const got = await quote({ query: { input: JSON.stringify(body) } });
const posted = await quotePost({ body });
const tree = await getTreePost({ body: { id: "oak" } });
const leaf: string | undefined = tree.data?.children[0]?.name;
const saved = await saveTree({ body: { tree: { name: "oak", children: [{ name: "x", children: [] }] } } });
const none = await point({ body: { at: [1, 2] } });
const wrong = await getTreePost({ body: { id: 7 as unknown as string } });
print([got.data?.cents, posted.data?.cents, leaf, saved.data?.saved, none.response?.status, wrong.error?.code]);`,
  orval: `
import { getTreePost, point, quote, quotePost, saveTree } from "./orval/client";
const { fetch: send } = globalThis;
globalThis.fetch = ((path: string, init: RequestInit) => send(base + path, {
  ...init,
  headers: { ...init.headers as Record<string, string>, authorization: "Bearer t" },
})) as typeof fetch;
const body = { price: { cents: 5, currency: "EUR" as const }, fee: { cents: 2, currency: "EUR" as const } };
const got = await quote({ input: JSON.stringify(body) });
const posted = await quotePost(body);
const tree = await getTreePost({ id: "oak" });
const leaf: string | undefined = tree.status === 200 ? tree.data.children[0]?.name : undefined;
const saved = await saveTree({ tree: { name: "oak", children: [{ name: "x", children: [] }] } });
const none = await point({ at: [1, 2] });
const wrong = await getTreePost({ id: 7 as unknown as string });
print([
  got.status === 200 && got.data.cents, posted.status === 200 && posted.data.cents, leaf,
  saved.status === 200 && saved.data.saved, none.status, wrong.status === 400 && wrong.data.code,
]);`,
};
const EXPECTED = [7, 7, "leaf", 2, 204, "INVALID_MESSAGE"];

describe("the descriptions of an edge", { timeout: 600_000 }, () => {
  let folder: string;
  const tool = (name: string, ...args: readonly string[]) =>
    run(process.execPath.endsWith("deno") ? "node" : process.execPath, [join("node_modules", name), ...args], {
      cwd: folder,
    });

  before(async () => {
    await fetchPackages(place, ...PACKAGES);
    folder = await mkdtemp(join(tmpdir(), "catga-api-tools-"));
    await symlink(join(place, "node_modules"), join(folder, "node_modules"));
    await writeFile(join(folder, "package.json"), '{ "type": "module" }');
    await writeFile(join(folder, "openapi.json"), JSON.stringify(api.openapi(INFO)));
    await writeFile(join(folder, "asyncapi.json"), JSON.stringify(api.asyncapi(INFO)));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const generators: Readonly<Record<string, () => Promise<unknown>>> = {
    "openapi-fetch": () => tool("openapi-typescript/bin/cli.js", "openapi.json", "-o", "types.ts"),
    "hey-api": () =>
      tool("@hey-api/openapi-ts/bin/run.js", "-i", "openapi.json", "-o", "hey", "-c", "@hey-api/client-fetch"),
    orval: () =>
      tool("orval/dist/bin/orval.js", "--input", "openapi.json", "--output", "orval/client.ts", "--client", "fetch"),
  };
  for (const [name, generate] of Object.entries(generators)) {
    it(`${name}: its client has the right types, asks queries by GET and POST, and gets values and failures`, async () => {
      await generate();
      const program = `const base: string = process.argv[2]!;
declare const process: { argv: string[] };
const print = (values: unknown[]) => console.log(JSON.stringify(values));
${PROGRAMS[name]}
`;
      await writeFile(join(folder, `${name}.ts`), program);
      const options = ["--strict", "--skipLibCheck", "--noEmit", "--module", "esnext", "--target", "esnext"];
      await tool("typescript/bin/tsc", ...options, "--moduleResolution", "bundler", `${name}.ts`)
        .catch(({ stdout }) => assertEquals(stdout, "", `types of ${name}`));
      const bun = await runtimeBinary("bun");
      const got = await withEdge(async (port) => {
        const { stdout } = await run(bun, [`${name}.ts`, `http://127.0.0.1:${port}`], { cwd: folder });
        return JSON.parse(stdout);
      });
      assertEquals(got, EXPECTED);
    });
  }

  it("@asyncapi/parser and modelina read messages and their models by name", async () => {
    await writeFile(join(folder, "async.mjs"), ASYNC);
    const { stdout } = await run("node", ["async.mjs"], { cwd: folder });
    const { errors, messages, models } = JSON.parse(stdout);
    assertEquals([errors, messages], [[], ["Grown", "Moved"]]);
    assertEquals(["GrownItem", "Money", "Moved"].filter((name) => !models.includes(name)), []);
  });
});

describe("Swagger UI in a browser", { skip: noBrowser, timeout: 600_000 }, () => {
  before(() => fetchPackages(place, ...PACKAGES));

  it("shows all operations of an edge, and asks a query", async () => {
    await withEdge(async (port) => {
      await using browser = await Browser.open("path" in chromium ? chromium.path : "");
      await browser.goto(`http://127.0.0.1:${port}/`);
      await browser.until("the page", "document.querySelectorAll('.opblock').length === 6");
      assertEquals(await browser.evaluate("document.querySelector('.errors-wrapper')?.innerText ?? ''"), "");
      await browser.evaluate(
        `void ui.authActions.authorize(${
          JSON.stringify({ token: { name: "token", schema: INFO.security.token, value: "t" } })
        })`,
      );
      const block = "document.querySelector('#operations-default-getTree_post')";
      for (const part of [".opblock-summary-control", ".try-out__btn", ".execute"]) {
        await browser.until(part, `${block}.querySelector("${part}") !== null`);
        await browser.evaluate(`void ${block}.querySelector("${part}").click()`);
      }
      const answer = await browser.until<string>(
        "an answer",
        `${block}.querySelector(".live-responses-table tbody .response-col_status")?.innerText`,
      );
      assert(answer.startsWith("200"), answer);
    });
  });
});

/** Runs a program with a server of the edge. */
async function withEdge<T>(use: (port: number) => Promise<T>): Promise<T> {
  await using app = await catga({ logger: QUIET, handlers });
  const handle = api.handler(app, {
    base: "/api",
    authorize: ({ headers }) => headers.get("authorization") === "Bearer t" ? undefined : deny(401),
  });
  const server = serve(
    async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname.startsWith("/api/")) return await handle(request);
      if (pathname === "/openapi.json") return Response.json(api.openapi(INFO));
      const name = /^\/(swagger-ui[\w.-]*)$/.exec(pathname)?.[1];
      if (name === undefined) return new Response(SWAGGER, { headers: { "content-type": "text/html; charset=utf-8" } });
      const type = name.endsWith(".css") ? "text/css" : "text/javascript; charset=utf-8";
      const file = await readFile(join(place, "node_modules", "swagger-ui-dist", name));
      return new Response(new Uint8Array(file), { headers: { "content-type": type } });
    },
    "127.0.0.1",
    0,
  );
  try {
    return await use(server.port);
  } finally {
    await server.close(5_000);
  }
}

const ASYNC = `import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
import { TypeScriptGenerator } from "@asyncapi/modelina";
const text = readFileSync("asyncapi.json", "utf8");
const { document, diagnostics } = await new Parser().parse(text);
const models = await new TypeScriptGenerator().generate(JSON.parse(text));
console.log(JSON.stringify({
  errors: diagnostics.filter(({ severity }) => severity < 2),
  messages: document.messages().all().map((message) => message.name()),
  models: models.map(({ modelName }) => modelName),
}));`;

const SWAGGER = `<!doctype html><link rel="stylesheet" href="/swagger-ui.css"><div id="ui"></div>
<script src="/swagger-ui-bundle.js"></script>
<script>const ui = SwaggerUIBundle({ url: "/openapi.json", dom_id: "#ui" });</script>`;
