/** Tests of an account whose limit of subscriptions is reached, until a reload of the configuration raises it. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { NatsConnection } from "@nats-io/nats-core";
import { eventually } from "../../../test/support/eventually.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { CatgaError } from "../../error.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { openTransport } from "../harness_suite.ts";
import { RefusedSubscriptions } from "./refused_subscriptions.ts";

/** A configuration with an account that may have so many subscriptions; 0: no limit. */
function limited(most: number): string {
  const limits = most === 0 ? "" : `, limits: { max_subs: ${most} }`;
  return `accounts { A { users: [{ user: a, password: p }]${limits} } }`;
}

describe("NatsTransport at the limit of subscriptions", await requireNatsServer(), () => {
  it("subscriptions that were refused exist once the limit is raised, and none twice", async () => {
    await using server = await startNatsServer({ jetstream: false, config: limited(3) });
    const errors: unknown[] = [];
    const transport = await openTransport(server.url.replace("//", "//a:p@"), (error) => errors.push(error));
    try {
      const got: Record<string, number> = {};
      const subjects = ["a", "b", "c", "d", "e"];
      for (const subject of subjects) {
        transport.subscribe(subject, { queue: "q" }, () => got[subject] = (got[subject] ?? 0) + 1);
      }
      const publish = async () => {
        for (const subject of subjects) transport.publish(subject, "");
        await transport.flush();
        await transport.flush();
      };
      await publish();
      assertEquals(Object.keys(got).length, 3);
      await server.configure(limited(0));
      await eventually("all subscriptions to exist", async () => {
        for (const subject of subjects) delete got[subject];
        await publish();
        return Object.keys(got).length === subjects.length;
      });
      assertEquals(Object.values(got), [1, 1, 1, 1, 1]);
      assertEquals(errors.map((error) => (error as Error).message.split(":")[0]), [
        "nats-server refuses subscriptions of this connection",
      ]);
    } finally {
      await transport.close();
    }
  });
});

describe("RefusedSubscriptions", () => {
  it("are reported again when they are refused after the connection was lost (nothing was said ever again)", async () => {
    const clock = new VirtualClock();
    const lost = new CatgaError("UNAVAILABLE", "the connection is lost");
    const transport = {
      status: { state: "disconnected", generation: 1 } as const,
      flush: () => Promise.reject(lost),
    };
    // cast: while disconnected, nothing is called of the connection
    const refused = new RefusedSubscriptions({} as NatsConnection, clock, transport);
    const limit = new Error("maximum subscriptions exceeded");
    assertEquals(refused.refused(limit)?.code, "UNAVAILABLE");
    assertEquals(refused.refused(limit), undefined);
    await clock.advance(1_000); // the server is started again, with a greater limit
    assertEquals(refused.refused(limit)?.code, "UNAVAILABLE"); // months later
    assertEquals(refused.refused(limit), undefined);
  });
});
