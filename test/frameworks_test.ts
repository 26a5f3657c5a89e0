/**
 * Catga below bundlers and frameworks of Node: webpack, Next.js, SvelteKit's development server, and what these do to
 * the values of results. The packages are fetched from npm into `.cache/`; `deno task test:all` runs it.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { freePorts, type NatsServer, requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { NODE_VERSION } from "../tools/node.ts";
import { fetchPackages } from "../tools/npm_packages.ts";
import { eventually } from "./support/eventually.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const place = join(root, ".cache", "frameworks");
const node = join(place, "node_modules", `node-${process.platform}-${process.arch}`, "bin", "node");
const PACKAGES = [
  `node-${process.platform}-${process.arch}@${NODE_VERSION}`,
  ...["jetstream", "kv", "nats-core", "transport-node"].map((name) => `@nats-io/${name}@3.4.0`),
  "@opentelemetry/api@1.10.0",
  "@sveltejs/kit@2.70.4",
  "devalue@6.0.3",
  "next@16.4.6",
  "react@19.3.1",
  "react-dom@19.3.1",
  "superjson@2.2.7",
  "svelte@5.57.3",
  "vite@8.4.0",
  "webpack@5.113.0",
];
const run = promisify(execFile);
const LONG = { timeout: 600_000 };

describe("a program below a framework of Node", { ...await requireNatsServer(), ...LONG }, () => {
  let server: NatsServer;
  /** A folder below that of the packages, which finds them, with Catga as a package of JavaScript. */
  let folder: string;
  const modules = () => join(place, "node_modules");

  before(async () => {
    await fetchPackages(place, ...PACKAGES);
    server = await startNatsServer();
    folder = await mkdtemp(join(place, "run-"));
    const catga = join(folder, "node_modules", "@catga", "catga");
    const isOfPackage = (path: string) => !/_(test|suite)\.ts$/.test(path);
    for (const part of ["mod.ts", "package.json", "src"]) {
      await cp(join(root, part), join(catga, part), { recursive: true, filter: isOfPackage });
    }
    const strip = join(root, "tools", "consumer", "strip_types.ts");
    await run(node, ["--no-warnings", strip, join(folder, "node_modules", "@catga")]);
  }, LONG);
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  /** Writes files below a new folder of the program, and returns it. */
  async function program(name: string, files: Readonly<Record<string, string>>): Promise<string> {
    for (const [path, text] of Object.entries({ "package.json": '{ "private": true, "type": "module" }', ...files })) {
      await mkdir(dirname(join(folder, name, path)), { recursive: true });
      await writeFile(join(folder, name, path), text);
    }
    return join(folder, name);
  }

  /** Starts a server of the program, and runs `use` with a function that asks it; then ends it. */
  async function serving(
    cwd: string,
    args: (port: number) => readonly string[],
    use: (get: (path: string) => Promise<unknown>) => Promise<void>,
  ): Promise<void> {
    const [port] = await freePorts(1);
    const child: ChildProcess = spawn(node, args(port), { cwd, env: env(), stdio: "ignore" });
    const ended = once(child, "exit");
    try {
      await use(async (path) => {
        let answer: unknown;
        await eventually(`an answer of ${path}`, async () => {
          answer = await fetch(`http://127.0.0.1:${port}${path}`).then((got) => got.json(), () => undefined);
          return answer !== undefined;
        });
        return answer;
      });
    } finally {
      child.kill("SIGKILL");
      await ended;
    }
  }

  const env = () => ({ ...process.env, NATS_URL: server.url, NEXT_TELEMETRY_DISABLED: "1" });

  const cases: { readonly name: string; readonly test: () => Promise<void> }[] = [
    {
      name:
        "webpack: a bundle without any package beside it connects, stores, handles and serves (it could not connect)",
      async test() {
        const cwd = await program("webpack", { "main.js": MAIN, "build.js": BUILD });
        const { stdout: built } = await run(node, ["build.js"], { cwd });
        assertEquals(built.trim(), "[]");
        const alone = await mkdtemp(join(tmpdir(), "catga-webpack-"));
        await cp(join(cwd, "dist"), alone, { recursive: true });
        const { stdout } = await run(node, ["main.mjs"], { cwd: alone, env: env() });
        await rm(alone, { recursive: true });
        assertEquals(stdout.trim(), '["hello tea",1,"hello web"]');
      },
    },
    ...["--webpack", "--turbopack"].map((bundler) => ({
      name: `Next.js ${bundler}: a route sends, in the built program`,
      async test() {
        const cwd = await program(`next${bundler}`, NEXT);
        const next = join(modules(), "next", "dist", "bin", "next");
        const { stdout } = await run(node, [next, "build", bundler], { cwd, env: env() });
        assertStringIncludes(stdout, "/api/greet");
        await serving(cwd, (port) => [next, "start", "-p", `${port}`], async (get) => {
          assertEquals(await get("/api/greet"), { value: "hello tea" });
        });
      },
    })),
    {
      name: "SvelteKit in development: after each of five edits one node, with the new code",
      async test() {
        const cwd = await program("kit", { ...KIT, [KIT_NODE]: kitNode("v0") });
        const vite = join(modules(), "vite", "bin", "vite.js");
        await serving(cwd, (port) => [vite, "dev", "--port", `${port}`, "--host", "127.0.0.1"], async (get) => {
          for (const version of ["v0", "v1", "v2", "v3", "v4", "v5"]) {
            await writeFile(join(cwd, KIT_NODE), kitNode(version));
            // the server notices a change of a file some ms later
            await eventually(
              `the code ${version}`,
              async () => (await get("/code") as { code: string }).code === version,
            );
            assertEquals(await get("/ask"), { nodes: 1, answers: { [version]: 20 }, seen: [version] });
          }
        });
      },
    },
    {
      name: "results pass devalue, superjson and structuredClone, failures as their plain form",
      async test() {
        const cwd = await program("values", { "main.js": VALUES });
        const { stdout } = await run(node, ["main.js"], { cwd });
        const whole = { date: "2027-01-02T03:04:05.000Z", map: [["a", "1"]], code: "SOLD_OUT", details: { left: 0 } };
        assertEquals(JSON.parse(stdout), {
          plain: { devalue: whole, superjson: whole, structuredClone: whole },
          // what docs/http.md says of an error that is passed on as it is
          raw: { devalue: "throws", superjson: "no code", structuredClone: "no code" },
        });
      },
    },
  ];
  // Node runs all of it: Deno and Bun start a half each
  const own = cases.filter((_, index) => (index % 2 === 0) !== ("Bun" in globalThis));
  for (const { name, test } of own) it(name, LONG, test);
});

