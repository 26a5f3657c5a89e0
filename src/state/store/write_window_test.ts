import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type LeaveWindow, WriteWindow } from "./write_window.ts";

/** Takes places until there is none. */
function fill(window: WriteWindow): LeaveWindow[] {
  return Array.from({ length: window.size }, () => {
    const leave = window.enter();
    assert(!(leave instanceof Promise));
    return leave;
  });
}

describe("WriteWindow", () => {
  it("gives 64 writes their places at once, and the others in their order as writes end", async () => {
    const window = new WriteWindow();
    const places = fill(window);
    assertEquals(places.length, 64);
    const came: number[] = [];
    const waiting = [0, 1, 2].map(async (i) => {
      const leave = await window.enter();
      came.push(i);
      return leave;
    });
    places.shift()!(1);
    await waiting[0];
    assertEquals(came, [0]);
    for (const leave of places.splice(0, 2)) leave(1);
    await Promise.all(waiting);
    assertEquals(came, [0, 1, 2]);
  });

  it("grows by one with four answers within 500 ms, to 1,024", () => {
    const window = new WriteWindow();
    for (const leave of fill(window).slice(0, 4)) leave(499);
    assertEquals(window.size, 65);
    for (let i = 0; i < 5_000; i++) (window.enter() as LeaveWindow)(0);
    assertEquals(window.size, 1_024);
  });

  it("shrinks by one with each later answer, and by half without one, to 16", () => {
    const window = new WriteWindow();
    const places = fill(window);
    for (const leave of places.slice(0, 4)) leave(500);
    assertEquals(window.size, 60);
    places[4](Infinity);
    assertEquals(window.size, 30);
    for (const leave of places.slice(5)) leave(Infinity);
    assertEquals([window.size, fill(window).length], [16, 16]);
  });

  it("a write that was not sent, or that nobody waits for, gives its place to the next, and says nothing of the store", async () => {
    const window = new WriteWindow();
    const [first] = fill(window);
    const next = window.enter();
    first();
    (await next)();
    assertEquals(window.size, 64);
  });
});
