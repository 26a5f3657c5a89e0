/**
 * The rooms of the house: what each is for, and whom its files may import. `docs/figures/rooms.md` shows them.
 *
 * @module
 */

/** A folder of the library, or one of the few files that stand alone. */
export interface Room {
  /**
   * From the root of the repository. A folder has the files in it, and those of its folders that are no rooms
   * themselves.
   */
  readonly path: string;
  /** One sentence without its full stop. */
  readonly what: string;
  /** Rooms that its files may import besides their own, and packages. */
  readonly may: readonly string[];
  /** Rooms that are loaded when they are needed: by `import()`, or for their types. */
  readonly lazily?: readonly string[];
}

const GROUND = ["src/error.ts", "src/version.ts", "src/data"];
const CONTRACT = [...GROUND, "src/ports", "src/contract"];
const DISPATCH = [...CONTRACT, "src/dispatch"];

/** From the top of the house to its ground. */
export const ROOMS: readonly Room[] = [
  { path: "mod.ts", what: "the public surface", may: ["src/catga.ts", "src/error.ts", "src/ports", "src/contract"] },
  {
    path: "src/catga.ts",
    what: "the composition root: from options to a running node",
    may: [
      ...DISPATCH,
      "src/node",
      "src/state",
    ],
    lazily: [
      "src/cluster",
      "src/memory",
      "src/file",
      "src/nats",
      "src/codec",
      "src/entities",
      "src/flow",
      "src/streams",
      "src/log",
      "src/log/running",
      "src/log/log_host.ts",
    ],
  },
  {
    path: "src/node",
    what: "a running node in one process: how a send is prepared and where it goes, drain, options, logging",
    may: DISPATCH,
    lazily: ["src/memory", "src/nats"],
  },
  {
    path: "src/cluster",
    what: "the other nodes: the parts below, wired",
    may: [
      ...DISPATCH,
      "src/cluster/wire",
      "src/cluster/membership",
      "src/cluster/routing",
      "src/cluster/interop",
    ],
  },
  {
    path: "src/cluster/routing",
    what: "which node a request goes to, and what follows a failure",
    may: [...DISPATCH, "src/cluster/wire"],
  },
  {
    path: "src/cluster/membership",
    what: "which nodes there are: their records, and who is gone",
    may: [...DISPATCH, "src/cluster/wire"],
  },
  {
    path: "src/cluster/interop",
    what: "NATS clients without Catga: plain calls, and the services protocol of NATS",
    may: [...DISPATCH, "src/cluster/wire"],
  },
  {
    path: "src/cluster/wire",
    what: "frames: written, sent, read, received once, answered, and sent again",
    may: DISPATCH,
  },
  {
    path: "src/state",
    what: "what nodes share: leadership, and the parts below, wired",
    may: [...DISPATCH, "src/state/locks", "src/state/claims", "src/state/cache", "src/state/store"],
  },
  {
    path: "src/state/locks",
    what: "locks with fencing tokens, fair waiting, deadlocks",
    may: [...DISPATCH, "src/state/store"],
  },
  {
    path: "src/state/claims",
    what: "idempotency: one recorded result for each id",
    may: [...DISPATCH, "src/state/store"],
  },
  {
    path: "src/state/cache",
    what: "the cache, with one load for all who miss",
    may: [...DISPATCH, "src/state/store"],
  },
  {
    path: "src/state/store",
    what: "what locks, claims and the cache have in common: leases, and writes whose acknowledgement was lost",
    may: DISPATCH,
  },
  {
    path: "src/entities",
    what: "state that is made of events: commands decided and stored, loads, snapshots",
    may: [...DISPATCH, "src/log/format"],
  },
  {
    path: "src/flow",
    what: "runs of workflows: started, driven step by step, resumed, undone",
    may: [...DISPATCH, "src/log/format"],
  },
  {
    path: "src/streams",
    what: "items of streams: fed by handlers, numbered, repeated when lost, read",
    may: DISPATCH,
  },
  {
    path: "src/log",
    what: "what is kept: the parts below, wired",
    may: [
      ...DISPATCH,
      "src/log/log_host.ts",
      "src/log/publishing",
      "src/log/subscriptions",
      "src/log/running",
      "src/log/following",
      "src/log/administration",
      "src/log/format",
    ],
  },
  { path: "src/log/log_host.ts", what: "what the log needs of the node that it belongs to", may: DISPATCH },
  {
    path: "src/log/publishing",
    what: "messages on their way into the log: groups, repeats, schedules",
    may: [...DISPATCH, "src/log/format"],
  },
  {
    path: "src/log/subscriptions",
    what: "who leads a subscription, and what a leader does: reads the log and hands out its messages in order",
    may: [...DISPATCH, "src/log/log_host.ts", "src/log/format"],
  },
  {
    path: "src/log/running",
    what: "messages of the log in the node that handles them, and read models",
    may: [...DISPATCH, "src/log/format"],
  },
  {
    path: "src/log/following",
    what: "followers of durable events: one reader of the log for all of a process, without a subscription",
    may: [...DISPATCH, "src/log/format", "src/log/administration"],
  },
  {
    path: "src/log/administration",
    what: "what operators see of the log and ask of it, from any node: subscriptions, dead letters, rewinds",
    may: [...DISPATCH, "src/log/format"],
  },
  {
    path: "src/log/format",
    what:
      "what stands in the log and in its buckets, and what leaders and their nodes say to each other: written and read",
    may: CONTRACT,
  },
  {
    path: "src/dispatch",
    what: "from a message to its handler's result in this process: registry, pipeline, admission, execution",
    may: CONTRACT,
  },
  {
    path: "src/contract",
    what: "what a program declares and sees: contracts, handlers, schemas, results, contexts, the running node",
    may: [...GROUND, "src/ports"],
  },
  {
    path: "src/memory",
    what: "the ports within one process, with faults from a seed and virtual time",
    may: [...GROUND, "src/ports"],
    lazily: ["src/catga.ts"],
  },
  {
    path: "src/codec",
    what: "the ports around a codec: payloads are sealed before they are sent or stored, and opened when they are read",
    may: [...CONTRACT, "src/log/format"],
  },
  {
    path: "src/file",
    what: "the store and the log in one file of SQLite, which one process owns",
    may: [...GROUND, "src/ports", "src/memory"],
  },
  { path: "src/nats", what: "the ports on NATS", may: [...GROUND, "src/ports", "@nats-io/"] },
  {
    path: "src/ports",
    what:
      "what Catga needs of the world: Clock, Transport, KeyValueStore, EventLog, and the suites that every implementation passes",
    may: GROUND,
  },
  { path: "src/data", what: "functions of values: no time, no state, no messages", may: ["src/error.ts"] },
  { path: "src/error.ts", what: "CatgaError and its codes", may: [] },
  { path: "src/version.ts", what: "the versions of this package and of its protocol", may: [] },
  {
    path: "src/behaviors",
    what: "an entrypoint: logging, retry, timeout, rate limit, tracing, metrics",
    may: [...CONTRACT, "@opentelemetry/api"],
  },
  {
    path: "src/sql",
    what: "an entrypoint: a database of the program's own: outbox with its relay, effects once, over any driver",
    may: [...DISPATCH, "src/log/format"],
  },
  { path: "src/lint", what: "an entrypoint: rules for deno lint", may: ["src/contract"] },
  {
    path: "src/operate",
    what: "what operators do, for the command line and the page: choosing runs, changing many, pausing schedules",
    may: [...CONTRACT, "src/log/publishing", "src/log/format"],
  },
  {
    path: "src/cli",
    what: "an entrypoint: the command line tool, which reads records and frames without being a node",
    may: [
      ...CONTRACT,
      "mod.ts",
      "src/nats",
      "src/cluster/wire",
      "src/cluster/membership",
      "src/state/locks",
      "src/flow",
      "src/operate",
      "src/sql",
      "src/log/administration",
      "src/log/publishing",
      "src/log/format",
    ],
    lazily: ["src/dashboard", "src/check", "src/codec", "src/file", "src/memory"],
  },
  {
    path: "src/check",
    what: "what a deploy of a program would break: programs described and compared, with what is stored, too",
    may: [
      ...DISPATCH,
      "src/state/claims",
      "src/flow",
      "src/log/administration",
      "src/log/publishing",
      "src/log/format",
    ],
  },
  {
    path: "src/dashboard",
    what: "the page that `catga dashboard` serves: what it shows, collected while a browser looks, and who may look",
    may: [
      ...CONTRACT,
      "src/cluster/wire",
      "src/cluster/membership",
      "src/state/locks",
      "src/operate",
      "src/log/administration",
      "src/log/publishing",
      "src/log/format",
    ],
  },
  {
    path: "src/http",
    what: "an entrypoint: contracts on HTTP (edge), results as responses, streams as server-sent events",
    may: CONTRACT,
  },
  {
    path: "src/client",
    what: "an entrypoint: the client of an edge for browsers, which loads nothing else of Catga",
    may: [],
    lazily: ["src/contract", "src/http"],
  },
  {
    path: "src/testing",
    what: "an entrypoint: the kit for users' tests",
    may: ["mod.ts", ...DISPATCH, "src/memory", "src/node"],
  },
];

