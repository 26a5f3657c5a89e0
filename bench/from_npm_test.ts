import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { forNpm } from "./from_npm.ts";

describe("a source as npm has it", () => {
  const imports = {
    "@nats-io/nats-core": "jsr:@nats-io/nats-core@^3.4.0",
    "@nats-io/transport-node": "npm:@nats-io/t@3",
  };
  const cases: [source: string, expected: string][] = [
    ['import { a } from "@nats-io/nats-core/internal";', 'import { a } from "@jsr/nats-io__nats-core/internal";'],
    ['export * from "jsr:/@nats-io/nkeys@~2.0/mod";', 'export * from "@jsr/nats-io__nkeys/mod";'],
    ['import nacl from "npm:tweetnacl@1.0.3";', 'import nacl from "tweetnacl";'],
    ['import "@nats-io/transport-node";', 'import "@nats-io/t";'],
    ['const it = () => import("./deno_transport.ts");', 'const it = () => import("./deno_transport.js");'],
    ['import process from "node:process";', 'import process from "node:process";'],
  ];
  for (const [source, expected] of cases) {
    it(`names JSR's packages, npm's and files of JavaScript: ${source}`, () => {
      assertEquals(forNpm(source, imports), expected);
    });
  }
});
