/**
 * Fault: handlers that never return, throw, or answer what cannot be sent, and payloads that cannot. Each fails alone.
 */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { Hang, Read, Record, Spoil, type Spoilt } from "../processes/node_messages.ts";
import { FaultCluster } from "../support/fault_cluster.ts";

const GOOD = 100; // of each kind, in the same turn as the bad ones

describe("a bad handler or payload", await requireNatsServer(), () => {
  for (const node of ["d1", "b1"]) {
    it(
      `fails without its neighbours that are sent to the same node in one turn: ${node}`,
      { timeout: 1_200_000 },
      async () => {
        // Promise: what one message does to itself, no other message notices.
        await using cluster = await FaultCluster.open({ nodes: [node] });
        const { caller, sends, log } = cluster;
        const spoil = (how: Spoilt) => caller.send(Spoil, { entry: how.replace(" ", "-"), how });
        let hangs = true;
        const giveUp = new AbortController();
        const hanging = caller.send(Hang, { entry: "hang" }, { timeout: 120_000, signal: giveUp.signal });
        hanging.then(() => hangs = false);
        const bad = [
          hanging,
          caller.send(Record, { entry: "x".repeat(1_100_000) }),
          caller.send(Record, { entry: (() => 1) as unknown as string }),
          ...(["too large", "cycle", "function", "throw"] as const).map(spoil),
        ];
        const good = [...await sends.many(GOOD, caller, Record), ...await sends.many(GOOD, caller, Read)];
        assert(hangs, "they waited for the one that never returns");
        giveUp.abort();
        assertEquals(good.filter(({ result }) => result.value !== node), []);
        assertEquals((await Promise.all(bad)).map(({ error }) => error?.code), [
          "CANCELLED",
          "TOO_LARGE",
          "INVALID_MESSAGE",
          "TOO_LARGE",
          "INVALID_RESPONSE",
          "INVALID_RESPONSE",
          "HANDLER_FAILED",
        ]);
        // the handlers whose answers were no good did run, and those that were sent no payload did not
        assertEquals((await log.runs("Hang", "Spoil")).map(({ entry }) => entry), [
          "hang",
          "too-large",
          "cycle",
          "function",
          "throw",
        ]);
        assertEquals((await log.runs("Record")).length, GOOD);
        assertEquals((await sends.many(GOOD, caller, Record)).filter(({ result }) => !result.ok), []);
        await cluster.finish();
      },
    );
  }
});
