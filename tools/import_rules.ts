/**
 * Checks imports against `rooms.ts`, and finds circles of imports.
 *
 * @module
 */
import type { Arrow } from "./import_graph.ts";
import { roomOf } from "./rooms.ts";
import { isTestCode } from "./sources.ts";

/** Imports against the rules: file, import and rule, a line each. */
export function importViolations(arrows: readonly Arrow[]): string[] {
  return arrows.flatMap((arrow) => {
    const rule = broken(arrow);
    return rule === undefined ? [] : [`${arrow.from} imports "${arrow.specifier}" (${arrow.kind}): ${rule}`];
  });
}

function broken({ from, to, kind }: Arrow): string | undefined {
  if (isTestCode(from)) return undefined;
  if (to === "(computed)") {
    return COMPUTED.has(from) ? undefined : "an import must name its module: a computed one cannot be checked";
  }
  const room = roomOf(from);
  if (room === undefined) return "the file is in no room: add it to tools/rooms.ts";
  if (isTestCode(to)) return "only tests may import test code";
  const other = roomOf(to);
  if (to.startsWith("node:") || other === room) return undefined;
  const { path, may, lazily = [] } = room;
  if (other !== undefined && lazily.includes(other.path)) {
    return kind === "static" ? `${path} may import ${other.path} lazily alone: by import(), or its types` : undefined;
  }
  const allowed = other === undefined
    ? may.some((name) => name.endsWith("/") && to.startsWith(name)) || may.includes(to)
    : may.includes(other.path);
  return allowed ? undefined : `${path} may import ${may.join(", ") || "nothing"}`;
}

/** Files that import each other in a circle, types included; each circle as a path that ends where it began. */
export function importCircles(arrows: readonly Arrow[]): string[] {
  const imports = new Map<string, Set<string>>();
  for (const { from, to } of arrows) {
    if (isTestCode(from)) continue;
    const known = imports.get(from);
    if (known === undefined) imports.set(from, new Set([to]));
    else known.add(to);
  }
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    const at = path.indexOf(file);
    if (at >= 0) circles.push([...path.slice(at), file].join(" → "));
    if (at >= 0 || done.has(file)) return;
    for (const next of imports.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of imports.keys()) visit(file, []);
  return circles;
}

/**
 * The command line tool and threads of `explore` load the modules of their user's program; and clients of NATS have
 * computed names so that Deno does not download each of them.
 */
const COMPUTED: ReadonlySet<string> = new Set([
  "src/cli/cluster/program_module.ts",
  "src/testing/explore_worker.ts",
  "src/nats/connection/client_packages.ts",
]);
