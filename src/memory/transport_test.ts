import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { eventually } from "../../test/support/eventually.ts";
import { transportSuite } from "../ports/transport_suite.ts";
import { type MemoryConnection, MemoryNetwork } from "./network.ts";

transportSuite("memory", () => {
  const network = new MemoryNetwork();
  return Promise.resolve({
    connect: () => Promise.resolve(network.connect({ onError: () => {} })),
    // `connect` has made it
    cut: (transport) => Promise.resolve((transport as MemoryConnection).cut()),
    restore: (transport) => Promise.resolve((transport as MemoryConnection).restore()),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});

describe("MemoryNetwork", () => {
  it("connect: what a callback throws is handed to onError, and its throwing holds up no message", async () => {
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

  it("cut: an app that is not there is a TypeError that names those that are", () => {
    const network = new MemoryNetwork();
    network.connect({ name: "a" });
    for (const control of ["cut", "restore", "pause", "resume", "kill", "clockOf"] as const) {
      assertThrows(() => network[control]("b"), TypeError, 'no app "b" is on this network; there are a');
    }
  });

  it("cut: what was on its way is lost, even when the link is mended before it would have arrived", async () => {
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

  it("cut: what a transport publishes meanwhile vanishes, and does not come back to it", async () => {
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

  it("maxPayload: anything but a positive integer is a RangeError", () => {
    for (const maxPayload of [0, -1, 1.5, NaN, Infinity]) {
      assertThrows(() => new MemoryNetwork({ maxPayload }), RangeError, String(maxPayload));
    }
  });
});
