/**
 * Planted bugs that the simulations, or tests, are to find: each leaves out one rule of the product. They guard a
 * release (`deno task test:all`): they change only with a simulation or with a rule.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { spawn } from "node:child_process";
import { copyFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { plantedTree, type SourcePlant } from "../processes/planted_tree.ts";
import { simulateChildren } from "./child_simulation.ts";
import { simulateEntities } from "./entity_simulation.ts";
import { firstRed } from "./first_red.ts";
import { simulateFlow } from "./flow_simulation.ts";
import { simulateLists } from "./list_simulation.ts";
import { simulateLives } from "./lives_simulation.ts";
import {
  AHEAD,
  BATCHED,
  BLOCKED,
  CANCEL,
  FAIR,
  LAST,
  LEFT,
  LIMITED,
  LIMITED_BATCHES,
  OPERATED,
  OVER,
  REWOUND,
  simulateSubscription,
  UNHANDLED,
} from "./subscription_simulation.ts";

const HOUR = 3_600_000;
const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** A plant, what its first red seed says, and the first seed to look at: that one, or one before it. */
type Planted = readonly [plant: SourcePlant, found: RegExp, from?: number];

interface Simulation {
  /** The name of its file. */
  readonly name: string;
  /** Plays a seed on the sources as they are. */
  readonly play: (
    seed: number,
  ) => { readonly violations: readonly string[] } | Promise<{ readonly violations: readonly string[] }>;
  /** How many seeds are looked at for each plant. */
  readonly seeds: number;
  /** A change of the simulation moves the seeds. */
  readonly plants: readonly Planted[];
}

