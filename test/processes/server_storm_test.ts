import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { connect } from "@nats-io/transport-node";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { requireNatsServer } from "../../tools/nats_server.ts";
import {
  blowText,
  drawServerBlow,
  LoneServer,
  type ServerStep,
  type StormyServer,
  strikeServer,
} from "./server_storm.ts";
import { PATIENT } from "../support/patient.ts";

describe("a storm of servers", () => {
  const storm = (seed: number, count: number, options = {}) => {
    const random = seededRandom(seed);
    return Array.from({ length: count }, () => drawServerBlow(random, options));
  };

  it("is the same for the same seed, and another one for another", () => {
    assertEquals(storm(1, 50), storm(1, 50));
    assertNotEquals(storm(1, 50), storm(2, 50));
  });

  it("has every way to stop, double and triple stops, freezes, and lost stores unless they are turned off", () => {
    const steps = storm(1, 500).flat();
    const stops = new Set(steps.map((step) => step.do === "stop" ? step.by : step.do));
    assertEquals([...stops].sort(), ["SIGKILL", "SIGTERM", "freeze", "lame duck"]);
    assertEquals(new Set(storm(1, 500).map(({ length }) => length)), new Set([1, 2, 3]));
    const termThenKill = storm(1, 500).map(blowText).some((text) => /^SIGTERM [^,]*, SIGKILL/.test(text));
    assert(termThenKill);
    const wiped = (all: readonly ServerStep[]) => all.some((step) => step.do === "stop" && step.wipe);
    assert(wiped(steps));
    assert(!wiped(storm(1, 500, { wipes: false }).flat()));
  });

  it("carries out its plan in order, and starts the server after each stop", async () => {
    const did: string[] = [];
    const server: StormyServer = {
      stop: (by) => Promise.resolve(void did.push(by)),
      start: ({ wipe }) => Promise.resolve(void did.push(wipe ? "start on nothing" : "start")),
      freeze: () => Promise.resolve(void did.push("freeze")),
      thaw: () => Promise.resolve(void did.push("thaw")),
    };
    await strikeServer(server, [
      { do: "stop", by: "SIGTERM", away: 0, wipe: false, up: 0 },
      { do: "stop", by: "SIGKILL", away: 0, wipe: true, up: 0 },
      { do: "freeze", ms: 0 },
    ]);
    assertEquals(did, ["SIGTERM", "start", "SIGKILL", "start on nothing", "freeze", "thaw"]);
  });
});

describe("a server in a storm", await requireNatsServer(), () => {
  it(
    "is back on its port after SIGTERM, SIGKILL and lame duck, with its store or without",
    { timeout: 300_000 },
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "catga-storm-test-"));
      try {
        await using server = await LoneServer.open(join(folder, "store"));
        const ask = async (subject: string, request: object = {}) => {
          const connection = await connect({ servers: server.url });
          try {
            return (await connection.request(`$JS.API.${subject}`, JSON.stringify(request), PATIENT)).json<
              { total?: number }
            >();
          } finally {
            await connection.close();
          }
        };
        await ask("STREAM.CREATE.S", { name: "S", subjects: ["s"], storage: "file" });
        for (const by of ["SIGTERM", "SIGKILL", "lame duck"] as const) {
          await strikeServer(server, [{ do: "stop", by, away: 0, wipe: false, up: 0 }]);
          assertEquals((await ask("STREAM.NAMES")).total, 1, by);
        }
        await strikeServer(server, [{ do: "stop", by: "SIGKILL", away: 0, wipe: true, up: 0 }]);
        assertEquals((await ask("STREAM.NAMES")).total, 0);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  );
});
