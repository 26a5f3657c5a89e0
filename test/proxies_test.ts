/**
 * An edge and server-sent events behind nginx and HAProxy: each event arrives before the next one is made, and an
 * answer that has not changed is not sent again though the proxy compresses it.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { describe, it } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { catga, query, stream } from "../mod.ts";
import { serve } from "../examples/shop/http_server.ts";
import { edge, events } from "../src/http/mod.ts";
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

function listening(server: Server): Promise<number> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));
}
