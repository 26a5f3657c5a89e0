/** Server-sent events behind nginx and HAProxy: each event arrives before the next one is made. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { catga, stream } from "../mod.ts";
import { events } from "../src/http/mod.ts";
import { findProxy, type Proxy } from "../tools/proxies.ts";
import { startProxy } from "./support/proxy_process.ts";

const Rows = stream<void, number>("Rows");

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

function listening(server: Server): Promise<number> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));
}
