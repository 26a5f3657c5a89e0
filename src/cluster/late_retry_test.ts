import process from "node:process";
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { catga, command, MemoryNetwork, VirtualClock } from "../../mod.ts";

describe("a retry", () => {
  it("is not made after the deadline, when the news of the failure comes before that of the time", async () => {
    const ran: string[] = [];
    const codes = new Set<string | undefined>();
    for (let seed = 0; seed < 10; seed++) {
      const Do = command<void, void>("Do", { route: ([node]) => node });
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock, seed });
      const handlers = Do.handle((_, { node }) => {
        ran.push(`seed ${seed} on ${node} at ${clock.monotonic()}`);
      });
      const start = (id: string) => catga({ network, id, handlers: id === "client" ? [] : handlers });
      const [, b, client] = await clock.until(Promise.all(["a", "b", "client"].map(start)));
      network.kill("a");
      const sent = client.send(Do, undefined, { timeout: 100 });
      await Promise.resolve().then(() => process.nextTick(() => network.pause("client")));
      await clock.advance(1_000);
      network.resume("client");
      codes.add((await clock.until(sent)).error?.code);
      await clock.until(Promise.all([b.drain(), client.drain()]));
    }
    assertEquals(ran, []);
    // the bounce came first, or the deadline did
    assertEquals([...codes].sort(), ["OUTCOME_UNKNOWN", "UNAVAILABLE"]);
  });
});
