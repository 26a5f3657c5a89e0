/** Tests of every way to sign in with the tool, on servers that refuse other users. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { Buffer } from "node:buffer";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { nkeys } from "@nats-io/nats-core";
import { catga, command, entity, event, fail, workflow } from "../../mod.ts";
import { startCli } from "../../test/processes/cli_process.ts";
import { cliHere } from "../../test/support/cli_here.ts";
import { documentedUsers } from "../../test/support/documented_users.ts";
import { eventually } from "../../test/support/eventually.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

describe("cli: signing in", await requireNatsServer(), () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "catga-keys-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** Asserts that the server lets the tool in with these arguments or these variables, and not without them. */
  async function letsIn(config: string, words: string[], env: Record<string, string>): Promise<void> {
    await using server = await startNatsServer({ config });
    const nodes = ["nodes", "-s", server.url];
    const without = await cliHere(nodes);
    assertEquals(without.code, 1);
    assertMatch(
      without.err,
      /^UNAVAILABLE: NATS at .* refused the credentials .*: check --user and --password, --token, --creds or --nkey, or/,
    );
    for (const [args, env_] of [[words, {}], [[], env]] as const) {
      const { code, err } = await cliHere([...nodes, ...args], env_);
      assertEquals(code, 0, err);
      assertMatch(err, /^no nodes in the namespace default/);
    }
  }

  it("with user and password, and with a token", async () => {
    const user = { NATS_USER: "ada", NATS_PASSWORD: "secret" };
    await letsIn(
      'authorization { user: "ada", password: "secret" }',
      ["--user", "ada", "--password", "secret"],
      user,
    );
    await letsIn('authorization { token: "t0ken" }', ["--token", "t0ken"], { NATS_TOKEN: "t0ken" });
  });

  it("with an nkey from a file", async () => {
    const key = nkeys.createUser();
    const file = join(folder, "user.nk");
    await writeFile(file, `${text(key.getSeed())}\n`);
    const config = `authorization { users: [{ nkey: ${key.getPublicKey()} }] }`;
    await letsIn(config, ["--nkey", file], { NATS_NKEY: file });
  });

  it("with credentials from a file", async () => {
    const [operator, account, system, user] = [
      nkeys.createOperator(),
      nkeys.createAccount(),
      nkeys.createAccount(),
      nkeys.createUser(),
    ];
    /** Makes a signed JWT as the tool `nsc` does. */
    const jwt = (issuer: nkeys.KeyPair, subject: nkeys.KeyPair, nats: Record<string, unknown>) => {
      const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const claims = { jti: "x", iat: 1, iss: issuer.getPublicKey(), name: "x", sub: subject.getPublicKey() };
      const signed = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${
        part({ ...claims, nats: { ...nats, version: 2 } })
      }`;
      return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString("base64url")}`;
    };
    const limits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, conn: -1, leaf: -1, wildcards: true };
    const store = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
    const config = `
      operator: ${jwt(operator, operator, { type: "operator" })}
      resolver: MEMORY
      system_account: ${system.getPublicKey()}
      resolver_preload: {
        ${system.getPublicKey()}: ${jwt(operator, system, { type: "account", limits })}
        ${account.getPublicKey()}: ${jwt(operator, account, { type: "account", limits: { ...limits, ...store } })}
      }`;
    const file = join(folder, "user.creds");
    const own = jwt(account, user, { type: "user", subs: -1, data: -1, payload: -1 });
    await writeFile(
      file,
      `-----BEGIN NATS USER JWT-----\n${own}\n------END NATS USER JWT------\n\n` +
        `-----BEGIN USER NKEY SEED-----\n${text(user.getSeed())}\n------END USER NKEY SEED------\n`,
    );
    await letsIn(config, ["--creds", file], { NATS_CREDS: file });
  });

  it("over TLS, with a CA and a client certificate", async () => {
    const certificates = new URL("../../test/certificates/", import.meta.url);
    const path = (name: string) => fileURLToPath(new URL(name, certificates));
    const files = `cert_file: "${path("server.pem")}", key_file: "${path("server-key.pem")}", ca_file: "${
      path("ca.pem")
    }"`;
    await using server = await startNatsServer({ config: `tls { ${files}, verify: true }` });
    const nodes = ["nodes", "-s", server.url.replace("nats:", "tls:")];
    assertEquals((await cliHere(nodes)).code, 1);
    const words = ["--tlsca", path("ca.pem"), "--tlscert", path("client.pem"), "--tlskey", path("client-key.pem")];
    const { code, err } = await cliHere([...nodes, ...words]);
    assertEquals(code, 0, err);
    const env = { NATS_CA: words[1], NATS_CERT: words[3], NATS_KEY: words[5] };
    assertEquals((await cliHere(nodes, env)).code, 0);
  });

  it("a missing permission is named, and the exit code is 1", async () => {
    const config = `authorization { users: [
      { user: ada, password: secret, permissions: { publish: ">", subscribe: { deny: "catga.default.event.>" } } }
      { user: bob, password: secret, permissions: { publish: { deny: "$JS.API.>" }, subscribe: ">" } }
    ] }`;
    await using server = await startNatsServer({ config });
    const as = (user: string) => ["-s", server.url, "--user", user, "--password", "secret"];
    const watch = await cliHere(["watch", ...as("ada")]);
    assertEquals(watch.code, 1);
    assertMatch(watch.err, /UNAVAILABLE: the NATS user may not subscribe to catga\.default\.event\.>/);
    assertEquals(watch.err.includes("listening"), false);
    const nodes = await cliHere(["nodes", ...as("bob")]);
    assertEquals(nodes.code, 1);
    assertMatch(
      nodes.err,
      /UNAVAILABLE: the NATS user may not publish to \$JS\.API\.STREAM\.INFO\.KV_catga_default_nodes/,
    );
  });

  it("watch: with a name, needs no permission but to listen", async () => {
    const config = `authorization { users: [
      { user: node, password: secret }
      { user: ada, password: secret, permissions: { publish: { deny: ">" }, subscribe: "catga.default.event.>" } }
    ] }`;
    await using server = await startNatsServer({ config });
    const Brewed = event("Brewed");
    await using app = await catga({ nats: { servers: server.url, user: "node", pass: "secret" } });
    const watch = await startCli([
      "watch",
      "Brewed",
      "--count",
      "1",
      "-s",
      server.url,
      "--user",
      "ada",
      "--password",
      "secret",
    ]);
    await watch.wrote("listening");
    assertEquals((await app.publish(Brewed)).ok, true);
    const { code, err } = await watch.ended;
    assertEquals([code, err.trim().split("\n").length], [0, 1], err);
  });

  it("a missing permission is named once by each command, however many operations fail of it", async () => {
    const config = `authorization { users: [
      { user: node, password: secret }
      { user: ada, password: secret, permissions: { publish: { deny: "$JS.API.>" }, subscribe: ">" } }
      { user: bob, password: secret, permissions: { publish: { deny: "$JS.API.CONSUMER.>" }, subscribe: ">" } }
      { user: cid, password: secret, permissions: { publish: { deny: "$KV.>" }, subscribe: ">" } }
    ] }`;
    await using server = await startNatsServer({ config });
    const Brewed = event("Brewed", { durable: true });
    const serve = Brewed.on(() => fail("NO_CUPS", "no cups"), { name: "serving", retry: { attempts: 1 } });
    const nats = { servers: server.url, user: "node", pass: "secret" };
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    await using app = await catga({ nats, handlers: serve, logger });
    for (const id of ["b1", "b2"]) assertEquals((await app.publish(Brewed, undefined, { id })).ok, true);
    await eventually("the dead letters", async () => (await app.subscriptions())[0]?.dead === 2);
    const lines = [["subscriptions"], ["dead"], ["entity", "Pot", "p"], ["schedules"], ["dead", "replay", "--yes"]];
    for (const user of ["ada", "bob", "cid"]) {
      for (const words of lines) {
        const { code, err } = await cliHere([...words, "-s", server.url, "--user", user, "--password", "secret"]);
        const said = err.trim().split("\n").filter((line) => line.includes("may not"));
        assertEquals(said.filter((line, i) => said.indexOf(line) < i), [], `${user}: ${words.join(" ")}`);
        if (user === "ada") assertEquals([code, said.length], [1, 1], words.join(" "));
      }
    }
  });

  /**
   * Returns a server's configuration with these users of docs/cli.md, and with the user `node`, who may do
   * everything.
   */
  async function withUsers(...names: string[]): Promise<string> {
    const users = (await documentedUsers()).filter(({ name }) => names.includes(name));
    const lines = users.map(({ name, permissions }) =>
      `{ user: ${name}, password: secret, permissions: {\n${permissions}\n} }`
    );
    return `authorization { users: [\n{ user: node, password: secret }\n${lines.join("\n")}\n] }`;
  }

  it("nodes, top, ping, watch and locks need no more permissions than docs/cli.md names", async () => {
    await using server = await startNatsServer({ config: await withUsers("cli") });
    const Brewed = event("Brewed");
    const nats = { servers: server.url, user: "node", pass: "secret" };
    await using app = await catga({ nats, id: "n", handlers: Brewed.on(() => {}) });
    await using _lock = await app.lock("order:1");
    const as = ["-s", server.url, "--user", "cli", "--password", "secret", "--json"];
    const commands = [
      [["nodes"], '"id":"n"'],
      [["ping", "--timeout", "30s"], '"answered":5'],
      [["locks"], '"key":"order:1"'],
    ] as const;
    for (const [command, wanted] of commands) {
      const { code, out, err } = await cliHere([...command, ...as]);
      assertEquals([code, err], [0, ""]);
      assertStringIncludes(out, wanted);
    }
    const top = await cliHere(["top", "--once", "--timeout", "30s", ...as]);
    assertEquals([top.code, top.err], [0, ""]);
    assertStringIncludes(top.out, '"node":"n","service":"app","up":');
    const watch = await startCli(["watch", "--count", "1", ...as]);
    await watch.wrote("listening");
    await app.publish(Brewed);
    assertEquals((await watch.ended).code, 0);
    const follow = await startCli(["nodes", "--watch", ...as]);
    await follow.wrote('"type":"join"');
    follow.interrupt();
    assertEquals((await follow.ended).err, "");
    const release = await cliHere(["locks", "--release", "order:1", ...as]);
    assertEquals(release.code, 1);
    assertMatch(release.err, /UNAVAILABLE: the NATS user may not publish to \$KV\.catga_default_locks\./);
  });

  it("subscriptions, dead, rewind, schedules and entity need no more permissions than docs/cli.md names", async () => {
    await using server = await startNatsServer({ config: await withUsers("dashboard", "changes") });
    const Brewed = event<{ tea: string }>("Brewed", { durable: true });
    let broken = true;
    const served: string[] = [];
    const serve = Brewed.on(({ tea }) => {
      if (broken) throw new Error("no cups");
      served.push(tea);
    }, { name: "serving", retry: { attempts: 1 } });
    const Pot = entity("Pot", { initial: () => 0 });
    const Filled = Pot.event("Filled", (cups) => cups + 100);
    const Fill = command<{ pot: string }>("Fill", { key: ({ pot }) => pot });
    const fill = Pot.handle(Fill, (pot) => {
      for (let n = 0; n < 100; n++) pot.emit(Filled);
    });
    const Order = workflow<void, string>("Order");
    const order = Order.handle((flow) =>
      flow.step("brew", () => {
        if (broken) throw new Error("no cups");
        return "tea";
      }, { retry: { attempts: 1 } })
    );
    const nats = { servers: server.url, user: "node", pass: "secret" };
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    await using app = await catga({ nats, id: "n", service: "kitchen", handlers: [serve, fill, order], logger });
    assertEquals((await app.start(Order, undefined, { id: "o1" })).ok, true);
    assertEquals((await app.send(Fill, { pot: "p" })).ok, true);
    assertEquals((await app.publish(Brewed, { tea: "assam" }, { id: "b1" })).ok, true);
    assertEquals((await app.publish(Brewed, { tea: "later" }, { id: "b2", delay: 3_600_000 })).ok, true);
    const as = (name: string) => ["-s", server.url, "--user", name, "--password", "secret", "--json"];
    const run = async (name: string, ...args: string[]) => {
      const { code, out, err } = await cliHere([...args, ...as(name)]);
      assertEquals([code, err], [0, ""], args.join(" "));
      return out;
    };
    await eventually("the dead letter", async () => (await run("node", "subscriptions")).includes('"dead":1'));
    assertStringIncludes(await run("dashboard", "subscriptions"), '"leader":"n"');
    assertStringIncludes(await run("dashboard", "dead"), '"id":"b1"');
    assertStringIncludes(await run("dashboard", "schedules"), '"id":"b2"');
    await eventually(
      "the snapshot",
      async () => (await run("dashboard", "entity", "Pot", "p")).includes('"state":10000'),
    );
    await eventually("the stuck run", async () => (await run("dashboard", "runs", "--status", "stuck")).includes("o1"));
    assertStringIncludes(await run("dashboard", "runs"), '"id":"o1"');
    assertStringIncludes(await run("dashboard", "run", "Order", "o1"), '"entry":"failed"');
    // the doctor finds the planted fault and the stuck run, and reports nothing about what the user may not see
    const doctor = await cliHere(["doctor", ...as("dashboard")]);
    const findings: { kind: string }[] = JSON.parse(doctor.out).findings;
    assertEquals([doctor.err, findings.map(({ kind }) => kind).sort()], ["", ["dead-letters", "run-stuck"]]);
    for (
      const args of [
        ["dead", "replay", "b1"],
        ["rewind", "serving", "start"],
        ["schedules", "cancel", "Brewed", "b2"],
        ["run", "Order", "o1", "retry"],
      ]
    ) {
      const { code, err } = await cliHere(
        [...args, ...as("dashboard"), "--timeout", "1s"].filter((arg, i, all) =>
          args[0] === "schedules" || (arg !== "--timeout" && all[i - 1] !== "--timeout")
        ),
      );
      assertEquals(code, 1);
      assertMatch(err, /UNAVAILABLE: .*may not publish to/, args.join(" "));
    }
    broken = false;
    await run("changes", "run", "Order", "o1", "retry");
    assertEquals(await app.result(Order, "o1"), { ok: true, value: "tea" });
    await run("changes", "dead", "replay", "b1");
    await eventually("the replay", () => served.length === 1);
    await run("changes", "rewind", "serving", "start");
    await eventually("the rewind", () => served.length === 2);
    await run("changes", "schedules", "cancel", "Brewed", "b2");
    assertEquals([served, await cliHere(["schedules", ...as("dashboard")]).then(({ out }) => out)], [
      ["assam", "assam"],
      "",
    ]);
  });

  it("a file that is missing or invalid is named", async () => {
    for (const flag of ["--creds", "--nkey", "--tlsca"]) {
      const { code, err } = await cliHere(["nodes", flag, join(folder, "nothing")]);
      const [line] = err.split("\n");
      assertEquals([code, line], [2, `catga: ${flag}: cannot read ${join(folder, "nothing")}: ENOENT`]);
    }
    const file = join(folder, "nonsense");
    await writeFile(file, "nonsense");
    for (const flag of ["--creds", "--nkey"]) {
      const { code, err } = await cliHere(["nodes", flag, file]);
      assertEquals(code, 2);
      assertMatch(err, /^catga: --\w+: .*nonsense contains no (credentials|seed)/);
    }
  });
});
