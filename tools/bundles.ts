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
import type { Runtime } from "../test/processes/node_messages.ts";

/**
 * The files that `task test:long` runs: simulations, sweeps of moments and sizes, the tools as processes; and how many
 * seconds each takes beside other files on 2 cores.
 */
const LONG: ReadonlyMap<string, number> = new Map(Object.entries({
  "src/data/cron_zones": 30,
  "test/simulation/child_simulation": 25,
  "src/log/blocked_handlers": 20,
  "test/simulation/flow_simulation": 60,
  "test/simulation/lives_simulation": 30,
  "test/simulation/list_simulation": 20,
  "src/cli/commands/doctor": 67,
  "test/simulation/explored_workflows": 40,
  "test/simulation/simulation": 50,
  "src/nats/bucket/watch": 59,
  "src/nats/full_replica": 100,
  "src/flow/log_settings_nats": 13,
  "test/dashboard_browser": 45,
  "test/shop_browser": 25,
  "src/cli/commands/doctor_messages": 44,
  "test/simulation/subscription_simulation": 35,
  "test/simulation/relay_simulation": 20,
  "test/log_hostile": 79,
  "src/cli/cli": 47,
  "test/simulation/entity_simulation": 25,
  "test/permissions": 51,
  "src/log/publishing/publishing_nats": 37,
  "src/nats/bucket/sweeper": 34,
  "src/cli/commands/top": 34,
  "src/log/publishing/replacing_nats": 33,
  "test/simulation/storm_simulation": 31,
  "src/nats/consumer_limit": 28,
  "src/nats/connection/wrong_settings": 36,
  "test/upgrading": 25,
  "examples/shop/shop": 23,
  "src/nats/full_store": 22,
  "src/cli/sign_in": 21,
  "src/cli/file_commands": 16,
  "src/cli/move": 20,
  "src/cli/hostile_cluster": 18,
  "src/cluster/interop/plain_calls": 17,
  "src/log/subscriptions/log_changes": 45,
  "src/nats/log/log_reads": 16,
  "src/state/locks/deadlock": 28,
  "src/nats/reading/log_reader": 15,
  "src/cluster/server_restart": 15,
  "test/invalid_options": 2,
  "test/explore_databases": 20,
  "src/cluster/process_end": 31,
  "src/nats/log/pending_appends": 15,
  "src/log/publishing/clocks_nats": 14,
  "src/flow/skewed_clocks_nats": 14,
  "test/soak/soak": 14,
  "src/log/publishing/schedule_write_faults": 29,
  "src/nats/reading/feed": 12,
  "src/nats/stream/direct_reads": 8,
  "test/topologies": 20,
  "src/streams/breaks": 34,
  "src/flow/run_ends": 17,
  "src/flow/late_ends": 6,
  "src/cli/commands/doctor_versions": 13,
  "src/testing/log_batches": 12,
  "test/edge_hostile": 45,
  "src/flow/operator_races": 9,
  "test/hostile_user": 12,
  "src/log/subscriptions/chaos": 25,
  "src/log/mixed_shapes": 11,
  "src/log/fair": 14,
  "src/nats/reading/shared_consumer": 11,
  "src/nats/bucket_settings": 11,
  "src/flow/hostile_runs": 10,
  "src/behaviors/metrics": 9,
  "src/cluster/membership/own_record": 10,
  "src/log/deaths_of_leaders": 25,
  "test/payloads": 9,
  "src/entities/election_nats": 9,
  "test/entity_permissions": 8,
  "src/cluster/membership/flood": 17,
  "src/cluster/membership/unproven": 8,
  "src/cluster/routing/hash_route": 8,
}));
/**
 * The files that guard a release, which `task test:all` runs and no other: checkers shown their planted bugs, which
 * change only with a checker; deploys that are played in memory with every change; shared state on three servers, which
 * the storm of three servers has, too, and sweeps of the moments of its faults; publishers and forgotten ttls, of which
 * the tests on a real server have the parts; limits in a storm, of which `limit_over_test.ts` has two rounds; the page
 * in a bad night, of which `test/dashboard_browser_test.ts` has the parts; the playground of `explore` in a browser; a
 * store behind PgBouncer and over Prisma; a user's type checks, and what the compiler says of a wrong guess (that it is
 * refused, tests of types hold); the bench's own.
 */
