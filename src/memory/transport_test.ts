import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { eventually } from "../testing/eventually.ts";
import { transportSuite } from "../transport_suite.ts";
import { MemoryNetwork } from "./network.ts";

transportSuite("memory", () => {
  const network = new MemoryNetwork();
  return Promise.resolve({
    connect: () => Promise.resolve(network.connect({ onError: () => {} })),
    cut: (transport) => Promise.resolve(network.cut(transport)),
    restore: (transport) => Promise.resolve(network.restore(transport)),
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

  it("cut: a transport of another network is a TypeError", () => {
    const transport = new MemoryNetwork().connect();
    const network = new MemoryNetwork();
    assertThrows(() => network.cut(transport), TypeError);
    assertThrows(() => network.restore(transport), TypeError);
  });

  it("cut: what was on its way is lost, even when the link is mended before it would have arrived", async () => {
    const network = new MemoryNetwork();
    const [alice, bob] = [network.connect(), network.connect()];
    const got: string[] = [];
    bob.subscribe("a", {}, (message) => got.push(new TextDecoder().decode(message.data)));
    alice.publish("a", "lost");
    network.cut(bob);
    network.restore(bob);
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
    network.cut(alice);
    alice.publish("a", "lost");
    alice.publish("nobody", "lost", { reply: "bounce" });
    network.restore(alice);
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
