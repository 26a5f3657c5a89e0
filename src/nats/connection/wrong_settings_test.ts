/** Tests of the alarm about streams that an operator has given wrong settings while nodes use them. */
import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, catga, command, entity, event } from "../../../mod.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { withManager } from "../../../test/support/log_stream.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";

const slow = { timeout: 300_000 };
/** Streams and buckets, each with a setting that its stream does not allow, and its right value. */
const WRONG: Readonly<Record<string, readonly [setting: string, wrong: number | boolean, right: number | boolean]>> = {
  catga_default_log: ["max_msgs_per_subject", 1, -1],
  catga_default_entities: ["max_msgs_per_subject", 1, -1],
  catga_default_subscriptions: ["max_age", 3_600_000_000_000, 0],
  KV_catga_default_nodes: ["max_age", 3_600_000_000_000, 0],
  KV_catga_default_cache: ["max_msgs_per_subject", 5, 1],
  KV_catga_default_idempotency: ["max_msgs_per_subject", 5, 1],
  KV_catga_default_locks: ["max_age", 3_600_000_000_000, 0],
  KV_catga_default_snapshots: ["max_msgs_per_subject", 5, 1],
};

const wrongOf = (app: Catga) => app.health().alarms.filter(({ kind }) => kind === "wrong-settings");

describe("wrong settings of a stream", await requireNatsServer(), () => {
  it("are an alarm with the stream, the setting and what to do, until they are right again", slow, async () => {
    await using server = await startNatsServer();
    const Happened = event<number>("Happened", { durable: true });
    const Do = command<{ id: string }, number>("Do", { idempotent: true, id: ({ id }) => id });
    const Thing = entity("Thing", { initial: () => 0 });
    const Changed = Thing.event("Changed", (count) => count + 1);
    const Change = command<{ id: string }>("Change", { key: ({ id }) => id });
    const lines: string[] = [];
    const note = (line: unknown) => void lines.push(String(line));
    await using app = await catga({
      nats: server.url,
      logger: { debug() {}, info: note, warn: note, error: note },
      handlers: [
        Happened.on(() => {}, { name: "sub" }),
        Do.handle(() => 1),
        Thing.handle(Change, (thing) => thing.emit(Changed)),
      ],
    });
    const use = async (i: number) => {
      await app.publish(Happened, i).catch(() => {});
      await app.send(Do, { id: `${i}` }).catch(() => {});
      await app.send(Change, { id: `${i}` }).catch(() => {});
      await app.cache.set("a", i).catch(() => {});
      await app.lock("a").then((lock) => lock.release()).catch(() => {});
    };
    // two messages of a subject: the edit removes the first one before any node looks
    for (let i = 0; i < 2; i++) await use(i);
    const edit = (which: 1 | 2) =>
      withManager([server.url], async (manager) => {
        for (const [name, setting] of Object.entries(WRONG)) {
          await manager.streams.update(name, { [setting[0]]: setting[which] });
        }
      });
    await edit(1);
    let uses = 1;
    await eventually("the alarms", async () => {
      await use(++uses);
      return wrongOf(app).length === Object.keys(WRONG).length;
    });
    for (const { about, message, severity, docs } of wrongOf(app)) {
      assertEquals([severity, docs], ["error", "catga docs alarms#wrong-settings"]);
      assertMatch(message, new RegExp(`exists with ${WRONG[about][0]} ${WRONG[about][1]}; Catga needs `));
      assertEquals(lines.filter((line) => line.includes(`${about} has wrong settings`)).length, 1);
    }
    // a subject kept only its last message: some of the removed ones may not have been handled
    const log = wrongOf(app).find(({ about }) => about === "catga_default_log");
    assertMatch(log?.message ?? "", / Up to [\d,]+ messages? (was|were) removed since its settings were right/);
    await edit(2);
    // nobody uses the streams meanwhile
    await eventually("no alarm", () => wrongOf(app).length === 0);
    for (const name of Object.keys(WRONG)) {
      assertEquals(lines.filter((line) => line.includes(`${name} has its right settings again`)).length, 1);
    }
  });
});
