/**
 * `deno task compile`: the shop (`examples/shop/`) as one binary, by Deno and by Bun, in `dist/`.
 *
 * `deno compile` fetches a runtime of its own at the first time. Where that cannot be had, this says so, and Deno's binary
 * is left out; the exit code is 1 for what else goes wrong.
 *
 * @module
 */
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { bunCommand } from "./bun.ts";
import { type Ended, Processes } from "./processes.ts";

const LIMIT = 5 * 60_000;
/** What a node may do: the same permissions as in `examples/shop/Dockerfile`. */
const PERMISSIONS = ["--allow-net", "--allow-env", "--allow-sys=hostname"];

const root = fileURLToPath(new URL("..", import.meta.url));
const source = join("examples", "shop", "shop.ts");

using processes = new Processes();
process.chdir(root);
await mkdir("dist", { recursive: true });
const byDeno = join("dist", "shop");
const byBun = join("dist", "shop-bun");
const deno = await run([Deno.execPath(), "compile", "--no-check", ...PERMISSIONS, "--output", byDeno, source]);
const missing = /^Download (\S+)$[^]*error sending request/m.exec(deno.output)?.[1];
if (missing === undefined) await said(byDeno, deno);
else console.log(`${byDeno}: left out, the runtime for it cannot be had from ${missing}`);
const bun = await bunCommand(processes);
const packages = await run([...bun, "install", "--frozen-lockfile"]);
if (packages.code !== 0) await said(byBun, packages);
else await said(byBun, await run([...bun, "build", "--compile", source, "--outfile", byBun]));

function run(command: readonly string[]): Promise<Ended> {
  return processes.run(command, { limit: LIMIT, show: "never" });
}

async function said(file: string, { code, output }: Ended): Promise<void> {
  if (code !== 0) {
    console.error(`${file}: failed\n${output}`);
    process.exitCode = 1;
    return;
  }
  const { size } = await stat(file);
  console.log(`${file}: ${Math.round(size / 1e6)} MB`);
}
