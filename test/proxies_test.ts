/** Server-sent events behind nginx and HAProxy: each event arrives before the next one is made. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { catga, stream } from "../mod.ts";
import { events } from "../src/http/mod.ts";
import { findProxy, type Proxy } from "../tools/proxies.ts";
import { eventually } from "./support/eventually.ts";

const Rows = stream<void, number>("Rows");

/** The settings of the page about proxies, and those that buffer elsewhere. */
const NGINX = (port: number, upstream: number, folder: string) => `
daemon off; master_process off; pid ${folder}/pid; error_log stderr; worker_processes 1;
events {}
http {
  access_log off; gzip on; gzip_types text/event-stream;
  client_body_temp_path ${folder}/a; proxy_temp_path ${folder}/b; fastcgi_temp_path ${folder}/c;
  uwsgi_temp_path ${folder}/d; scgi_temp_path ${folder}/e;
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://127.0.0.1:${upstream}; proxy_read_timeout 15s; }
  }
}`;
const HAPROXY = (port: number, upstream: number) => `
defaults
  mode http
  timeout connect 5s
  timeout client 15s
  timeout server 15s
  compression algo gzip
  compression type text/html
frontend all
  bind 127.0.0.1:${port}
  default_backend node
backend node
  server node 127.0.0.1:${upstream}
`;

const proxies = [["nginx", await findProxy("nginx")], ["haproxy", await findProxy("haproxy")]] as const;

describe("server-sent events through a proxy", () => {
  for (const [name, found] of proxies) {
    const options = "skip" in found ? found : { timeout: 120_000 };
    it(`${name}: each event arrives before the next one is made`, options, async () => {
      const proxy = found as Proxy; // it is skipped otherwise
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
      const [upstream, port] = [await listening(server), await freePort()];
      const folder = await mkdtemp(join(tmpdir(), "catga-proxy-"));
      const file = join(folder, "config");
      await writeFile(file, name === "nginx" ? NGINX(port, upstream, folder) : HAPROXY(port, upstream));
      const args = name === "nginx" ? ["-p", folder, "-c", file] : ["-db", "-f", file];
      const child = spawn(proxy.path, args, { env: proxy.env, stdio: "ignore" });
      const ended = once(child, "close");
      try {
        await eventually(`${name} to listen`, () => isOpen(port));
        const headers = { "accept-encoding": "gzip" };
        const response = await fetch(`http://127.0.0.1:${port}/`, { headers });
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
        child.kill("SIGKILL");
        await ended;
        server.closeAllConnections();
        server.close();
        await rm(folder, { recursive: true, force: true });
      }
    });
  }
});

function listening(server: Server): Promise<number> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listening(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
