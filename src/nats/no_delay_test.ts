import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { NatsConnection, Status } from "@nats-io/nats-core";
import { eventually } from "../../test/support/eventually.ts";
import { systemClock } from "../ports/clock.ts";
import { ConnectionStatus } from "./connection_status.ts";
import { sendWithoutDelay } from "./no_delay.ts";

/** A connection with a socket as Deno's for TCP is, of which another is made at each dial. */
function dialling() {
  const calls: string[] = [];
  const events = new TransformStream<Status, Status>();
  const writer = events.writable.getWriter();
  const transport = { conn: socket(1), isClosed: false };
  function socket(dial: number) {
    return { close() {}, setNoDelay: (noDelay: boolean) => void calls.push(`${dial}: ${noDelay}`) };
  }
  const connection = {
    protocol: { transport },
    status: () => events.readable,
    closed: () => new Promise(() => {}),
    isClosed: () => false,
  } as unknown as NatsConnection;
  return {
    calls,
    connection,
    async dial(number: number) {
      await writer.write({ type: "disconnect", server: "a" });
      transport.conn = socket(number);
      await writer.write({ type: "reconnect", server: "a" });
    },
    end: () => writer.close(),
  };
}

describe("sendWithoutDelay", () => {
  it("turns Nagle's algorithm off for the socket of each dial", async () => {
    const { calls, connection, dial, end } = dialling();
    const throws = (error: unknown) => {
      throw error;
    };
    const status = new ConnectionStatus({ connection, owned: true }, systemClock, {
      onError: throws,
      onFailure: throws,
    });
    assertEquals(calls, ["1: true"]);
    await dial(2);
    await eventually("the second dial", () => status.current.generation === 2);
    assertEquals(calls, ["1: true", "2: true"]);
    await end();
    status.close();
  });

  it("leaves a socket alone that has no such option, or is closed", () => {
    const closed = () => {
      throw new Error("Bad resource ID");
    };
    for (const conn of [undefined, { close() {} }, { close() {}, setNoDelay: closed }]) {
      sendWithoutDelay({ protocol: { transport: { conn } } } as unknown as NatsConnection);
    }
  });
});
