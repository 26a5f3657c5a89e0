import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { Turns } from "./turns.ts";

const asking = (call: string, ancestry: readonly string[] = [], due = 10_000) => ({ call, ancestry, due });

describe("turns", () => {
  it("one at a time for each entity, in the order in which they came", async () => {
    const turns = new Turns(new VirtualClock());
    const had: string[] = [];
    const run = async (entity: string, name: string) => {
      await turns.take(entity, asking(name));
      had.push(name);
      await Promise.resolve();
      had.push(`${name} ends`);
      turns.pass(entity);
    };
    await Promise.all([run("a", "1"), run("a", "2"), run("b", "3"), run("a", "4")]);
    assertEquals(had.filter((name) => !name.startsWith("3")), ["1", "1 ends", "2", "2 ends", "4", "4 ends"]);
    assertEquals(had.indexOf("3") < had.indexOf("1 ends") + 1, true);
    assertEquals(turns.take("a", asking("5")), undefined);
  });

  it("one that waits for its own ancestor leaves after 100 ms, one of another run does not", async () => {
    const clock = new VirtualClock();
    const turns = new Turns(clock);
    const ended: string[] = [];
    const wait = (call: string, ancestry: readonly string[]) =>
      turns.take("a", asking(call, ancestry))?.then((how) => ended.push(`${call} ${how}`));
    turns.take("a", asking("outer"));
    wait("other", ["nobody"]);
    wait("inner", ["root", "outer"]);
    wait("last", []);
    await clock.advance(99);
    assertEquals(ended, []);
    await clock.advance(1);
    assertEquals(ended, ["inner deadlock"]);
    for (let n = 0; n < 3; n++) {
      turns.pass("a");
      await clock.advance(0);
    }
    assertEquals(ended, ["inner deadlock", "other came", "last came"]);
    assertEquals(turns.take("a", asking("next")), undefined);
  });

  it("no deadlock if the ancestor passes the turn on within 100 ms", async () => {
    const clock = new VirtualClock();
    const turns = new Turns(clock);
    turns.take("a", asking("outer"));
    const other = turns.take("a", asking("other"));
    const inner = turns.take("a", asking("inner", ["outer"]));
    await clock.advance(50);
    turns.pass("a");
    assertEquals(await other, "came");
    await clock.advance(1_000);
    turns.pass("a");
    assertEquals(await inner, "came");
  });

  it("one whose time is over leaves, and those behind it go on", async () => {
    const clock = new VirtualClock();
    const turns = new Turns(clock);
    turns.take("a", asking("first"));
    const short = turns.take("a", asking("short", [], clock.monotonic() + 50));
    const long = turns.take("a", asking("long", [], clock.monotonic() + 500));
    await clock.advance(50);
    assertEquals(await short, "late");
    turns.pass("a");
    assertEquals(await long, "came");
    await clock.advance(1_000);
    turns.pass("a");
    assertEquals(turns.take("a", asking("next")), undefined);
  });
});
