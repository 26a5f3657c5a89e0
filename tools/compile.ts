/**
 * `deno task compile`: the shop (`examples/shop/`) as one binary, by Deno and by Bun, in `dist/`.
 *
 * `deno compile` downloads a runtime the first time. Where it cannot, this program says so and leaves Deno's binary
 * out; any other failure ends it with code 1.
 *
 * @module
 */
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { bunBinary } from "./bun.ts";
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
if (missing === undefined) await printed(byDeno, deno);
else console.log(`${byDeno}: left out, its runtime could not be downloaded from ${missing}`);
const bun = await bunBinary(processes);
const packages = await run([bun, "install", "--frozen-lockfile"]);
if (packages.code !== 0) await printed(byBun, packages);
else await printed(byBun, await run([bun, "build", "--compile", source, "--outfile", byBun]));

function run(command: readonly string[]): Promise<Ended> {
  return processes.run(command, { limit: LIMIT, show: "never" });
}

async function printed(file: string, { code, output }: Ended): Promise<void> {
  if (code !== 0) {
    console.error(`${file}: failed\n${output}`);
    process.exitCode = 1;
    return;
  }
  const { size } = await stat(file);
  console.log(`${file}: ${Math.round(size / 1e6)} MB`);
}
