/** Tests of frames sent in the name of another node, with the permissions of docs/security.md and without them. */
import { connect, headers } from "@nats-io/transport-node";
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga } from "../../catga.ts";
import { command, event, query } from "../../contract/declaration/definition.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { openStage, Player } from "../../../test/support/stage.ts";

const Ask = query<number, number>("Ask");
const Do = command<number, number>("Do");
const Done = event<number>("Done");

describe("a user whose frames must bear its own name", await requireNatsServer(), () => {
  it("cannot send, answer, or bounce in the name of another node: NATS refuses it, and nothing is lost", async () => {
    const may = (id: string) =>
      `{ user: ${id}, password: p, permissions: {
      publish: ["catga.default.node.*.*.${id}.*", "$KV.>", "$JS.>"]
      subscribe: ["catga.default.node.${id}.>", "catga.default.bounce.${id}.>", "_INBOX_${id}.>"]
    } }`;
    await using server = await startNatsServer({
      config: `authorization { users: [${["a", "b", "mallory"].map(may).join("\n")}] }`,
    });
    const nats = (user: string) => ({ servers: server.url, user, pass: "p", inboxPrefix: `_INBOX_${user}` });
    const ran: number[] = [];
    const handlers = [Ask.handle((n) => n), Do.handle((n) => ran.push(n))];
    await using a = await catga({ nats: nats("a"), id: "a" });
    await using b = await catga({ nats: nats("b"), id: "b", handlers, logger: SILENT });
    assertEquals((await a.send(Ask, 1)).value, 1);

    const mallory = await connect(nats("mallory"));
    const refused: string[] = [];
    (async () => {
      for await (const event of mallory.status()) if (event.type === "error") refused.push(event.error.message);
    })();
    const [from, to] = [a.self.endpoint, b.self.endpoint];
    const forged = [
      [`catga.default.node.${to}.${from}`, `[1,1000000,${Date.now()},["q","Do",1000,666]]`],
      [`catga.default.node.${from}.${to}`, `[1,1000000,${Date.now()},["r",2,0,666]]`],
      [`catga.default.bounce.${from}.0.2`, ""],
    ];
    for (const [subject, text] of forged) mallory.publish(subject, text);
    // the user mallory may send under her own name, and gets an answer
    mallory.publish(`catga.default.node.${to}.mallory.1`, `[1,1,${Date.now()},["q","Do",1000,7]]`);
    mallory.subscribe(`catga.default.node.${to}.>`, { callback: () => {} });
    await eventually("the refusals", () => refused.length >= 4);
    await eventually("her own command", () => ran.length > 0);
    for (let n = 0; n < 100; n++) assertEquals((await a.send(Ask, n)).value, n);
    assertEquals(ran, [7]);
    await mallory.close();
  });
});

describe("a message that no node sends", await requireNatsServer(), () => {
  it("is no frame: one with headers, and one without an endpoint as its sender, are dropped and logged", async () => {
    await using server = await startNatsServer();
    const ran: number[] = [];
    const warnings: string[] = [];
    const logger = { ...SILENT, warn: (line: string) => void warnings.push(line) };
    await using a = await catga({ nats: server.url, id: "a" });
    await using b = await catga({ nats: server.url, id: "b", handlers: Do.handle((n) => ran.push(n)), logger });
    const other = await connect({ servers: server.url });
    const inbox = `catga.default.node.${b.self.endpoint}.`;
    const frame = `[1,1000000,${Date.now()},["q","Do",60000,666]]`;
    const made = headers();
    made.set("Nats-Stream", "other");
    other.publish(`${inbox}${a.self.endpoint}`, frame, { headers: made });
    other.publish(`${inbox}other`, frame);
    await other.flush();
    await eventually("a line in the log", () => warnings.some((line) => line.includes("malformed")));
    for (let n = 0; n < 20; n++) await a.send(Do, n);
    assertEquals(ran, Array.from({ length: 20 }, (_, n) => n));
    await other.close();
  });
});

describe("a message that arrives on a subject that the node has not subscribed to", () => {
  it("is neither a frame nor an event", async () => {
    const network = new MemoryNetwork();
    const connect = network.connect.bind(network);
    // the network acts like a server that changes the subject of messages that contain a certain number
    network.connect = (options) => {
      const connection = connect(options);
      const subscribe = connection.subscribe.bind(connection);
      connection.subscribe = (pattern, options, onMessage) =>
        subscribe(pattern, options, (message) => {
          const { subject, data, reply, headers, noResponders } = message;
          const changed = new TextDecoder().decode(data).includes("666000666000");
          onMessage(changed ? { subject: `other.${subject}`, data, reply, headers, noResponders } : message);
        });
      return connection;
    };
    const [ran, heard, warnings] = [[] as number[], [] as number[], [] as string[]];
    const handlers = [Do.handle((n) => ran.push(n)), Done.on((n) => void heard.push(n))];
    const logger = { ...SILENT, warn: (line: string) => void warnings.push(line) };
    await using a = await catga({ network, id: "a" });
    await using b = await catga({ network, id: "b", handlers, logger });
    const other = network.connect({ name: "other" });
    const frame = `[1,1000000,${Date.now()},["q","Do",60000,666000666000]]`;
    other.publish(`catga.default.node.${b.self.endpoint}.${a.self.endpoint}`, frame);
    other.publish("catga.default.event.Done", `[1,"${a.self.endpoint}",${Date.now()},{"seq":1},666000666000]`);
    await a.publish(Done, 1);
    assertEquals((await a.send(Do, 1)).ok, true);
    await eventually("the event", () => heard.length > 0);
    assertEquals([ran, heard], [[1], [1]]);
    const refused = (line: string) => line.includes("it came on a subject that is not this node's");
    await eventually("the warning", () => warnings.some(refused));
  });
});

describe("a frame in another's name, where nobody forbids it", () => {
  it("answers no request: the number of the request's frame begins at a random place, which 1,000 guesses miss", async () => {
    await using stage = await openStage({ handles: ["Ask"] });
    const { app, other, network, settle, clock } = stage;
    const result = app.send(Ask, 1);
    await settle();
    const [{ seq }] = other.frames;
    const guesses = Array.from({ length: 1_000 }, (_, n) => ["r", n, 0, 666]);
    const forger = network.connect({ name: "forger" });
    const subject = `catga.default.node.${app.self.endpoint}.${other.endpoint}`;
    forger.publish(subject, JSON.stringify([1, 1_000, clock.now(), ...guesses]));
    await settle();
    other.send(app.self.endpoint, ["r", seq, 0, 7]);
    assertEquals((await clock.until(result)).value, 7);
  });

  it("is accepted; one with a high number and a ping makes that node's frames refused until it restarts", async () => {
    const ran: number[] = [];
    await using stage = await openStage({ handlers: Do.handle((n) => ran.push(n)) });
    const { app, other, network, settle, clock } = stage;
    other.send(app.self.endpoint, ["q", "Do", 1_000, 1]);
    await settle();
    const forger = network.connect({ name: "forger" });
    const subject = `catga.default.node.${app.self.endpoint}.${other.endpoint}`;
    forger.publish(subject, `[1,1000000,${clock.now()},["q","Do",1000,666],["p",1]]`);
    await settle();
    for (let n = 2; n < 200; n++) other.send(app.self.endpoint, ["q", "Do", 1_000, n]);
    await settle();
    assertEquals(ran, [1, 666]);

    const again = new Player(network, "other", "2");
    again.send(app.self.endpoint, ["q", "Do", 1_000, 200]);
    await settle();
    assertEquals(ran, [1, 666, 200]);
  });
});

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
