/**
 * Tests of `catga entity` on a real server: entities that programs stored, and text that anybody else may have
 * written.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { z } from "zod";
import { type Catga, catga, command, entity, unwrap } from "../../../mod.ts";
import { cliHere } from "../../../test/support/cli_here.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { HIDDEN_TEXT } from "../../../test/support/hidden_characters.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { entitySubject, snapshotKey } from "../../log/format/names.ts";
import { streamOptions } from "../../log/format/streams.ts";
import { streamName } from "../../log/format/stream_name.ts";
import { NatsEventLog } from "../../nats/log/log_stream.ts";
import { openBareLink } from "../../../test/support/bare_link.ts";
import { BUCKETS } from "../../ports/key_value_store.ts";
import type { LogStream } from "../../ports/event_log.ts";

const TEXT = `${HIDDEN_TEXT.toWellFormed()}\nforged line`;
/** An id for the command line: an argument of a program cannot have a NUL. */
const ID = TEXT.replaceAll("\0", "");

const Cart = entity("Cart", { initial: () => ({ items: [] as string[] }) });
const ItemAdded = Cart.event<{ sku: string }>("ItemAdded", (cart, { sku }) => ({ items: [...cart.items, sku] }));
const AddItem = command<{ cartId: string; sku: string; times?: number }>("AddItem", { key: ({ cartId }) => cartId });
const addItem = Cart.handle(AddItem, (cart, { sku, times = 1 }) => {
  for (let i = 0; i < times; i++) cart.emit(ItemAdded, { sku });
});

