import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { eventually } from "../../test/support/eventually.ts";
import { MemoryNetwork } from "./network.ts";

describe("MemoryNetwork", () => {
  it("connect: onError gets what a callback throws, and other messages are not delayed", async () => {
    const errors: unknown[] = [];
    const transport = new MemoryNetwork().connect({ onError: (error) => errors.push(error) });
    const got: string[] = [];
    transport.subscribe("a", {}, (message) => {
      got.push(new TextDecoder().decode(message.data));
      throw new Error(`after ${got.length}`);
    });
    transport.publish("a", "1");
    transport.publish("a", "2");
    await eventually("both errors", () => errors.length === 2);
    assertEquals(got, ["1", "2"]);
    assertEquals(errors.map(String), ["Error: after 1", "Error: after 2"]);
  });

  it("cut: an unknown app is a TypeError that lists the known ones", () => {
    const network = new MemoryNetwork();
    network.connect({ name: "a" });
    for (const control of ["cut", "restore", "pause", "resume", "kill", "clockOf"] as const) {
      assertThrows(() => network[control]("b"), TypeError, 'no app "b" is on this network; there are a');
    }
  });

  it("cut: a message in transit is lost, even when the connection is restored before it would have arrived", async () => {
    const network = new MemoryNetwork();
    const [alice, bob] = [network.connect(), network.connect()];
    const got: string[] = [];
    bob.subscribe("a", {}, (message) => got.push(new TextDecoder().decode(message.data)));
    alice.publish("a", "lost");
    bob.cut();
    bob.restore();
    alice.publish("a", "found");
    await eventually("a message", () => got.length > 0);
    assertEquals(got, ["found"]);
  });

  it("cut: what is published meanwhile is lost, and does not bounce", async () => {
    const network = new MemoryNetwork();
    const [alice, bob] = [network.connect(), network.connect()];
    const got: string[] = [];
    bob.subscribe("a", {}, (message) => got.push(new TextDecoder().decode(message.data)));
    alice.subscribe("bounce", {}, () => got.push("bounced"));
    alice.cut();
    alice.publish("a", "lost");
    alice.publish("nobody", "lost", { reply: "bounce" });
    alice.restore();
    alice.publish("a", "found");
    await eventually("a message", () => got.length > 0);
    assertEquals(got, ["found"]);
  });

  it("heal: an app that was frozen when its connection was cut is connected again", async () => {
    const network = new MemoryNetwork();
    const [alice, bob] = [network.connect({ name: "alice" }), network.connect({ name: "bob" })];
    const got: string[] = [];
    bob.subscribe("a", {}, (message) => got.push(new TextDecoder().decode(message.data)));
    network.pause("bob");
    network.cut("bob");
    // the test ends faults in the order in which `heal` ends random faults: resume, then restore
    network.resume("bob");
    network.restore("bob");
    await eventually("the connection", () => bob.status.state === "connected" && bob.status.generation > 1);
    alice.publish("a", "found");
    await eventually("a message", () => got.length > 0);
    assertEquals(got, ["found"]);
  });

  it("maxPayload: anything but a positive integer is a RangeError", () => {
    for (const maxPayload of [0, -1, 1.5, NaN, Infinity]) {
      assertThrows(() => new MemoryNetwork({ maxPayload }), RangeError, String(maxPayload));
    }
  });

  it("options: seed and random exclude each other; servers is a positive integer", () => {
    assertThrows(() => new MemoryNetwork({ seed: 1, random: Math.random }), TypeError, "exclude each other");
    assertThrows(() => new MemoryNetwork({ seed: 0.5 }), TypeError, "a seed is a safe integer");
    for (const servers of [0, 1.5, NaN]) assertThrows(() => new MemoryNetwork({ servers }), RangeError, "servers");
  });

  it("random: a value that is no number from 0 on and below 1 is a TypeError where it is drawn", () => {
    for (const value of [undefined, NaN, -0.1, 1, "0.5", null, Promise.reject(new Error("late"))]) {
      // cast: a program without types may pass such a function
      const random = (() => value) as () => number;
      assertThrows(
        () => new MemoryNetwork({ random }),
        TypeError,
        "random must return a number from 0 on and below 1; got",
      );
    }
    let drawn = 0.5;
    const { random } = new MemoryNetwork({ random: () => drawn });
    assertEquals(random(), 0.5);
    drawn = 7;
    assertThrows(random, TypeError, "got 7");
  });
});
