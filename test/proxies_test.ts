/**
 * An edge and server-sent events behind nginx and HAProxy: each event arrives before the next one is made, and an
 * answer that has not changed is not sent again though the proxy compresses it.
 */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { describe, it } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { catga, query, stream } from "../mod.ts";
import { DashboardServer } from "../src/dashboard/serving/server.ts";
import { Streams } from "../src/dashboard/serving/streams.ts";
import { serve } from "../examples/shop/http_server.ts";
import { deny, edge, events } from "../src/http/mod.ts";
import { findProxy, type Proxy } from "../tools/proxies.ts";
import { startProxy } from "./support/proxy_process.ts";

const Rows = stream<void, number>("Rows");

const List = query<void, string[]>("List");
const api = edge({ list: List });

/** Both compress, nginx even the events, whatever stands in their headers. */
const SETTINGS = {
  nginx: "gzip on; gzip_types text/event-stream; proxy_read_timeout 15s;",
  haproxy: "timeout server 15s\n  compression algo gzip\n  compression type text/html",
};

const proxies = [["nginx", await findProxy("nginx")], ["haproxy", await findProxy("haproxy")]] as const;

describe("server-sent events through a proxy", () => {
  for (const [name, found] of proxies) {
    const options = "skip" in found ? found : { timeout: 120_000 };
    it(`${name}: each event arrives before the next one is made`, options, async () => {
      const goOn = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const handlers = Rows.handle(async function* () {
        yield 1;
        await goOn[0].promise;
        yield 2;
        await goOn[1].promise;
        yield 3;
      });
      await using app = await catga({ handlers });
      const server = createServer((_, response) => {
        const { headers, body } = events(app.stream(Rows));
        response.writeHead(200, Object.fromEntries(headers));
        Readable.fromWeb(body as never).pipe(response);
      });
      try {
        await using proxy = await startProxy(name, found as Proxy, await listening(server), SETTINGS);
        const headers = { "accept-encoding": "gzip" };
        const response = await fetch(`http://127.0.0.1:${proxy.port}/`, { headers });
        const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
        let text = "";
        for (const [n, wait] of [...goOn, undefined].entries()) {
          while (!text.includes(`data: ${n + 1}\n`)) text += (await reader.read()).value ?? "";
          wait?.resolve(); // only now is the next event made
        }
        while (!text.includes("event: end")) text += (await reader.read()).value ?? "";
        assertEquals(text.match(/data: \d/g), ["data: 1", "data: 2", "data: 3"]);
        await reader.cancel();
      } finally {
        server.closeAllConnections();
        server.close();
      }
    });
  }
});

describe("an answer that has not changed, through a proxy that compresses it", () => {
  const compressing = {
    nginx: "gzip on; gzip_types application/json; gzip_min_length 1;",
    haproxy: "compression algo gzip\n  compression type application/json",
  };
  for (const [name, found] of proxies) {
    const options = "skip" in found ? found : { timeout: 120_000 };
    it(`${name}: it is 304 (it was 200, with all of it)`, options, async () => {
      await using app = await catga({ handlers: List.handle(() => Array(100).fill("assam")) });
      const server = serve(api.handler(app, { authorize: () => undefined }), "127.0.0.1", 0);
      try {
        await using proxy = await startProxy(name, found as Proxy, server.port, compressing);
        const ask = async (headers: Record<string, string>) => {
          const response = await fetch(`http://127.0.0.1:${proxy.port}/list`, {
            headers: { accept: "application/json", "accept-encoding": "gzip", ...headers },
          });
          return { response, text: await response.text() };
        };
        const { response } = await ask({});
        const etag = response.headers.get("etag")!;
        assertMatch(etag, /^(W\/)?"[\w-]+"$/);
        const again = await ask({ "if-none-match": etag });
        assertEquals([again.response.status, again.text], [304, ""]);
      } finally {
        await server.close(5_000);
      }
    });
  }
});

