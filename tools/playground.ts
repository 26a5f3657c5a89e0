/**
 * The playground of `explore`: a page that runs a program on a cluster in memory, in the browser. Bun makes modules of
 * Catga for it; `tools/site.ts` puts the page on the site.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** The files of the page. */
export interface Playground {
  /** Their texts, by their names. */
  readonly files: ReadonlyMap<string, string>;
  /** The programs, by their names. */
  readonly programs: Readonly<Record<string, string>>;
  /** Modules that a page loads for every program; of one with such a `word`, also those of the part. */
  readonly always: readonly string[];
  readonly parts: readonly { readonly word: string; readonly files: readonly string[] }[];
}

interface Output {
  readonly entryPoint?: string;
  readonly imports: readonly { readonly path: string; readonly kind: string }[];
}

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = join(root, "tools/site/playground");

/** Parts of apps that a program needs only if its text has a word: that of the function which declares them. */
const PARTS: ReadonlyMap<string, string> = new Map(Object.entries({
  "src/entities/entities.ts": "entity",
  "src/flow/runs.ts": "workflow",
  "src/streams/reading.ts": "stream",
}));
/** Parts that need what a browser lacks, or whose options no program of the page has. */
const NEVER: readonly string[] = [
  "src/codec/sealed_link.ts",
  "src/node/process_signals.ts",
  "src/cluster/membership/schema_mismatches.ts", // compares the schemas of two versions
];
/** Not loaded in memory. */
const ELSEWHERE = ["src/nats/", "src/file/", "src/node/permission_denials.ts", "src/testing/explore_threads.ts"];
/** Modules of `node:` that Catga imports; each is `runtime.js`. */
const OF_NODE = ["async_hooks", "os", "perf_hooks", "process", "timers", "timers/promises", "util"];

/** Makes the page with this Bun. Rejects if a module needs a part of Node that the page has not. */
export async function makePlayground(bun: string): Promise<Playground> {
  const built = await mkdtemp(join(tmpdir(), "catga-playground-"));
  try {
    const meta = join(built, "meta.json");
    await promisify(execFile)(bun, [
      ...["build", "--minify", "--splitting", "--target=browser", "--packages=external"],
      ...["--external=node:*", "--external=bun:*", `--outdir=${built}`, `--metafile=${meta}`],
      ...["--entry-naming=[name].js", "--chunk-naming=[hash].js"],
      ...[join(folder, "catga.ts"), join(folder, "runtime.js")],
    ], { cwd: root, timeout: 120_000 });
    const { outputs } = JSON.parse(await readFile(meta, "utf8")) as { outputs: Readonly<Record<string, Output>> };
    const byName = new Map(Object.entries(outputs).map(([path, output]) => [basename(path), output]));
    const sourceOf = (name: string) => byName.get(name)?.entryPoint?.replace(/^.*?(?=src\/)/, "") ?? "";

    /** The modules that are loaded with one, without those in `not`, and where the way of loading them ends. */
    const closure = (name: string, not: ReadonlySet<string> = new Set()): Set<string> => {
      const all = new Set<string>();
      const walk = (name: string) => {
        if (all.has(name) || not.has(name) || !byName.has(name)) return;
        all.add(name);
        for (const { path, kind } of byName.get(name)!.imports) {
          const source = sourceOf(basename(path));
          const isLeftOut = PARTS.has(source) || NEVER.includes(source) ||
            ELSEWHERE.some((place) => source.startsWith(place));
          if (kind !== "dynamic-import" || !isLeftOut) walk(basename(path));
        }
      };
      walk(name);
      return all;
    };
    const always = closure("catga.js");
    const named = [...byName.keys()];
    const parts = [...PARTS].map(([source, word]) => {
      const name = named.find((name) => sourceOf(name) === source)!;
      return { word, name, files: [...closure(name, always)] };
    });
    const files = new Map<string, string>();
    for (const name of new Set([...always, ...parts.flatMap(({ files }) => files)])) {
      const text = await readFile(join(built, name), "utf8");
      for (const [, module] of text.matchAll(/(?:from|import)"node:([\w/]+)"/g)) {
        if (!OF_NODE.includes(module)) throw new Error(`the playground has no node:${module}, which ${name} imports`);
      }
      files.set(name, text);
    }
    files.set("runtime.js", await readFile(join(built, "runtime.js"), "utf8"));

    const programs: Record<string, string> = {};
    for (const file of (await readdir(join(folder, "programs"))).sort()) {
      programs[file.replace(".js", "")] = await readFile(join(folder, "programs", file), "utf8");
    }
    const never = named.filter((name) => NEVER.includes(sourceOf(name)));
    const page = JSON.stringify({
      programs,
      modules: {
        ...Object.fromEntries(OF_NODE.map((name) => [`node:${name}`, "./runtime.js"])),
        ...Object.fromEntries(["", "/testing"].map((entry) => [`@catga/catga${entry}`, "./catga.js"])),
      },
      parts: Object.fromEntries([
        ...never.map((name) => [`./${name}`, {}]),
        ...parts.map(({ name, word }) => [`./${name}`, { word }]),
      ]),
    });
    const html = await readFile(join(folder, "index.html"), "utf8");
    files.set("index.html", html.replace('"PLAYGROUND"', () => page.replaceAll("<", "\\u003c")));
    return { files, programs, always: [...always, "runtime.js"], parts };
  } finally {
    await rm(built, { recursive: true, force: true });
  }
}
