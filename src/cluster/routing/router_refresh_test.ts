/** What a change of the view costs the router. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { query } from "../../contract/definition.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { RemoteRequest } from "../../dispatch/remote.ts";
import { Router, type RouterOptions } from "./router.ts";

const Ask = query<void>("Ask");

describe("Router.refresh", () => {
  it("costs the same whatever the size of the view: who may be sent to is found out at the next send, once", async () => {
    let looks = 0;
    const router = new Router({
      app: { node: "a" },
      endpoint: { find: () => undefined },
      clock: new VirtualClock(),
      random: () => 0,
      observer: () => {},
      breaker: { failures: 1, cooldown: 1_000 },
      members: () => {
        looks++;
        return [];
      },
    } as unknown as RouterOptions); // what a request that nobody handles needs
    const broadcast = { contract: Ask } as unknown as RemoteRequest; // that is all a broadcast to nobody looks at
    for (let n = 0; n < 10_000; n++) router.refresh();
    assertEquals(looks, 0);
    await router.broadcast(broadcast);
    const first = looks;
    for (let n = 0; n < 10_000; n++) router.refresh();
    await router.broadcast(broadcast);
    assertEquals([first, looks], [2, 4]);
  });
});
