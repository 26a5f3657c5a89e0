/**
 * Tests of what a node reports while it waits for its first connection to NATS. `connection_test.ts` tests the
 * connections.
 */
import type { NatsConnection } from "@nats-io/nats-core";
import { assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, catga } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { firstConnect, type Unreachable } from "./connection/connection.ts";

const OPTIONS = { servers: ["a:1", "b:2"], timeout: 5_000, reconnectTimeWait: 250, waitOnFirstConnect: true };

describe("firstConnect with waitOnFirstConnect", () => {
  it("reports the first failure at once, and then one a minute, with the addresses and the last reason", async () => {
    const clock = new VirtualClock();
    // cast: the only member of a connection that firstConnect uses here
    const opened = { getServers: () => OPTIONS.servers.map((listen) => ({ listen })) } as unknown as NatsConnection;
    let refusals = 0;
    const connect = () => {
      if (clock.monotonic() >= 150_000) return Promise.resolve(opened);
      return Promise.reject(new Error(`refused ${++refusals} (os error 111)`));
    };
    const seen: (Unreachable & { at: number })[] = [];
    const connecting = firstConnect({ connect }, OPTIONS, (failure) => {
      seen.push({ ...failure, at: clock.monotonic() });
    }, clock);
    assertStrictEquals(await clock.until(connecting, 200_000), opened);
    assertEquals(seen, [
      { address: "a:1, b:2", reason: "refused 1", at: 0 },
      { address: "a:1, b:2", reason: "refused 241", at: 60_000 },
      { address: "a:1, b:2", reason: "refused 481", at: 120_000 },
    ]);
  });

  it("does not wait when the options are invalid", async () => {
    const connect = () => Promise.reject(Object.assign(new Error("no such option"), { name: "InvalidArgumentError" }));
    await assertRejects(() => firstConnect({ connect }, OPTIONS), TypeError, "nats: no such option");
  });
});

describe("catga() with waitOnFirstConnect", await requireNatsServer(), () => {
  it("warns for whom it waits, without credentials, and starts when the server is there", async () => {
    const first = await startNatsServer();
    const { port } = first;
    await first.stop();
    const warnings: string[] = [];
    const logger = { debug() {}, info() {}, warn: (line: string) => void warnings.push(line), error() {} };
    const nats = { servers: `nats://me:s3cret@127.0.0.1:${port}`, waitOnFirstConnect: true, reconnectTimeWait: 20 };
    const starting: Promise<Catga> = catga({ id: "n1", nats, logger });
    await eventually("a warning", () => warnings.length > 0);
    assertMatch(warnings[0], new RegExp(`^catga n1: waiting for NATS at 127\\.0\\.0\\.1:${port}: .*refused`, "i"));
    assertEquals(warnings.join().includes("s3cret"), false);
    await using _server = await startNatsServer({ port, args: ["--user", "me", "--pass", "s3cret"] });
    await using app = await starting;
    assertEquals([app.self.id, warnings.length], ["n1", 1]);
  });
});
