import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { eventually } from "../../test/support/eventually.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { startTcpProxy } from "../../test/processes/tcp_proxy.ts";
import { reached, startClient } from "./harness_suite.ts";

describe("Sweeper", await requireNatsServer(), () => {
  it("removes the entry of its turn, whose ttl a server may forget as well", async () => {
    await using server = await startNatsServer();
    await using proxy = await startTcpProxy(server.port);
    await using other = await startClient({ server });
    const writes: string[] = [];
    const erased: number[] = [];
    const { connection } = other.transport;
    connection.subscribe("$KV.test.>", { callback: (_, { subject }) => void writes.push(subject) });
    connection.subscribe("$JS.API.STREAM.MSG.DELETE.KV_test", {
      callback: (_, message) => void erased.push(message.json<{ seq: number }>().seq),
    });
    await using client = await startClient({ server, nats: proxy.url });
    proxy.cut();
    await reached(client.transport, "disconnected");
    proxy.restore();
    await reached(client.transport, "connected");
    await eventually("its turn, and the end of that", () => erased.length > 0);
    assertEquals(writes, ["$KV.test.=sweep"]);
    const left = await connection.request("$JS.API.STREAM.MSG.GET.KV_test", JSON.stringify({ seq: erased[0] }));
    assertEquals(left.json<{ error?: { err_code: number } }>().error?.err_code, 10037);
  });
});
