import { assertEquals, assertMatch } from "@std/assert";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { parse } from "yaml";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { runtimeBinary } from "../../test/processes/node_process.ts";
import { eventually } from "../../test/support/eventually.ts";
import { PERMISSIONS, runShop, type ShopProcess, startShop } from "./stage.ts";

const ROOT = new URL("../../", import.meta.url);
const CARD = "4111111111111111";
/** How long to wait for what happens by itself, in ms: a busy machine takes long. */
const inDeno = "Deno" in globalThis;

/** A service in the file for Docker, as far as its members are used here. */
interface Service {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck: { readonly test: readonly string[] };
}

const text = (path: string) => readFile(new URL(path, ROOT), "utf8");
const compose: { services: Record<string, Service> } = parse(await text("compose.yaml"), { merge: true });
const dockerfile = await text("examples/shop/Dockerfile");
const { nats: broker, ...nodes } = compose.services;

interface Answer {
  readonly status: number;
  // each test knows the answer that it asks for
  // deno-lint-ignore no-explicit-any
  readonly body: any;
}

/** Places an order as the customer whose token is its key, unless another is given. */
async function order(shop: { url: string }, body: object | string, key?: string, token = key): Promise<Answer> {
  return await answer(fetch(`${shop.url}/api/placeOrder`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      ...(key === undefined ? {} : { "Idempotency-Key": key }),
      ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
    },
    body: typeof body === "string" ? body : JSON.stringify({ orderId: key ?? crypto.randomUUID(), ...body }),
  }));
}

/** Asks for an order. */
async function find(shop: { url: string }, orderId: string): Promise<Answer> {
  const input = encodeURIComponent(JSON.stringify({ orderId }));
  // each with a token of its own, so that no limit is met
  const headers = { Authorization: `Bearer ${orderId}` };
  return await answer(fetch(`${shop.url}/api/findOrder?input=${input}`, { headers }));
}

/** The first events of the feed behind a position, and their text. */
async function feed(shop: { url: string }, count: number, from: string | number = "start") {
  const { body } = await fetch(`${shop.url}/api/placed?from=${from}`);
  let text = "";
  const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
  while ((text.match(/^data: /gm) ?? []).length < count) text += (await reader.read()).value;
  await reader.cancel();
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data));
}

async function answer(asked: Promise<Response>): Promise<Answer> {
  const response = await asked;
  return { status: response.status, body: await response.json() };
}

/**
 * Returns the output of the health check once the node is healthy. The check is repeated, as Docker does, because a
 * busy machine takes longer than its 2 s.
 */
async function healthy(PORT: string): Promise<string> {
  for (let left = 20;; left--) {
    const { code, output } = await runShop(["health"], { PORT });
    if (code === 0 || left === 0) return output;
  }
}

/** The orders whose confirmation nodes have printed, each once. */
function mails(...shops: readonly ShopProcess[]): string[] {
  return [
    ...new Set(shops.flatMap((shop) => [...shop.output.matchAll(/^mailed (\S+): your order/gm)].map(([, id]) => id))),
  ];
}

/** The payments that a node has printed: message id by message id. */
function charges(shop: ShopProcess): string[] {
  return [...shop.output.matchAll(/^charged \d+ for (\S+)$/gm)].map(([, id]) => id);
}

