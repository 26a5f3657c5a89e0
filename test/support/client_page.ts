/** For any browser: a page with the client of an edge, its edge, and between them a relay that can be cut. */
import { assertEquals } from "@std/assert";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { catga, command, event, query, stream, unwrap } from "../../mod.ts";
import { edge } from "../../src/http/mod.ts";
import { serve } from "../../examples/shop/http_server.ts";
import { runtimeBinary } from "../processes/node_process.ts";
import { eventually } from "./eventually.ts";
import { QUIET } from "./quiet.ts";

/** A browser with one page. */
export interface PageBrowser extends AsyncDisposable {
  goto(url: string): Promise<unknown>;
  /** The value of an expression in the page, or what it resolves with. */
  evaluate<T>(expression: string): Promise<T>;
  /** Resolves when an expression in the page is truthy, with its value. */
  until<T>(what: string, expression: string): Promise<T>;
}

const List = query<void, Map<string, Date>>("List");
const Add = command<bigint, bigint>("Add", { idempotent: true });
const Count = stream<{ from: number; to: number }, number>("Count", {
  resume: (input, last) => ({ ...input, from: (last ?? input.from - 1) + 1 }),
});
const Said = event<{ n: number }>("Said", { durable: true });
const api = edge({ list: List, add: Add, count: Count, said: Said });

/** The script of every place (a page or a worker): calls of each kind, and a tail that keeps what it gets. */
const CALLS = `
const shop = client(self.location.origin + "/api", { pause: [1, 20] });
self.got = [];
self.open = () => {
  self.tail = shop.said.follow({ from: "start" });
  (async () => {
    try {
      for await (const { payload } of tail) got.push(payload.n);
    } catch (error) {
      got.push(String(error));
    }
  })();
};
self.calls = async () => {
  const { value: added } = await shop.add.send(5n);
  const { value: list } = await shop.list.query();
  const counted = [];
  for await (const n of shop.count.stream({ from: 1, to: 4 })) counted.push(n);
  return [String(added), list.get("tea").getTime(), counted];
};`;

/** A script for each kind of worker, which evaluates the texts that it gets. A service worker fetches for its page. */
const WORKER = `importScripts("/client.js");${CALLS}
const answer = async ({ data, ports }) => ports[0].postMessage(await (0, eval)(data));
self.onmessage = answer;
self.onconnect = ({ ports }) => ports[0].onmessage = answer;
self.onactivate = (event) => event.waitUntil(self.clients.claim());
self.onfetch = (event) => event.respondWith(fetch(event.request));`;

const PAGE = `<!doctype html><script src="/client.js"></script><script>${CALLS}
const places = {
  page: () => ({ postMessage: async (text, [port]) => port.postMessage(await (0, eval)(text)) }),
  worker: () => new Worker("/worker.js"),
  "shared worker": () => new SharedWorker("/worker.js").port,
  "service worker": async () => {
    await navigator.serviceWorker.register("/worker.js");
    return (await navigator.serviceWorker.ready).active;
  },
};
const opened = {};
self.inPlace = async (name, text) => {
  const place = await (opened[name] ??= places[name]());
  const { port1, port2 } = new MessageChannel();
  const answer = new Promise((resolve) => port1.onmessage = ({ data }) => resolve(data));
  place.postMessage(text, [port2]);
  return await answer;
};
self.frozen = false;
document.addEventListener("freeze", () => frozen = true);
document.addEventListener("resume", () => frozen = false);
self.isReady = true;
</script>`;

/** Tests the client in a browser. `open` starts one with an empty profile; `script` is {@link bundledClient}'s. */
export function testClientIn(script: () => string, open: () => Promise<PageBrowser>): void {
  for (const name of ["page", "worker", "shared worker", "service worker"]) {
    it(`in a ${name}: calls are answered, and a tail whose connection is cut has each event once, in order`, async () => {
      await using setup = await startPage(script(), open);
      const run = <T>(text: string) => setup.browser.evaluate<T>(`inPlace("${name}", ${JSON.stringify(text)})`);
      assertEquals(await run("calls()"), ["6", 5, [1, 2, 3, 4]]);
      await setup.followThroughCuts(run);
    });
  }

  it("on a page whose requests a service worker makes: so it is, and the worker gives the connection back", async () => {
    await using setup = await startPage(script(), open);
    const { browser } = setup;
    await browser.evaluate(`inPlace("service worker", "1")`);
    await browser.until("the worker", "navigator.serviceWorker.controller !== null");
    assertEquals(await browser.evaluate("calls()"), ["6", 5, [1, 2, 3, 4]]);
    await setup.followThroughCuts((text) => browser.evaluate(text));
  });

  it("on a page that is left: a tail gives its connection up, and goes on when the page comes back", async () => {
    await using setup = await startPage(script(), open);
    const { browser, say } = setup;
    // a browser without a screen has no back/forward cache: the page gets the events alone
    const happens = (name: string) =>
      browser.evaluate(`void dispatchEvent(new PageTransitionEvent("${name}", { persisted: true }))`);
    await browser.evaluate("open()");
    await say(3);
    await setup.gotAll();
    for (let time = 0; time < 3; time++) {
      await setup.openTails(1);
      await happens("pagehide");
      await setup.openTails(0);
      await say(50);
      await happens("pageshow");
      await setup.gotAll();
    }
    await setup.openTails(1);
    await happens("pagehide");
    await browser.evaluate("void tail.return()"); // ends the iteration of a page that is away, too
    await happens("pageshow");
    await setup.openTails(0);
    assertEquals(await browser.evaluate("tail.next().then(({ done }) => done)"), true);
  });
}

