import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { Fifo } from "./fifo.ts";

describe("Fifo", () => {
  it("returns entries in the order in which they were added, whatever was removed in between", () => {
    const fifo = new Fifo<number>();
    const taken: (number | undefined)[] = [];
    for (let n = 0; n < 100; n++) {
      fifo.push(n);
      if (n % 3 === 2) taken.push(fifo.shift(), fifo.shift());
    }
    while (fifo.size > 0) taken.push(fifo.shift());
    assertEquals(taken, Array.from({ length: 100 }, (_, n) => n));
    assertEquals([fifo.first, fifo.shift()], [undefined, undefined]);
  });

  it("keep removes all other entries and keeps the order", () => {
    const fifo = new Fifo<number>();
    for (let n = 0; n < 10; n++) fifo.push(n);
    fifo.shift();
    fifo.keep((n) => n % 2 === 0);
    assertEquals([fifo.size, fifo.shift(), fifo.shift(), fifo.shift(), fifo.shift()], [4, 2, 4, 6, 8]);
  });
});
