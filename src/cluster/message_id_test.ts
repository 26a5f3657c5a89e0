import { describe, it } from "node:test";
import { assertEquals, assertNotEquals } from "@std/assert";
import { catga, command, MemoryNetwork, unwrap, VirtualClock } from "../../mod.ts";

interface Seen {
  id: string;
  attempt: number;
}

describe("message id", () => {
  it("no two messages have the same one, though the frames to each node are counted from 1", async () => {
    const Do = command<void, Seen>("Do");
    const network = new MemoryNetwork();
    const handlers = Do.handle((_, { id, attempt }) => ({ id, attempt }));
    await using _a = await catga({ network, id: "a", handlers });
    await using _b = await catga({ network, id: "b", handlers });
    await using client = await catga({ network, id: "client" });
    const first = unwrap(await client.send(Do, undefined, { node: "a" }));
    const second = unwrap(await client.send(Do, undefined, { node: "b" }));
    assertNotEquals(first.id, second.id);
  });

  it("is the one of the first attempt in the next, and no other message's", async () => {
    const Do = command<void, Seen>("Do", { route: ([node]) => node });
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const handlers = Do.handle((_, { id, attempt }) => ({ id, attempt }));
    const start = (id: string) => catga({ network, id, handlers: id === "client" ? [] : handlers });
    const [, b, client] = await clock.until(Promise.all(["a", "b", "client"].map(start)));
    network.kill("a");
    const moved = unwrap(await clock.until(client.send(Do)));
    const next = unwrap(await clock.until(client.send(Do, undefined, { node: "b" })));
    assertEquals([moved.attempt, next.attempt], [2, 1]);
    assertNotEquals(moved.id, next.id);
    await clock.until(Promise.all([b.drain(), client.drain()]));
  });
});