describe("the tool and entities", await requireNatsServer(), () => {
  let server: NatsServer;
  let app: Catga;
  let hostile: Awaited<ReturnType<typeof openBareLink>>;
  let stream: LogStream;
  const run = (...args: string[]) => cliHere(["entity", ...args], { NATS_URL: server.url });
  const json = (text: string) => text.trimEnd().split("\n").map((line) => JSON.parse(line));
  const rows = (text: string) => text.trimEnd().split("\n");
  const append = async (id: string, data: string | Uint8Array) => {
    const appended = await stream.append(entitySubject("default", "Cart", id), data, { timeout: 60_000 });
    assertEquals(appended.type, "stored");
  };

  before(async () => {
    server = await startNatsServer();
    const none = await run("Cart", "c-1");
    assertEquals([none.code, none.out], [1, ""]);
    assertMatch(none.err, /^there is no Cart c-1 in the namespace default at 127/);
    app = await catga({ nats: server.url, handlers: addItem });
    unwrap(await app.send(AddItem, { cartId: "c-1", sku: "tea" }, { id: "first" }));
    unwrap(await app.send(AddItem, { cartId: "c-1", sku: "milk" }, { id: "second" }));
    hostile = await openBareLink(server.url, "hostile");
    stream = await new NatsEventLog(hostile.transport).open(
      streamName("default", "entities"),
      streamOptions("default", "entities", 1),
    );
  });
  it("--broken lists the entities that a node could not read, with the path and the node", async () => {
    const none = await run("--broken");
    assertEquals([none.code, none.out], [0, ""]);
    assertMatch(none.err, /^no node in the namespace default at \S+ has found an entity that it cannot read\n$/);
    const Strict = entity("Cart", { initial: () => 0 });
    Strict.event("ItemAdded", (count) => count + 1, { input: z.object({ sku: z.string(), cents: z.int() }) });
    const strict = Strict.handle(AddItem, () => {});
    const logged: string[] = [];
    const logger = { debug() {}, info() {}, warn() {}, error: (text: string) => void logged.push(text) };
    const canary = await catga({ nats: server.url, service: "shop", id: "canary", handlers: strict, logger });
    await eventually("the canary is seen", () => app.nodes().length === 2);
    const { error } = await app.send(AddItem, { cartId: "c-1", sku: "tea" }, { node: "canary" });
    assertEquals([error?.code, error?.retryable], ["UNAVAILABLE", false]);
    const why = "Cart c-1: its event 1 cannot be applied: the schema of Cart.ItemAdded refuses its payload: " +
      "cents: Invalid input: expected number, received undefined; the schema of an event has to accept all that is stored";
    assertEquals(logged.filter((line) => line.includes(why)).length, 1);
    const found = await run("--broken", "--json");
    const [{ since: _, ...line }, ...more] = json(found.out);
    assertEquals([found.code, line, more], [1, {
      ...{ type: "broken", entity: "Cart", id: "c-1", why, nodes: ["shop/canary"] },
    }, []]);
    const shown = await run("Cart", "--broken");
    assertMatch(rows(shown.out)[0], /^ENTITY +ID +SINCE +NODES +WHY$/);
    assertStringIncludes(rows(shown.out)[1], `shop/canary  ${why}`);
    assertEquals((await run("Order", "--broken")).code, 0);
    const { out } = await cliHere(["doctor", "--json"], { NATS_URL: server.url });
    const finding = JSON.parse(out).findings.find(({ kind }: { kind: string }) => kind === "entity-unreadable");
    assertEquals([finding.about, finding.message], [
      ...["Cart", `The entity Cart c-1 cannot be read, and its commands fail: ${why}`],
    ]);
    // a rollback: the version of the program that can read the entity is left, and its answer counts
    await canary.drain();
    assertEquals([(await run("--broken")).code, (await app.load(Cart, "c-1")).version], [0, 2]);
    for (const words of [["Cart", "c-1", "--broken"], ["C art", "--broken"], ["Cart"], []]) {
      assertEquals([words, (await run(...words)).code], [words, 2]);
    }
  });

  after(async () => {
    await hostile?.transport.close();
    await app?.drain();
    await server?.stop();
  });

  it("shows its events with times, positions and commands; with --json as values", async () => {
    const { code, out, err } = await run("Cart", "c-1");
    assertEquals([code, err], [0, ""]);
    const [name, version, created, changed, snapshot, state, gap, titles, first, second, ...others] = rows(out);
    assertEquals([name, version, gap, others], ["Cart c-1", "version    2", "", []]);
    assertEquals(snapshot, "snapshot   none");
    assertEquals(state, "state      not known here: the program makes it of the events");
    assertEquals(titles.split(/ +/), "VERSION STORED POSITION EVENT COMMAND COMMAND ID PAYLOAD".split(" "));
    assertMatch(first, /^ {6}1 {2}\S+Z {2}\d+ {2}ItemAdded {2}AddItem {2}first {7}\{"sku":"tea"\}$/);
    assertMatch(second, /AddItem {2}second {6}\{"sku":"milk"\}$/);
    for (const [line, row] of [[created, first], [changed, second]]) {
      assertEquals(line.split(/ +/)[1], row.trim().split(/ +/)[1]);
    }
    const [info, ...events] = json((await run("Cart", "c-1", "--json")).out);
    assertEquals([info.type, info.entity, info.id, info.version, info.forgotten], ["entity", "Cart", "c-1", 2, false]);
    assertEquals(events.map(({ type, version, event, command, payload }) => [type, version, event, command, payload]), [
      ["event", 1, "Cart.ItemAdded", { name: "AddItem", id: "first" }, { sku: "tea" }],
      ["event", 2, "Cart.ItemAdded", { name: "AddItem", id: "second" }, { sku: "milk" }],
    ]);
  });

  it("--after and --limit: page by page, and the state of the snapshot", async () => {
    unwrap(await app.send(AddItem, { cartId: "large", sku: "tea", times: 250 }));
    const found = async () => (await run("Cart", "large", "--limit", "1")).out;
    await eventually("a snapshot", async () => (await found()).includes("of version 250"));
    const { out, err } = await run("Cart", "large");
    assertStringIncludes(out, 'state      of that snapshot: {"items":["tea","tea",');
    assertStringIncludes(out, "… (1511 characters)");
    assertEquals(rows(out).length, 6 + 1 + 1 + 100);
    assertEquals(err, "there are more, up to version 250: --after 100 goes on there, --limit shows more\n");
    const versions = async (...args: string[]) =>
      json((await run("Cart", "large", "--json", ...args)).out).slice(1).map(({ version }) => version);
    assertEquals(await versions("--after", "247"), [248, 249, 250]);
    assertEquals(await versions("--after", "100", "--limit", "2"), [101, 102]);
    assertEquals((await versions()).length, 250);
    assertEquals((await run("Cart", "large", "--after", "250")).err, "no events after version 250\n");
    for (const args of [["--limit", "0"], ["--after", "-1"], ["--after", "x"]]) {
      assertEquals((await run("Cart", "large", ...args)).code, 2, `${args}`);
    }
    for (const [type, id] of [["Ca rt", "c"], ["Cart", ""], ["Cart", "x".repeat(257)]]) {
      assertEquals((await run(type, id)).code, 2);
    }
  });

  it("one that was forgotten: what remains of it", async () => {
    unwrap(await app.send(AddItem, { cartId: "gone", sku: "tea" }));
    await app.forget(Cart, "gone");
    const { code, out } = await run("Cart", "gone");
    assertEquals(code, 0);
    assertMatch(out, /^forgotten {2}yes: its events were removed/m);
    assertMatch(out, /^ {6}- {2}\S+ {2}\d+ {2}forgotten {2}- {8}- {11}\{"id":"gone"\}$/m);
  });

  it("whatever stands in the stream is printed on one line each, cut, and without hidden characters", async () => {
    const bytes = (...list: number[]) => Uint8Array.from(list);
    const head = (version: number, events = 2) =>
      JSON.stringify([version, ["AddItem", TEXT, events, null, "f", TEXT, { [TEXT]: TEXT }]]);
    const group = (version: number, payload: string) =>
      `[1,"x.1",0,1,${head(version)},["ItemAdded",${payload}],["Paid",null,2]]`;
    const deep = `${"[".repeat(900)}${"]".repeat(900)}`;
    await append(ID, bytes(0x1b, 0x5b, 0x32, 0x4a, 0xff, 0xfe, 0x00));
    await append(ID, "");
    await append(ID, group(0, JSON.stringify({ [TEXT]: TEXT })));
    await append(ID, group(2, JSON.stringify("\x1b[2J".repeat(100_000))));
    await append(ID, group(4, deep));
    await append(ID, group(0, "1"));
    await append(ID, "x".repeat(1_000_000));
    await append(ID, `[1,"x.1",0,1,${head(6, 1)},["ItemAdded",${JSON.stringify("~\x1b[2J")},1]]`);
    const key = snapshotKey("Cart", ID, 1);
    await (await hostile.store.open("catga_default_snapshots", BUCKETS.snapshots)).put(key, TEXT);
    const shown = safe(await run("Cart", ID));
    assertEquals([shown.code, rows(shown.out).length], [0, 6 + 1 + 1 + 11], shown.out);
    assert(shown.out.length < 20_000, `${shown.out.length} characters`);
    assertStringIncludes(shown.out, "snapshot   not used: it cannot be read");
    assertStringIncludes(shown.out, "(it is not a JSON array)");
    assertStringIncludes(shown.out, "(it continues version 0; the entity is at 6)");
    const all = json(safe(await run("Cart", ID, "--json")).out);
    assertEquals([all.length, all[0].id, all[0].version], [12, ID, 7]);
    assertEquals([all[3].payload, all[3].command.id, all[3].headers], [{ [TEXT]: TEXT }, TEXT, { [TEXT]: TEXT }]);
    assertEquals(all[5].payload.length, 400_000);
    assertEquals(all[11].payload, "~\x1b[2J");
    safe(await run("Cart", `${ID}?`));
  });

  it("a page of messages that are no events gives no version to go on behind, because it would be the same page", async () => {
    unwrap(await app.send(AddItem, { cartId: "spoilt", sku: "tea" }));
    for (let i = 0; i < 3; i++) await append("spoilt", "");
    const more = async (...args: string[]) => (await run("Cart", "spoilt", "--limit", ...args)).err;
    assertEquals(await more("2"), "there are more, up to version 1: --after 1 goes on there, --limit shows more\n");
    assertEquals(await more("2", "--after", "1"), "there are more, up to version 1: --limit shows more\n");
    assertEquals(await more("3", "--after", "1"), "");
  });

  it("subscriptions and rewind: those to events of entities have their lag, and are found by their names", async () => {
    const on = ItemAdded.on(() => {}, { name: "recommendations" });
    await (await catga({ nats: server.url, service: "shop", handlers: on })).drain();
    for (const sku of ["a", "b"]) unwrap(await app.send(AddItem, { cartId: "c-2", sku }));
    const { out } = await cliHere(["subscriptions", "--json"], { NATS_URL: server.url });
    const [{ service, name, lag, contracts, abandoned }] = json(out);
    assertEquals([service, name, lag, contracts, abandoned], [
      "shop",
      "recommendations:entities",
      2,
      ["Cart.ItemAdded"],
      true,
    ]);
    for (const name of ["recommendations", "shop/recommendations:entities"]) {
      const { code, out } = await cliHere(["rewind", name, "1h"], { NATS_URL: server.url });
      assertEquals([code, out.startsWith("requested: shop/recommendations:entities goes on from ")], [0, true], out);
    }
    const removed = await cliHere(["subscriptions", "remove", "recommendations"], { NATS_URL: server.url });
    assertEquals(removed.out, "removed shop/recommendations:entities with 0 parked messages\n");
  });
});

/**
 * Matches the characters that no line of the tool's output may have. Line breaks are allowed, since the tool itself
 * writes them.
 */
const HIDDEN = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;

function safe<Ending extends { out: string; err: string }>(ending: Ending): Ending {
  for (const text of [ending.out, ending.err]) assert(!HIDDEN.test(text), JSON.stringify(text.slice(0, 10_000)));
  return ending;
}
