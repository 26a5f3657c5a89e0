/** Nodes of the shop as processes, for its tests. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The permissions that the image gives a node. */
export const PERMISSIONS = ["--allow-net", "--allow-env", "--allow-sys=hostname"];

const SHOP = fileURLToPath(new URL("shop.ts", import.meta.url));
const LIMIT = 60_000;

/** A process of the shop. */
export interface ShopProcess extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  /** Text that the process has printed to standard output and standard error. */
  readonly output: string;
  /** Resolves when the process has printed this text; rejects after 60 s without it. */
  printed(what: string): Promise<void>;
  /** Sends a signal; resolves with the exit code, or with the signal that ended the process. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>;
}

/** Returns the command that starts the shop in this runtime. */
export function shopCommand(): string[] {
  return [process.execPath, ...(process.versions.deno === undefined ? [] : ["run", "--quiet", ...PERMISSIONS]), SHOP];
}

/** Starts a node of the shop on a free port; resolves when the node listens. */
export async function startShop(
  services: readonly string[],
  env: Readonly<Record<string, string>> = {},
  command: readonly string[] = shopCommand(),
): Promise<ShopProcess> {
  const child = spawnShop(command, services, { PORT: "0", ...env });
  let output = "";
  const ended = once(child, "close").then(([code, signal]) => (signal ?? code) as number | NodeJS.Signals);
  const port = await new Promise<string>((resolve, reject) => {
    const late = setTimeout(
      () => reject(new Error(`no node of the shop after ${LIMIT} ms:\n${output}`)),
      LIMIT,
    );
    const hear = (text: string) => {
      output += text;
      const [, port] = output.match(/ on http:\/\/[\d.]+:(\d+)$/m) ?? [];
      if (port === undefined) return;
      clearTimeout(late);
      resolve(port);
    };
    child.stdout!.setEncoding("utf8").on("data", hear);
    child.stderr!.setEncoding("utf8").on("data", hear);
    ended.then((by) => {
      clearTimeout(late);
      reject(new Error(`a node of the shop ended by ${by}:\n${output}`));
    });
  }).catch((error) => {
    child.kill("SIGKILL");
    throw error;
  });
  const end = (signal: NodeJS.Signals) => {
    // not `child.kill`: Deno then reports the signal as the process's end, whatever its exit code was
    if (child.exitCode === null && child.signalCode === null) process.kill(child.pid!, signal);
    return ended;
  };
  return {
    url: `http://127.0.0.1:${port}`,
    get output() {
      return output;
    },
    async printed(what) {
      const late = AbortSignal.timeout(LIMIT);
      const streams = [child.stdout!, child.stderr!];
      while (!output.includes(what)) await Promise.race(streams.map((each) => once(each, "data", { signal: late })));
    },
    end,
    async [Symbol.asyncDispose]() {
      await end("SIGKILL");
    },
  };
}

/** Runs a command of the shop to its end. */
export async function runShop(
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ code: number; output: string }> {
  const child = spawnShop(shopCommand(), words, env);
  let output = "";
  for (const stream of [child.stdout!, child.stderr!]) stream.setEncoding("utf8").on("data", (text) => output += text);
  const [code] = await once(child, "close");
  return { code, output };
}

function spawnShop(
  [binary, ...args]: readonly string[],
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): ChildProcess {
  const { NATS_URL: _, NODE_ID: __, ...rest } = process.env;
  return spawn(binary, [...args, ...words], {
    env: { ...rest, NO_COLOR: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
}