describe("shop: one process, in memory", () => {
  it("takes an order once for its key, finds it again, and feeds it", async () => {
    await using shop = await startShop([]);
    const wish = { sku: "assam", qty: 2, card: CARD };
    const placed = { orderId: "k1", sku: "assam", qty: 2, cents: 840 };
    assertEquals(await order(shop, wish, "k1"), { status: 200, body: placed });
    assertEquals(await order(shop, wish, "k1"), { status: 200, body: placed });
    assertEquals(charges(shop), ["charge-k1/k1"]);
    assertEquals(await find(shop, "k1"), { status: 200, body: placed });
    await shop.printed("mailed k1: your order of 840 cents");
    assertEquals(mails(shop), ["k1"]);
    assertEquals((await feed(shop, 1)).map(({ payload }) => payload), [placed]);
  });

  it("says what is wrong with a request, and takes no money for it", async () => {
    await using shop = await startShop([]);
    const good = { sku: "assam", qty: 2, card: CARD };
    const codes = [
      await order(shop, "{"),
      await order(shop, { ...good, qty: 0 }),
      await order(shop, good, "x".repeat(200), "t"),
      await order(shop, good, "k", "not a token"),
      await order(shop, { ...good, card: "4000000000000002" }),
      await order(shop, { ...good, sku: "coffee" }),
      await find(shop, "none"),
      await answer(fetch(`${shop.url}/api/charge`, { method: "POST", body: "{}" })),
      await answer(fetch(`${shop.url}/api/aftercare`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ orderId: "none", cents: 1 }),
      })),
    ].map(({ status, body }) => `${status} ${body.code}`);
    assertEquals(codes, [
      "400 INVALID_MESSAGE",
      "400 INVALID_MESSAGE",
      "400 INVALID_MESSAGE",
      "401 UNAUTHORIZED",
      "402 CARD_DECLINED",
      "422 UNKNOWN_SKU",
      "404 NO_SUCH_ORDER",
      "404 NOT_FOUND",
      "403 FORBIDDEN",
    ]);
    await order(shop, good, "same");
    assertEquals((await order(shop, { ...good, qty: 3 }, "same")).status, 409);
    assertEquals((await order(shop, good, "same", "somebody-else")).body.code, "ALREADY_PLACED");
    assertEquals(charges(shop), ["charge-same/same"]);
  });

  it("refuses a body that no order has, whether it says how long it is or not (in Deno it took any)", async () => {
    await using shop = await startShop([]);
    const long = JSON.stringify({ sku: "assam", qty: 1, card: CARD, note: "x".repeat(70_000) });
    const said = await order(shop, long);
    assertEquals([said.status, said.body.code], [413, "TOO_LARGE"]);
    const body = new Blob([long]).stream();
    // what the types of the DOM do not know: a body that is sent while it is made
    const headers = { "Content-Type": "application/json" };
    const init = { method: "POST", body, headers, duplex: "half" } as RequestInit;
    const unsaid = await fetch(`${shop.url}/api/placeOrder`, init);
    assertEquals([unsaid.status, (await unsaid.json()).code], [413, "TOO_LARGE"]);
    assertEquals(charges(shop), []);
  });

  it("feeds orders as server-sent events behind the last one that a browser has, until it ends", async () => {
    await using shop = await startShop([]);
    const good = { sku: "assam", qty: 1, card: CARD };
    for (const key of ["n1", "n2", "n3"]) await order(shop, good, key);
    const all = await feed(shop, 3);
    assertEquals(all.map(({ payload }) => payload.orderId), ["n1", "n2", "n3"]);
    const again = await feed(shop, 2, all[0].position);
    assertEquals(again.map(({ payload }) => payload.orderId), ["n2", "n3"]);
    const open = await fetch(`${shop.url}/api/placed`);
    assertEquals(await shop.end("SIGTERM"), 0);
    await open.body!.cancel().catch(() => {});
  });

  it("serves its page, whose script is what `deno task shop:page` makes of its source, and its description", async () => {
    await using shop = await startShop([]);
    const page = await fetch(`${shop.url}/`);
    assertMatch(await page.text(), /<title>The tea shop</);
    assertMatch(page.headers.get("content-security-policy") ?? "", /default-src 'self'/);
    const script = await (await fetch(`${shop.url}/page.js`)).text();
    const folder = await mkdtemp(join(tmpdir(), "catga-page-"));
    try {
      const made = join(folder, "page.js");
      const source = fileURLToPath(new URL("examples/shop/page/page.ts", ROOT));
      const command = ["build", "--minify", source, "--outfile", made];
      await promisify(execFile)(await runtimeBinary("bun"), command, { cwd: fileURLToPath(ROOT) });
      assertEquals(script, await readFile(made, "utf8"));
    } finally {
      await rm(folder, { recursive: true });
    }
    const { paths } = await (await fetch(`${shop.url}/openapi.json`)).json();
    assertEquals(Object.keys(paths).includes("/api/placeOrder"), true);
  });

  it("answers what it has in hand when it is told to end, and ends with 0", async () => {
    await using shop = await startShop([]);
    const asked = order(shop, { sku: "assam", qty: 1, card: CARD });
    await shop.printed("charged");
    const ended = shop.end("SIGTERM");
    assertEquals((await asked).status, 200);
    assertEquals(await ended, 0);
  });

  it(
    "is one trace from the HTTP request to the last handler; what follows from the log has traces of its own",
    { skip: !inDeno && "Deno alone traces by itself" },
    async () => {
      await using shop = await startShop([], { OTEL_DENO: "true", OTEL_EXPORTER_OTLP_PROTOCOL: "console" });
      assertEquals((await order(shop, { sku: "assam", qty: 1, card: CARD })).status, 200);
      const names = [
        "POST",
        "send PlaceOrder",
        "process PlaceOrder",
        "send Charge",
        "process Charge",
      ];
      for (const name of [...names, "process Order.Placed"]) await shop.printed(`SPAN ${name} [`);
      const traceOf = (name: string) => shop.output.match(new RegExp(`^SPAN ${name} \\[(\\w+)/`, "m"))?.[1];
      const traces = new Set(names.map(traceOf));
      assertEquals(traces.size, 1);
      // what is handled of the log is linked to the trace, and may be days later
      assertEquals(traces.has(traceOf("process Order.Placed")), false);
    },
  );

  it("names a service that it does not have", async () => {
    const { code, output } = await runShop(["orders", "tea"], {});
    assertEquals([code, output.trim()], [
      2,
      'unknown: tea; the shop has the services gateway, orders, payments, mails, and "health"',
    ]);
  });

  it("says that it is not well when nobody is there", async () => {
    const { code, output } = await runShop(["health"], { PORT: "1" });
    assertEquals(code, 1);
    assertMatch(output, /\S/);
  });
});

