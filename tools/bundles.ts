/**
 * Modules that load several test files. Deno gives each module that it is told to test an isolate, which loads and compiles the
 * library anew; files that a module loads share one. Reports name the file of each test nevertheless.
 *
 * @module
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

/** The files that take longest, and how many seconds. Each starts by itself: one that starts last runs alone at the end. */
const LONG = Object.entries({
  permissions: 120,
  simulation: 40,
  bench: 30,
  replacing_nats: 30,
  shop: 30,
  cli: 25,
  entity_simulation: 25,
  membership_servers: 25,
  mixed_versions: 25,
  consumer_limit: 25,
  payloads: 25,
  soak: 25,
  event_log: 20,
  dashboard_browser: 20,
  full_store: 20,
  log_hostile: 20,
  log_stream: 20,
  node_death: 20,
  process_end: 20,
  publish_end: 20,
  sweeper: 20,
  unproven: 20,
  watch: 20,
  endpoint: 15,
  shared_consumer: 15,
  key_value_store: 15,
  router: 15,
  // of the fault suite
  log_plants: 130,
  "faults/checker": 90,
  claims: 70,
  log_freezes: 65,
  log_kills: 60,
  single_replica: 45,
  forgotten_entries: 40,
  "faults/consumers": 20,
});
/** Hooks of a whole file would hold for the files beside it. */
const HOOKS = /^(?:before|after)(?:Each)?\(/m;
/** Files of one isolate, at most. They run one after the other: of larger bundles the last would run alone at the end. */
const FILES = 8;

/** About how many seconds a test file takes. */
export function secondsOf(file: string): number {
  return LONG.find(([name]) => file.endsWith(`/${name}_test.ts`))?.[1] ?? 1;
}

/** The files in the order in which they had best start. */
export function longestFirst(files: readonly string[]): string[] {
  return files.toSorted((a, b) => secondsOf(b) - secondsOf(a));
}

/** Writes bundles of these test files by folder; returns the paths to be tested: those of files that stay alone come first. */
export async function bundleTests(scratch: string, root: string, files: readonly string[]): Promise<string[]> {
  const paths: string[] = [];
  const rooms = new Map<string, string[]>();
  for (const file of longestFirst(files)) {
    const room = dirname(file);
    if (secondsOf(file) > 1 || HOOKS.test(await readFile(join(root, file), "utf8"))) paths.push(file);
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