const SIMULATIONS: readonly Simulation[] = [
  {
    name: "flow_simulation",
    play: simulateFlow,
    seeds: 2_000,
    plants: [
      [
        "flow-expect",
        /goes on behind what is not stored|has two outcomes|goes on behind its end|holds the run|has not ended/,
      ],
      ["flow-held", /begins at .* while .* performs it/],
      ["flow-stored", /begins before .* is stored/],
      ["flow-parallel", /while .* is performed|was done and is not undone/],
      ["flow-order", /has undone/],
      ["flow-schedule", /has not ended/],
      ["flow-missing", /has not ended/, 5_593],
      ["flow-put-off", /has not ended/, 327],
      ["flow-cancel", /was done and is not undone|has undone/, 27],
      ["flow-over", /has not ended/, 6],
      ["flow-settled", /has not ended/, 4_205],
      ["flow-replay", /took another way/],
      ["flow-limit", /has not ended/, 159],
      ["flow-twice", /goes on behind what is not stored/, 129],
      ["flow-loss", /goes on behind what is not stored|is done without/, 814],
      ["flow-epoch", /has not ended/, 3_204],
      ["flow-alarm", /has not ended/, 1_414],
      ["flow-signal", /took a signal twice|has not ended/],
      // rules of decisions: drive_recorder.ts
      ["flow-decision", /lets a time go before a signal|its cancel was ok|has two outcomes/, 5],
      ["flow-time", /lets a time go before a signal/, 13],
      ["flow-seen", /lets a time go before a signal|has not ended/],
      ["flow-thrown", /lets a time go before a signal/, 1_021],
      ["flow-end", /its cancel was ok/, 5],
      ["flow-skip", /has two outcomes/, 100],
      ["flow-ongoing", /is performed twice at once/, 65],
      ["flow-outcome", /is performed again/],
      ["flow-beside", /is performed again/, 6_325],
      ["flow-retried", /is stuck behind a retry/, 108],
      ["flow-given-up", /lets a time go before a signal/, 290],
      ["flow-take", /and its handler got/, 5_078],
      ["flow-oldest", /takes signal .* before/, 17],
      ["flow-shown", /shows \d+ behind/],
      ["flow-last-view", /ends, and shows/],
      ["flow-late-view", /shows .*, which has ended/],
      ["flow-view-at", /says that its view is in/],
      ["flow-progress", /forgets how far/],
      ["flow-begun", /was done and is not undone/, 197],
      ["flow-fresh", /was done and is not undone/, 27],
      ["flow-starved", /is starved/, 10],
      ["flow-unanswered", /is starved/, 10],
      ["flow-refusing", /is starved/, 24_065],
      ["flow-loser", /does not learn of it/, 6],
      ["flow-performed", /has not ended/, 28],
      ["flow-late-end", /has not ended/, 3_014_172],
      ["flow-unread", /has not ended/, 3_116_172],
      ["flow-early", /aborts .*, which is needed/, 6],
      ["flow-left", /left a schedule/],
      ["flow-unrecorded", /left a schedule/, 156],
      ["flow-paused", /left a schedule/, 863],
      ["flow-ended", /left a schedule/, 1_402],
      // versions of the workflow: driven_runs.ts
      ["flow-held-again", /while .* performs it|has two outcomes|is not undone/, 2_809],
    ],
  },
  {
    name: "child_simulation",
    play: simulateChildren,
    seeds: 1_000,
    plants: [["flow-child", /ended after its parent/]],
  },
  {
    name: "lives_simulation",
    play: simulateLives,
    seeds: 500,
    plants: [
      ["lives-unseen", /NOT_ANSWERED|signals/],
      ["lives-stale", /signals|NOT_ANSWERED|answers/],
      ["lives-ids", /signals/],
      ["lives-answers", /is not answered|answers/],
      ["lives-asked", /answers/],
      ["lives-step-id", /ids of the steps/],
      ["lives-called", /nobody tells anything|a result is/, 4],
      ["lives-cancel", /its cancel was ok/, 6],
      ["callback-twice", /told ok of/],
      ["callback-read", /told ok of/],
      ["callback-foreign", /token of another callback/],
      ["callback-late", /told ok of/],
      ["callback-life", /token of an earlier life/, 1],
      ["callback-secret", /a callback: NO_CALLBACK|a token of an earlier life/],
      ["callback-ended", /outlives its run/],
    ],
  },
  {
    name: "list_simulation",
    play: simulateLists,
    seeds: 300,
    plants: [
      ["list-part", /ends with|runs again/],
      ["list-place", /ends with/],
      ["list-ahead", /was done and is not undone/],
    ],
  },
  {
    name: "entity_simulation",
    play: simulateEntities,
    seeds: 900,
    plants: [
      ["entity-expect", /continues version/, 120],
      ["entity-epoch", /loads version|is there twice/, 147],
      ["entity-record", /is there twice/, 120],
      ["entity-confirm", /was not that of the entity while it waited/, 120],
      ["entity-ended", /was refused and is there/, 220],
    ],
  },
  {
    name: "subscription_simulation",
    play: simulateSubscription,
    seeds: 174,
    plants: [
      ["commit-entries", /its message is not stored/, 26],
      ["commit-number", /its message is not stored/, 117],
      ["commit-replay", /runs and has ended/, 26],
      ["commit-behind", /runs before/, 26],
      ["commit-node", /is innocent and was not handled/, 26],
      ["commit-join", /runs beside another of its key/, 26],
      ["batch-join", /runs before/, BATCHED + 725],
      ["batch-again", /runs before/, BATCHED],
      ["commit-counts", /has \d attempts, and failed \d times/, 5_550],
      ["commit-back", /runs before/, REWOUND + 110],
      ["commit-alive", /has \d attempts, and failed \d times/, 975],
      ["commit-dropped", /request replay of .* was carried out by .* and /, 26],
      ["unhandled-wait", /does not come to rest/, UNHANDLED],
      ["blocked-count", /has \d attempts, and failed \d times/, BLOCKED],
      ["blocked-dead", /is a dead letter, and was handled/, BLOCKED],
      ["blocked-beside", /runs beside another of its key/, BLOCKED],
      ["blocked-commit", /runs with attempt \d behind attempt/, BLOCKED + 100],
      ["blocked-before", /is a dead letter, and was handled/, BLOCKED + 50_700],
      ["blocked-batch", /runs before|was passed over/, BLOCKED + 52_200],
      ["blocked-alone", /has \d attempts, and failed \d times/, BLOCKED],
      ["limit-early", /runs beside|runs without slots/, LIMITED + 100],
      ["limit-join", /runs beside|runs without slots/, LIMITED],
      ["limit-kept", /does not run and has slots/, LIMITED],
      ["limit-key", /of the accounts/, LIMITED],
      ["limit-asleep", /messages wait for .*, which is open/, LIMITED],
      ["limit-version", /runs without slots|of the accounts/, LIMITED],
      ["over-early", /runs, and is not counted/, OVER],
      ["over-dead", /is counted \(/, OVER],
      ["over-found", /is not counted|was taken, while/, OVER],
      ["over-later", /no earlier one of its account/, OVER],
      ["over-begun", /is skipped, and runs/, OVER + 200],
      ["over-left", /runs before|runs and has ended|are skipped, not|was passed over/, OVER],
      ["over-read", /runs before|runs and has ended/, OVER],
      ["over-replayed", /is not counted/, OVER],
      ["ahead-rank", /begins before/, AHEAD],
      ["last-later", /begins, while/, LAST],
      ["last-begun", /is skipped, and runs/, LAST],
      ["last-earlier", /no later one of its account|the newest of its account/, LAST],
      ["cancel-running", /runs on, while/, CANCEL],
      ["cancel-joined", /runs on, while/, CANCEL],
      ["cancel-version", /runs on, while/, CANCEL],
      ["cancel-failed", /was replaced, and is tried again/, CANCEL],
      ["cancel-in-place", /was replaced, and is tried again/, CANCEL],
      ["cancel-refused", /was replaced, and is tried again/, CANCEL],
      ["cancel-ended", /was replaced, and is tried again/, CANCEL],
      ["over-commit", /was passed over/, OVER],
      ["limit-batch", /runs beside/, LIMITED_BATCHES],
      ["limit-emptied", /does not run and has slots/, LIMITED_BATCHES],
      ["operator-held", /begins, while .* is paused/, OPERATED],
      ["operator-new", /begins, while account .* is paused/, OPERATED],
      ["operator-all", /begins, while account .* is paused/, OPERATED],
      ["operator-numbers", /begins beside .*, of which \d may run/, OPERATED],
      ["operator-asleep", /does not come to rest|which is open/, OPERATED],
      ["operator-fills", /begins, while .* is paused|begins beside/, OPERATED],
      ["left-commit", /was passed over|runs before/, LEFT],
      ["left-passed", /runs before/, LEFT],
      ["left-ahead", /the second reader passes the first/, LEFT],
      ["left-begun", /runs before|runs and has ended|runs beside/, LEFT + 60],
      ["fair-commit", /was passed over|runs before|runs and has ended/, FAIR],
      ["fair-unknown", /runs before/, FAIR],
      ["fair-skipped", /runs before/, FAIR],
      ["fair-behind", /runs before/, FAIR],
      ["fair-taken", /does not come to rest|runs and has ended|runs before/, FAIR],
      ["fair-renamed", /runs before/, FAIR],
      ["fair-begun", /runs without slots|runs before|runs beside/, FAIR + 150],
      ["fair-turns", /messages run, .* of tenants/, FAIR],
    ],
  },
];

for (const { name, play, seeds, plants } of SIMULATIONS) {
  describe(`${name}, ${seeds} seeds`, () => {
    for (const [plant, found, from = 0] of plants) {
      it(`finds ${plant}`, { timeout: 2 * HOUR }, async () => {
        const { violations, seed } = await firstRed(plant, name, { from, to: from + seeds - 1, limit: HOUR });
        assertMatch(violations.join("\n"), found);
        // it is the plant that the seed shows
        assertEquals((await play(seed)).violations, []);
      });
    }
  });
}

/** Plants that change what a run does so rarely that a simulation needs thousands of seeds: tests have the moment. */
const TESTED: readonly (readonly [plant: SourcePlant, file: string, test: string])[] = [
  ["ahead-lane", "../log/ahead", "has urgent ones begin before thousands"],
  ["limit-doubt", "../log/limits", "goes to those that wait longest"],
  ["limit-clock", "../log/limit_faults", "holds: per"],
  ["last-left", "../log/subscriptions/ledger", "has no key left behind before what an earlier leader"],
  ["flow-lease", "driving/driven_runs", "a call for one with a lease .*: its lease has fired"],
  ["flow-lost-lease", "driving/driven_runs", "a call for one with a lease .*: the store may have lost it"],
  ["flow-behind", "driving/driven_runs", "fall, and the end of the run"],
  ["flow-late-read", "driving/driven_runs", "fall also if a read for an earlier execution of the run"],
  ["flow-failure", "driving/driven_runs", "fall without the failure of a step"],
  ["flow-unnoted", "driving/driven_runs", "fall without the last failure of a step"],
  ["flow-undriven", "driving/driven_runs", "news of a run that waits are answered"],
  ["flow-gave-up", "driving/driven_runs", "a step of a run that was refused here begins behind"],
  ["flow-refuses-again", "driving/driven_runs", "news of a run that is refused here are answered"],
  ["flow-tried", "blocked_steps", "a step that throws behind 60000 ms, of 2 nodes"],
  ["flow-told-twice", "blocked_steps", "a step that throws behind 60000 ms, of 2 nodes"],
  ["flow-limited", "blocked_steps", "a step that throws behind 60000 ms, of 2 nodes"],
  ["flow-excused", "blocked_steps", "counts no attempt of the steps beside it"],
  ["flow-thawed", "blocked_steps", "goes on behind the attempts that others have made"],
  ["flow-threw", "unreached_steps", "is undone when the run is cancelled, though another branch goes on"],
];

describe("tests of workflows", () => {
  for (const [plant, name, test] of TESTED) {
    it(`find ${plant}`, { timeout: HOUR }, async () => {
      const file = `src/flow/${name}_test.ts`;
      await using tree = await plantedTree(plant);
      await copyFile(join(ROOT, file), join(tree.root, file));
      const command = "Deno" in globalThis
        ? ["test", "-A", "--no-check", file]
        : ["test", "--timeout", "60000", `./${file}`];
      assertMatch(await outputOf(tree.root, command), new RegExp(`\\(fail\\).*${test}|${test}.*FAILED`));
    });
  }
});

describe("explore over workflows", () => {
  for (
    const [plant, program, found] of [
      ["flow-decision", "trips", /is done, and its cancel at \d+ was ok/],
      ["flow-end", "stays", /is done, and its cancel at \d+ was ok/],
      ["flow-time", "meetings", /has ended with .*, and the signal word \d was ok/],
      ["flow-skip", "quotes", /was given 7, and has ended with 1/],
    ] satisfies [SourcePlant, string, RegExp][]
  ) {
    it(`finds ${plant} within 300 seeds, without a hint`, { timeout: HOUR }, async () => {
      await using tree = await plantedTree(plant);
      const flags = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
      const command = [...flags, "test/simulation/explored_workflows.ts", "300", program];
      assertMatch(await outputOf(tree.root, command), found);
    });
  }
});

/** Returns the output of this runtime with these arguments, in a tree. */
function outputOf(root: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, NO_COLOR: "1" };
    const child = spawn(process.execPath, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => output += data);
    child.once("error", reject);
    child.once("close", () => resolve(output));
  });
}
