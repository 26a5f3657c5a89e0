/** Tests of the status of a bucket, as the command line tool reads it with `@nats-io/kv`. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { bucketStatus } from "./bucket_status.ts";
import { openTransport } from "../harness_suite.ts";
import { NatsKeyValueStore } from "./key_value_store.ts";

/** Time limit of one question, in ms. */
const LIMIT = 60_000;

describe("bucketStatus", await requireNatsServer(), () => {
  it("returns values, replicas and the stream of a bucket, and undefined for one that does not exist", async () => {
    await using server = await startNatsServer();
    await using stack = new AsyncDisposableStack();
    const transport = await openTransport(server.url);
    stack.defer(() => transport.close());
    const store = new NatsKeyValueStore(transport);
    const bucket = await store.open("test");
    for (const key of ["a", "b"]) await bucket.put(key, "1");
    const status = await bucketStatus(transport, "test", LIMIT);
    assertEquals(status?.values, 2);
    assertEquals(status?.replicas, 1);
    assertEquals(status?.streamInfo.config.name, "KV_test");
    assertEquals(await bucketStatus(transport, "none", LIMIT), undefined);
  });
});
