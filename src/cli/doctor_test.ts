/** `catga doctor` finds what is planted: each test has one fault, on a real server. */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { type Catga, catga, type CatgaOptions, command, event, fail, query, unwrap, workflow } from "../../mod.ts";
import { freePorts, type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { cliHere } from "../../test/support/cli_here.ts";
import { eventually } from "../../test/support/eventually.ts";
import { PATIENT } from "../../test/support/patient.ts";
import { fillStore, SMALL_STORE } from "../../test/support/small_store.ts";
import { QUIET } from "../../test/support/quiet.ts";

interface Finding {
  readonly kind: string;
  readonly about: string;
  readonly message: string;
  readonly advice: string;
  readonly docs: string;
  readonly cause?: string;
}

const Charge = command<{ n: number }>("bank.Charge", { durable: true });
const Placed = event<{ n: number }>("orders.Placed", { durable: true });
const Price = query<void, number>("shop.Price");

const USERS = `
  jetstream {}
  accounts {
    APP { jetstream: enabled, users: [
      { user: all, password: p }
      { user: blind, password: p, permissions: { publish: { deny: ["$JS.API.CONSUMER.CREATE.KV_catga_denied_nodes.>"] } } }
      { user: few, password: p, permissions: { publish: { deny: ["$JS.API.STREAM.MSG.GET.catga_denied_subscriptions", "$JS.API.DIRECT.GET.>"] } } }
      { user: mute, password: p, permissions: { publish: { deny: ["catga.denied.node.>"] } } }
      { user: shut, password: p, permissions: { publish: { deny: ["$JS.API.STREAM.INFO.KV_catga_denied_nodes"] } } }
    ] }
    SMALL { jetstream: { max_file: 400000 }, users: [{ user: small, password: p }] }
    NONE { users: [{ user: none, password: p }] }
  }`;

describe("catga doctor", { timeout: 240_000, ...await requireNatsServer() }, () => {
  let server: NatsServer;
  let admin: NatsConnection;
  const apps: Catga[] = [];

  before(async () => {
    server = await startNatsServer({ config: USERS });
    admin = await connect({ servers: server.url, user: "all", pass: "p" });
  });
  after(async () => {
    await Promise.all(apps.map((app) => app.drain()));
    await admin?.close();
    await server?.stop();
  });

  const start = async (namespace: string, options: CatgaOptions = {}, user = "all") => {
    const nats = { servers: server.url, user, pass: "p" };
    const app = await catga({ nats, namespace, logger: QUIET, id: "a-1", service: "a", ...options });
    apps.push(app);
    return app;
  };

  /** Findings of `catga doctor` for a namespace, once it could read what there is: a busy machine may answer late. */
  const doctor = async (namespace: string, user = "all", url = server.url) => {
    const args = ["doctor", "--nats", url, "--namespace", namespace, "--user", user, "--password", "p"];
    let findings: Finding[] = [];
    await eventually("a look at everything", async () => {
      const { code, out } = await cliHere([...args, "--json"]);
      const told: { ok: boolean; findings: Finding[] } = JSON.parse(out);
      findings = told.findings;
      assertEquals([code, told.ok], findings.length === 0 ? [0, true] : [1, false]);
      for (const each of findings) assertMatch(each.docs, /^docs\/[\w-]+\.md/);
      const isThere = url === server.url && user !== "stranger";
      return findings.every(({ kind }) => kind === "unreachable" ? !isThere : kind !== "unreadable" || user === "none");
    });
    return findings;
  };
  const kinds = (findings: readonly Finding[]) => findings.map(({ kind, about }) => `${kind} ${about}`);

  const api = async (subject: string, body: object) => {
    const answer = (await admin.request(`$JS.API.${subject}`, JSON.stringify(body), PATIENT)).json<
      { error?: object }
    >();
    assertEquals(answer.error, undefined);
  };

  it("finds nothing in a cluster that is well, and says what it looked at", async () => {
    const app = await start("well", { handlers: [Price.handle(() => 1), Placed.on(() => {})] });
    unwrap(await app.publish(Placed, { n: 1 }));
    const args = ["doctor", "--nats", server.url, "--namespace", "well", "--user", "all", "--password", "p"];
    // a busy machine may answer late
    const told = await eventually("answers in time", async () => {
      const ending = await cliHere(args);
      return ending.out.includes("timed out") ? undefined : ending;
    });
    const { code, out } = told!;
    assertMatch(out, /nats-server 2\.[\s\S]*\n\d streams and buckets\n1 node\n[\s\S]*Nothing is wrong\.\n$/);
    assertEquals(code, 0);
  });

  it("a server that is not there", async () => {
    const [port] = await freePorts(1);
    const [{ kind, message, advice }] = await doctor("well", "all", `nats://127.0.0.1:${port}`);
    assertEquals(kind, "unreachable");
    assertMatch(message, /connection refused.* --nats URL, or NATS_URL, says where it is$/);
    assertMatch(advice, /nats-server runs/);
  });

  it("credentials that are wrong", async () => {
    const [{ kind, message }] = await doctor("well", "stranger");
    assertEquals(kind, "unreachable");
    assertMatch(message, /credentials|refuse/i);
  });

  it("an account without JetStream", async () => {
    const found = await doctor("well", "none");
    assert(found.some(({ message }) => /JetStream/i.test(message)), JSON.stringify(found));
  });

  it("a namespace in which no node ever ran", async () => {
    assertEquals(kinds(await doctor("typo")), ["not-set-up typo", "no-nodes nodes"]);
  });

  it("a namespace whose nodes have all left", async () => {
    await (await start("empty")).drain();
    assertEquals(kinds(await doctor("empty")), ["no-nodes nodes"]);
  });

  it("a bucket with settings that nodes refuse", async () => {
    const { out } = await cliHere(["setup", "locks", "--print", "--json", "--namespace", "odd"]);
    const republish = { src: "$KV.catga_odd_locks.>", dest: "catga.odd.node.>" };
    await api("STREAM.CREATE.KV_catga_odd_locks", { ...JSON.parse(out.split("\n")[0]), republish });
    await start("odd");
    const [found] = await doctor("odd");
    assertEquals([found.kind, found.about], ["wrong-settings", "catga_odd_locks"]);
    assertMatch(found.message, /republish/);
  });

  it("a log with settings that lose messages", async () => {
    const { out } = await cliHere(["setup", "log", "--print", "--json", "--namespace", "lossy"]);
    await api("STREAM.CREATE.catga_lossy_log", { ...JSON.parse(out.split("\n")[0]), retention: "interest" });
    await start("lossy");
    const found = (await doctor("lossy")).find(({ about }) => about === "catga_lossy_log");
    assertEquals([found?.kind, found?.docs], ["wrong-settings", "docs/errors.md#log_mismatch"]);
  });

  it("a permission that this user lacks", async () => {
    const app = await start("denied", { handlers: Placed.on(() => {}) });
    unwrap(await app.publish(Placed, { n: 1 }));
    const found = (await doctor("denied", "few")).map(({ kind, about }) => [kind, about]);
    assertEquals(found[0], ["forbidden", "$JS.API.STREAM.MSG.GET.catga_denied_subscriptions"]);
    // who cannot read the nodes does not know that there are none
    const blind = (await doctor("denied", "blind")).map(({ kind, about }) => [kind, about]);
    assertEquals(blind[0], ["forbidden", "$JS.API.CONSUMER.CREATE.KV_catga_denied_nodes.>"]);
    assertEquals(blind.filter(([kind]) => kind === "no-nodes"), []);
    // "there is nothing in the namespace", and "the program does not answer: it is frozen"
    const denied = async (user: string) => (await doctor("denied", user)).map(({ kind }) => kind);
    assertEquals(new Set(await denied("mute")), new Set(["forbidden"]));
    assertEquals(new Set(await denied("shut")), new Set(["forbidden"]));
  });

  it("a contract that nobody handles, with how many wait", async () => {
    const worker = await start("away", { id: "w-1", service: "w", handlers: Charge.handle(() => {}) });
    const app = await start("away");
    unwrap(await app.enqueue(Charge, { n: 0 }));
    await eventually("its end", async () => (await app.subscriptions())[0]?.lag === 0);
    await worker.drain();
    unwrap(await app.enqueue(Charge, { n: 1 }));
    unwrap(await app.publish(Placed, { n: 2 })); // not for it, but before the last one that is
    unwrap(await app.enqueue(Charge, { n: 3 }));
    const [found, ...more] = await doctor("away");
    assertEquals([found.kind, found.about, more.length], ["no-node", "bank.Charge", 0]);
    assertMatch(found.message, /^Nobody handles bank\.Charge\. Up to 3 messages wait\.$/);
  });

  it("a queued command that no node ever handled, and no event without a subscription", async () => {
    const app = await start("early");
    unwrap(await app.enqueue(Charge, { n: 1 }));
    unwrap(await app.publish(Placed, { n: 1 }));
    await app.drain();
    const found = await doctor("early");
    assertEquals(found.map(({ kind, about }) => `${kind} ${about}`), ["no-nodes nodes", "no-node bank.Charge"]);
    assertMatch(found[1].message, /^Nobody has handled bank\.Charge yet, and commands of it wait\.$/);
  });

  it("dead letters, with what their handler threw", async () => {
    const handlers = Placed.on(() => {
      throw new TypeError("no card");
    }, { name: "mails", retry: { attempts: 1, delay: [1, 1] } });
    const app = await start("dead", { handlers });
    unwrap(await app.publish(Placed, { n: 1 }));
    await eventually("the letter", async () => (await app.subscriptions())[0]?.dead === 1);
    const found = (await doctor("dead")).find(({ kind }) => kind === "dead-letters");
    assertMatch(found!.message, /^1 message of orders\.Placed could not be handled by a\/mails.*TypeError: no card$/);
    assertMatch(found!.cause!, /^TypeError: no card\n +at .*doctor_test\.ts/);
  });

  it("a subscription that no program has any more", async () => {
    const app = await start("renamed");
    const old = await start("renamed", { id: "old", handlers: Placed.on(() => {}, { name: "mails" }) });
    unwrap(await app.publish(Placed, { n: 1 }));
    await eventually("its end", async () => (await app.subscriptions())[0]?.lag === 0);
    await old.drain();
    unwrap(await app.publish(Placed, { n: 2 }));
    const found = (await doctor("renamed")).map(({ kind, about }) => `${kind} ${about}`);
    assertEquals(found.includes("subscription-abandoned a/mails"), true, found.join());
  });

  it("a node whose process has ended", async () => {
    const app = await start("killed");
    // the record of a process that left none
    const record = { ...app.self, id: "b-1", endpoint: "b-1.nobodyatall1", service: "b" };
    const found = await eventually("the doctor to find it, before the living one removes it", async () => {
      admin.publish("$KV.catga_killed_nodes.b-1", JSON.stringify(record));
      await admin.flush();
      return kinds(await doctor("killed")).find((each) => each.startsWith("node-gone"));
    });
    assertEquals(found, "node-gone b-1");
  });

  it("a node that died before the doctor was called, once, as the others noticed it, and none that left", async () => {
    const others = [await start("died"), await start("died", { id: "c-1", service: "c" })];
    const nats = await connect({ servers: server.url, user: "all", pass: "p" });
    const dying = await start("died", { id: "b-1", service: "b", nats });
    const leaving = await start("died", { id: "d-1", service: "d" });
    await eventually("all to see all", () => others.every((app) => app.nodes().length === 4));
    await Promise.all([leaving.drain(), nats.close()]); // its record stays: another node has to remove it
    await eventually("its leave", () => others.every((app) => app.nodes().length === 2));
    assertEquals(dying.health().live, false);
    assertEquals(kinds(await doctor("died")), ["node-gone b-1"]);
    await start("died", { id: "b-2", service: "b" });
    await eventually("the new one", () => others.every((app) => app.nodes().length === 3));
    assertEquals(kinds(await doctor("died")), []);
  });

  it("a contract that two nodes handle as different kinds", async () => {
    await start("mixed", { handlers: Price.handle(() => 1) });
    await start("mixed", { id: "b-1", service: "b", handlers: command<void>("shop.Price").handle(() => {}) });
    const [found] = await doctor("mixed");
    assertEquals([found.kind, found.about], ["kinds-differ", "shop.Price"]);
    assertMatch(found.message, /a query at a-1; a command at b-1|a command at b-1; a query at a-1/);
  });

  it("a stream that is nearly full", async () => {
    const app = await start("full", { handlers: Placed.on(() => {}) });
    unwrap(await app.publish(Placed, { n: 1 }));
    const info = (await admin.request("$JS.API.STREAM.INFO.catga_full_log", "", PATIENT)).json<{ config: object }>();
    await api("STREAM.UPDATE.catga_full_log", { ...info.config, max_bytes: 20_000 });
    for (let n = 0; n < 40; n++) unwrap(await app.enqueue(Charge, { n: Number(`1${"0".repeat(20)}${n}`) }));
    for (let n = 0; n < 60; n++) unwrap(await app.publish(Placed, { n, text: "x".repeat(200) } as { n: number }));
    const found = await doctor("full");
    assertEquals(kinds(found).filter((each) => each.startsWith("stream-full")), ["stream-full catga_full_log"]);
  });

  it("a store that is nearly full", async () => {
    const app = await start("small", { handlers: Placed.on(() => {}) }, "small");
    const used = async () => {
      const client = await connect({ servers: server.url, user: "small", pass: "p" });
      const { storage } = (await client.request("$JS.API.INFO", "", PATIENT)).json<{ storage: number }>();
      await client.close();
      return storage;
    };
    while (await used() < 350_000) {
      unwrap(await app.publish(Placed, { n: 1, text: "x".repeat(20_000) } as { n: number }));
    }
    const found = await doctor("small", "small");
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
    const { out } = await cliHere(["doctor", "--json", ...args]);
    const { findings, looked }: { findings: Finding[]; looked: string[] } = JSON.parse(out);
    assertEquals(kinds(findings), ["store-full NATS", "unlisted a-1"]);
    assertEquals(looked.includes("1 node"), true, looked.join());
    assertMatch((await cliHere(["subscriptions", ...args])).out, /^a +mails .* a-1 +orders\.Placed$/m);
    const { err } = await cliHere(["subscriptions", "remove", "a/mails", ...args]);
    assertMatch(err, /a\/mails is handled by a-1: only one that no live node handles can be removed/);
    await app.drain({ timeout: 500 }); // it cannot hand over
  });

  it("a schedule that fires for nobody", async () => {
    const app = await start("later");
    unwrap(await app.enqueue(Charge, { n: 1 }, { id: "monthly", delay: 3_600_000 }));
    const [found] = await doctor("later");
    assertEquals([found.kind, found.about], ["schedule-unhandled", "bank.Charge"]);
  });

  it("runs that wait while no node handles their workflow: the advice is not to cancel what wakes them", async () => {
    const app = await start("asleep");
    unwrap(await app.start(workflow("Order"), undefined, { at: new Date(Date.now() + 3_600_000) }));
    const [{ kind, message, advice }] = await doctor("asleep");
    assertEquals(kind, "schedule-unhandled");
    assertEquals(message, "workflow Order is scheduled, and no node handles it.");
    assertEquals(advice, "Start a node that does, or cancel its runs: catga run.");
  });

  it("a run whose wake-up schedule was removed, once it was due; retry has it go on", async () => {
    const Nap = workflow<void, string>("Nap");
    const handlers = Nap.handle(async (flow) => {
      await flow.sleep("night", 3_600_000);
      return "awake";
    });
    const app = await start("removed", { handlers });
    unwrap(await app.start(Nap, undefined, { id: "n-1" }));
    const subject = "catga.removed.entity.Nap-run.n-1";
    const text = await eventually("the sleep to be stored", async () => {
      const body = JSON.stringify({ last_by_subj: subject });
      const answer = await admin.request("$JS.API.STREAM.MSG.GET.catga_removed_entities", body, PATIENT);
      const data = atob(answer.json<{ message?: { data: string } }>().message?.data ?? "");
      return data.includes('"slept"') ? data : undefined;
    });
    await api("STREAM.PURGE.catga_removed_log", { filter: "catga.removed.at.>" });
    assertEquals(await doctor("removed"), []); // it is not due
    // as it reads an hour later; the last message is of a sleep beside it, which is not due
    admin.publish(subject, text!.replace(/("until":)\d+/, `$1${Date.now() - 120_000}`));
    admin.publish(subject, text!.replace('"night"', '"week"'));
    await admin.flush();
    const [{ kind, about, message, advice }, ...more] = await doctor("removed");
    assertEquals([kind, about, more], ["run-late", "Nap n-1", []]);
    assertEquals(message, "Runs were due over a minute ago, and nothing woke them: Nap n-1.");
    assertEquals(advice, "Have each go on: catga run WORKFLOW ID retry.");
    const args = ["--nats", server.url, "--namespace", "removed", "--user", "all", "--password", "p"];
    assertEquals((await cliHere(["run", "Nap", "n-1", "retry", ...args])).code, 0);
    assertEquals(unwrap(await app.result(Nap, "n-1")), "awake");
    assertEquals(await doctor("removed"), []);
  });

  it("a cron that begins like a date is not overdue", async () => {
    const app = await start("often", { handlers: Charge.handle(() => {}) });
    unwrap(await app.enqueue(Charge, { n: 1 }, { id: "often", cron: "*/5 * * * * *" }));
    assertEquals(await doctor("often"), []);
  });

  it("prints hostile text as text, and what to do in a line", async () => {
    const bad = "\x1b[2J\u202e<b>";
    const handlers = Placed.on(() => fail("ODD", bad, { final: true }), { name: "mails" });
    const app = await start("hostile", { handlers });
    unwrap(await app.publish(Placed, { n: 1 }));
    await eventually("the letter", async () => (await app.subscriptions())[0]?.dead === 1);
    const args = ["doctor", "--nats", server.url, "--namespace", "hostile", "--user", "all", "--password", "p"];
    const { code, out } = await cliHere(args);
    assertEquals(code, 1);
    // deno-lint-ignore no-control-regex
    assert(!/[\x1b\u202e]/.test(out) && out.includes("\\u{1b}"), out);
    assertMatch(out, /\n {9}Mend the cause, then replay them; .* \(docs\/alarms\.md#dead-letters\)\n/);
  });
});
