/**
 * The modules that Deno downloads for a program over NATS on the published package, and those in the graph of all
 * entrypoints: Catga's own files and packages of NATS from JSR, each once; of npm the one package that JSR's nkeys
 * imports, and no second nats-core.
 *
 *   … graph.ts nats://127.0.0.1:4222
 */
import process from "node:process";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageFaults } from "./package_faults.ts";

const [url] = process.argv.slice(2);

/** The modules in the graph of a program, its imports that are loaded later and types included. */
function modulesOf(program: string): string[] {
  const { modules } = JSON.parse(run("info", "--json", program)) as { modules: { specifier: string }[] };
  return modules.map(({ specifier }) => specifier);
}

/** Runs Deno with a cache that is empty at the start of this program. */
function run(...args: string[]): string {
  return execFileSync(process.execPath, args, { env, encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
}

/** Names of packages in the cache. */
function downloadedFromNpm(): string[] {
  const folder = join(cache, "npm");
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((registry) => readdirSync(join(folder, registry)));
}

/** JSR's nkeys imports it from npm. */
const OF_NKEYS = "tweetnacl";
/** The packages that each graph must have. */
const NEEDED = ["@nats-io/nats-core", "@nats-io/jetstream", "@nats-io/kv"];
/** Programs, with what they may have from npm. */
const PROGRAMS = [
  { program: "jsr:@catga/catga", npm: [OF_NKEYS] },
  // each entrypoint but npm's client; `./behaviors` takes OpenTelemetry's package, as its users do
  { program: "all.ts", npm: [OF_NKEYS, "@opentelemetry/api"] },
];
const cache = mkdtempSync(join(tmpdir(), "catga-graph-"));
const env = { ...process.env, DENO_DIR: cache };
try {
  run("run", "-q", "-A", "--check", "nats.ts", url, "deno");
  const downloaded = downloadedFromNpm();
  if (downloaded.join() !== OF_NKEYS) throw new Error(`a program over NATS downloads ${downloaded} from npm`);

  for (const { program, npm } of PROGRAMS) {
    const { files, faults } = packageFaults(modulesOf(program), NEEDED, npm);
    if (faults.length > 0) throw new Error(`the graph of ${program}: ${faults.join("; ")}`);
    console.log(`${program}: ${[...files].map(([name, count]) => `${name} ${count}`).join(", ")}`);
  }

  const { stderr } = spawnSync(process.execPath, ["run", "-A", "--cached-only", "nats.ts", url, "node"], {
    env,
    encoding: "utf8",
  });
  if (!/UNAVAILABLE|cannot be loaded/.test(stderr) || !/must import it itself/.test(stderr)) throw new Error(stderr);
  writeFileSync("asks.ts", 'import "jsr:@catga/catga/transport-node";\nimport "./nats.ts";\n');
  run("cache", "-q", "asks.ts");
  process.stdout.write(run("run", "-A", "--cached-only", "asks.ts", url, "node"));
  const asked = modulesOf("jsr:@catga/catga/transport-node");
  if (!asked.some((specifier) => /^npm:.*@nats-io\/transport-node@/.test(specifier))) {
    throw new Error(`the client of npm is not in the graph of a program that asks for it: ${asked}`);
  }
} finally {
  rmSync(cache, { recursive: true, force: true });
}
