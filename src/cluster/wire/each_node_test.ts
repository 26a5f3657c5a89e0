/** Tests of events that every node gets, beside handlers that run once in each service. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { event } from "../../contract/declaration/definition.ts";
import { localApp } from "../../../test/support/local_app.ts";
import { type TestCluster, testCluster } from "../../testing/mod.ts";

const Changed = event<number>("Changed");
const EVENTS = 50;

const SERVICES: Readonly<Record<string, string>> = { a: "web", b: "web", c: "billing", d: "billing" };

/**
 * Starts two services of two nodes each. `seen`: a text for each event that a handler got, with the handler and its
 * node.
 */
async function four(): Promise<{ cluster: TestCluster; seen: string[] }> {
  const seen: string[] = [];
  const cluster = await testCluster(Object.keys(SERVICES), {
    node: (id) => ({
      service: SERVICES[id],
      handlers: [
        Changed.on((n, ctx) => void seen.push(`node ${ctx.node} ${n}`), { each: "node" }),
        Changed.on((n) => void seen.push(`service ${SERVICES[id]} ${n}`)),
      ],
    }),
  });
  return { cluster, seen };
}

describe('on(fn, { each: "node" })', () => {
  it("runs once on every node of every service; an ordinary handler on one node of each service", async () => {
    const { cluster, seen } = await four();
    await using _ = cluster;
    for (let n = 0; n < EVENTS; n++) await cluster.apps[n % 4].publish(Changed, n);
    await cluster.advance(10);
    const whom = ["node a", "node b", "node c", "node d", "service web", "service billing"];
    const wanted = whom.flatMap((who) => Array.from({ length: EVENTS }, (_, n) => `${who} ${n}`));
    assertEquals(seen.sort(), wanted.sort());
  });

  it("runs at a broadcast like every handler of every node", async () => {
    const { cluster, seen } = await four();
    await using _ = cluster;
    const results = await cluster.app("a").broadcast(Changed, 7);
    assertEquals(results.map(({ node, result }) => [node, result.ok, result.value]), [
      ...["a", "b", "c", "d"].map((node) => [node, true, undefined]),
    ]);
    assertEquals(
      seen.sort(),
      [
        "node a 7",
        "node b 7",
        "node c 7",
        "node d 7",
        ...["web", "web", "billing", "billing"].map((it) => `service ${it} 7`),
      ]
        .sort(),
    );
  });

  it("runs once, like any other handler, without a network", async () => {
    const seen: string[] = [];
    const { app, clock } = localApp({
      handlers: [
        Changed.on(() => void seen.push("node"), { each: "node" }),
        Changed.on(() => void seen.push("service")),
      ],
    });
    await app.publish(Changed, 1);
    await clock.advance(0);
    assertEquals(seen.sort(), ["node", "service"]);
    await clock.until(app.broadcast(Changed, 2));
    assertEquals(seen.sort(), ["node", "node", "service", "service"]);
    await clock.until(app.drain());
  });
});