describe("shop: compose.yaml", await requireNatsServer(), () => {
  it("starts four nodes of one image after NATS, each with the shop's own health check", () => {
    assertEquals(Object.keys(nodes).sort(), ["gateway", "mails", "orders", "payments"]);
    assertEquals(dockerfile.match(/^ENTRYPOINT (.*)$/m)?.[1], '["shop"]');
    for (const node of Object.values(nodes)) {
      assertEquals(node.build, { context: ".", dockerfile: "examples/shop/Dockerfile" });
      assertEquals(node.depends_on, { nats: { condition: "service_healthy" } });
      assertEquals(node.healthcheck.test, ["CMD", "shop", "health"]);
      assertEquals(node.environment, { NATS_URL: "nats://nats:4222" });
    }
    assertEquals(broker.command.slice(0, 1), ["--jetstream"]);
  });

  it("compiles what is run here, with the same permissions", async () => {
    const flags = dockerfile.match(/deno compile --no-check (.*) --output \S+ examples\/shop\/shop\.ts$/m)?.[1];
    assertEquals(flags, PERMISSIONS.join(" "));
    assertEquals((await text("tools/compile.ts")).includes(JSON.stringify(PERMISSIONS).replaceAll(",", ", ")), true);
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, paths]) => paths.split(" "));
    for (const path of copied) assertEquals([path, existsSync(new URL(path, ROOT))], [path, true]);
  });

  it("serves while nodes are killed: every order is taken once, paid once, found again, mailed and fed", async () => {
    const [, ...args] = broker.command;
    await using server = await startNatsServer({ args: withPorts(args) });
    const start = (name: string) => {
      const { command, environment = {} } = nodes[name];
      const NATS_URL = environment.NATS_URL.replace("nats:4222", `127.0.0.1:${server.port}`);
      return startShop(command, { ...environment, NATS_URL });
    };
    const shops = await Promise.all(["gateway", "orders", "orders", "payments", "mails", "mails"].map(start));
    await using stack = new AsyncDisposableStack();
    for (const shop of shops) stack.use(shop);
    const [gateway, victim, , payments, ...mailers] = shops;
    for (const shop of shops) {
      assertEquals(JSON.parse(await healthy(new URL(shop.url).port)).status, "ready");
    }

    const keys = Array.from({ length: 120 }, (_, i) => `order-${i}`);
    const killed: Promise<unknown>[] = [];
    const left = keys.values();
    const customer = async () => {
      for (const key of left) {
        const { status, body } = await order(gateway, { sku: "mate", qty: 1, card: CARD }, key);
        assertEquals([status, body.orderId], [200, key]);
        if (key === "order-40") killed.push(victim.end("SIGKILL"));
        if (key === "order-60") killed.push(mailers[0].end("SIGKILL"));
      }
    };
    await Promise.all(Array.from({ length: 8 }, customer));
    assertEquals(await Promise.all(killed), ["SIGKILL", "SIGKILL"]);
    assertEquals(charges(payments).sort(), keys.map((key) => `charge-${key}/${key}`).sort());
    for (const key of keys) assertEquals((await find(gateway, key)).body.cents, 390);
    // what the mailer that was killed had in hand, the other one sends
    await eventually("all mails", () => mails(...mailers).length === keys.length);
    assertEquals(mails(...mailers).sort(), [...keys].sort());
    // each gateway feeds the same, in the same order
    await using later = await start("gateway");
    const fed = async (shop: ShopProcess) =>
      (await feed(shop, keys.length)).map(({ position, payload }) => `${position} ${payload.orderId}`);
    const [before, after] = [await fed(gateway), await fed(later)];
    assertEquals(before, after);
    assertEquals(before.map((line) => line.split(" ")[1]).sort(), [...keys].sort());

    assertEquals(await payments.end("SIGTERM"), 0);
    assertEquals((await order(gateway, { sku: "mate", qty: 1, card: CARD })).status, 503);
    assertEquals(await gateway.end("SIGTERM"), 0);
  });
});

