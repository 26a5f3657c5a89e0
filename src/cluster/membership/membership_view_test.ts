import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { NodeInfo } from "../../contract/node_info.ts";
import type { Observation } from "../../contract/observer.ts";
import { MembershipView } from "./membership_view.ts";

/** Makes the view of the node `a`, and records the calls and events that its changes cause. */
function setUp() {
  const logged: string[] = [];
  const changes: boolean[] = [];
  const events: string[] = [];
  const unhandled: string[] = [];
  const view = new MembershipView({
    self: "a",
    observer: (observation: Observation) => {
      if (observation.type === "node") logged.push(`${observation.change} ${observation.node}`);
    },
    changed: (handled) => changes.push(handled),
    unhandled: (name) => void unhandled.push(name),
  });
  view.watch(({ type, node }) => events.push(`${type} ${node.id}`));
  return { view, logged, changes, events, unhandled };
}

function info(id: string, handles: readonly string[] = [], nonce = "1"): NodeInfo {
  return {
    id,
    endpoint: `${id}.${nonce}`,
    service: "app",
    handles,
    startedAt: 0,
    lastSeen: 0,
    metadata: {},
    load: { inFlight: 0, queued: 0 },
    server: "s",
    protocol: 1,
    version: "0",
  };
}

describe("MembershipView", () => {
  it("members are sorted by id, and found by id and by endpoint", () => {
    const { view } = setUp();
    for (const id of ["c", "a", "b"]) view.put(info(id), 1);
    assertEquals(view.members.map(({ info }) => info.id), ["a", "b", "c"]);
    assertEquals(view.find("b.1"), view.get("b"));
    view.put(info("b", [], "2"), 2);
    assertEquals(view.find("b.1"), undefined);
    assertEquals(view.find("b.2")?.revision, 2);
    view.remove("b", "leave");
    assertEquals(view.members.map(({ info }) => info.id), ["a", "c"]);
    assertEquals(view.find("b.2"), undefined);
  });

  it("a refreshed record is an event, but neither logged nor a change of what is handled; a lost node is logged as such", () => {
    const { view, logged, changes, events } = setUp();
    view.put(info("b", ["Get"]), 1);
    view.put(info("b", ["Get"]), 2);
    view.put(info("b", ["Get", "Add"]), 3);
    view.remove("b", "leave");
    view.put(info("c"), 4);
    view.remove("c", "lost");
    assertEquals(events, ["join b", "update b", "update b", "leave b", "join c", "leave c"]);
    assertEquals(logged, ["join b", "leave b", "join c", "lost c"]);
    assertEquals(changes, [true, false, true, true, true, true]);
  });

  it("a node is alone with a contract while no other handles it", () => {
    const { view } = setUp();
    view.put(info("a", ["Get"]), 1);
    view.put(info("b", ["Add"]), 1);
    assertEquals([view.alone("Get"), view.alone("Add"), view.alone("Gone")], [true, false, true]);
  });

  it("a contract is reported when its last node leaves, or handles it no longer, and not before", () => {
    const { view, unhandled } = setUp();
    view.put(info("a", ["Get"]), 1);
    view.put(info("b", ["Add", "Get"]), 1);
    view.put(info("b", ["Add", "Get"], "2"), 2);
    assertEquals([view.handles("Add"), unhandled], [true, []]);
    view.put(info("b", ["Get"], "2"), 3);
    assertEquals([view.handles("Add"), unhandled], [false, ["Add"]]);
    view.remove("b", "leave");
    assertEquals(unhandled, ["Add"]);
    view.remove("a", "leave");
    assertEquals(unhandled, ["Add", "Get"]);
  });

  it("suspect and trust are reported once; trust and restore clear the bounces", () => {
    const { view, logged } = setUp();
    view.put(info("b"), 1);
    const member = view.get("b")!;
    member.bouncedAt = 5;
    view.suspect(member);
    view.suspect(member);
    view.trust(member);
    view.trust(member);
    assertEquals(logged, ["join b", "suspect b", "alive b"]);
    assertEquals(member.bouncedAt, -1);
    view.suspect(member);
    view.remove("b", "leave");
    view.restore(member);
    assertEquals(view.get("b"), member);
    assertEquals(member.suspect, false);
  });
});
