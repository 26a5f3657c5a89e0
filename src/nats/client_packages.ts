/**
 * Loads packages of nats.js that only some programs need: clients, and packages that use the nats-core of
 * `@nats-io/transport-node`. Deno downloads what a literal `import()` names, with all its imports, even if it never
 * runs; a computed specifier is resolved when it runs.
 */
import { thrownMessage } from "../data/cause_text.ts";
import { CatgaError } from "../error.ts";

/** Versions of nats.js that this version of Catga supports. */
const VERSIONS = "^3.4.0";

/** JSR's modules in Deno have neither an import map nor a folder of packages; all others resolve a package's name. */
const namesResolve = !/^https?:/.test(import.meta.url);

/** Loads `@nats-io/transport-node`. Rejects with `UNAVAILABLE` if it cannot be loaded. */
export function importNodeClient(): Promise<unknown> {
  // bundlers read the name in the first branch
  const name = specifier("npm", "transport-node");
  return loaded(name, import(namesResolve ? "@nats-io/transport-node" : name));
}

/**
 * Loads the file of `@nats-io/transport-node` that contains its TCP connection; `undefined`: that version has it
 * elsewhere.
 */
export function importNodeTransport(): Promise<unknown> {
  const name = `${specifier("npm", "transport-node")}/lib/node_transport.js`;
  return import(namesResolve ? "@nats-io/transport-node/lib/node_transport.js" : name).catch(() => undefined);
}

/** Loads `@nats-io/jetstream` with the nats-core of {@link importNodeClient}: JSR's comes with a second one. */
export function importNodeJetStream(): Promise<unknown> {
  const name = specifier("npm", "jetstream");
  return loaded(name, import(namesResolve ? "@nats-io/jetstream" : name));
}

/** Loads `@nats-io/kv` with the nats-core of {@link importNodeClient}. */
export function importNodeKv(): Promise<unknown> {
  const name = specifier("npm", "kv");
  return loaded(name, import(namesResolve ? "@nats-io/kv" : name));
}

/** Loads `@nats-io/transport-deno`. Rejects with `UNAVAILABLE` if it cannot be loaded. */
export function importDenoClient(): Promise<unknown> {
  const name = specifier("jsr", "transport-deno");
  // no literal import: the package is no dependency, and bundlers would report it as missing
  return loaded(name, import(namesResolve ? nameOf("transport-deno") : name));
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