/** The room of a file, the innermost one; `undefined` for a file in none. */
export function roomOf(path: string): Room | undefined {
  let found: Room | undefined;
  for (const room of ROOMS) {
    const within = path === room.path || path.startsWith(`${room.path}/`);
    if (within && room.path.length > (found?.path.length ?? -1)) found = room;
  }
  return found;
}

/**
 * The picture of the rooms in `docs/internals/architecture.md`, as a mermaid graph: a box for each folder at the top of
 * `src/`, an arrow for each import that the rooms allow, dotted where all of them are loaded when they are needed. The
 * ground, on which everything stands, is left out, and so is an arrow that another way leads to, too.
 */
export function roomPicture(): string {
  const boxOf = (path: string) =>
    path.startsWith("src/") ? path.split("/")[1].replace(/\.ts$/, "") : path.replace(/\.ts$/, "");
  const ground = new Set(["data", "error", "version", "ports"]);
  const arrows = new Map<string, Map<string, boolean>>();
  for (const { path, may, lazily = [] } of ROOMS) {
    const from = boxOf(path);
    if (ground.has(from)) continue;
    const to = arrows.get(from) ?? new Map<string, boolean>();
    arrows.set(from, to);
    for (const [names, eager] of [[may, true], [lazily, false]] as const) {
      for (const name of names.filter((name) => !name.startsWith("@"))) {
        const box = boxOf(name);
        if (box !== from && !ground.has(box)) to.set(box, eager || to.get(box) === true);
      }
    }
  }
  const reaches = (from: string, to: string, without: string): boolean =>
    [...arrows.get(from) ?? []].some(([box, eager]) =>
      eager && box !== without && (box === to || reaches(box, to, without))
    );
  const lines: string[] = [];
  for (const [from, to] of arrows) {
    for (const [box, eager] of to) {
      const longWay = [...to].some(([other, direct]) => direct && other !== box && reaches(other, box, from));
      if (!longWay) lines.push(`  ${from} ${eager ? "-->" : "-.->"} ${box}`);
    }
  }
  return ["graph TD", ...lines, "  nats -->|implements| ports", "  memory -->|implements| ports"].join("\n");
}

/**
 * The table of the rooms, as it stands in the docs: `contract +` and `dispatch +` stand for what these two may import,
 * and themselves.
 */
export function roomTable(): string {
  const lines = ROOMS.map(({ path, what, may, lazily = [] }) => {
    const [floor, own] = DISPATCH.every((name) => may.includes(name))
      ? [["dispatch +"], may.filter((name) => !DISPATCH.includes(name))]
      : CONTRACT.every((name) => may.includes(name))
      ? [["contract +"], may.filter((name) => !CONTRACT.includes(name))]
      : [[], may];
    const names = [...floor, ...own, ...lazily.map((name) => `${name} (lazily)`)].map((name) => `\`${name}\``);
    return `| \`${path}\` | ${what} | ${names.join(", ") || "nothing"} |`;
  });
  return ["| room | what it is | may import |", "| --- | --- | --- |", ...lines].join("\n");
}
