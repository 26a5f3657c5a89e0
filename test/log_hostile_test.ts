/** What somebody who may write to the stream and the buckets of the log can do to those who use it: nothing ends or wedges a node. */
import { connect, headers } from "@nats-io/transport-node";
import { jetstreamManager } from "@nats-io/jetstream";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { catga, type CatgaOptions, type DeadLetter, event } from "../mod.ts";
import { readSubscriptionRecord, type SubscriptionRecord } from "../src/log/format/subscription_record.ts";
import { encodeKey } from "../src/nats/expiry.ts";
import { requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { eventually } from "./support/eventually.ts";
import { PATIENT } from "./support/patient.ts";

const Placed = event<unknown>("Placed", {
  durable: true,
  key: (payload) => typeof payload === "object" && payload !== null && "key" in payload ? `${payload.key}` : "none",
});
const SUBJECT = "catga.default.log.Placed";
const STREAM = "catga_default_log";
const RECORDS = "KV_catga_default_subscriptions";
const RECORD = `$KV.catga_default_subscriptions.${encodeKey("shop.billing")}`;
const BIG = Number.MAX_SAFE_INTEGER;
const PUBLISHER = "mallory.1";

/** A node that handles `Placed`, and somebody who may do everything. */
async function stage(options: CatgaOptions = {}) {
  const server = await startNatsServer();
  const lines: string[] = [];
  const say = (message: string, { error }: { error?: unknown }) => void lines.push(`${message} ${error ?? ""}`);
  const logger = { debug() {}, info: say, warn: say, error: say };
  const handled: unknown[] = [];
  const handlers = Placed.on((payload) => void handled.push(payload), {
    name: "billing",
    retry: { attempts: 2, delay: [1, 1] },
  });
  const app = await catga({ nats: server.url, service: "shop", handlers, logger, ...options });
  const connection = await connect({ servers: server.url });
  const manager = await jetstreamManager(connection);
  let probes = 0;
  /** Writes a message by hand; what the server says of it is no error. */
  const write = async (subject: string, data: string | Uint8Array, given: Record<string, string> = {}) => {
    const all = headers();
    for (const [name, value] of Object.entries(given)) all.set(name, value);
    const answer = (await connection.request(subject, data, { ...PATIENT, headers: all })).json<{ error?: object }>();
    assertEquals(answer.error, undefined, subject);
  };
  /** The record, once it is valid. */
  const record = async () =>
    (await eventually("a valid record", async () => {
      const found = await manager.streams.getMessage(RECORDS, { last_by_subj: RECORD });
      const read = found && readSubscriptionRecord("shop", "billing", new TextDecoder().decode(found.data));
      return typeof read === "object" && read;
    })) as SubscriptionRecord;
  return {
    ...{ app, handled, lines, manager, write, record },
    /** Ends the lead of the node with a record of another's making. */
    forge: async (change: (record: SubscriptionRecord) => object) =>
      await write(RECORD, JSON.stringify({ ...change(await record()), leader: "" })),
    /** An event that is published now is handled. */
    lives: async (after: string) => {
      const probe = `probe ${probes++}`;
      assert((await app.publish(Placed, { key: probe })).ok, after);
      await eventually(
        `${probe} to be handled, after ${after}`,
        () => handled.some((payload) => (payload as { key?: unknown } | null)?.key === probe),
      );
    },
    /** There is a valid record, and a leader in it. */
    led: (after: string) => eventually(`a leader after ${after}`, async () => (await record()).leader !== ""),
    letters: async () => {
      const found: DeadLetter[] = [];
      for await (const letter of app.deadLetters()) found.push(letter);
      return found;
    },
    said: (pattern: RegExp) => eventually(`a line like ${pattern}`, () => lines.some((line) => pattern.test(line))),
    async [Symbol.asyncDispose]() {
      await app.drain();
      await connection.close();
      await server.stop();
    },
  };
}

const group = (...items: unknown[]) => JSON.stringify([1, PUBLISHER, 0, 0, 0, ...items]);

describe("a hostile writer of the log", await requireNatsServer(), () => {
  it("messages that cannot be read are dead letters, and no handler is given them, not by a replay either", {
    timeout: 300_000,
  }, async () => {
    await using here = await stage();
    const garbage: (string | Uint8Array)[] = [
      ...["", "{", "[1,2]", `{"n":1}`, group(), group(...Array(513).fill([1])), group([1, 2]), group([1, null, ""])],
      ...[group(["~{", null, null, null, 1]), group([1, null, null, null, 9]), `[-1,"${PUBLISHER}",0,0,0,[1]]`],
      ...[`[1,"${PUBLISHER}",${2 ** 53},0,0,[1]]`, "[".repeat(400_000) + "]".repeat(400_000)],
      new Uint8Array(900_000).fill(255),
    ];
    for (const data of garbage) await here.write(SUBJECT, data);
    const letters = await eventually("the dead letters", async () => {
      const found = await here.letters();
      return found.length === garbage.length && found;
    }) as DeadLetter[];
    assertEquals(new Set(letters.map(({ error }) => error.code)), new Set(["INVALID_MESSAGE"]));
    for (const letter of letters) await letter.replay();
    await eventually("them to be dead again", async () => {
      const found = await here.letters();
      return found.length === garbage.length && found.every(({ at }, i) => at > letters[i].at);
    });
    assertEquals(here.handled, []);
    await here.lives("garbage");
  });

  it("what is well-formed and strange is handled", { timeout: 300_000 }, async () => {
    await using here = await stage();
    const strange = [
      ...[
        group(["a", ""]),
        group(["b", "k".repeat(400_000)]),
        group(["c", "\0\n *.>"]),
        group(["d", null, "\0\n *.>"]),
      ],
      ...[`[1,"${PUBLISHER}",0,0,0,["e","\\ud800","\\udfff",{"c":"\\ud800","h":{"\\ud800":"\\ud800\\n"}}]]`],
      `[1,"${PUBLISHER}",${BIG},-1e300,{"k":1e308},["f",null,null,{"h":{"__proto__":"x","constructor":"y"}}],["g"]]`,
      `[1,"${PUBLISHER}",0,0,{"s":["${"i".repeat(300)}",${BIG}]},["h"]]`,
      group(["i", null, null, { h: { a: "x".repeat(400_000) }, c: "c".repeat(100_000) }]),
    ];
    for (const data of strange) await here.write(SUBJECT, data);
    await here.write(SUBJECT, group(["j"]), {
      "Nats-Schedule": "@at 2020-01-01T00:00:00Z",
      "Nats-Schedule-Target": "x",
    })
      .catch(() => {}); // refused by newer servers
    await eventually("all of them", () => [..."abcdefghi"].every((each) => here.handled.includes(each)));
    await here.write(SUBJECT, group([JSON.parse("[".repeat(5_000) + "]".repeat(5_000))]));
    await here.lives("depth");
  });

  it("a message as large as the server takes, that fails, is a dead letter and stops nobody", {
    timeout: 300_000,
  }, async () => {
    await using here = await stage({
      handlers: Placed.on((payload) => {
        if (typeof payload === "string") throw new Error("no");
        here.handled.push(payload);
      }, { name: "billing", retry: { attempts: 2, delay: [1, 1] } }),
    });
    await here.write(SUBJECT, group(["x".repeat(1_048_576 - 200), "key"]));
    await here.said(/is too large for the store: it is a dead letter without its payload/);
    await here.lives("a large message");
    const [letter] = await here.letters();
    assertEquals([letter.error.code, letter.key], ["TOO_LARGE", "key"]);
    assertMatch(`${letter.payload}`, /left out/);
    // and one that anybody may publish fits everywhere
    const most = 1_048_576 - 16_384 - 100;
    assertEquals((await here.app.publish(Placed, "y".repeat(most + 200))).error?.code, "TOO_LARGE");
    assert((await here.app.publish(Placed, "y".repeat(most))).ok);
    await eventually(
      "it to be dead",
      async () => (await here.letters()).some(({ payload }) => `${payload}`.length === most),
    );
  });

  it("forged records are survived: what comes afterwards is handled", { timeout: 300_000 }, async () => {
    await using here = await stage();
    await here.lives("the start");
    const progress = ({ streams }: SubscriptionRecord, change: object) => ({
      [STREAM]: { ...streams[STREAM], ...change },
    });
    const forgeries: Record<string, (record: SubscriptionRecord) => object> = {
      "no leader": (record) => record,
      "a category that begins in 280,000 years": (record) => ({ ...record, began: { Placed: BIG } }),
      "20,000 categories": (record) => ({
        ...record,
        began: { ...record.began, ...Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`C${i}`, 0])) },
      }),
      "names that are none": (record) => ({ ...record, began: { ...record.began, "": 0, "a b": 0, ">": 0 } }),
      "takeovers beyond counting": (record) => ({ ...record, takeovers: BIG }),
      "a generation beyond counting": (record) => ({ ...record, generation: BIG }),
      "30,000 open": (record) => ({
        ...record,
        streams: progress(record, { open: Array.from({ length: 30_000 }, (_, i) => [i * 40_000, 1]) }),
      }),
      "open in the future": (record) => ({
        ...record,
        streams: progress(record, { open: [[BIG, BIG], [BIG - 1, 1]] }),
      }),
      "read in the future": (record) => ({ ...record, streams: progress(record, { read: BIG }) }),
      "no streams": (record) => ({ ...record, streams: {} }),
      "a rewind to nowhere": (record) => ({ ...record, rewind: { to: BIG, id: "x".repeat(500_000) } }),
      "a token of nobody": (record) => ({ ...record, token: BIG }),
    };
    for (const [what, forgery] of Object.entries(forgeries)) {
      await here.forge(forgery);
      await here.led(what);
      await here.lives(what);
    }
    for (const text of ["", "garbage", "null", "[".repeat(300_000)]) await here.write(RECORD, text);
    await here.write(RECORD, "", { "KV-Operation": "PURGE", "Nats-Rollup": "sub" });
    // with the record, the place in the log is lost if no leader remembers it: a new one begins at the end
    await here.led("garbage in place of the record");
    await here.lives("garbage in place of the record");
    await here.said(/begin behind the end of the log \(Placed\)/);
  });

  it("forged entries of the parking are survived", { timeout: 300_000 }, async () => {
    await using here = await stage();
    const entry = (position: unknown, change: object = {}, message: object = {}) =>
      JSON.stringify({
        ...{ v: 1, token: BIG, attempts: 1, due: 0, dead: 0 },
        message: { position, category: "Placed", id: "x", payload: "parked", tagged: false, time: 1, ...message },
        ...change,
      });
    const park = (place: string, text: string) =>
      here.write(`$KV.catga_default_parked.${encodeKey(`shop.billing/${place}`)}`, text);
    for (const place of ["0.5", "x", "0.x", `0.${2 ** 53}`, "-1.-1", "0.01", "", "1/2"]) await park(place, "{}");
    await park("0.0", entry(0));
    await park(`0.${BIG}`, entry(BIG));
    await park("0.2048", entry(2_048, {}, { id: "i".repeat(600) }));
    await park("0.3072", entry(3_072, {}, { id: "" }));
    await park("0.4096", entry(4_096, { attempts: BIG }));
    await park("0.5120", entry(5_120, { due: 1e300 }));
    await park("0.6144", entry(6_144, {}, { category: "Nobody" }));
    await park("0.7168", entry(7_168, { dead: 1e300 }, { time: 1e300 }));
    await park("0.8192", entry(8_192, {}, { key: "KEY" }).replace("KEY", "\\ud800"));
    await park("0.9216", entry(9_216, {}, { payload: "~zzz", tagged: true }));
    await park("0.10240", entry(10_240, {}, { payload: "x".repeat(1_048_576 - 400) }));
    await here.forge((record) => record);
    await here.said(/cannot be read \(.*\).*: it is left alone/);
    await here.lives("forged entries");
    await eventually(
      "those that can be run to have run",
      () => here.handled.filter((payload) => payload === "parked").length === 3, // one said that it is due in ages
    );
    await eventually("those that cannot to be dead letters", async () => {
      const positions = (await here.letters()).map(({ position }) => position);
      return [0, 2_048, 3_072, 4_096, 7_168, 9_216].every((each) => positions.includes(each));
    });
  });

  it("stream, buckets and consumers that are deleted are made again, and what comes afterwards is handled", {
    timeout: 300_000,
  }, async () => {
    await using here = await stage();
    const { manager } = here;
    for (const name of [STREAM, RECORDS, "KV_catga_default_parked", "KV_catga_default_nodes"]) {
      await manager.streams.delete(name);
      await here.lives(`the deletion of ${name}`);
    }
    for await (const { name } of manager.consumers.list(STREAM)) await manager.consumers.delete(STREAM, name);
    await here.lives("the deletion of the consumers");
    await manager.streams.purge(STREAM);
    await here.lives("a purge");
  });
});