const RELEASE: ReadonlyMap<string, number> = new Map(Object.entries({
  "test/simulation/plants": 200,
  "test/simulation/explored_together": 120,
  "test/faults/older_catga": 300,
  "test/faults/upgrading": 455,
  "test/faults/mixed_shapes_plants": 260,
  "test/faults/workflows_plants": 480,
  "test/faults/log_plants": 97,
  "test/faults/entities_plants": 84,
  "test/faults/checker": 50,
  "test/faults/client_browsers": 110,
  "test/faults/log_publish": 54,
  "test/faults/forgotten_entries": 43,
  "test/faults/limit_storm": 250,
  "test/faults/phases": 27,
  "test/faults/state_servers": 27,
  "test/faults/night_browser": 62,
  "tools/clone_tsc": 60,
  "tools/clone_types": 20,
  "test/wrong_guesses": 20,
  "test/playground_browser": 60,
  "tools/tutorials": 40,
  "test/frameworks": 200,
  "tools/reference": 3,
  "test/faults/sql": 150,
  "test/sql_pooler": 60,
  "test/faults/file_load": 120,
  "examples/agent/killed": 120,
  "bench/bench_log": 90,
  "bench/bench": 120,
  "bench/bench_runs": 60,
  "bench/bench_trees": 40,
}));
/**
 * Files of which a change plays a share of the cells, seeds or messages; `task test:all` plays all of them, in Deno
 * alone (`test/support/before_release.ts`).
 */
