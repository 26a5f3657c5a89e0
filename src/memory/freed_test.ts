import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { catga, command, event, unwrap } from "../../mod.ts";
import { MemoryNetwork, VirtualClock } from "../testing/mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { collectGarbage } from "../../test/support/garbage.ts";

describe("an app without NATS", () => {
  // regression: timers of entries that expire only days later kept the log, the results and the app in memory
  it("is freed with all that it stored after its drain", async () => {
    const Booked = event<string>("Booked", { durable: true });
    const Close = command("Close", { durable: true });
    const Pay = command<void, number>("Pay", { idempotent: true });
    const handlers = [Booked.on(() => {}), Close.handle(() => {}), Pay.handle(() => 1)];
    const used = async () => {
      const logger = { debug() {}, info() {}, warn() {}, error() {} };
      await using app = await catga({ handlers, logger });
      unwrap(await app.publish(Booked, "7"));
      unwrap(await app.publish(Booked, "7", { delay: 86_400_000 }));
      unwrap(await app.enqueue(Close, undefined, { id: "every second", cron: "* * * * * *" }));
      unwrap(await app.send(Pay));
      return new WeakRef(logger);
    };
    const of = await used();
    await eventually("the garbage collection", () => {
      collectGarbage();
      return of.deref() === undefined;
    });
    assertEquals(of.deref(), undefined);
  });
});

describe("an app that is killed", () => {
  // regression: its network kept each killed connection by its id, with all that the app held
  it("is freed while its network and other apps go on", async () => {
    const Booked = event<string>("Booked", { durable: true });
    const Close = command("Close", { durable: true });
    const Pay = command<void, number>("Pay", { idempotent: true });
    const handlers = [Booked.on(() => {}), Close.handle(() => {}), Pay.handle(() => 1)];
    const quiet = () => ({ debug() {}, info() {}, warn() {}, error() {} });
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    await using other = await clock.until(catga({ network, id: "other", handlers, logger: quiet() }));
    const killed = async () => {
      const logger = quiet();
      const app = await clock.until(catga({ network, id: "killed", handlers, logger }));
      unwrap(await clock.until(app.publish(Booked, "7")));
      unwrap(await clock.until(app.publish(Booked, "7", { delay: 86_400_000 })));
      unwrap(await clock.until(app.send(Pay)));
      network.kill("killed");
      return new WeakRef(logger);
    };
    const of = await killed();
    await clock.advance(120_000);
    assertEquals(other.nodes().length, 1);
    await eventually("the garbage collection", () => {
      collectGarbage();
      return of.deref() === undefined;
    });
    assertEquals(of.deref(), undefined);
    network.kill("killed"); // what is dead stays so
  });
});