describe("shop: a binary", await requireNatsServer(), () => {
  it("made by bun build --compile joins a cluster with a node in Deno", async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-shop-"));
    try {
      const binary = join(folder, "shop");
      const source = fileURLToPath(new URL("examples/shop/shop.ts", ROOT));
      const bun = await runtimeBinary("bun");
      await promisify(execFile)(bun, ["build", "--compile", source, "--outfile", binary], { cwd: fileURLToPath(ROOT) });
      await using server = await startNatsServer();
      const env = { NATS_URL: server.url };
      await using _orders = await startShop(["orders", "payments"], env, [binary]);
      const deno = [await runtimeBinary("deno"), "run", "--quiet", ...PERMISSIONS, source];
      await using gateway = await startShop(["gateway"], env, deno);
      assertEquals((await order(gateway, { sku: "sencha", qty: 1, card: CARD }, "k1")).body, {
        orderId: "k1",
        sku: "sencha",
        qty: 1,
        cents: 550,
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

/**
 * The server's arguments with what is the container's alone left out: where it keeps its data, and the monitoring port.
 */
function withPorts(args: readonly string[]): string[] {
  const pairs = args.flatMap((arg, i) => arg.startsWith("--") ? [[arg, args[i + 1]]] : []);
  assertEquals(pairs.map(([name]) => name), ["--store_dir", "--http_port"]);
  return ["--http_port", "-1"];
}
