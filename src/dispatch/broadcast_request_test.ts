import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { command } from "../contract/declaration/definition.ts";
import { type RemoteRequest, requestOf } from "./remote.ts";

function broadcastOf(idempotent: boolean): RemoteRequest {
  return {
    contract: command("Clear", { idempotent }),
    payload: 1,
    parsed: 1,
    timeout: 1_000,
    retries: 3,
    route: "round-robin",
    key: undefined,
    node: undefined,
    signal: undefined,
    meta: { id: "m1" },
    parent: undefined,
  };
}

describe("requestOf", () => {
  it("is a request for one node, in one attempt", () => {
    const { node, retries, meta } = requestOf(broadcastOf(false), "b");
    assertEquals({ node, retries, id: meta?.id }, { node: "b", retries: 0, id: "m1" });
  });

  it("gives an idempotent command an id for each node, so that each runs it once", () => {
    assertEquals(["a", "b"].map((node) => requestOf(broadcastOf(true), node).meta?.id), ["m1@a", "m1@b"]);
  });
});
