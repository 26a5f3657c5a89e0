/**
 * The size of the edge's client, as a browser loads it: a program of `bun build --minify`, compressed by gzip.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

/** What a program of the client alone is built of. */
export interface ClientSize {
  /** In bytes. */
  readonly minified: number;
  /** In bytes, with gzip. */
  readonly compressed: number;
  /** The files of Catga in it, from the root of the repository. */
  readonly files: readonly string[];
}

const root = fileURLToPath(new URL("..", import.meta.url));

/** Builds it with this Bun. */
export async function clientSize(bun: string): Promise<ClientSize> {
  const folder = await mkdtemp(join(tmpdir(), "catga-client-"));
  try {
    const [entry, built, meta] = ["entry.ts", "built.js", "meta.json"].map((name) => join(folder, name));
    const from = JSON.stringify(join(root, "src/client/mod.ts"));
    await writeFile(entry, `import { client } from ${from};\nglobalThis.shop = client("https://shop.example/api");\n`);
    const target = ["--minify", "--target=browser", `--outfile=${built}`, `--metafile=${meta}`];
    await promisify(execFile)(bun, ["build", ...target, entry], { cwd: root, timeout: 120_000 });
    const { inputs } = JSON.parse(await readFile(meta, "utf8")) as { inputs: Readonly<Record<string, unknown>> };
    const code = await readFile(built);
    const files = Object.keys(inputs).filter((path) => !path.endsWith("entry.ts")).map((path) =>
      path.slice(path.indexOf("src/"))
    );
    return { minified: code.length, compressed: gzipSync(code, { level: 9 }).length, files: files.sort() };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
