/**
 * What the bench was asked for, by the words of its command line.
 *
 * @module
 */
import { parseArgs } from "node:util";

/** The parts of the bench, in the order in which they run. */
export const SECTIONS = [
  "local",
  "edge",
  "remote",
  "latency",
  "events",
  "streams",
  "startup",
  "memory",
  "state",
  "log",
  "entities",
  "workflows",
  "growth",
  "growth-nodes",
  "entities-growth",
  "entities-endurance",
  "workflows-growth",
  "answers",
  "check",
  "explore",
  "file",
  "limits",
  "masses",
  "weeks",
  "many-nodes",
  "counts",
  "types",
  "packages",
] as const;

/** One of {@link SECTIONS}. */
export type Section = typeof SECTIONS[number];

/**
 * Sections that run unless others are named: growth and endurance take some minutes, `counts` is about one constant,
 * `types` about compilers, `packages` about docs/internals/packages.md.
 */
export const USUAL: readonly Section[] = SECTIONS.slice(0, SECTIONS.indexOf("growth"));

/**
 * Sections with the figures of docs/internals/measurements.md, "Floors", each with the number of turns of two trees
 * that fit into half an hour: what `floors` runs.
 */
export const FLOOR_TURNS: Readonly<Partial<Record<Section, number>>> = {
  local: 2,
  startup: 3,
  memory: 1,
  log: 2,
  workflows: 2,
  "growth-nodes": 1,
  types: 1,
};

/** Which client of nats.js. */
export type TransportName = "deno" | "node";

/** What was asked for. */
export interface Wanted {
  readonly sections: readonly Section[];
  /** True if sections measure nothing but what docs/internals/measurements.md, "Floors", has. */
  readonly floors: boolean;
  /** Fewer and shorter rounds. */
  readonly quick: boolean;
  /** As little as it takes to see that the sections run: the figures say nothing. */
  readonly trial: boolean;
  /** True if the peers of `bench/package.json` take part. */
  readonly peers: boolean;
  /** How many rounds, instead of each section's own number. */
  readonly rounds: number | undefined;
  /** True if Deno runs it as published, where there is a registry for that. */
  readonly published: boolean;
  /** One transport alone; both, where both can be had. */
  readonly transport: TransportName | undefined;
  /** The file that takes the figures as JSON. */
  readonly json: string | undefined;
  /** The file of an earlier run's figures to compare with, or the folder of another tree to take turns with. */
  readonly compare: string | undefined;
  /** The folder that takes the pictures. */
  readonly svg: string | undefined;
  /** The page that takes the tables. */
  readonly docs: string | undefined;
  /** Tables as the docs have them. */
  readonly markdown: boolean;
}

/** The help text. */
export const USAGE = `deno task bench [section…] [options]        (bun run bench … is the same in Bun)

sections: ${USUAL.join(", ")};
and those that run only when they are named: growth, growth-nodes, entities-growth, entities-endurance, workflows-growth,
answers, check, explore, file and limits, which take some minutes, masses, weeks and many-nodes, which take up to an
hour, counts, types (in Deno), and packages: whether the reasons in docs/internals/packages.md hold

"floors" as a first word: all figures of docs/internals/measurements.md, Floors, and nothing else; with --compare FOLDER
and --docs docs/figures it fills that table, too, in some 25 minutes; further words are the sections that it is to run

  --quick              fewer and shorter rounds: two minutes instead of 15
  --trial              as little as it takes to see that a section runs: the figures say nothing
  --no-peers           ours, nats.js and what is written by hand alone
  --rounds N           so many rounds instead of each section's own number; so many days of weeks, nodes of many-nodes
  --transport NAME     "deno" or "node" alone; both, where both can be had
  --no-published       in Deno: on the packages of this tree, though there is a registry (CATGA_REGISTRY, else
                       ../shared/jsr/registry.ts) to take those of JSR from, as a program that uses Catga does
  --json FILE          writes the figures of all rounds
  --compare FILE       says what has changed since the run whose figures FILE has
  --compare FOLDER     takes turns with the sources of another tree, as a worktree of an earlier commit, below this
                       bench, and says what differs; --rounds N: so many turns; of the peers, those alone that an
                       aim names (docs/internals/measurements.md, Floors)
  --markdown           prints tables as docs/figures/ has them
  --docs FOLDER        puts the tables into deno.md or bun.md there: docs/figures; with --compare FOLDER: into
                       compared-deno.md or compared-bun.md
  --svg FOLDER         writes the pictures of the README`;

/** Reads the arguments; throws a `TypeError` that says what is wrong with them. */
export function parseArguments(args: readonly string[]): Wanted {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    allowNegative: true,
    options: {
      quick: { type: "boolean", default: false },
      trial: { type: "boolean", default: false },
      peers: { type: "boolean", default: true },
      published: { type: "boolean", default: true },
      markdown: { type: "boolean", default: false },
      rounds: { type: "string" },
      transport: { type: "string" },
      json: { type: "string" },
      compare: { type: "string" },
      docs: { type: "string" },
      svg: { type: "string" },
    },
  });
  const { trial, peers, published, markdown, transport, json, compare, docs, svg } = values;
  const quick = values.quick || trial;
  const floors = positionals[0] === "floors";
  const named = floors ? positionals.slice(1) : positionals;
  const unknown = named.filter((name) => !isSection(name));
  if (unknown.length > 0) throw new TypeError(`no section ${unknown.join(", ")}; there are ${SECTIONS.join(", ")}`);
  if (transport !== undefined && transport !== "deno" && transport !== "node") {
    throw new TypeError(`--transport must be "deno" or "node"; got ${transport}`);
  }
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds >= 1 && rounds <= 1_000)) {
    throw new TypeError(`--rounds must be a whole number from 1 to 1,000; got ${values.rounds}`);
  }
  const all = floors ? SECTIONS.filter((name) => name in FLOOR_TURNS) : USUAL;
  const sections = named.length === 0 ? all : SECTIONS.filter((name) => named.includes(name));
  return { sections, floors, quick, trial, peers, published, markdown, rounds, transport, json, compare, docs, svg };
}

function isSection(name: string): name is Section {
  return SECTIONS.some((section) => section === name);
}
