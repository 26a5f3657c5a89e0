import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Remembered, type RememberedCommand } from "./remembered.ts";

describe("remembered commands", () => {
  it("the last 256 stay, however old they are", () => {
    const remembered = new Remembered();
    for (let n = 0; n < 300; n++) remembered.add(commandOf(n, n * 200_000));
    assertEquals([...remembered.all].length, 256);
    assertEquals(remembered.get("43"), undefined);
    assertEquals(remembered.get("44"), commandOf(44, 44 * 200_000));
  });

  it("all of the last two minutes stay, 4,096 at most", () => {
    const remembered = new Remembered();
    for (let n = 0; n < 4_000; n++) remembered.add(commandOf(n, n));
    assertEquals([...remembered.all].length, 4_000);
    assertEquals(remembered.mayHaveDropped(0), false);
    for (let n = 4_000; n < 5_000; n++) remembered.add(commandOf(n, n));
    assertEquals([...remembered.all].length, 4_096);
    assertEquals([remembered.mayHaveDropped(903), remembered.mayHaveDropped(904)], [true, false]);
  });

  it("a send whose attempts are over is no command, and goes with the oldest", () => {
    const remembered = new Remembered();
    remembered.end("send", 5);
    assertEquals([remembered.ended("send"), remembered.ended("other")], [true, false]);
    assertEquals(remembered.get("send"), undefined);
    assertEquals(new Remembered(remembered.all).ended("send"), true);
    for (let n = 0; n < 256; n++) remembered.add(commandOf(n, 500_000 + n));
    assertEquals(remembered.ended("send"), false);
  });

  it("large results leave room for fewer, and the youngest always stays", () => {
    const remembered = new Remembered();
    for (let n = 0; n < 10; n++) remembered.add(commandOf(n, n, "x".repeat(100_000)));
    assertEquals([...remembered.all].map(({ id }) => id), ["8", "9"]);
    assert(remembered.size <= 262_144);
    remembered.add(commandOf(10, 10, "x".repeat(1_000_000)));
    assertEquals([...remembered.all].map(({ id }) => id), ["10"]);
    remembered.add(commandOf(11, 11));
    assertEquals([...remembered.all].map(({ id }) => id), ["11"]);
    assertEquals(remembered.size, 1 + "11".length + "print".length + 32 - 1);
  });
});

function commandOf(n: number, time: number, result?: string): RememberedCommand {
  return { id: `${n}`, fingerprint: "print", result, time };
}
