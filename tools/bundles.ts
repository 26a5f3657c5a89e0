/**
 * Modules that load several test files. Deno gives each module that it is told to test an isolate, which loads and compiles the
 * library anew; files that a module loads share one. Reports name the file of each test nevertheless.
 *
 * @module
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

/** Names of the files that take longest, from the longest on. Each starts by itself: one that starts last runs alone at the end. */
const LONG = [
  "permissions",
  "simulation",
  "entity_simulation",
  "cli",
  "bench",
  "shop",
  "process_end",
  "soak",
  "membership_servers",
  "mixed_versions",
  "node_death",
  "publish_end",
  "dashboard_browser",
  "payloads",
  "takeover",
  "flood",
  "full_store",
  "watch",
  "key_value_store",
  "two_runtimes",
].map((name) => `/${name}_test.ts`);
/** Hooks of a whole file would hold for the files beside it. */
const HOOKS = /^(?:before|after)(?:Each)?\(/m;
/** Files of one isolate: they run one after the other, and an uncaught error ends those that follow. */
const FILES = 10;

const isLong = (file: string): boolean => LONG.some((name) => file.endsWith(name));

/** The files in the order in which they had best start. */
export function longestFirst(files: readonly string[]): string[] {
  const rank = (file: string) => isLong(file) ? LONG.findIndex((name) => file.endsWith(name)) : LONG.length;
  return files.toSorted((a, b) => rank(a) - rank(b));
}

/** Writes bundles of these test files by folder; returns the paths to be tested: those of files that stay alone come first. */
export async function bundleTests(scratch: string, root: string, files: readonly string[]): Promise<string[]> {
  const paths: string[] = [];
  const rooms = new Map<string, string[]>();
  for (const file of longestFirst(files)) {
    const room = dirname(file);
    if (isLong(file) || HOOKS.test(await readFile(join(root, file), "utf8"))) paths.push(file);
    else rooms.set(room, [...rooms.get(room) ?? [], file]);
  }
  for (const [room, members] of rooms) {
    const bundles = Math.ceil(members.length / FILES);
    for (let bundle = 0; bundle < bundles; bundle++) {
      const path = join(scratch, room, `bundle_${bundle + 1}_test.ts`);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, bundleOf(root, members.filter((_, at) => at % bundles === bundle)));
      paths.push(path);
    }
  }
  return paths;
}

/** A module that loads the files in turn; one that cannot be loaded is a test that fails. */
function bundleOf(root: string, files: readonly string[]): string {
  const loads = files.map((file) => {
    const [name, url] = [file, pathToFileURL(join(root, file)).href].map((text) => JSON.stringify(text));
    return `await import(${url}).catch((error) => it(${name} + " loads", () => Promise.reject(error)));\n`;
  });
  return `import { it } from "node:test";\n\n${loads.join("")}`;
}