const MAIN = `import { catga, command, event } from "@catga/catga";
import { edge } from "@catga/catga/http";
const Greet = command("Greet");
const Noted = event("Noted", { durable: true });
let noted = 0;
const app = await catga({
  nats: process.env.NATS_URL,
  namespace: "webpack",
  handlers: [Greet.handle(({ name }) => "hello " + name), Noted.on(() => void noted++, { name: "notes" })],
});
const { value } = await app.send(Greet, { name: "tea" });
await app.publish(Noted);
while (noted === 0) await new Promise((resolve) => setTimeout(resolve, 20));
const handle = edge({ greet: Greet }).handler(app, { authorize: () => undefined });
const headers = { "content-type": "application/json" };
const answer = await handle(new Request("http://x/greet", { method: "POST", headers, body: '{"name":"web"}' }));
console.log(JSON.stringify([value, noted, await answer.json()]));
await app.drain();
`;

const BUILD = `import webpack from "webpack";
webpack({
  mode: "production",
  target: "node",
  entry: "./main.js",
  experiments: { outputModule: true },
  output: { filename: "main.mjs", module: true, chunkFormat: "module" },
}, (error, stats) => {
  if (error) throw error;
  console.log(JSON.stringify(stats.toJson({ all: false, errors: true }).errors));
});
`;

/** Starts one node for a process, whose module may be evaluated again: as docs/http.md says. */
const HELD = `const held = globalThis;
held.node = Promise.resolve(held.node).then((old) => old?.drain()).then(start, start);
export const app = () => held.node;
`;

