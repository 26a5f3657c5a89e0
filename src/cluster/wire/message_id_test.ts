import { describe, it } from "node:test";
import { assertEquals, assertNotEquals } from "@std/assert";
import { command, unwrap } from "../../../mod.ts";
import { testCluster } from "../../testing/mod.ts";

const Do = command<void, { id: string; attempt: number }>("Do", { route: ([node]) => node });
const handlers = Do.handle((_, { id, attempt }) => ({ id, attempt }));
const node = (id: string) => (id === "client" ? {} : { handlers });

describe("message id", () => {
  it("is different for every message, although the frames to each node are counted from 1", async () => {
    await using cluster = await testCluster(["a", "b", "client"], { node });
    const client = cluster.app("client");
    const first = unwrap(await client.send(Do, undefined, { node: "a" }));
    const second = unwrap(await client.send(Do, undefined, { node: "b" }));
    assertNotEquals(first.id, second.id);
  });

  it("stays the same in the next attempt, and is no other message's", async () => {
    await using cluster = await testCluster(["a", "b", "client"], { node });
    const client = cluster.app("client");
    cluster.kill("a");
    const moved = unwrap(await client.send(Do));
    const next = unwrap(await client.send(Do, undefined, { node: "b" }));
    assertEquals([moved.attempt, next.attempt], [2, 1]);
    assertNotEquals(moved.id, next.id);
  });
});