/** A page, its edge, and between them a relay whose connections can be cut. */
export async function startPage<B extends PageBrowser>(script: string, open: () => Promise<B>) {
  const app = await catga({
    logger: QUIET,
    handlers: [
      List.handle(() => new Map([["tea", new Date(5)]])),
      Add.handle((n) => n + 1n),
      Count.handle(function* ({ from, to }) {
        for (let n = from; n <= to; n++) yield n;
      }),
    ],
  });
  // silence alone would be noticed after 40 minutes
  const handle = api.handler(app, { base: "/api", authorize: () => undefined, keepAlive: 600_000 });
  const files: Readonly<Record<string, string>> = { "/client.js": script, "/worker.js": WORKER };
  let tails = 0;
  const half: (() => void)[] = [];
  const server = serve(
    (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/api/said") {
        tails++;
        request.signal.addEventListener("abort", () => tails--);
      }
      if (pathname === "/api/half") {
        const body = new ReadableStream({
          start(to) {
            to.enqueue(new TextEncoder().encode("[1,"));
            half.push(() => {
              to.enqueue(new TextEncoder().encode(`${"1,".repeat(3_000_000 - 1)}2]`));
              to.close();
            });
          },
        });
        return new Response(body, { headers: { "content-type": "application/json" } });
      }
      if (pathname.startsWith("/api/")) return handle(request);
      const type = pathname in files ? "text/javascript" : "text/html; charset=utf-8";
      return new Response(files[pathname] ?? PAGE, { headers: { "content-type": type } });
    },
    "127.0.0.1",
    0,
  );
  const relay = await startRelay(server.port);
  const browser = await open();
  await browser.goto(`http://127.0.0.1:${relay.port}/`);
  await browser.until("the page", "self.isReady");
  let said = 0;
  const say = async (count: number) => {
    for (let n = 0; n < count; n++) unwrap(await app.publish(Said, { n: ++said }));
  };
  const openTails = (count: number) => eventually(`${count} requests of tails`, () => tails === count);
  type Run = <T>(text: string) => Promise<T>;
  /** Waits for all that was said, and checks that it came once and in order. */
  const gotAll = async (run: Run = (text) => browser.evaluate(text)) => {
    await eventually("each event", async () => await run<number>("got.length") >= said);
    assertEquals(await run("got"), Array.from({ length: said }, (_, n) => n + 1));
  };
  return {
    ...{ browser, say, gotAll, openTails, cut: relay.cut },
    finishHalf: () => half.forEach((finish) => finish()),
    passed: (bytes: number) => eventually(`${bytes} bytes to the browser`, () => relay.passed() > bytes),
    followThroughCuts: async (run: Run) => {
      await run("open()");
      for (let n = 0; n < 5; n++) {
        await say(20);
        relay.cut();
      }
      await say(1);
      await gotAll(run);
      await run("void tail.return()");
      await openTails(0);
    },
    [Symbol.asyncDispose]: async () => {
      await browser[Symbol.asyncDispose]();
      await relay.close();
      await app.drain();
      await server.close(5_000);
    },
  };
}

async function startRelay(upstream: number) {
  const sockets = new Set<Socket>();
  let passed = 0;
  const server = createServer((down) => {
    const up = connect(upstream, "127.0.0.1");
    for (const socket of [up, down]) {
      sockets.add(socket);
      socket.on("error", () => {}); // `close` follows
      socket.once("close", () => {
        sockets.delete(socket);
        up.destroy();
        down.destroy();
      });
    }
    up.on("data", ({ length }) => passed += length);
    down.pipe(up).pipe(down);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    cut,
    passed: () => passed,
    port: (server.address() as { port: number }).port,
    close: async () => {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The client as a script, which makes it a global. */
export async function bundledClient(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "catga-client-"));
  try {
    const [entry, built] = [join(folder, "entry.ts"), join(folder, "built.js")];
    const from = JSON.stringify(fileURLToPath(new URL("../../src/client/mod.ts", import.meta.url)));
    await writeFile(entry, `import { client } from ${from};\nself.client = client;\n`);
    const bun = await runtimeBinary("bun");
    await promisify(execFile)(bun, ["build", "--target=browser", "--format=iife", `--outfile=${built}`, entry]);
    return await readFile(built, "utf8");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
