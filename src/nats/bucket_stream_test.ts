/**
 * Tests that the first revision of a bucket comes from the server's time, because the clocks of nodes may be wrong by
 * hours.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { type Clock, systemClock } from "../ports/clock.ts";
import { eventually } from "../../test/support/eventually.ts";
import { connectNats } from "./connection.ts";
import { createStream, openTransport, reached } from "./harness_suite.ts";
import { NatsKeyValueStore } from "./key_value_store.ts";
import { NatsTransport } from "./transport.ts";
import { PATIENT } from "../../test/support/patient.ts";

const HOUR = 3_600_000;

/** A transport whose wall clock is one hour behind. */
class LateTransport extends NatsTransport {
  override readonly clock: Clock = { ...systemClock, now: () => Date.now() - HOUR };
}

describe("BucketStream: revisions of a bucket that is made anew", await requireNatsServer(), () => {
  it("grow if the node that makes it has seen none of them, and its clock is an hour behind", async () => {
    await using server = await startNatsServer();
    await using early = await openClient(server.url);
    const before = await (await early.store.open("test")).put("key", "1");
    await early.transport.connection.request("$JS.API.STREAM.DELETE.KV_test", "", PATIENT);
    await using late = await openClient(server.url, LateTransport);
    const after = await (await late.store.open("test")).put("key", "2");
    assertGreater(after, before);
  });

  it("grow if the server has lost everything, and the clock of the node that makes it is an hour behind", async () => {
    await using server = await startNatsServer();
    await using early = await openClient(server.url);
    const before = await (await early.store.open("test")).put("key", "1");
    await server.kill("SIGKILL");
    await using next = await startNatsServer({ port: server.port });
    await reached(early.transport, "connected");
    await using late = await openClient(next.url, LateTransport);
    assertGreater(await (await late.store.open("test")).put("key", "2"), before);
  });

  it("start at the server's time also for a user without the permission to ask for it, once a bucket was opened", async () => {
    const config = `authorization { users: [
      { user: admin, password: p }
      { user: node, password: p, permissions: { publish: { deny: "$SYS.>" } } } ] }`;
    await using server = await startNatsServer({ config });
    await using late = await openClient(`nats://node:p@127.0.0.1:${server.port}`, LateTransport);
    const first = await (await late.store.open("first")).put("key", "");
    const second = await (await late.store.open("second")).put("key", "");
    const now = Date.now() * 1_000;
    assertLess(first, now - HOUR * 900);
    assert(Math.abs(second - now) < 60_000_000, `${second} is not the server's time, ${now}`);
  });

  it("are greater than any that this process has seen, whatever the server's clock says", async () => {
    await using server = await startNatsServer();
    await using client = await openClient(server.url);
    const ahead = (Date.now() + HOUR) * 1_000;
    const { transport, store } = client;
    const bucket = await store.open("test");
    const { config } = (await transport.connection.request("$JS.API.STREAM.INFO.KV_test", "", PATIENT)).json<
      { config: { name: string } }
    >();
    await transport.connection.request("$JS.API.STREAM.DELETE.KV_test", "", PATIENT);
    await createStream(transport, { ...config, first_seq: ahead });
    const before = await bucket.put("key", "1");
    assertEquals(before, ahead);
    await transport.connection.request("$JS.API.STREAM.DELETE.KV_test", "", PATIENT);
    assertGreater(await bucket.put("key", "2"), before);
  });

  for (const [what, used] of [["a bucket is opened", false], ["a bucket that is used is made anew", true]] as const) {
    it(`${what} once the files of the deleted one are gone (10049)`, async () => {
      await using server = await startNatsServer();
      await using client = await openClient(server.url);
      const bucket = used ? await client.store.open("test") : undefined;
      await client.transport.connection.request("$JS.API.STREAM.DELETE.KV_test", "", PATIENT);
      const streams = `${server.storeDir}/jetstream/$G/streams`;
      // nats-server removes the file after it has failed to create the stream
      const block = () => mkdir(streams, { recursive: true }).then(() => writeFile(`${streams}/KV_test`, ""));
      await eventually("a file in the way", () => block().then(() => true, () => false));
      assertGreater(await (bucket ?? await client.store.open("test")).put("key", "1"), 0);
    });
  }
});

async function openClient(url: string, Transport: typeof NatsTransport = NatsTransport) {
  const transport = Transport === NatsTransport
    ? await openTransport(url)
    : new Transport(await connectNats(url), { onError: () => {} });
  return { transport, store: new NatsKeyValueStore(transport), [Symbol.asyncDispose]: () => transport.close() };
}