const NEXT = {
  "next.config.mjs": `const root = new URL("../..", import.meta.url).pathname;
export default { outputFileTracingRoot: root, turbopack: { root } };
`,
  "app/layout.js": "export default ({ children }) => <html><body>{children}</body></html>;\n",
  "app/page.js": "export default () => <p>shop</p>;\n",
  "lib/node.js": `import { catga, command } from "@catga/catga";
export const Greet = command("Greet");
const handlers = Greet.handle(({ name }) => "hello " + name);
const start = () => catga({ nats: process.env.NATS_URL, namespace: "next", handlers });
${HELD}`,
  "app/api/greet/route.js": `import { app, Greet } from "../../../lib/node.js";
export const dynamic = "force-dynamic";
export async function GET() {
  const result = await (await app()).send(Greet, { name: "tea" });
  return Response.json(result.ok ? { value: result.value } : { error: result.error.toJSON() });
}
`,
};

const KIT_NODE = "src/lib/server/node.js";
const kitNode = (version: string) =>
  `import { catga, event, query } from "@catga/catga";
export const code = "${version}";
export const Ask = query("Ask");
export const Noted = event("Noted", { durable: true });
globalThis.seen ??= [];
const handlers = [Ask.handle(() => code), Noted.on(() => void globalThis.seen.push(code), { name: "notes" })];
const start = () => catga({ nats: process.env.NATS_URL, namespace: "kit", service: "web", handlers });
${HELD}`;
const KIT = {
  "svelte.config.js": "export default {};\n",
  "vite.config.js": `import { sveltekit } from "@sveltejs/kit/vite";
export default { plugins: [sveltekit()], server: { hmr: false } };
`,
  "src/app.html": "<!doctype html><html><head>%sveltekit.head%</head><body>%sveltekit.body%</body></html>\n",
  "src/routes/code/+server.js": `import { code } from "$lib/server/node.js";
export const GET = () => Response.json({ code });
`,
  "src/routes/ask/+server.js": `import { app, Ask, Noted } from "$lib/server/node.js";
const count = (values) => Object.fromEntries([...Map.groupBy(values, (each) => each)].map(([k, v]) => [k, v.length]));
export async function GET() {
  const node = await app();
  const results = await Promise.all(Array.from({ length: 20 }, () => node.send(Ask)));
  globalThis.seen.length = 0;
  for (let n = 0; n < 10; n++) await node.publish(Noted);
  while (globalThis.seen.length < 10) await new Promise((resolve) => setTimeout(resolve, 20));
  const answers = count(results.map((each) => each.ok ? each.value : each.error.code));
  return Response.json({ nodes: node.nodes().length, answers, seen: [...new Set(globalThis.seen)] });
}
`,
};

const VALUES = `import { catga, fail, query } from "@catga/catga";
import { parse, stringify } from "devalue";
import superjson from "superjson";
const Get = query("Get");
const Fail = query("Fail");
const value = { date: new Date("2027-01-02T03:04:05Z"), map: new Map([["a", 1n]]) };
const handlers = [Get.handle(() => value), Fail.handle(() => fail("SOLD_OUT", "none is left", { details: { left: 0 } }))];
await using app = await catga({ handlers });
const plain = (result) => result.ok ? result : { ok: false, error: result.error.toJSON() };
const ways = {
  devalue: (result) => parse(stringify(result)),
  superjson: (result) => superjson.parse(superjson.stringify(result)),
  structuredClone: (result) => structuredClone(result),
};
const [got, failed] = [await app.send(Get), await app.send(Fail)];
const each = (of) => Object.fromEntries(Object.entries(ways).map(([name, way]) => [name, of(way)]));
console.log(JSON.stringify({
  plain: each((way) => {
    const { value: { date, map } } = way(plain(got));
    const { error: { code, details } } = way(plain(failed));
    return { date: date.toISOString(), map: [...map].map(([k, v]) => [k, String(v)]), code, details };
  }),
  raw: each((way) => {
    try {
      return way(failed).error.code ?? "no code";
    } catch {
      return "throws";
    }
  }),
}));
`;
