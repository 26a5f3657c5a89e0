import { describe, it } from "node:test";
import { assert, assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import type { Random } from "../../ports/clock.ts";
import { MAX_PEERS, Peer, PeerTable } from "./peer.ts";
import { SendTurn } from "./frame_sender.ts";
import type { Transport } from "../../ports/transport.ts";

/** Makes the {@link SendTurn} of a process that sends only pings. */
function turn(time: () => number = () => 0): SendTurn {
  const clock = { now: time, monotonic: time };
  const transport = { clock, status: { state: "connected" }, maxPayload: 1_000_000, publish() {} };
  return new SendTurn({
    transport: transport as unknown as Transport, // cast: the only members of a transport that the turn uses
    resends: { add() {} },
    fault(_during, error) {
      throw error;
    },
  });
}

function table(random: Random = Math.random): PeerTable {
  return new PeerTable(
    random,
    (endpoint, identity) =>
      new Peer(turn(), "self.n", endpoint, { ...identity, subject: `to.${endpoint}`, bounces: "" }),
  );
}

describe("the patience with a peer", () => {
  it("is 500 ms, twice the time of the quickest answer over a slow link, and 3 s at most", () => {
    let time = 0;
    const peer = new Peer(turn(() => time), "self.n", "a.1", {
      slot: 0,
      after: 0,
      forgotten: false,
      subject: "",
      bounces: "",
    });
    assertEquals(peer.patience, 500);
    for (const [n, took, patience] of [[1, 2_000, 3_000], [2, 400, 800], [3, 10, 500]]) {
      peer.ping();
      time += took;
      peer.ponged(n);
      assertEquals(peer.patience, patience, `after an answer that took ${took} ms`);
    }
  });
});

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
    busy.ping(); // the ping waits to be sent, so the peer is busy
    const idle = peers.get("idle.1");
    for (let i = 0; i < MAX_PEERS - 1; i++) peers.get(`other.${i}`);
    assertStrictEquals(peers.find("busy.1"), busy);
    assertEquals(peers.find("idle.1"), undefined);
    assertEquals(peers.bySlot(idle.slot), undefined);
  });

  it("continues the frame numbers of a forgotten peer, which would refuse lower ones", () => {
    const peers = table();
    const before = peers.get("a.1");
    const begin = before.outgoing.seq;
    for (let i = 0; i < 3; i++) {
      before.ping();
      before.outgoing.flush();
    }
    assertEquals(before.outgoing.seq, begin + 3);
    for (let i = 0; i < MAX_PEERS; i++) peers.get(`other.${i}`);
    const after = peers.get("a.1");
    assertNotStrictEquals(after, before);
    assert(after.outgoing.seq >= begin + 3, `it begins after frame ${after.outgoing.seq}`);
  });

  it("begins the frame numbers of each peer at a random place of 48 bits", () => {
    const drawn = [0, 0.5, 1 - Number.EPSILON];
    const peers = table(() => drawn.shift()!);
    assertEquals(["a.1", "b.1", "c.1"].map((endpoint) => peers.get(endpoint).outgoing.seq), [0, 2 ** 47, 2 ** 48 - 1]);
  });

  it("leaves room for frames however many peers are forgotten, at the highest numbers that can be drawn", () => {
    const peers = table(() => 1 - Number.EPSILON);
    let last = -1;
    for (let i = 0; i < 10 * MAX_PEERS; i++) {
      const { seq } = peers.get(`other.${i}`).outgoing;
      if (seq < last) throw new Error(`${seq} is below ${last}`);
      last = seq;
    }
    assert(last > 2 ** 48 && last < 2 ** 52, `${last}`);
  });
});
