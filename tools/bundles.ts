/**
 * Modules that load the test files, for Deno. Deno gives each module that it is told to test an isolate, which compiles
 * the library anew; short files share one. It starts modules of one folder in the order in which it is told of them,
 * but of several folders that with the longest path first, so all modules are written to one. Reports name the file of
 * each test nevertheless.
 *
 * @module
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** The files that take longest, and how many seconds beside other files on 2 cores. */
const LONG = Object.entries({
  "cli/doctor": 55,
  "cli/doctor_messages": 45,
  simulation: 20,
  entity_simulation: 15,
  permissions: 35,
  replacing_nats: 34,
  membership_servers: 32,
  shop: 30,
  "nats/event_log": 29,
  subscription_simulation: 10,
  consumer_limit: 26,
  cli: 25,
  "nats/watch": 50,
  full_store: 28,
  sweeper: 34,
  node_death: 21,
  mixed_versions: 21,
  "nats/log_stream": 18,
  dashboard_browser: 45,
  shop_browser: 25,
  "nats/key_value_store": 15,
  bench: 60,
  flood: 14,
  clocks_nats: 14,
  publishing_nats: 34,
  soak: 14,
  hostile_cluster: 13,
  log_reader: 13,
  log_hostile: 22,
  process_end: 12,
  lock_manager: 11,
  plain_calls: 10,
  server_restart: 10,
  inbound_requests: 10,
  bucket_settings: 10,
  shared_consumer: 10,
  top: 33,
  pending_appends: 9,
  lock_nats: 9,
  lock_faults: 8,
  payloads: 8,
  membership_faults: 7,
  dashboard: 7,
  entities_nats: 7,
  publishing_faults: 7,
  found_state: 7,
  "nats/transport": 7,
  watch_expiry: 7,
  "node/idempotency": 7,
  reload_process: 7,
  idempotency_store: 7,
  sign_in: 6,
  unproven: 6,
  hash_route: 6,
  hostile_input: 6,
  schedule_write_faults: 6,
  ends_process: 6,
  deadlock: 6,
  entity_permissions: 6,
  hostile_user: 6,
  processes: 6,
  publish_end: 5,
  router: 5,
  two_runtimes: 5,
  "entities/entities": 5,
  feed: 5,
  planted_tree: 5,
  metrics: 4,
  failure_detector: 4,
  startup_errors: 4,
  malformed_traffic: 4,
  encoding: 4,
  chaos: 4,
  error_codes: 4,
  claims_faults: 4,
  held_claim: 4,
  leadership: 4,
  test_cluster: 4,
  user_rights: 4,
  invalid_options: 15,
  skewed_clocks_nats: 14,
  flow_simulation: 10,
  child_simulation: 9,
  streams_nats: 8,
  "log/traffic_nats": 7,
  permissions_nats: 7,
  "flow/runs": 12,
  breaks: 5,
  "flow/flow": 5,
  log_reads: 5,
  gate: 4,
  drain: 4,
  hostile_runs: 4,
  credentials: 4,
  "node/health": 4,
  deaths_of_leaders: 3,
  setup: 3,
  // of the fault suite
  "faults/streams": 80,
  log_plants: 110,
  workflows_plants: 95,
  log_crash_semantics: 90,
  workflows: 76,
  "faults/log_batches": 63,
  night_browser: 62,
  log_freezes: 55,
  log_kills: 45,
  forgotten_entries: 43,
  log_trio: 41,
  log_soak: 36,
  leaks: 33,
  overload: 33,
  log_failures: 32,
  single_replica: 31,
  entities_store: 31,
  log_schedules: 30,
  log_servers: 30,
  claims: 29,
  phases: 27,
  state_servers: 27,
  "faults/idempotency": 26,
  "faults/entities": 26,
  log_publish: 25,
  nats_cluster: 24,
  forgotten_ttl: 23,
  entities_plants: 22,
  server_trio_storm: 22,
  "faults/locks": 21,
  "faults/checker": 17,
  "faults/kill": 14,
  "faults/server_storm": 14,
  entities_cut: 13,
  log_deploys: 13,
});
/** How many seconds any other file takes. */
const SHORT = 0.5;
/** Hooks of a whole file would hold for the files beside it. */
const HOOKS = /^(?:before|after)(?:Each)?\(/m;
/** How many seconds the files of an isolate may take together: one that takes longer could run alone at the end. */
const ISOLATE = 20;

/** About how many seconds a test file takes. */
export function secondsOf(file: string): number {
  return LONG.find(([name]) => file.endsWith(`/${name}_test.ts`))?.[1] ?? SHORT;
}

/** The files in the order in which they had best start: one that starts last runs alone at the end. */
export function longestFirst(files: readonly string[]): string[] {
  return files.toSorted((a, b) => secondsOf(b) - secondsOf(a));
}

/**
 * Writes modules that load these test files, neighbours together; returns their paths, those that take longest first.
 */
export async function bundleTests(folder: string, root: string, files: readonly string[]): Promise<string[]> {
  const bundles: { seconds: number; files: string[] }[] = [];
  let open: typeof bundles[number] | undefined;
  for (const file of files.toSorted()) {
    const seconds = secondsOf(file);
    const alone = seconds > ISOLATE / 2 || HOOKS.test(await readFile(join(root, file), "utf8"));
    if (alone) bundles.push({ seconds, files: [file] });
    else if (open !== undefined && open.seconds + seconds <= ISOLATE) {
      open.seconds += seconds;
      open.files.push(file);
    } else bundles.push(open = { seconds, files: [file] });
  }
  await mkdir(folder, { recursive: true });
  return await Promise.all(
    bundles.toSorted((a, b) => b.seconds - a.seconds).map(async ({ files }) => {
      const path = join(folder, nameOf(files));
      await writeFile(path, bundleOf(root, files));
      return path;
    }),
  );
}

/** Named after its file, or after the first of them and their number. */
function nameOf([first, ...others]: readonly string[]): string {
  const name = first.replaceAll("/", ".");
  return others.length === 0 ? name : name.replace(/_test\.ts$/, `_and_${others.length}_test.ts`);
}

/** A module that loads the files in turn; one that cannot be loaded is a test that fails. */
function bundleOf(root: string, files: readonly string[]): string {
  const loads = files.map((file) => {
    const [name, url] = [file, pathToFileURL(join(root, file)).href].map((text) => JSON.stringify(text));
    return `await import(${url}).catch((error) => it(${name} + " loads", () => Promise.reject(error)));\n`;
  });
  return `import { it } from "node:test";\n\n${loads.join("")}`;
}
