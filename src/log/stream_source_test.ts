import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CatgaError } from "../error.ts";
import { MemoryEventLog } from "../memory/event_log.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import type { EventLog } from "../ports/event_log.ts";
import { StreamSource } from "./stream_source.ts";

describe("StreamSource", () => {
  it("opens the stream once; a failure is not kept", async () => {
    const { clock, source, opens } = start({ failures: 1 });
    await assertRejects(() => Promise.resolve(source.get()), CatgaError);
    const [first, second] = await clock.until(Promise.all([source.get(), source.get()]));
    assertEquals(first, second);
    assertEquals(source.get(), first);
    assertEquals(opens.length, 2);
  });

  it("again looks whether the stream is there, once a second, and makes one that was lost", async () => {
    const { clock, source, log } = start();
    const stream = await clock.until(Promise.resolve(source.get()));
    await clock.advance(1_000);
    log.remove(stream.name);
    const found = source.again();
    assertEquals(source.again(), stream, "the second waits for nothing");
    assertEquals(await clock.until(Promise.resolve(found)), stream);
    assert(await clock.until(stream.state()) !== undefined);
  });
});

function start({ failures = 0 } = {}) {
  const clock = new VirtualClock();
  const log = new MemoryEventLog(clock);
  const opens: string[] = [];
  const flaky: EventLog = {
    open(name, options) {
      opens.push(name);
      return opens.length <= failures
        ? Promise.reject(new CatgaError("UNAVAILABLE", "no servers"))
        : log.open(name, options);
    },
  };
  return {
    clock,
    log,
    opens,
    source: new StreamSource({ namespace: "default", replicas: 1, clock, log: flaky }, "log"),
  };
}