const SWEPT: ReadonlySet<string> = new Set([
  "examples/mistakes/mistakes",
  "examples/shop/explore",
  "src/data/cron_zones",
  "src/log/blocked_handlers",
  "test/edge_hostile",
  "test/explore_databases",
  "test/faults/answers",
  "test/faults/entities",
  "test/faults/entities_store",
  "test/faults/idempotency",
  "test/faults/kill",
  "test/faults/leaks",
  "test/faults/limit_over",
  "test/faults/log_batches",
  "test/faults/log_crash_semantics",
  "test/faults/log_failures",
  "test/faults/log_freezes",
  "test/faults/log_kills",
  "test/faults/log_soak",
  "test/faults/overload",
  "test/faults/single_replica",
  "test/faults/streams",
  "test/faults/workflows",
  "test/simulation/child_simulation",
  "test/simulation/entity_simulation",
  "test/simulation/explored_workflows",
  "test/simulation/flow_simulation",
  "test/simulation/list_simulation",
  "test/simulation/lives_simulation",
  "test/simulation/simulation",
  "test/simulation/storm_simulation",
  "test/simulation/stream_simulation",
  "test/simulation/subscription_simulation",
]);
/** Others that take long. */
const SECONDS: ReadonlyMap<string, number> = new Map(Object.entries({
  "examples/mistakes/mistakes": 40,
  "src/flow/runs": 44,
  "src/sql/store": 25,
  "src/sql/postgres": 20,
  "src/nats/event_log": 31,
  "src/file/ports": 25,
  "src/file/beside": 3,
  "src/file/whole": 4,
  "src/file/file": 15,
  "src/file/rows": 10,
  "src/nats/log/log_stream": 30,
  "src/nats/bucket/key_value_store": 21,
  "src/nats/connection/transport": 19,
  "src/flow/flow": 18,
  "src/streams/streams": 17,
  "src/entities/entities_nats": 12,
  "src/log/following/following_nats": 70,
  "src/log/running/running_nats": 9,
  "src/log/following/following": 9,
  "src/memory/event_log": 9,
  "src/state/locks/lock_manager": 15,
  "src/dashboard/dashboard": 8,
  "src/log/log": 8,
  "src/testing/test_cluster": 8,
  "src/testing/explore": 15,
  "examples/shop/explore": 20,
  "src/streams/streams_nats": 8,
  "src/log/subscriptions/found_state": 7,
  "src/entities/entities": 7,
  "src/log/traffic_nats": 7,
  "src/nats/bucket/watched_entries": 7,
  "src/testing/changing_clocks": 7,
  "src/testing/restarts_on_file": 9,
  "src/testing/log": 7,
  "src/state/locks/lock_nats": 7,
  "src/flow/permissions_nats": 7,
  "src/cli/commands/check_nats": 6,
  "src/cluster/publish_end": 6,
  "src/log/full_nodes": 6,
  "src/nats/credentials": 6,
  "src/node/ends_process": 6,
  "src/cluster/wire/hostile_input": 5,
  "src/node/reload_process": 5,
  "tools/processes": 5,
  "tools/style_rules": 5,
  "src/node/health": 6,
  "src/state/claims/idempotency_store": 5,
  "src/flow/decisions_nats": 5,
  "src/state/locks/lock_faults": 12,
  "src/state/leadership": 5,
  "tools/published": 5,
  "src/cluster/wire/endpoint": 4,
  "src/memory/freed": 4,
  "tools/consumer/kit": 4,
  "src/flow/without_workflows": 4,
  "src/log/publishing/publisher": 4,
  "src/node/drain": 4,
  "src/testing/log_outages": 7,
  "src/log/publishing/counted_cron_nats": 4,
  "src/flow/undo": 4,
  "src/memory/faults": 4,
  "test/leaks": 9,
  "test/idle_timers": 12,
  "src/cluster/wire/inbound_requests": 4,
  "src/cluster/startup_errors": 4,
  "src/flow/full_nodes": 4,
  "src/flow/failures": 4,
  "src/state/cache/cache": 3,
  "src/behaviors/tracing": 3,
  "src/memory/key_value_store": 3,
  "src/log/running/read_models": 3,
  "src/node/error_codes": 3,
  "src/nats/stream/jetstream": 3,
  "src/cluster/routing/router": 3,
  "src/flow/takeover": 20,
  "src/nats/kv_interop": 6,
  "src/node/idempotency": 5,
  "src/node/signals": 5,
  "src/contract/schemas/compatibility_libraries": 5,
  "src/log/publishing/publishing_faults": 5,
  "src/flow/declared_nats": 5,
  "src/flow/callbacks": 6,
  "src/flow/questions": 14,
  "src/flow/questions_nats": 10,
  "src/flow/lives": 8,
  "test/faults/lives": 15,
  "src/codec/codec_nats": 5,
  "src/testing/explore_threads": 5,
  "src/cluster/membership/membership_faults": 5,
  "src/cluster/interop/interop": 4,
  "src/behaviors/tracing_runs": 4,
  "test/shared_user": 4,
  // of the fault suite
  "test/faults/mixed_shapes": 60,
  "test/faults/streams": 70,
  "test/faults/file_kills": 9,
  "test/faults/log_crash_semantics": 62,
  "test/faults/workflows": 45,
  "test/faults/answers": 16,
  "test/faults/log_batches": 20,
  "test/faults/log_freezes": 40,
  "test/faults/log_kills": 50,
  "test/faults/log_trio": 41,
  "test/faults/log_soak": 36,
  "test/faults/leaks": 45,
  "test/faults/overload": 18,
  "test/faults/log_failures": 32,
  "test/faults/single_replica": 26,
  "test/faults/entities_store": 8,
  "test/faults/log_schedules": 30,
  "test/faults/log_servers": 30,
  "test/faults/claims": 29,
  "test/faults/idempotency": 55,
  "test/faults/entities": 25,
  "test/faults/nats_cluster": 24,
  "test/faults/forgotten_ttl": 23,
  "test/faults/server_trio_storm": 22,
  "test/faults/locks": 21,
  "test/faults/lock_expiry": 14,
  "test/faults/kill": 14,
  "test/faults/server_storm": 14,
  "test/faults/entities_cut": 13,
  "test/faults/log_deploys": 26,
  "test/faults/hostile_messages": 7,
  "test/faults/node_death": 44,
  "test/faults/membership_servers": 33,
  "test/faults/consumers": 20,
  "test/faults/link": 15,
  "test/faults/entities_crash_semantics": 12,
  "test/faults/log_letters": 12,
  "test/faults/limit_over": 25,
  "test/faults/limit_overrides": 30,
  "test/faults/log_pause": 15,
  "test/faults/freeze": 10,
  "test/faults/max_payload": 8,
  "test/faults/nats_restart": 9,
  "test/faults/paused_client": 9,
  "test/faults/rolling_restart": 9,
  "test/faults/tap": 9,
  "test/faults/two_runtimes": 9,
  "test/faults/handler": 5,
}));
/** What is about a runtime's own: sockets, files, databases, processes, servers, contexts, linters, engines. */
const OF_RUNTIMES =
  /^src\/(?:behaviors|cli|client|data|file|http|lint|node|sql|nats\/connection|dashboard\/serving)\/|^src\/[^/]*$/;
