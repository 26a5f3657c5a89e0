import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { STREAM_KINDS, streamOptions } from "./streams.ts";
import { streamName } from "./stream_name.ts";

describe("the streams of a namespace", () => {
  it("have names and subjects of their own; what entities have had is never dropped for what is new", () => {
    assertEquals(STREAM_KINDS.map((kind) => [streamName("shop", kind), streamOptions("shop", kind, 3)]), [
      ["catga_shop_log", {
        subjects: ["catga.shop.log.>", "catga.shop.at.>"],
        replicas: 3,
        schedules: true,
        lasting: false,
      }],
      ["catga_shop_entities", { subjects: ["catga.shop.entity.>"], replicas: 3, schedules: false, lasting: true }],
      ["catga_shop_subscriptions", { subjects: ["catga.shop.sub.>"], replicas: 3, schedules: false, lasting: false }],
    ]);
  });
});
