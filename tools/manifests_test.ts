/** The four manifests agree on name, version, exports, and dependencies with their versions. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";

type Names = Record<string, string>;

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly exports: Names;
  readonly imports: Names;
  readonly publish?: unknown;
}

const root = new URL("..", import.meta.url);
const read = (name: string) => readFile(new URL(name, root), "utf8");

const npm: Manifest & { readonly dependencies: Names; readonly devDependencies: Names; readonly private: boolean } =
  JSON
    .parse(await read("package.json"));
const deno: Manifest = JSON.parse(await read("deno.json"));
const jsr: Manifest = JSON.parse(await read("jsr.json"));
const tsconfig: { compilerOptions: { paths: Record<string, string[]> } } = JSON.parse(await read("tsconfig.json"));

/** Packages that only the examples need, which are not published. */
const OF_EXAMPLES = ["@nats-io/obj", "hono", "yaml", "@types/pg", "pg"];

/**
 * Packages that users bring, too, in an older version than the tests: one copy is to serve both. An API finds an SDK
 * only if that was registered through an API no older than itself.
 */
const OLDER_TOO: Names = { "@opentelemetry/api": "1.9.1" };

/** `npm:@nats-io/transport-node@3.4.0` in its parts. */
function parts(specifier: string): { registry: string; name: string; version: string } {
  const [, registry, name, version] = specifier.match(/^(npm|jsr):(@?[^@]+)@([^/]+)/) ?? [];
  return { registry, name, version };
}

describe("manifests", () => {
  it("agree on name and version", () => {
    const said = [npm, deno, jsr].map(({ name, version }) => `${name} ${version}`);
    assertEquals(said, [said[0], said[0], said[0]]);
  });

  it("agree on the version with the newest heading of CHANGELOG.md", async () => {
    const [, version] = (await read("CHANGELOG.md")).match(/^## \[?(\d+\.\d+\.\d+)/m) ?? [];
    assertEquals(version, npm.version);
  });

  it("agree on the version with src/version.ts", async () => {
    assertStringIncludes(await read("src/version.ts"), `"${npm.version}"`);
  });

  it("agree on the version of nats.js with the one that the transport of Deno reports to a server", async () => {
    assertStringIncludes(
      await read("src/nats/connection/deno_transport.ts"),
      `version = "${npm.dependencies["@nats-io/nats-core"]}"`,
    );
  });

  it("agree on the license", async () => {
    assertEquals([npm.license, jsr.license], ["MIT", "MIT"]);
    assertMatch(await read("LICENSE"), /^MIT License\n/);
  });

  it("agree on exports, and each file exists", () => {
    assertEquals([deno.exports, npm.exports], [jsr.exports, jsr.exports]);
    for (const path of Object.values(jsr.exports)) assertEquals([path, existsSync(new URL(path, root))], [path, true]);
  });

  it("keep npm and a bare deno publish from publishing", () => {
    assertEquals([npm.private, deno.publish], [true, false]);
  });

  it("agree on the stand-ins for @std", () => {
    const paths = Object.entries(tsconfig.compilerOptions.paths).map(([name, [path]]) => [name, path]);
    assertEquals(deno.imports, Object.fromEntries(paths));
    for (const path of Object.values(deno.imports)) assertEquals([path, existsSync(new URL(path, root))], [path, true]);
    for (const name of Object.keys(deno.imports)) {
      const published = Object.keys(jsr.imports).some((prefix) => name === prefix || name.startsWith(`${prefix}/`));
      assertEquals([name, published], [name, true]);
    }
  });

  it("pin every npm package to one version", () => {
    for (const [name, version] of Object.entries({ ...npm.dependencies, ...npm.devDependencies })) {
      assertMatch(`${name} ${version}`, /^\S+ (npm:@nats-io\/transport-node@)?\d+\.\d+\.\d+(-\d+)?$/);
    }
  });

  it("publish what is tested: the same packages, from the pinned version on", () => {
    const published = Object.entries(jsr.imports).filter(([name]) => !name.startsWith("@std/"));
    // the tests run as published, too, so their packages stand in jsr.json beside those of the sources
    const wanted: Names = { ...npm.dependencies, ...npm.devDependencies };
    for (const name of OF_EXAMPLES) delete wanted[name];
    assertEquals(published.map(([name]) => name).sort(), Object.keys(wanted).sort());
    for (const [bare, specifier] of published) {
      const { name, version } = parts(specifier);
      const pinned = wanted[name].replace(/^npm:.*@/, "");
      assertEquals([bare, version], [name, `^${OLDER_TOO[bare] ?? pinned}`]);
    }
  });

  it("take nats.js from JSR, but its client for Node from npm, where alone that is", () => {
    const registries = Object.entries(jsr.imports).filter(([name]) => name.startsWith("@nats-io/"))
      .map(([name, specifier]) => [name, parts(specifier).registry]);
    assertEquals(registries, registries.map(([name]) => [name, name === "@nats-io/transport-node" ? "npm" : "jsr"]));
  });

  it("agree with the versions of the clients that Catga loads by a computed name", async () => {
    assertStringIncludes(
      await read("src/nats/connection/client_packages.ts"),
      `VERSIONS = "^${npm.dependencies["@nats-io/transport-node"]}"`,
    );
  });
});
