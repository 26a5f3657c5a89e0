/** Tests that a live node goes on, and no error stays unhandled, whatever anybody publishes to it on NATS. */
import { connect, headers, type NatsConnection } from "@nats-io/transport-node";
import { assert, assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { type Catga, catga, unwrap } from "../../../mod.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { Add, Note, Record, Slow, Told, Who } from "../../../test/processes/node_messages.ts";
import { DRAINED, OWN_RUNTIMES, startNode } from "../../../test/processes/node_process.ts";
import { RunLog } from "../../../test/processes/run_log.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { subscriptions, SYSTEM_ACCOUNT } from "../../../test/support/system_account.ts";

const COUNT = 1_000; // messages for each subject

describe("a live node on NATS", await requireNatsServer(), () => {
  let server: NatsServer;
  let connection: NatsConnection;

  before(async () => {
    server = await startNatsServer({ config: SYSTEM_ACCOUNT });
    connection = await connect({ servers: server.url, user: "app", pass: "app" });
  });
  after(async () => {
    await connection?.close();
    await server?.stop();
  });

  for (const runtime of OWN_RUNTIMES) {
    it(
      `answers as before after ${COUNT} malformed messages on each of its subjects: ${runtime}`,
      { timeout: 300_000 },
      async () => {
        const nats = server.url.replace("//", "//app:app@");
        const namespace = `junk-${runtime}`;
        await using log = await RunLog.open();
        await using app = await catga({ nats, namespace, id: "caller", service: "caller" });
        const node = await startNode(runtime, nats, "target", { namespace, folder: log.folder, signals: true });
        await using program = node.program;
        await eventually("the caller to see it", () => app.nodes().length === 2);

        // among the subjects of calls by plain clients only the subject of Who is attacked, because all contracts treat
        // invalid calls alike
        const calls = `catga.${namespace}.call.`;
        const subjects = (await subscriptions(server, "catga target"))
          .filter((subject) => !subject.startsWith(calls) || subject === `${calls}Who`);
        const own = subjects.filter((subject) => subject.startsWith(`catga.${namespace}.`));
        assertEquals(own.sort(), [
          `catga.${namespace}.bounce.${node.endpoint}-ping.>`,
          `catga.${namespace}.bounce.${node.endpoint}.>`,
          `catga.${namespace}.call.Who`,
          `catga.${namespace}.event.Told`,
          `catga.${namespace}.node.${node.endpoint}-ping.>`,
          `catga.${namespace}.node.${node.endpoint}.>`,
        ]);
        assertGreaterOrEqual(subjects.length, 5, "and the inboxes of its requests and its watch");
        const inHand = app.send(Slow, { entry: "before", ms: 500 });
        for (const subject of subjects) {
          for (let i = 0; i < COUNT; i++) throwAt(subject, node.endpoint, i);
          await connection.flush();
        }
        for (let i = 0; i < 100; i++) {
          connection.publish(
            `$KV.catga_${namespace}_nodes.${i % 2 === 0 ? `junk${i}` : "target"}`,
            JUNK[i % JUNK.length],
          );
        }
        await connection.flush();

        assertEquals((await inHand).value, "target");
        await behavesAsBefore(app, log, "after");
        await eventually(
          "all to see both, and nothing else",
          () => app.nodes().length === 2 && node.view().length === 2,
        );
        await using newcomer = await catga({ nats, namespace, id: "newcomer", service: "caller" });
        // the hostile client has overwritten the record of this node
        await eventually("a new node to see it", () => newcomer.nodes().some(({ id }) => id === "target"));
        await behavesAsBefore(app, log, "later");
        // log lines about handlers are not counted: each valid message whose payload makes a handler throw has its own
        // line
        const said = program.output.split("\n")
          .filter((line) => line.startsWith("catga target:") && !line.includes("the handler of"));
        assertLessOrEqual(said.length, 10, said.join("\n"));
        program.kill("SIGTERM");
        const { by } = await program.end();
        assert(DRAINED.includes(by), `ended by ${by}: ${program.output}`);
        assert(!program.output.includes("unhandled") && !program.output.includes("uncaught"), program.output);
      },
    );
  }

  async function behavesAsBefore(app: Catga, log: RunLog, entry: string): Promise<void> {
    const node = "target";
    assertEquals(unwrap(await app.send(Who)).id, node);
    assertEquals(unwrap(await app.send(Add, { a: 1, b: 2 }, { node })), 3);
    assertEquals(unwrap(await app.send(Record, { entry }, { headers: { trace: "x" } })), node);
    assertEquals((await app.broadcast(Note, { entry })).map(({ result }) => result.value), [node]);
    unwrap(await app.publish(Told, { entry }));
    const noted = async () => (await log.runs("Record", "Note", "Told")).filter((run) => run.entry === entry);
    await eventually("all of it to have run", async () => (await noted()).length === 3);
  }

  /** Publishes the `i`th kind of invalid message, with one of the endings and sometimes with headers. */
  function throwAt(subject: string, endpoint: string, i: number): void {
    const end = ENDS[i % ENDS.length];
    const to = subject.replace(/[>*]$/, end);
    const wide = i % 3 === 0 ? headers() : undefined;
    wide?.append("Nats-Service-Error", "x");
    const options = {
      ...(wide && { headers: wide }),
      ...(i % 5 === 0 && { reply: `catga.x.node.${endpoint}.forged.sender` }),
    };
    connection.publish(to, JUNK[i % JUNK.length], options);
  }
});

/** Endings for subjects that end with a wildcard: senders, slots and frame numbers, mostly invalid. */
const ENDS = [
  "a.b",
  "forged.sender",
  "x",
  "a.b.c.d",
  "1.1",
  "0.0",
  "-1.99999999999999999999",
  "caller.nonce",
  "NaN.null",
];

/** Invalid messages; a prime number of them, so that each is combined with each ending. */
const JUNK: readonly (string | Uint8Array)[] = [
  "",
  "{}",
  "[]",
  "null",
  "1",
  '"text"',
  "[1",
  "[1]",
  "[2,1,1]",
  "[1,1,1,[]]",
  "[1,-1,0]",
  "[1,1e999,0]",
  '[1,1,"now"]',
  "[1,1,1,{}]",
  "[1,1,1,null]",
  '[1,1,1,["q"]]',
  '[1,1,1,["q","Add",1000,null,{"a":{}},[[]],"x"]]',
  '[1,2,1,["q","Add",-5,{"a":1,"b":2}]]',
  '[1,3,1,["q","No.Such.Contract",1000,1]]',
  '[1,4,1,["q","__proto__",1000,1]]',
  '[1,5,1,["q","Add",1e308,1,2,3]]',
  '[1,6,1,["m","Add",1000,{"headers":{"a":1}},{}]]',
  '[1,7,1,["m","Add",1000,{"ancestry":7,"attempt":-1},{}]]',
  '[1,8,1,["m","Add",1000,{"__proto__":{"id":"x"},"id":"","headers":{"__proto__":"y"}},{}]]',
  '[1,9,1,["r",0,0,1],["r",1,999999999,1],["r",9007199254740991,0]]',
  '[1,10,1,["e",0,0,null],["e",1,0,{"code":7,"message":{}}],["n",1,0,"OVERLOADED"]]',
  '[1,11,1,["c",1,1],["c",99999,0]]',
  '[1,12,1,["o",1,9007199254740991,[0,9007199254740991],[1,1]]]',
  '[1,13,1,["o",1,1,[1],[1]]]',
  '[1,9007199254740991,1,["p",1],["p",2]]',
  '[1,14,1,["v",2,3],["zzz",1,2,3]]',
  '[1,16,1,["Q","Add",1000,"~Date:soon"]]',
  '[1,17,1,["R",0,0,["~Map",[1]]],["E",0,0,"~Uint8Array:!"]]',
  '[1,18,1,["h",7],["h","__proto__"],["g","Add",-1],["g","Add",1e308]]',
  '[1,"a.b",1,{"seq":1}]',
  '[1,"a.b",1,{"seq":-1},1,2]',
  '[1,"no endpoint",1,{"seq":1},1]',
  `[1,1,1,${"[".repeat(5_000)}${"]".repeat(5_000)}]`,
  `[1,1,1,["q","${"x".repeat(10_000)}",1,1]]`,
  new Uint8Array([0xff, 0xfe, 0x00, 0x80]),
  new Uint8Array(70_000),
  '{"id":"target","endpoint":"other.process"}',
  '{"id":"junk0","endpoint":"junk0.x","service":"s","handles":[1]}',
  "\u0000",
];
