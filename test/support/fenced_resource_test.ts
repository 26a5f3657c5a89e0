import { assertEquals } from "@std/assert";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { eventually } from "./eventually.ts";
import { FencedResource } from "./fenced_resource.ts";

describe("FencedResource", () => {
  it("outlives the connection of a process that was killed, whatever it had not read", async () => {
    await using resource = await FencedResource.open();
    const killed = connect(resource.port, "127.0.0.1");
    await once(killed, "connect");
    killed.write('{"id":"a","want":"k"}\n');
    await eventually("it waits", () => resource.waiting.has("a"));
    killed.resetAndDestroy();
    const next = connect(resource.port, "127.0.0.1");
    await once(next, "connect");
    next.write('{"id":"b","key":"k","token":1}\n');
    await eventually("a write", () => resource.writes.length === 1);
    assertEquals(resource.writes[0].by, "b");
    next.destroy();
  });
});
