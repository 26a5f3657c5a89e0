/** Faults in the graph of published modules: packages that are there twice, are missing, or come from elsewhere. */

/** A package of npm: Deno lists it with its version, and without its files. */
const OF_NPM = /^npm:\/?((?:@[^/@]+\/)?[^/@]+)@[^/]+/;
/** A file of a package of JSR. */
const OF_JSR = /^https?:\/\/[^/]+\/((@[^/]+\/[^/]+)\/\d[^/]*)\//;

/**
 * Packages in a graph, with their numbers of files, and what is wrong with them: each is Catga's or NATS's, comes from
 * JSR, and has one version; all of `needed` are there; of npm nothing but `npm` is. `specifiers` are those of
 * `deno info --json`.
 */
export function packageFaults(specifiers: readonly string[], needed: readonly string[], npm: readonly string[]) {
  const files = new Map<string, number>();
  const copies = new Map<string, Set<string>>();
  const faults: string[] = [];
  for (const specifier of specifiers) {
    if (/^(?:node|file):/.test(specifier) || npm.includes(OF_NPM.exec(specifier)?.[1] ?? "")) continue;
    const [, copy, name] = OF_JSR.exec(specifier) ?? [];
    if (copy === undefined || !/^@(?:catga|nats-io)\//.test(name)) {
      faults.push(`${specifier} is no module of Catga or NATS from JSR`);
      continue;
    }
    files.set(copy, (files.get(copy) ?? 0) + 1);
    copies.set(name, (copies.get(name) ?? new Set()).add(copy));
  }
  for (const [name, found] of copies) if (found.size > 1) faults.push(`more than one copy of ${name}: ${[...found]}`);
  for (const name of needed) if (!copies.has(name)) faults.push(`${name} is missing`);
  return { files, faults };
}
