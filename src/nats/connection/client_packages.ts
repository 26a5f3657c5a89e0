/**
 * Loads packages of nats.js that only some programs need: clients, and packages that use the nats-core of
 * `@nats-io/transport-node`. Deno downloads what a literal `import()` names, with all its imports, even if the line
 * never runs; parentheses around the name hide it from Deno, and from no bundler.
 */
import { thrownMessage } from "../../data/cause_text.ts";
import { CatgaError } from "../../error.ts";

/** Versions of nats.js that this version of Catga supports. */
const VERSIONS = "^3.4.0";

/**
 * True if packages are imported by name. False in modules that Deno has loaded from JSR: they have neither an import
 * map nor a folder of packages.
 */
const namesResolve = !/^https?:/.test(import.meta.url);

/** Loads `@nats-io/transport-node`. Rejects with `UNAVAILABLE` if it cannot be loaded. */
export function importNodeClient(): Promise<unknown> {
  const name = specifier("npm", "transport-node");
  // deno-fmt-ignore: it removes the parentheses
  return loaded(name, namesResolve ? import(("@nats-io/transport-node")) : byAddress(name));
}

/**
 * Loads the file of `@nats-io/transport-node` that contains its TCP connection; `undefined`: the installed version has
 * no such file.
 */
export function importNodeTransport(): Promise<unknown> {
  const name = `${specifier("npm", "transport-node")}/lib/node_transport.js`;
  // deno-fmt-ignore
  const module: Promise<unknown> = namesResolve ? import(("@nats-io/transport-node/lib/node_transport.js")) : byAddress(name);
  return module.catch(() => undefined);
}

/**
 * Loads `@nats-io/jetstream` from npm, so that it shares the nats-core of {@link importNodeClient}; the package on
 * JSR comes with a second copy.
 */
export function importNodeJetStream(): Promise<unknown> {
  const name = specifier("npm", "jetstream");
  // deno-fmt-ignore
  return loaded(name, namesResolve ? import(("@nats-io/jetstream")) : byAddress(name));
}

/** Loads `@nats-io/kv` from npm, so that it shares the nats-core of {@link importNodeClient}. */
export function importNodeKv(): Promise<unknown> {
  const name = specifier("npm", "kv");
  // deno-fmt-ignore
  return loaded(name, namesResolve ? import(("@nats-io/kv")) : byAddress(name));
}

/** Loads `@nats-io/transport-deno`. Rejects with `UNAVAILABLE` if it cannot be loaded. */
export function importDenoClient(): Promise<unknown> {
  const name = specifier("jsr", "transport-deno");
  // no literal import: the package is not a dependency of Catga, and bundlers would report it as missing
  return loaded(name, byAddress(namesResolve ? nameOf("transport-deno") : name));
}

/** Imports what no bundler can find: they leave such an import as it is, with a warning unless they are told so. */
function byAddress(name: string): Promise<unknown> {
  return import(/* webpackIgnore: true */ /* turbopackIgnore: true */ /* @vite-ignore */ name);
}

function specifier(registry: "jsr" | "npm", name: string): string {
  return `${registry}:${nameOf(name)}@${VERSIONS}`;
}

function nameOf(name: string): string {
  return `@nats-io/${name}`;
}

async function loaded(name: string, module: Promise<unknown>): Promise<unknown> {
  try {
    return await module;
  } catch (cause) {
    throw new CatgaError(
      "UNAVAILABLE",
      `${name} cannot be loaded (${thrownMessage(cause)}). A program that Deno compiles, or runs without a network, ` +
        "must import it itself",
      { cause },
    );
  }
}
