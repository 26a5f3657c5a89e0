/**
 * Tests of the tool as an operator has it: on a real server, beside nodes in their own processes. Each command runs
 * once as a process, and in the test's process where its output is judged.
 */
import { execFile } from "node:child_process";
import { connect } from "node:net";
import process from "node:process";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  type Catga,
  catga,
  command,
  entity,
  event,
  fail,
  type Failure,
  query,
  stream,
  unwrap,
  workflow,
} from "../../mod.ts";
import type { NodeChange } from "../contract/nodes/node_info.ts";
import { startCli } from "../../test/processes/cli_process.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { type NodeProcess, startNode, startProgram } from "../../test/processes/node_process.ts";
import { cliApart, cliHere } from "../../test/support/cli_here.ts";
import { eventually } from "../../test/support/eventually.ts";
import { COMMAND_GROUPS } from "./commands/command_groups.ts";
import { cli } from "./main.ts";
import { PATIENT } from "../../test/support/patient.ts";
import { quietTerminal } from "../../test/support/quiet_terminal.ts";

const Withdraw = command<{ amount: number }, { left: number }>("Withdraw");
const Rude = command<void, void>("Rude");
const Touch = command<void, void>("Touch");
const Headers = query<void, Record<string, string>>("Headers");
const Wait = query<void, void>("Wait");
const Once = command<void, number>("Once", { idempotent: true });
const Settle = command<{ bill: string }, number>("Settle", { idempotent: true, id: ({ bill }) => bill });
const Count = stream<{ to: number }, unknown>("Count");
const Brewed = event<{ tea: string }>("kitchen.Brewed");
const Emptied = event<void>("kitchen.Emptied");

let runs = 0;
const handlers = [
  Withdraw.handle(({ amount }) =>
    amount > 100 ? fail("TOO_MUCH", `no ${amount} there`, { details: { left: 100 } }) : { left: 100 - amount }
  ),
  Touch.handle(() => {}),
  Rude.handle(() => fail("RUDE", "first\nsecond \x1b[2J")),
  Headers.handle((_, ctx) => ({ ...ctx.headers })),
  Wait.handle((_, { signal }) =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
  ),
  Once.handle(() => ++runs),
  Settle.handle(() => ++runs),
  Count.handle(function* ({ to }): Generator<unknown, Failure | void> {
    for (let n = 1; n <= to; n++) yield { n };
    if (to > 2) return fail("TOO_FAR", "no further");
  }),
];

