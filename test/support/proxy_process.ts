/** nginx and HAProxy as processes before a server of this machine. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Proxy } from "../../tools/proxies.ts";
import { freePorts } from "../../tools/nats_server.ts";
import { eventually } from "./eventually.ts";

/** A proxy that listens on a port of 127.0.0.1, and ends with its disposal. */
export interface ProxyProcess extends AsyncDisposable {
  readonly port: number;
}

/** How a proxy is set. */
export interface ProxySettings {
  /** Lines of nginx's `http` block; none: its defaults. */
  readonly nginx?: string;
  /** What nginx does with requests; the default passes them on. */
  readonly location?: string;
  /** Lines of HAProxy's section `defaults`, besides the mode and the time limits of Debian's package; none. */
  readonly haproxy?: string;
  /** Lines of HAProxy's section `frontend`; none. */
  readonly frontend?: string;
}

/** Starts a proxy before the server at `upstream`, a port of 127.0.0.1. */
export async function startProxy(
  name: "nginx" | "haproxy",
  { path, env }: Proxy,
  upstream: number,
  settings: ProxySettings = {},
): Promise<ProxyProcess> {
  const [port] = await freePorts(1);
  const folder = await mkdtemp(join(tmpdir(), "catga-proxy-"));
  const file = join(folder, "config");
  const config = name === "nginx" ? nginx(port, upstream, folder, settings) : haproxy(port, upstream, settings);
  await writeFile(file, config);
  const args = name === "nginx" ? ["-p", folder, "-c", file] : ["-db", "-f", file];
  const child = spawn(path, args, { env, stdio: "ignore" });
  const ended = once(child, "close");
  const proxy = {
    port,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await eventually(`${name} to listen`, () => isOpen(port));
    return proxy;
  } catch (error) {
    await proxy[Symbol.asyncDispose]();
    throw error;
  }
}

/** Its folders are named, as it may not write to those of its package. */
const nginx = (port: number, upstream: number, folder: string, settings: ProxySettings) => `
daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/errors; worker_processes 1;
events {}
http {
  access_log off; ${settings.nginx ?? ""}
  client_body_temp_path ${folder}/a; proxy_temp_path ${folder}/b; fastcgi_temp_path ${folder}/c;
  uwsgi_temp_path ${folder}/d; scgi_temp_path ${folder}/e;
  server {
    listen 127.0.0.1:${port};
    ${settings.location ?? `location / { proxy_pass http://127.0.0.1:${upstream}; }`}
  }
}`;

const haproxy = (port: number, upstream: number, { haproxy = "", frontend = "" }: ProxySettings) => `
defaults
  mode http
  timeout connect 5s
  timeout client 50s
  timeout server 50s
  ${haproxy}
frontend all
  bind 127.0.0.1:${port}
  default_backend node
  ${frontend}
backend node
  server node 127.0.0.1:${upstream}
`;

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
