import { describe, it } from "node:test";
import { assert, assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { Peer, type PeerHost } from "./peer.ts";
import { MAX_PEERS, PeerTable } from "./peer_table.ts";

/** What peers need that send nothing but pings. */
function host(now: number): PeerHost {
  return {
    endpoint: "self.n",
    connected: true,
    frameLimit: 64_000,
    scheduleFlush() {},
    publish: (_peer, _frame, items) => items,
    answersSent() {},
    now: () => now,
    fault(_during, error) {
      throw error;
    },
  };
}

function table(): PeerTable {
  return new PeerTable((endpoint, identity) =>
    new Peer(host(0), endpoint, { ...identity, subject: `to.${endpoint}`, bounces: "" })
  );
}

describe("PeerTable", () => {
  it("has one peer for an endpoint, found by its name and by its number", () => {
    const peers = table();
    assertEquals(peers.find("a.1"), undefined);
    const peer = peers.get("a.1");
    assertStrictEquals(peers.get("a.1"), peer);
    assertStrictEquals(peers.find("a.1"), peer);
    assertStrictEquals(peers.bySlot(peer.slot), peer);
  });

  it("forgets idle peers when there are too many, busy ones never", () => {
    const peers = table();
    const busy = peers.get("busy.1");
    busy.ping(); // a frame waits to be sent
    const idle = peers.get("idle.1");
    for (let i = 0; i < MAX_PEERS - 1; i++) peers.get(`other.${i}`);
    assertStrictEquals(peers.find("busy.1"), busy);
    assertEquals(peers.find("idle.1"), undefined);
    assertEquals(peers.bySlot(idle.slot), undefined);
  });

  it("continues the frame numbers of a forgotten peer, which would refuse lower ones", () => {
    const peers = table();
    const before = peers.get("a.1");
    for (let i = 0; i < 3; i++) {
      before.ping();
      before.flush();
    }
    assertEquals(before.seq, 3);
    for (let i = 0; i < MAX_PEERS; i++) peers.get(`other.${i}`);
    const after = peers.get("a.1");
    assertNotStrictEquals(after, before);
    assert(after.seq >= 3, `it begins after frame ${after.seq}`);
  });
});
