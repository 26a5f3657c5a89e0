/**
 * Who may import whom: `mod.ts` on top, then `catga.ts`, then folders that do not know each other, then the core (the
 * single files of `src/`), so that either backend can be read, tested and replaced alone.
 *
 * @module
 */
import type { Arrow } from "./import_graph.ts";
import { isTestCode } from "./sources.ts";

/** What the parts of the house may import besides their own folder. */
const MAY: Readonly<Record<string, { readonly rule: string; readonly allows: (arrow: Arrow) => boolean }>> = {
  "mod.ts": {
    rule: "mod.ts may import catga.ts and the core",
    allows: ({ to }) => ["catga.ts", "core"].includes(partOf(to)),
  },
  "catga.ts": {
    rule: "catga.ts may import everything below it, but nats/ lazily: by import(), or types alone",
    allows: ({ to, kind }) =>
      ["core", "memory", "cluster", "state"].includes(partOf(to)) || (partOf(to) === "nats" && kind !== "static"),
  },
  core: { rule: "the core may import the core", allows: ({ to }) => partOf(to) === "core" },
  cluster: {
    rule: "cluster/ may import the core, and never state/: what they need of each other stands in the core",
    allows: ({ to }) => partOf(to) === "core",
  },
  state: {
    rule: "state/ may import the core, and never cluster/: what they need of each other stands in the core",
    allows: ({ to }) => partOf(to) === "core",
  },
  memory: { rule: "memory/ may import the ports, error.ts and clock.ts", allows: ({ to }) => PORTS.includes(to) },
  nats: {
    rule: "nats/ may import the ports, error.ts, clock.ts and @nats-io/*",
    allows: ({ to }) => PORTS.includes(to) || to.startsWith("@nats-io/"),
  },
  behaviors: {
    rule: "behaviors/ may import the core and @opentelemetry/api",
    allows: ({ to }) => partOf(to) === "core" || to === "@opentelemetry/api",
  },
  lint: { rule: "lint/ may import the core", allows: ({ to }) => partOf(to) === "core" },
  testkit: { rule: "testkit/ may import mod.ts", allows: ({ to }) => to === "mod.ts" },
  // it looks at a cluster without being a node of it, so it reads what stands in the store and passes on the wire
  cli: {
    rule: "cli/ may import mod.ts, the core, nats/, and those who read frames and records",
    allows: ({ to }) => to === "mod.ts" || ["core", "nats"].includes(partOf(to)) || READERS.includes(to),
  },
};

const READERS = [
  "src/cluster/wire/frame.ts",
  "src/cluster/membership/node_record.ts",
  "src/state/locks/lock_record.ts",
];
const PORTS = ["src/ports/transport.ts", "src/ports/key_value_store.ts", "src/error.ts", "src/ports/clock.ts"];

/** What is wrong with the imports: file, import and rule, one line each. */
export function importViolations(arrows: readonly Arrow[]): string[] {
  return arrows.flatMap((arrow) => {
    const rule = broken(arrow);
    return rule === undefined ? [] : [`${arrow.from} imports "${arrow.specifier}" (${arrow.kind}): ${rule}`];
  });
}

function broken(arrow: Arrow): string | undefined {
  const { from, to } = arrow;
  const part = partOf(from);
  if (part === "tests") return undefined;
  if (to === "(computed)") return "an import must name its module, or nothing can be said about it";
  if (to.startsWith("node:") || (partOf(to) === part && part !== "outside")) return undefined;
  if (!(part in MAY)) return `no rule for ${part}/: say in tools/import_rules.ts what it may import`;
  return MAY[part].allows(arrow) ? undefined : MAY[part].rule;
}

/** `mod.ts`, `catga.ts`, `core`, a folder of `src/`, `tests` (which may import everything), or `outside`. */
function partOf(path: string): string {
  if (path === "mod.ts") return "mod.ts";
  if (!path.startsWith("src/")) return "outside";
  if (isTestCode(path)) return "tests";
  const [first, ...rest] = path.slice("src/".length).split("/");
  if (rest.length > 0) return first;
  return first === "catga.ts" ? "catga.ts" : "core";
}
