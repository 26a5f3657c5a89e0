import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { connect } from "@nats-io/transport-node";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { catga, command, entity, event, type PayloadCodec, unwrap } from "@catga/catga";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { aesCodec } from "./aes_codec.ts";
import { patientManager } from "../../test/support/patient_jetstream.ts";

const Noted = event<{ text: string }>("Noted", { durable: true });
const Diary = entity("Diary", { initial: (): string[] => [] });
const Written = Diary.event<string>("Written", (pages, text) => [...pages, text]);
const Write = command<{ diary: string; text: string }>("Write", { key: ({ diary }) => diary });
const write = Diary.handle(Write, (diary, { text }) => diary.emit(Written, text));

function key(): Promise<CryptoKey> {
  return crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, true, ["encrypt", "decrypt"]) as Promise<
    CryptoKey
  >;
}

describe("aesCodec", () => {
  it("gives what it was given, differently each time, and refuses what was changed and keys that it does not know", async () => {
    const [first, second] = [await key(), await key()];
    const codec = aesCodec(new Map([[1, first]]));
    const bytes = new TextEncoder().encode("hello");
    const message = { contract: "Diary.Written", key: "ada" };
    const [a, b] = [await codec.encode(bytes, message), await codec.encode(bytes, message)];
    assert(`${a}` !== `${b}`);
    const own = (of: Uint8Array) => new Uint8Array(of);
    assertEquals(await codec.decode(own(a), message), bytes);
    const why = async (of: PayloadCodec, given: Uint8Array) => {
      try {
        return `${await of.decode(own(given), message)}`;
      } catch (error) {
        return (error as Error).name;
      }
    };
    assertEquals(await why(codec, a.map((byte, i) => i === 20 ? byte ^ 1 : byte)), "OperationError");
    assertEquals(await why(aesCodec(new Map([[2, second]])), a), "Error");
  });

  it("is what the docs show", async () => {
    const docs = await readFile(new URL("../../docs/security.md", import.meta.url), "utf8");
    const source = await readFile(new URL("aes_codec.ts", import.meta.url), "utf8");
    const [shown] = /function aesCodec[^]*?\n}\n/.exec(docs)!;
    assertStringIncludes(source, shown);
  });
});

describe("a rotation of keys", await requireNatsServer(), () => {
  it("while nodes run: each step is a deploy, and nothing is lost, or stored in the clear", async () => {
    await using server = await startNatsServer();
    const [old, next] = [await key(), await key()];
    const seen: string[] = [];
    const handlers = [write, Noted.on(({ text }) => void seen.push(text), { name: "list", from: "start" })];
    const start = (id: string, codec: PayloadCodec) =>
      catga({ nats: server.url, id, service: "notes", codec, handlers, logger: QUIET });
    // 1. one key; 2. the next one is known everywhere; 3. it encrypts
    const steps: [string, CryptoKey][][] = [
      [["1", old]],
      [["1", old], ["2", next]],
      [["2", next], ["1", old]],
    ];
    let before = await start("n0", aesCodec(new Map([[1, old]])));
    for (const [n, keys] of steps.entries()) {
      const app = await start(`n${n + 1}`, aesCodec(new Map(keys.map(([id, key]) => [Number(id), key]))));
      // nodes of both steps are there, and either sends to the other
      for (const [from, sender] of [["before", before], ["after", app]] as const) {
        unwrap(await sender.publish(Noted, { text: `${n} ${from}` }));
        unwrap(await sender.send(Write, { diary: "d", text: `${n} ${from}` }));
      }
      await before.drain();
      before = app;
    }
    const all = steps.flatMap((_, n) => [`${n} before`, `${n} after`]);
    await eventually("all of them", () => seen.length >= all.length);
    assertEquals([...new Set(seen)].sort(), [...all].sort());
    assertEquals((await before.load(Diary, "d", { latest: true })).state, all);
    await before.drain();
    const connection = await connect({ servers: server.url });
    const manager = await patientManager(connection);
    let stored = 0;
    for await (const { config: { name }, state: { first_seq, last_seq } } of manager.streams.list()) {
      for (let seq = first_seq; seq <= last_seq; seq++) {
        const found = await manager.streams.getMessage(name, { seq }).catch(() => null); // some were removed
        const text = found === null ? "" : new TextDecoder().decode(found.data);
        stored += text === "" ? 0 : 1;
        assertEquals(/\d (before|after)/.test(text), false);
      }
    }
    assert(stored > all.length);
    await connection.close();
  });
});
