/**
 * The modules that Deno downloads for a program over NATS on the published package: Catga's own files and packages of
 * NATS from JSR, each in one version; of npm the one package that JSR's nkeys imports, and no second nats-core.
 *
 *   … graph.ts nats://127.0.0.1:4222
 */
import process from "node:process";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

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

/** Entrypoints, with the package of NATS that its graph must have. */
const ENTRYPOINTS = { "jsr:@catga/catga": "@nats-io/jetstream", "jsr:@catga/catga/cli": "@nats-io/kv" };
/** JSR's nkeys imports it from npm. */
const OF_NKEYS = "tweetnacl";
const cache = mkdtempSync(join(tmpdir(), "catga-graph-"));
const env = { ...process.env, DENO_DIR: cache };
try {
  run("run", "-q", "-A", "--check", "nats.ts", url, "deno");
  const downloaded = downloadedFromNpm();
  if (downloaded.join() !== OF_NKEYS) throw new Error(`a program over NATS downloads ${downloaded} from npm`);

  for (const [entrypoint, needed] of Object.entries(ENTRYPOINTS)) {
    const modules = modulesOf(entrypoint).filter((name) => !name.startsWith("node:"))
      .filter((name) => name.replace(/^npm:\/?(.*)@.*$/, "$1") !== OF_NKEYS);
    const packages = modules.map((specifier) => specifier.match(/\/(@[^/]+\/[^/]+\/\d[^/]*)\//)?.[1] ?? specifier);
    const count = Map.groupBy(packages, (name) => name);
    const strange = [...count.keys()].filter((name) => !/^@(?:catga|nats-io)\/[^/]+\/\d/.test(name));
    if (strange.length > 0) throw new Error(`the graph of ${entrypoint} has ${strange.join(", ")}`);
    const names = [...count.keys()].map((name) => name.replace(/\/[^/]+$/, ""));
    const once = names.filter((name) => name === needed).length === 1 && new Set(names).size === names.length;
    if (!once) throw new Error(`${entrypoint} has not each package once, and ${needed}: ${[...count.keys()]}`);
    console.log(`${entrypoint}: ${[...count].map(([name, files]) => `${name} ${files.length}`).join(", ")}`);
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