/** Others that the runtimes do in their own ways, or that are a port's suite. */
const BOTH_RUNTIMES: ReadonlySet<string> = new Set([
  "src/cluster/server_restart",
  "src/memory/event_log",
  "src/memory/key_value_store",
  "src/nats/bucket/key_value_store",
  "src/nats/connection/wrong_settings",
  "src/nats/event_log",
  "test/invalid_options",
  "test/leaks",
]);
/** Files that start programs in their own runtime, the parts of which others start in both, and the one they run in. */
const ONE_RUNTIME: ReadonlyMap<string, Runtime> = new Map([
  ["examples/shop/shop", "deno"], // which alone traces by itself
  ["src/cli/commands/top", "bun"],
  ["src/cli/hostile_cluster", "bun"],
  ["src/cli/sign_in", "deno"],
]);
/** A file that asks which runtime it is in: it plays a share there, starts processes of it, or expects other things. */
const ASKS_RUNTIME = new RegExp(
  String
    .raw`\b(?:OWN_RUNTIMES|THIS_RUNTIME|\w*[oO]fThisRuntime|exploredByThisRuntime|runtimeBinary|in(?:Bun|Deno)|startCli)\b` +
    String.raw`|\brunCli\b|"(?:Bun|Deno)" in |\b(?:Bun|Deno)\.\w`,
);
/** How many seconds any other file takes. */
const SHORT = 0.5;
/** Hooks of a whole file would hold for the files beside it. */
const HOOKS = /^(?:before|after)(?:Each)?\(/m;
/** How many seconds the files of an isolate may take together: one that takes longer could run alone at the end. */
const ISOLATE = 20;

/** About how many seconds a test file takes. */
export function secondsOf(file: string): number {
  const name = file.replace(/_test\.ts$/, "");
  return LONG.get(name) ?? RELEASE.get(name) ?? SECONDS.get(name) ?? SHORT;
}

/** True for a file of `task test:long`. */
export function isLong(file: string): boolean {
  return LONG.has(file.replace(/_test\.ts$/, ""));
}

/** True for a file that only `task test:all` runs. */
export function guardsRelease(file: string): boolean {
  return RELEASE.has(file.replace(/_test\.ts$/, ""));
}

/** True for a file that `task test:all` runs once more, with all of its cells. */
export function isSwept(file: string): boolean {
  return SWEPT.has(file.replace(/_test\.ts$/, ""));
}

/**
 * The runtime in which a change plays a file with this code that is not about a runtime's own; `undefined`: in both. Of
 * those of a room half run in either one; `task test:all` plays each in the other one, too.
 */
export function onlyRuntime(file: string, code: string): Runtime | undefined {
  const name = file.replace(/_test\.ts$/, "");
  const isOfRuntimes = OF_RUNTIMES.test(file) && !LONG.has(name);
  const one = ONE_RUNTIME.get(name);
  if (one !== undefined) return one;
  if (BOTH_RUNTIMES.has(name) || isOfRuntimes || ASKS_RUNTIME.test(code)) return undefined;
  // of each file by itself: a new one moves no other
  const sum = [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 65_521, 0);
  return sum % 2 === 0 ? "deno" : "bun";
}

/**
 * True for a file of `task test:file`: it tests what is kept in memory, in a network or by an app alone, which then is
 * kept in a file.
 */
export function runsOnFile(file: string): boolean {
  const isThere = ON_FILE.some((folder) => file.startsWith(folder));
  return isThere && !guardsRelease(file) && !file.endsWith("_nats_test.ts") && !NOT_ON_FILE.has(file);
}

/** What the tests of {@link runsOnFile} are about. */
const ON_FILE = ["src/entities/", "src/flow/", "src/log/", "src/state/", "src/testing/", "test/simulation/"];
/** Those that a file cannot pass, and why. */
const NOT_ON_FILE: ReadonlySet<string> = new Set([
  // counts the timers of the clock, of which a file has its own
  "src/log/running/read_model_test.ts",
]);

/** The files named in this module: each is to exist. */
export const NAMED: readonly string[] = [
  ...LONG.keys(),
  ...RELEASE.keys(),
  ...SWEPT,
  ...SECONDS.keys(),
  ...BOTH_RUNTIMES,
  ...ONE_RUNTIME.keys(),
].map((name) => `${name}_test.ts`);

/** The files in the order in which they had best start: one that starts last runs alone at the end. */
export function longestFirst(files: readonly string[]): string[] {
  return files.toSorted((a, b) => secondsOf(b) - secondsOf(a));
}

/**
 * A line for each file that took less than half of what stands here, or more than twice as long, in the runtime in
 * which it took longest; without those that are short either way. `runs` name files or their modules (a module of
 * several files tells nothing of one of them).
 */
export function misjudged(
  files: readonly string[],
  runs: readonly { readonly title: string; readonly seconds?: ReadonlyMap<string, number> | undefined }[],
): string[] {
  return files.flatMap((file) => {
    const module = nameOf([file]);
    const took = runs.flatMap(({ title, seconds }) => {
      const [found] = [...seconds ?? []].filter(([path]) => path === file || path.endsWith(`/${module}`));
      return found === undefined ? [] : [{ title, seconds: found[1] }];
    });
    const longest = Math.max(...took.map(({ seconds }) => seconds));
    const estimate = secondsOf(file);
    const fits = took.length === 0 || Math.max(longest, estimate) < ISOLATE / 2 ||
      (longest >= estimate / 2 && longest <= estimate * 2);
    const shown = took.map(({ title, seconds }) => `${seconds.toFixed(0)} s in ${title}`).join(", ");
    return fits ? [] : [`${file}: ${shown}; tools/bundles.ts says ${estimate} s`];
  });
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