describe("cli", await requireNatsServer(), () => {
  let server: NatsServer;
  let app: Catga;
  const nodes: NodeProcess[] = [];
  const env = () => ({ NATS_URL: server.url });
  const run = (...args: string[]) => cliHere(args, env());
  const runProcess = (...args: string[]) => cliApart(args, { env: env() });
  const lines = (text: string) => text.trim().split("\n").map((line) => JSON.parse(line));

  before(async () => {
    server = await startNatsServer();
    app = await catga({ nats: server.url, id: "bank", service: "bank", handlers });
    nodes.push(await startNode("deno", server.url, "d1", { service: "work" }));
    nodes.push(await startNode("bun", server.url, "b1", { service: "work" }));
    await eventually("the bank to see both", () => app.nodes().length === 3);
  });
  after(async () => {
    await Promise.all(nodes.map(({ program }) => program.stop()));
    await app?.drain();
    await server?.stop();
  });

  it("what other processes write does not reach the terminal as commands to it", async () => {
    const key = "a\x1b]0;owned\x07\nb\x9b2J";
    await using _lock = await app.lock(key);
    const printed = [await runProcess("locks"), await run("locks", "--json"), await run("call", "Rude")];
    assertEquals(printed.map(({ code }) => code), [0, 0, 1]);
    assertStringIncludes(printed[0].out, "a\\u{1b}]0;owned\\u{7}\\u{a}b\\u{9b}2J");
    assertEquals(lines(printed[1].out).map((lock) => lock.key), [key]);
    assertEquals(printed[2].err, "RUDE: first\\u{a}second \\u{1b}[2J (from bank)\n");
  });

  it("nodes: shows who is there and not itself, as a table", async () => {
    const { code, out, err } = await runProcess("nodes");
    assertEquals([code, err], [0, ""]);
    const [title, ...rows] = out.trimEnd().split("\n");
    assertEquals(title, title.match(/NODE +SERVICE +BUSY +QUEUED +SEEN +UP +HANDLES/)?.[0]);
    assertEquals(rows.map((row) => row.split(/ +/)[0]), ["b1", "bank", "d1"]);
    assertMatch(
      rows[1],
      /^bank +bank +0 +0 +(\d+ m )?\d+ m?s +(\d+ m )?\d+ m?s +Count Headers Once Rude Settle Touch Wait Withdraw$/,
    );
  });

  it("nodes --json: one node a line, as app.nodes() has it", async () => {
    const { code, out } = await run("nodes", "--json");
    assertEquals(code, 0);
    const [, bank] = lines(out);
    const { id, endpoint, handles, metadata } = app.self;
    assertEquals([bank.id, bank.endpoint, bank.handles], [id, endpoint, handles]);
    assertEquals(bank.metadata, { ...metadata });
  });

  it("nodes: an empty namespace is reported, and no bucket is created", async () => {
    for (let i = 0; i < 2; i++) {
      const { code, out, err } = await run("nodes", "--namespace", "empty");
      assertEquals([code, out], [0, ""]);
      assertMatch(err, /^no nodes in the namespace empty at 127\.0\.0\.1:\d+; if some run, catga doctor says why\n$/);
    }
    const { code, err } = await run("nodes", "--namespace", "empty", "--watch");
    assertEquals(code, 0);
    assertStringIncludes(err, "no node has run in the namespace");
  });

  it("nodes: ends when a server does not answer its dial, as one behind a firewall", async () => {
    await using silent = await startProgram<{ port: number }>("deno", "test/processes/full_server.ts", []);
    const { port } = await silent.line(() => true);
    const fillers = [1, 2, 3].map(() => connect(port, "127.0.0.1").on("error", () => {}));
    const { code, err } = await cliApart(["nodes", "--nats", `127.0.0.1:${port}`]);
    for (const filler of fillers) filler.destroy();
    assertEquals(code, 1);
    assertMatch(err, /no answer within 5000 ms/);
  });

  it("nodes --watch: prints a line for each join and leave, until Ctrl-C", async () => {
    const tool = await startCli(["nodes", "--watch"], { env: env() });
    await tool.wrote(/join {3}bank/);
    const guest = await catga({ nats: server.url, id: "guest" });
    await tool.wrote(/join {3}guest {2}app/);
    await guest.drain();
    await tool.wrote(/leave {2}guest/);
    tool.interrupt();
    assertEquals((await tool.ended).code, 0);
  });

  it("nodes --watch: in a terminal the table is redrawn in place, cut to its width", async () => {
    const stop = new AbortController();
    let screen = "";
    const drawn = Promise.withResolvers<void>();
    const watching = cli(
      ["nodes", "--watch", "--nats", server.url],
      quietTerminal({
        write(text) {
          screen = text;
          if (text.includes("guest")) drawn.resolve();
        },
        say: (line) => console.error(line),
        columns: 60,
        colors: true,
        signal: stop.signal,
      }),
    );
    await using _guest = await catga({ nats: server.url, id: "guest", service: "visitors" });
    await drawn.promise;
    stop.abort();
    assertEquals(await watching, 0);
    assertStringIncludes(screen, "\x1b[H\x1b[2J\x1b[1mNODE   SERVICE   BUSY");
    // deno-lint-ignore no-control-regex -- what makes text bold takes no place
    const lines = screen.replace(/\x1b\[\d*[A-Za-z]/g, "").split("\n");
    assertMatch(lines.find((line) => line.startsWith("guest"))!, /^guest +visitors +0 +0 /);
    assertMatch(lines.find((line) => line.startsWith("b1"))!, /^.{59}…$/);
    assertMatch(lines.at(-2)!, /^4 nodes in default at .*; Ctrl-C ends this$/);
  });

  it("call: prints the answer of a command", async () => {
    const { code, out, err } = await runProcess("call", "Withdraw", '{"amount":30}');
    assertEquals([code, out, err], [0, '{\n  "left": 70\n}\n', ""]);
    assertEquals((await run("call", "Add", '{"a":1,"b":2}', "--query", "--json")).out, "3\n");
    const { out: who } = await run("call", "Who", "--query", "--node", "b1", "--json");
    assertEquals(JSON.parse(who), { id: "b1", runtime: "bun" });
  });

  it("call: a handler that returns nothing prints nothing, and null with --json", async () => {
    assertEquals(await run("call", "Touch"), { code: 0, out: "", err: "" });
    assertEquals(await run("call", "Touch", "--json"), { code: 0, out: "null\n", err: "" });
  });

  it("call: prints each item of a stream on a line, and its failure at the end", async () => {
    assertEquals((await run("call", "Count", '{"to":2}')).out, '{"n":1}\n{"n":2}\n');
    const { code, out, err } = await run("call", "Count", '{"to":3}');
    assertEquals([code, out.split("\n").length, err.trim().split(" (")[0]], [1, 4, "TOO_FAR: no further"]);
  });

  it("call: a stream with --all fails, said in words of the command line (it told of broadcast)", async () => {
    assertEquals(await run("call", "Count", '{"to":2}', "--all"), {
      ...{ code: 1, out: "" },
      err: "catga: Count is a stream, and one node makes its items: leave out --all\n",
    });
  });

  it("call: a command of an entity with --all fails (each node applied it)", async () => {
    const Purse = entity("Purse", { initial: () => 0 });
    const Filled = Purse.event("Filled", (n) => n + 1);
    const Fill = command<string>("Fill", { key: (id) => id });
    const handlers = Purse.handle(Fill, (purse) => purse.emit(Filled));
    const at = { nats: server.url, namespace: "purses", handlers };
    await using one = await catga({ ...at, id: "one" });
    await using _two = await catga({ ...at, id: "two" });
    await eventually("both", () => one.nodes().length === 2);
    assertEquals(await run("call", "Fill", '"p"', "--key", "p", "--all", "-n", "purses"), {
      ...{ code: 1, out: "" },
      err: "catga: Fill is a command of an entity, and one node decides it: leave out --all\n",
    });
    assertEquals((await one.load(Purse, "p")).state, 0);
    assertEquals((await run("call", "Fill", '"p"', "--key", "p", "-n", "purses")).code, 0);
    assertEquals((await one.load(Purse, "p", { latest: true })).state, 1);
  });

  it("call: the payload can come from standard input; headers and id reach the handler", async () => {
    const { out } = await cliApart(["call", "Withdraw", "-", "--json"], { env: env(), input: '{ "amount": 1 }' });
    assertEquals(out, '{"left":99}\n');
    const headers = await run("call", "Headers", "--query", "-H", "a=1", "--header", "b=c=d", "--json");
    assertEquals(JSON.parse(headers.out), { a: "1", b: "c=d" });
    const [first, second] = [await run("call", "Once", "--id", "x"), await run("call", "Once", "--id", "x")];
    assertEquals([first.out, second.out], ["1\n", "1\n"]);
    const settled = [await run("call", "Settle", '{"bill":"7"}'), await run("call", "Settle", '{"bill":"7"}')];
    assertEquals(settled.map(({ out }) => out), ["2\n", "2\n"]);
  });

  it("call: a failure goes to standard error with its code and details, and ends with 1", async () => {
    const { code, out, err } = await runProcess("call", "Withdraw", '{"amount":300}');
    assertEquals([code, out], [1, ""]);
    assertEquals(err, 'TOO_MUCH: no 300 there (from bank)\n{\n  "left": 100\n}\n');
    const json = await run("call", "Withdraw", '{"amount":300}', "--json");
    assertEquals(JSON.parse(json.err), {
      code: "TOO_MUCH",
      message: "no 300 there",
      retryable: false,
      node: "bank",
      details: { left: 100 },
    });
    assertMatch((await run("call", "Spoil", '{"entry":"x","how":"throw"}')).err, /^HANDLER_FAILED: .* on node \w1 /);
  });

  it("call: without a handler, a node, or an answer in time it fails with the code for that", async () => {
    const none = await run("call", "Withdrew");
    assertEquals(none.code, 1);
    assertMatch(
      none.err,
      /^NO_HANDLER: no live node handles command Withdrew.*\nthere are handlers for Add, .*Withdraw/,
    );
    assertMatch((await run("call", "Touch", "--node", "nobody")).err, /^NO_HANDLER: node nobody is not live/);
    assertMatch((await run("call", "Touch", "-n", "empty")).err, /^NO_HANDLER: no nodes in the namespace empty/);
    const late = await run("call", "Hang", '{"entry":"x"}', "--timeout", "1s");
    assertEquals(late.code, 1);
    assertMatch(late.err, /^OUTCOME_UNKNOWN: /);
    assertMatch((await run("call", "Wait", "--query", "-t", "0.9s")).err, /^TIMEOUT: /);
  });

  it("a terminal without a size, as that of a container, is 80 columns wide (each line was cut to …)", async () => {
    await using _node = await catga({ nats: server.url, namespace: "unsized", id: "n1" });
    const { stdout } = process;
    let written = "";
    const unsized = { isTTY: true, columns: 0, rows: 0, write: (text: string) => (written += text) !== "" };
    const own = Object.keys(unsized).map((name) => [name, Object.getOwnPropertyDescriptor(stdout, name)] as const);
    for (const [name, value] of Object.entries(unsized)) {
      Object.defineProperty(stdout, name, { value, configurable: true, writable: true });
    }
    try {
      assertEquals(await cli(["nodes", "-s", server.url, "-n", "unsized"]), 0);
    } finally {
      for (const [name, descriptor] of own) {
        Reflect.deleteProperty(stdout, name);
        if (descriptor !== undefined) Object.defineProperty(stdout, name, descriptor);
      }
    }
    assertMatch(written, /n1 +app/);
  });

  it("call: a workflow is not called, and the error says what it is (it said that no node handles it)", async () => {
    const Feast = workflow<void, void>("Feast");
    await using _node = await catga({ nats: server.url, namespace: "feasts", handlers: Feast.handle(() => {}) });
    const { code, err } = await run("call", "Feast", "-n", "feasts");
    assertEquals(code, 1);
    assertMatch(err, /\nFeast is a workflow: a program starts it\n$/);
    // the list of handled contracts has only Feast itself, not the internal contracts that drive the workflow's runs
    assertMatch((await run("call", "Fast", "-n", "feasts")).err, /\nthere are handlers for Feast\n$/);
    assertMatch((await run("nodes", "-n", "feasts")).out, / Feast\n$/);
  });

  it("call: a durable event is not called, and the error says who handles it", async () => {
    const Stored = event<void>("kitchen.Stored", { durable: true });
    const nats = server.url;
    await using _node = await catga({ nats, namespace: "kept", service: "shop", handlers: Stored.on(() => {}) });
    const { code, err } = await run("call", "kitchen.Stored", "-n", "kept");
    assertEquals(code, 1);
    assertMatch(err, /\nkitchen.Stored is durable: a program publishes it, and subscriptions handle it\n$/);
  });

  it("call --all: prints each node's answer; the exit code is 1 if one failed", async () => {
    const { code, out } = await runProcess("call", "Who", "--query", "--all", "--json");
    assertEquals(code, 0);
    assertEquals(lines(out).map(({ node, value }) => [node, value.runtime]).sort(), [["b1", "bun"], ["d1", "deno"]]);
    assertEquals((await run("call", "Touch", "--all")).out, "bank\n");
    const failed = await run("call", "Withdraw", '{"amount":300}', "--all");
    assertEquals([failed.code, failed.out], [1, "bank  TOO_MUCH: no 300 there\n"]);
    assertEquals((await run("call", "Nothing", "--all")).err, "NO_HANDLER: no live node handles Nothing\n");
  });

  it("call --all: an idempotent command runs once on every node, with an id in its contract or with --id", async () => {
    await using _till = await catga({
      nats: server.url,
      id: "till",
      service: "till",
      handlers: [Settle.handle(() => ++runs), Once.handle(() => ++runs)],
    });
    await eventually("the bank to see the till", () => app.nodes().some(({ id }) => id === "till"));
    for (const args of [["Settle", '{"bill":"8"}'], ["Once", "--id", "y"]]) {
      const before = runs;
      const { out } = await run("call", ...args, "--all", "--json");
      assertEquals(lines(out).map(({ value }) => value).sort((a, b) => a - b), [before + 1, before + 2], args[0]);
    }
  });

  it("call: joins as a node without handlers, and leaves afterwards", async () => {
    const seen: NodeChange[] = [];
    const stop = new AbortController();
    const watching = (async () => {
      for await (const change of app.watchNodes({ signal: stop.signal })) {
        if (change.node.service === "cli" && change.type !== "update") seen.push(change);
      }
    })();
    await runProcess("call", "Touch");
    await eventually("the tool to have left", () => seen.length === 2);
    stop.abort();
    await watching;
    assertEquals(seen.map(({ type }) => type), ["join", "leave"]);
    assertMatch(seen[0].node.id, /^cli-\w{8}$/);
    assertEquals(seen[0].node.handles, []);
  });

  it("call: the message is of the kind that the records say, and takes its key along", async () => {
    const sung: number[] = [];
    await using _guest = await catga({
      nats: server.url,
      id: "guest",
      handlers: [
        query<void, string>("Fold").handle(() => "folded"),
        event<number>("Sung").on((n) => void sung.push(n)),
        command<void, string>("Line", { ordered: true } as never).handle(() => "in line"),
      ],
    });
    assertEquals((await run("call", "Fold", "--json")).out, '"folded"\n');
    const { code, out, err } = await run("call", "Sung", "1");
    assertEquals([code, out, err], [0, "", ""]);
    await eventually("the guest to have it", () => sung.length > 0);
    assertEquals(sung, [1]);
    assertMatch(
      (await run("call", "Line")).err,
      /^INVALID_MESSAGE: command Line is ordered, and its sender gave no key/,
    );
    assertEquals((await run("call", "Line", "--key", "a", "--json")).out, '"in line"\n');
    const wrong = await run("call", "Line", "--key", "a", "--query");
    assertMatch(wrong.err, /^INVALID_MESSAGE: query Line did not run: node guest handles a command of this name/);
  });

  it("watch: prints events that the services receive as well", async () => {
    const heard: string[] = [];
    const kitchen = Brewed.on(({ tea }) => void heard.push(tea));
    await using _kitchen = await catga({ nats: server.url, service: "kitchen", handlers: kitchen });
    const tool = await startCli(["watch", "--json", "--count", "4"], { env: env() });
    await tool.wrote("listening for all events that are not kept in default");
    for (const tea of ["assam", "sencha"]) unwrap(await app.publish(Brewed, { tea }));
    unwrap(await app.publish(Brewed, { tea: "oolong" }, { id: "mine", headers: { a: "b" } }));
    unwrap(await app.publish(Emptied));
    const { code, out } = await tool.ended;
    assertEquals(code, 0);
    const events = lines(out);
    assertEquals(events.map(({ event }) => event), [...Array(3).fill("kitchen.Brewed"), "kitchen.Emptied"]);
    assertEquals(events.map(({ payload }) => payload?.tea), ["assam", "sencha", "oolong", undefined]);
    assertEquals([events[2].id, events[2].headers, events[2].sender], ["mine", { a: "b" }, app.self.endpoint]);
    await eventually("the kitchen to have heard all", () => heard.length === 3);
    assertEquals(heard, ["assam", "sencha", "oolong"]);
  });

  it("watch: with the name of an event that a node handles as durable, it says that this is not shown", async () => {
    const Paid = event("till.Paid", { durable: true });
    const Till = entity("Till", { initial: () => 0 });
    const Opened = Till.event("Opened", (n) => n + 1);
    const tills = [Paid.on(() => {}, { name: "till" }), Opened.on(() => {}, { name: "till" })];
    await using _till = await catga({ nats: server.url, namespace: "tills", service: "till", handlers: tills });
    const said: string[] = [];
    for (const name of ["till.*", "Till.Opened", "till.Refunded"]) {
      const stop = new AbortController();
      const watching = cli(
        ["watch", name, "-n", "tills"],
        quietTerminal({
          say: (line) => said.push(line),
          environment: { NATS_URL: server.url },
          signal: stop.signal,
        }),
      );
      const lines = said.length + (name === "till.Refunded" ? 1 : 2);
      await eventually(name, () => said.length === lines);
      stop.abort();
      assertEquals(await watching, 0);
    }
    const notShown = (name: string) =>
      `not shown, because nodes handle them as durable: ${name}; \`catga dashboard\` shows them, \`catga entity\` those of an entity`;
    assertEquals(said.filter((line) => !line.startsWith("listening")), [
      notShown("till.Paid"),
      notShown("Till.Opened"),
    ]);
  });

  it("watch: accepts a name with wildcards, prints a line for each event, and ends at Ctrl-C", async () => {
    const tool = await startCli(["watch", "*.Brewed"], { env: env() });
    await tool.wrote("listening for *.Brewed");
    unwrap(await app.publish(Emptied));
    unwrap(await app.publish(Brewed, { tea: "assam" }));
    await tool.wrote("assam");
    tool.interrupt();
    const { code, out } = await tool.ended;
    assertEquals(code, 0);
    assertMatch(out, /^\d\d:\d\d:\d\d\.\d{3} {2}kitchen\.Brewed {2}bank {2}\{"tea":"assam"\}\n$/);
  });

  it("locks: lists holders with the token that they have, leaders, and the number of callers that wait", async () => {
    await using lock = await app.lock("order:42", { ttl: 10_000 });
    const waiting = app.lock("order:42");
    const began = Promise.withResolvers<void>();
    await using _term = app.lead("billing", async (signal) => {
      began.resolve();
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    });
    await began.promise;
    const bucket = async () => lines((await run("locks", "--json")).out);
    await eventually("somebody to wait", async () => (await bucket())[0].waiting === 1);
    const [held, leader] = await bucket();
    assertEquals([held.kind, held.key, held.node, held.ttl], ["lock", "order:42", "bank", 10_000]);
    assertEquals(held.token, lock.token);
    assertEquals([leader.kind, leader.key, leader.node], ["lead", "billing", "bank"]);
    const { out } = await run("locks", "--kind", "lock");
    assertMatch(
      out,
      /^KIND +HOLDER +TOKEN +HELD +TTL +WAITING +KEY\nlock +bank +\d+ +(\d+ m )?\d+ m?s +10 s +1 +order:42\n$/,
    );
    await lock.release();
    await (await waiting).release();
    await using _wide = await app.lock(`茶:${"茶".repeat(60)}`);
    assertEquals(lines((await run("locks", "--json")).out)[0].key.length, 62);
  });

  it("locks: a namespace without locks is reported", async () => {
    const { code, out, err } = await run("locks", "-n", "empty");
    assertEquals([code, out], [0, ""]);
    assertStringIncludes(err, "no locks are held in the namespace empty");
  });

  it("locks --release: the next caller acquires the lock, and the holder loses it", async () => {
    const lock = await app.lock("stuck", { ttl: 9_000 });
    await using other = await catga({ nats: server.url, id: "other" });
    const waiting = other.lock("stuck");
    await eventually(
      "the other to wait",
      async () =>
        lines((await run("locks", "--json")).out).some(({ key, waiting }) => key === "stuck" && waiting === 1),
    );
    const { code, out, err } = await runProcess("locks", "--release", "stuck");
    assertEquals(code, 0);
    assertMatch(out, new RegExp(`^released stuck: bank had it for (?:\\d+ m )?\\d+ m?s, with token ${lock.token}\n$`));
    assertMatch(err, /^bank notices it within 3 s \(LOCK_LOST\)/);
    await using next = await waiting;
    assert(next.token > lock.token);
    await eventually("the first to lose it", () => lock.signal.aborted);
    assertEquals(lock.signal.reason.code, "LOCK_LOST");
  });

  it("locks --release: a lock that nobody holds is an error", async () => {
    const { code, err } = await run("locks", "--release", "order:43");
    assertEquals(code, 1);
    assertStringIncludes(err, 'nobody holds the lock "order:43" in the namespace default');
  });

  it("ping: prints round trips and load of each node; the exit code is 1 if one does not answer", async () => {
    const { code, out } = await runProcess("ping", "--count", "2", "--timeout", "10s", "--json");
    assertEquals(code, 0);
    const rows = lines(out);
    assertEquals(rows.map(({ node, sent, answered }) => [node, sent, answered]), [["b1", 2, 2], ["bank", 2, 2], [
      "d1",
      2,
      2,
    ]]);
    for (const { min, median, max, load } of rows) {
      assert(min > 0 && min <= median && median <= max, JSON.stringify({ min, median, max }));
      assertEquals(Object.keys(load), ["inFlight", "queued"]);
    }
    nodes[1].program.kill("SIGSTOP");
    try {
      const frozen = await run("ping", "b1", "-c", "1", "--timeout", "300ms");
      assertEquals(frozen.code, 1);
      assertMatch(frozen.out, /^NODE.*\nb1 +work +0\/1 +- +- +- +- +- +no answer\n$/);
    } finally {
      nodes[1].program.kill("SIGCONT");
    }
    const nobody = await run("ping", "b2");
    assertEquals(nobody.code, 1);
    assertMatch(nobody.err, /^no node b2 in the namespace default; there are b1, bank, d1\n$/);
  });

  it('ping: a process that has ended is "nobody there", not "no answer"', async () => {
    const lost = await startNode("deno", server.url, "lost", { namespace: "graves" });
    await lost.program.stop();
    const { code, out } = await run("ping", "-n", "graves", "-c", "1", "--timeout", "30s");
    assertEquals(code, 1);
    assertMatch(out, /\nlost +app +0\/1 .* nobody there\n$/);
  });

  it("bench: measures an echo", async () => {
    const { code, out } = await runProcess("bench", "--json", "--payload", "100");
    assertEquals(code, 0);
    const rows = lines(out);
    assertEquals(rows.map(({ atOnce }) => atOnce), [1, 64, 1_024]);
    for (const { perSecond, p50, p99 } of rows) assert(perSecond > 0 && p50 > 0 && p99 >= p50);
  });

  it("--nats has precedence over NATS_URL, accepts several servers, and the error names a server that does not answer", async () => {
    const gone = "nats://127.0.0.1:1";
    assertEquals((await cliApart(["nodes", "--nats", server.url], { env: { NATS_URL: gone } })).code, 0);
    assertEquals((await cliHere(["nodes", "-s", `${gone},${server.url}`])).code, 0);
    const { code, err } = await cliApart(["nodes", "-s", gone]);
    assertEquals(code, 1);
    assertMatch(
      err,
      /^UNAVAILABLE: cannot connect to NATS at 127\.0\.0\.1:1: .*refused.*\? --nats URL, or NATS_URL, says where it is\n$/,
    );
  });

  it("a bucket with other settings than its node wants is opened as it is", async () => {
    const bucket = "KV_catga_three_nodes";
    await using node = await catga({ nats: server.url, namespace: "three", id: "n", handlers: Touch.handle(() => {}) });
    const { connect } = await import("@nats-io/transport-node");
    const connection = await connect({ servers: server.url });
    const info = (await connection.request(`$JS.API.STREAM.INFO.${bucket}`, "", PATIENT)).json<{ config: object }>();
    const config = JSON.stringify({ ...info.config, allow_direct: true });
    await connection.request(`$JS.API.STREAM.UPDATE.${bucket}`, config, PATIENT);
    await connection.close();
    assertEquals(lines((await run("nodes", "-n", "three", "--json")).out)[0].id, node.self.id);
  });

  it("without JetStream the error says how to enable it", async () => {
    await using bare = await startNatsServer({ jetstream: false });
    const ofStreams = ["subscriptions", "dead", "rewind a start", "schedules", "entity A b", "runs", "run A b"];
    for (const command of ["nodes", "top", "locks", "ping", ...ofStreams]) {
      const { code, err } = await cliHere([...command.split(" "), "-s", bare.url]);
      assertEquals(code, 1);
      assertMatch(err, /^UNAVAILABLE: no JetStream on the NATS server at .*nats-server -js/, command);
    }
    const { out } = await cliHere(["doctor", "-s", bare.url]);
    assertEquals(out.match(/^ERROR/gm)?.length, 1, out);
  });

  it("dashboard: what it cannot listen on is named with the option that takes another", async () => {
    const listen = (...args: string[]) => cliHere(["dashboard", ...args], env());
    const foreign = await listen("--host", "no-such-name.invalid", "--port", "0");
    assertEquals(foreign.code, 1);
    assertMatch(
      foreign.err,
      /^catga: cannot listen on no-such-name\.invalid, port 0: .*; --host takes a name or an address/,
    );
    const used = await listen("--port", `${server.port}`);
    assertEquals(used.code, 1);
    assertMatch(used.err, /^catga: cannot listen on 127\.0\.0\.1, port \d+: EADDRINUSE; --port takes another\n/);
  });

  it(
    "dashboard: without Deno's permission to listen one line names it",
    { skip: !("Deno" in globalThis) },
    async () => {
      const main = fileURLToPath(new URL("main.ts", import.meta.url));
      for (const host of ["127.0.0.1", "localhost"]) {
        const allowed = [`--allow-net=127.0.0.1:${server.port}`, "--allow-env", "--allow-sys=hostname"];
        const command = ["run", "--no-prompt", "--no-check", ...allowed, main, "dashboard", "-s", server.url];
        const running = promisify(execFile)(process.execPath, [...command, "--host", host, "--port", "4280"]);
        assertEquals(
          await running.catch(({ code, stderr }) => ({ code, stderr })),
          { code: 1, stderr: `catga: Deno does not let it listen on ${host}, port 4280: run it with --allow-net\n` },
        );
      }
    },
  );

  it("wrong usage: the error says what is wrong, and the exit code is 2", async () => {
    const wrong: [args: string[], message: RegExp][] = [
      [
        ["frob"],
        /there is no command "frob"; there are nodes, top, doctor, check, contracts, call, watch, subscriptions, limits, dead, outbox, rewind, schedules, entity, runs, run, locks, ping, backup, file, move, pull, setup, users, bench/,
      ],
      [["help", "frob"], /there is no command "frob"/],
      [["nodes", "--bogus"], /there is no option --bogus\n`catga nodes --help` says more\n/],
      [["--bogus"], /there is no option --bogus\n`catga --help` says more\n/],
      [["nodes", "extra"], /usage: catga nodes\n`catga nodes --help` says more\n/],
      [["call"], /usage: catga call NAME \[JSON\]/],
      [["nodes", "--query"], /nodes has no option --query/],
      [
        ["nodes", "--nats", "http://x"],
        /--nats, or NATS_URL, must be an address such as nats:\/\/localhost:4222 or tls:\/\/host; got "http:\/\/x"/,
      ],
      [["nodes", "--user", "me"], /--user and --password go together/],
      [["nodes", "--token", "t", "--creds", "f"], /--token and --creds exclude each other/],
      [["nodes", "--tlscert", "f"], /--tlscert and --tlskey go together/],
    ];
    for (const [args, message] of wrong) {
      const { code, out, err } = await cliHere(args);
      assertMatch(err, message, args.join(" "));
      assertEquals([args, code, out], [args, 2, ""]);
    }
    assertEquals((await runProcess("frob")).code, 2);
  });

  it("--help: of the tool and of each command fits 80 columns", async () => {
    const { out } = await cliHere(["--help"]);
    const groups = COMMAND_GROUPS.map(({ title }) => out.split(`\n${title}\n`)[1].split("\n\n")[0]);
    const commands = groups.flatMap((listed) => listed.split("\n").map((line) => line.trim().split(" ")[0]));
    assert(commands.includes("nodes") && commands.includes("check"), commands.join());
    const helps = [["--help"], ["help"], ["-h"], ...commands.map((name) => [name, "--help"])];
    for (const args of helps) {
      const { code, out, err } = await cliHere(args);
      assertEquals([code, err], [0, ""]);
      assertStringIncludes(out, "\nUsage\n  catga ");
      assertEquals(out.split("\n").filter((line) => line.length > 80), []);
    }
    assertEquals((await cliHere(["help", "call"])).out, (await cliHere(["call", "-h"])).out);
    assertMatch((await cliApart(["--version"])).out, /^catga \d+\.\d+\.\d+\n$/);
    const bare = await cliApart([]);
    assertEquals([bare.code, bare.out], [2, ""]);
    assertStringIncludes(bare.err, "Look at a cluster\n  nodes ");
  });
});
