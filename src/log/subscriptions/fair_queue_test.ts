import { assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { type FairMessage, FairQueue } from "./fair_queue.ts";

interface Message extends FairMessage {
  place: "open" | "gone";
}

describe("a queue of tenants", () => {
  it("keeps few that are done in memory, and the order of the others", () => {
    for (const isRanked of [false, true]) {
      const queue = new FairQueue<Message>(isRanked);
      const push = (rank: number) => {
        const message: Message = { rank, tenant: undefined, place: "open" };
        queue.enter(message, "a", () => 1);
        queue.push(message);
        return message;
      };
      const stays = [push(1), push(2)];
      for (let n = 0; n < 2_000; n++) {
        const each = push(isRanked ? n % 5 : n);
        queue.leave(each);
        each.place = "gone";
        assertLess(queue.listed, 200);
      }
      const order: Message[] = [];
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        if (next.place !== "gone") order.push(next);
      }
      assertEquals(order, stays);
    }
  });
});
