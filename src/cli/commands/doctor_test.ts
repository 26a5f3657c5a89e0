/** Tests that `catga doctor` finds planted faults of servers, settings, permissions and nodes. */
import { connect } from "@nats-io/transport-node";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { catga, command, event, query, unwrap } from "../../../mod.ts";
import { freePorts, requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { cliHere } from "../../../test/support/cli_here.ts";
import { Doctored, type Finding, kinds } from "../../../test/support/doctored.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { PATIENT } from "../../../test/support/patient.ts";
import { fillStore, SMALL_STORE } from "../../../test/support/small_store.ts";
import { QUIET } from "../../../test/support/quiet.ts";

const Charge = command<{ n: number }>("bank.Charge", { durable: true });
const Placed = event<{ n: number }>("orders.Placed", { durable: true });
const Price = query<void, number>("shop.Price");

describe("catga doctor", { timeout: 240_000, ...await requireNatsServer() }, () => {
  let on: Doctored;
  before(async () => {
    on = await Doctored.start();
  });
  after(() => on?.[Symbol.asyncDispose]());

  it("finds nothing in a cluster that is well, and says what it looked at", async () => {
    const app = await on.app("well", { handlers: [Price.handle(() => 1), Placed.on(() => {})] });
    unwrap(await app.publish(Placed, { n: 1 }));
    const args = ["doctor", ...on.args("well")];
    // a busy machine may answer too late; then the test asks again
    const told = await eventually("answers in time", async () => {
      const ending = await cliHere(args);
      return ending.out.includes("timed out") ? undefined : ending;
    });
    const { code, out } = told!;
    assertMatch(
      out,
      /nats-server 2\.[\d.]+, (?!0 ms)[\d.]+ ms there and back[\s\S]*\n\d streams and buckets\n1 node\n[\s\S]*Nothing is wrong\.\n$/,
    );
    assertEquals(code, 0);
  });

  it("a server that is not there", async () => {
    const [port] = await freePorts(1);
    const [{ kind, message, advice }] = await on.findings("well", "all", `nats://127.0.0.1:${port}`);
    assertEquals(kind, "unreachable");
    assertMatch(message, /connection refused.* --nats URL, or NATS_URL, says where it is$/);
    assertMatch(advice, /nats-server runs/);
  });

  it("credentials that are wrong", async () => {
    const [{ kind, message }] = await on.findings("well", "stranger");
    assertEquals(kind, "unreachable");
    assertMatch(message, /credentials|refuse/i);
  });

  it("an account without JetStream", async () => {
    const found = await on.findings("well", "none");
    assert(found.some(({ message }) => /JetStream/i.test(message)), JSON.stringify(found));
  });

  it("a namespace in which no node ever ran", async () => {
    assertEquals(kinds(await on.findings("typo")), ["not-set-up typo", "no-nodes nodes"]);
  });

  it("a namespace whose nodes have all left", async () => {
    await (await on.app("empty")).drain();
    assertEquals(kinds(await on.findings("empty")), ["no-nodes nodes"]);
  });

  it("a mirror of a stream, which answers reads in its place (it said that nothing is wrong)", async () => {
    const app = await on.app("copied", { handlers: [Placed.on(() => {})] });
    unwrap(await app.publish(Placed, { n: 1 }));
    await on.api("STREAM.CREATE.copy", { name: "copy", mirror: { name: "catga_copied_log" } });
    const [{ kind, about, message }] = await on.findings("copied");
    assertEquals([kind, about], ["mirrored", "copy"]);
    assertMatch(message, /^copy mirrors catga_copied_log, /);
    await on.api("STREAM.DELETE.copy", {});
  });

  it("a bucket with settings that nodes refuse", async () => {
    const { out } = await cliHere(["setup", "locks", "--print", "--json", "--namespace", "odd"]);
    const republish = { src: "$KV.catga_odd_locks.>", dest: "catga.odd.node.>" };
    await on.api("STREAM.CREATE.KV_catga_odd_locks", { ...JSON.parse(out.split("\n")[0]), republish });
    await on.app("odd");
    const [found] = await on.findings("odd");
    assertEquals([found.kind, found.about], ["wrong-settings", "catga_odd_locks"]);
    assertMatch(found.message, /republish/);
  });

  it("a log with settings that lose messages", async () => {
    const { out } = await cliHere(["setup", "log", "--print", "--json", "--namespace", "lossy"]);
    await on.api("STREAM.CREATE.catga_lossy_log", { ...JSON.parse(out.split("\n")[0]), retention: "interest" });
    await on.app("lossy");
    const found = (await on.findings("lossy")).find(({ about }) => about === "catga_lossy_log");
    assertEquals([found?.kind, found?.docs], ["wrong-settings", "catga docs errors#log_mismatch"]);
  });

  it("a permission that this user lacks", async () => {
    const app = await on.app("denied", { handlers: Placed.on(() => {}) });
    unwrap(await app.publish(Placed, { n: 1 }));
    const found = (await on.findings("denied", "few")).map(({ kind, about }) => [kind, about]);
    assertEquals(found[0], ["forbidden", "$JS.API.STREAM.MSG.GET.catga_denied_subscriptions"]);
    // a user who may not read the records of the nodes: the doctor cannot report whether the namespace has nodes
    const blind = (await on.findings("denied", "blind")).map(({ kind, about }) => [kind, about]);
    assertEquals(blind[0], ["forbidden", "$JS.API.CONSUMER.CREATE.KV_catga_denied_nodes.>"]);
    assertEquals(blind.filter(([kind]) => kind === "no-nodes"), []);
    // the doctor must not report that the namespace is empty, or that the program is frozen
    const denied = async (user: string) => (await on.findings("denied", user)).map(({ kind }) => kind);
    assertEquals(new Set(await denied("mute")), new Set(["forbidden"]));
    assertEquals(new Set(await denied("shut")), new Set(["forbidden"]));
  });

  it("a node whose process has ended", async () => {
    const app = await on.app("killed");
    // the record of a process that does not exist
    const record = { ...app.self, id: "b-1", endpoint: "b-1.nobodyatall1", service: "b" };
    const found = await eventually("the doctor to find it, before the living one removes it", async () => {
      on.admin.publish("$KV.catga_killed_nodes.b-1", JSON.stringify(record));
      await on.admin.flush();
      return kinds(await on.findings("killed")).find((each) => each.startsWith("node-gone"));
    });
    assertEquals(found, "node-gone b-1");
  });

  it("a node that died before the doctor was called, once, as the others noticed it, and none that left", async () => {
    const others = [await on.app("died"), await on.app("died", { id: "c-1", service: "c" })];
    const nats = await connect({ servers: on.server.url, user: "all", pass: "p" });
    const dying = await on.app("died", { id: "b-1", service: "b", nats });
    const leaving = await on.app("died", { id: "d-1", service: "d" });
    await eventually("all to see all", () => others.every((app) => app.nodes().length === 4));
    // without its connection the dying node cannot remove its record; another node has to
    await Promise.all([leaving.drain(), nats.close()]);
    await eventually("its leave", () => others.every((app) => app.nodes().length === 2));
    assertEquals(dying.health().live, false);
    assertEquals(kinds(await on.findings("died")), ["node-gone b-1"]);
    await on.app("died", { id: "b-2", service: "b" });
    await eventually("the new one", () => others.every((app) => app.nodes().length === 3));
    assertEquals(kinds(await on.findings("died")), []);
  });

  it("a contract that two nodes handle as different kinds", async () => {
    await on.app("mixed", { handlers: Price.handle(() => 1) });
    await on.app("mixed", { id: "b-1", service: "b", handlers: command<void>("shop.Price").handle(() => {}) });
    const [found] = await on.findings("mixed");
    assertEquals([found.kind, found.about], ["kinds-differ", "shop.Price"]);
    assertMatch(found.message, /a query at a-1; a command at b-1|a command at b-1; a query at a-1/);
  });

  it("a store that is nearly full", async () => {
    const app = await on.app("small", { handlers: Placed.on(() => {}) }, "small");
    const used = async () => {
      const client = await connect({ servers: on.server.url, user: "small", pass: "p" });
      const { storage } = (await client.request("$JS.API.INFO", "", PATIENT)).json<{ storage: number }>();
      await client.close();
      return storage;
    };
    while (await used() < 350_000) {
      unwrap(await app.publish(Placed, { n: 1, text: "x".repeat(20_000) } as { n: number }));
    }
    const found = await on.findings("small", "small");
    assertEquals(kinds(found).filter((each) => each.startsWith("store-full")), ["store-full NATS"]);
  });

  it("a full store, whose nodes could write no record: they are asked, and nothing of theirs is abandoned", async () => {
    await using small = await startNatsServer({ config: SMALL_STORE });
    const client = await connect({ servers: small.url });
    const handlers = [Placed.on(() => {}, { name: "mails" }), Charge.handle(() => {})];
    const options = { nats: small.url, namespace: "small", service: "a", heartbeat: 3_000, logger: QUIET, handlers };
    await using app = await catga({ ...options, id: "a-1" });
    unwrap(await app.publish(Placed, { n: 1 }));
    unwrap(await app.enqueue(Charge, { n: 1 }));
    await eventually("leaders", async () => (await app.subscriptions()).filter(({ leader }) => leader).length === 2);
    await fillStore(client);
    await client.close();
    const args = ["--nats", small.url, "--namespace", "small"];
    await eventually("the end of its record", async () => (await cliHere(["nodes", "--json", ...args])).out === "");
    // the store is full, so the subscriptions cannot store (commit) which messages they have handled
    await eventually("both to be stalled", () => app.health().subscriptions.every(({ state }) => state === "stalled"));
    const { out } = await cliHere(["doctor", "--json", ...args]);
    const { findings, looked }: { findings: Finding[]; looked: string[] } = JSON.parse(out);
    const stopped = ["subscription-stopped @/bank.Charge", "subscription-stopped a/mails"];
    assertEquals(kinds(findings), [...stopped, "store-full NATS", "unlisted a-1"]);
    assertEquals(looked.includes("1 node"), true, looked.join());
    assertMatch((await cliHere(["subscriptions", ...args])).out, /^a +mails .* a-1 +orders\.Placed$/m);
    const { err } = await cliHere(["subscriptions", "remove", "a/mails", ...args]);
    assertMatch(err, /a\/mails is handled by a-1: only one that no live node handles can be removed/);
    await app.drain({ timeout: 500 }); // the full store keeps the node from handing over its subscriptions
  });
});