describe("a refusal of a request whose body was not read, through a proxy", () => {
  for (const [name, found] of proxies) {
    const options = "skip" in found ? found : { timeout: 120_000 };
    it(`${name}: arrives (of Bun.serve behind nginx half of them were 502)`, options, async () => {
      await using app = await catga({ handlers: List.handle(() => []) });
      const authorize = (request: Request) => request.headers.has("x-session") ? undefined : deny(401);
      const server = serve(api.handler(app, { authorize }), "127.0.0.1", 0);
      try {
        await using proxy = await startProxy(name, found as Proxy, server.port, {
          nginx: "client_max_body_size 100m;",
        });
        for (const [size, session, wanted] of [[900_000, false, 401], [5_000_000, true, 413]] as const) {
          const statuses = [];
          for (let n = 0; n < 12; n++) {
            const response = await fetch(`http://127.0.0.1:${proxy.port}/list`, {
              ...{ method: "POST", body: "1".repeat(size) },
              headers: { "content-type": "application/json", ...(session ? { "x-session": "1" } : {}) },
            });
            await response.text();
            statuses.push(response.status);
          }
          assertEquals(statuses, Array(12).fill(wanted));
        }
      } finally {
        await server.close(5_000);
      }
    });
  }
});

/** Sends a request by the name under which a proxy is known, and reads its answer up to `enough`. */
function askAs(
  port: number,
  path: string,
  { method = "GET", headers, body, enough }: {
    readonly method?: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly enough?: string;
  },
): Promise<{ readonly status: number | undefined; readonly headers: IncomingHttpHeaders; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, path, method, headers, agent: false }, (response) => {
      let text = "";
      const end = () => resolve({ status: response.statusCode, headers: response.headers, text });
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
        if (enough === undefined || !text.includes(enough)) return;
        end();
        response.destroy();
      });
      response.on("end", end);
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

describe("the dashboard behind a proxy, set as its page says", () => {
  for (const [name, found] of proxies) {
    const options = "skip" in found ? found : { timeout: 120_000 };
    it(`${name}: the page, its stream and a change pass, under another name than the address`, options, async () => {
      const streams = new Streams({
        hello: () => ({ namespace: "shop", address: "nats", version: "1", allowChanges: true, now: Date.now() }),
        history: () => ({}),
        onLook: () => {},
        onLeave: () => {},
      });
      const changed: unknown[] = [];
      const change = (wanted: unknown) => Promise.resolve({ done: changed.push(wanted), failed: [] } as never);
      await using dashboard = await DashboardServer.listen({
        ...{ host: "127.0.0.1", port: 0, streams, change, reads: {} },
      });
      const { port: upstream, search } = new URL(dashboard.address);
      const page = await readFile(new URL("../docs/dashboard.md", import.meta.url), "utf8");
      const block = (language: string) =>
        new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, "s").exec(page)![1].replaceAll("4280", upstream);
      const settings = name === "nginx"
        ? { location: block("nginx").replace("$scheme", "https") }
        : { frontend: block("haproxy").replace(" if { ssl_fc }", "") };
      await using proxy = await startProxy(name, found as Proxy, Number(upstream), settings);
      const host = "ops.example";
      const entered = await askAs(proxy.port, `/${search}`, { headers: { host } });
      assertEquals(entered.status, 303);
      const folder = entered.headers.location!;
      const cookie = entered.headers["set-cookie"]![0].split(";")[0];
      const own = { host, cookie, "sec-fetch-site": "same-origin" };
      assertEquals((await askAs(proxy.port, folder, { headers: own })).status, 200);
      const stream = await askAs(proxy.port, `${folder}stream`, { headers: own, enough: "shop" });
      assertEquals([stream.status, stream.headers["content-type"]], [200, "text/event-stream; charset=utf-8"]);
      const body = JSON.stringify({ do: "cancel", contract: "Mail", id: "7" });
      const post = (origin: string) =>
        askAs(proxy.port, `${folder}change`, {
          ...{ method: "POST", body },
          headers: { ...own, origin, "content-type": "application/json", "content-length": `${body.length}` },
        });
      assertEquals((await post("https://evil.example")).status, 403);
      assertEquals((await post("https://ops.example")).status, 200);
      assertEquals(changed, [JSON.parse(body)]);
    });
  }
});

function listening(server: Server): Promise<number> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));
}
