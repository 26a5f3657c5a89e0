/** Tests of wrong server clocks: in a watch they neither end an entry that is alive nor keep an expired one. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import type { Change } from "../ports/key_value_store.ts";
import { eventually } from "../../test/support/eventually.ts";
import { untilForgotten } from "../../test/support/forgetful_server.ts";
import { openTransport, withBody } from "./harness_suite.ts";
import { NatsKeyValueStore } from "./key_value_store.ts";
import type { NatsTransport } from "./transport.ts";

const HOUR = 3_600_000;
const slow = { timeout: 300_000 };

describe("WatchExpiry: servers whose clock is wrong", await requireNatsServer(), () => {
  it("no live entry ends because the clock was an hour ahead at its first reading", slow, async () => {
    await using server = await startNatsServer();
    const transport = await openTransport(server.url);
    const wrong = falsify(transport, HOUR);
    const bucket = await new NatsKeyValueStore(transport).open("test");
    wrong.ahead = 0;
    const end = new AbortController();
    const before = await bucket.put("before", "", { ttl: 60_000 });
    const changes: Change[] = [];
    await bucket.watch("", (change) => changes.push(change), { signal: end.signal });
    const after = await bucket.put("after", "", { ttl: 60_000 });
    await eventually("both to be reported", () => changes.length === 2);
    assertEquals(changes.map(({ type, revision }) => [type, revision]), [["put", before], ["put", after]]);
    assertEquals((await bucket.get("before"))?.revision, before);
    assertEquals(await bucket.create("before", ""), undefined);
    assertEquals((await bucket.entries("")).length, 2);
    end.abort();
    await transport.close();
  });

  it("an entry ends a ttl after it was received although the clock is an hour behind", slow, async () => {
    await untilForgotten(async (servers) => {
      const transport = await openTransport(servers.url);
      falsify(transport, -HOUR);
      const bucket = await new NatsKeyValueStore(transport).open("test");
      const end = new AbortController();
      const there = new Set<string>();
      const keys = Array.from({ length: 20 }, (_, i) => `${i}`);
      await Promise.all(keys.map((key) => bucket.put(key, "", { ttl: 3_000 })));
      await Promise.all(keys.map((key) => bucket.delete(key)));
      const back = await servers.forget("TK", ["test"]);
      if (back.length === 0) {
        await transport.close();
        return false;
      }
      await eventually("the reconnect", () => transport.status.state === "connected");
      await bucket.watch("", ({ type, key }) => type === "put" ? there.add(key) : there.delete(key), {
        signal: end.signal,
      });
      assertEquals(there.size, back.length + 1);
      await eventually("the end of all but the bystander", () => there.size === 1);
      await eventually("their removal", async () => (await bucket.entries("")).length === 1);
      end.abort();
      await transport.close();
      return true;
    });
  });

  it("removals that fail are a single notice, not one for each entry", slow, async () => {
    await using server = await startNatsServer();
    const transport = await openTransport(server.url);
    falsify(transport, HOUR); // an hour ahead: all entries seem to have expired
    const notices: string[] = [];
    const store = new NatsKeyValueStore(transport, { onNotice: (notice) => notices.push(notice) });
    const bucket = await store.open("test");
    await Promise.all(Array.from({ length: 40 }, (_, i) => bucket.put(`${i}`, "", { ttl: 60_000 })));
    const { connection } = transport;
    const request = connection.request.bind(connection);
    const removals: string[] = [];
    connection.request = (subject, data, options) => {
      if (!subject.startsWith("$KV.test.")) return request(subject, data, options);
      removals.push(subject);
      return Promise.reject(new Error("the disk is on fire"));
    };
    const end = new AbortController();
    await bucket.watch("", () => {}, { signal: end.signal });
    // the second attempt begins after all first removals have failed
    await eventually("a second attempt", () => removals.length > 40 && new Set(removals).size === 40);
    const about = notices.filter((notice) => notice.startsWith("cannot remove expired entries of KV_test"));
    assertEquals([about.length, about[0]?.endsWith("the disk is on fire")], [1, true], notices.join("\n"));
    end.abort();
    await transport.close();
  });
});

/** Makes the server's time that the transport reads wrong by `ahead` ms. */
function falsify(transport: NatsTransport, ahead: number): { ahead: number } {
  const wrong = { ahead };
  const { connection } = transport;
  const request = connection.request.bind(connection);
  connection.request = async (subject, data, options) => {
    const answer = await request(subject, data, options);
    if (!subject.startsWith("$JS.API.STREAM.INFO") && !subject.startsWith("$JS.API.STREAM.CREATE")) return answer;
    const parsed = answer.json<{ ts?: string }>();
    const ts = new Date(Date.now() + wrong.ahead).toISOString();
    return withBody(answer, { ...parsed, ts });
  };
  return wrong;
}
