/** Frames in another's name: what docs/security.md says of them, with its permissions and without. */
import { connect } from "@nats-io/transport-node";
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga } from "../../catga.ts";
import { command, query } from "../../contract/definition.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { openStage, Player } from "../../../test/support/stage.ts";
import { PATIENT } from "../../../test/support/patient.ts";

const Ask = query<number, number>("Ask");
const Do = command<number, number>("Do");

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
    // in her own name she may, and is heard
    mallory.publish(`catga.default.node.${to}.mallory.1`, `[1,1,${Date.now()},["q","Do",1000,7]]`);
    mallory.subscribe(`catga.default.node.${to}.>`, { callback: () => {} });
    await eventually("the refusals", () => refused.length >= 4);
    await eventually("her own command", () => ran.length > 0);
    for (let n = 0; n < 100; n++) assertEquals((await a.send(Ask, n)).value, n);
    assertEquals(ran, [7]);
    await mallory.close();
  });
});

describe("a frame that JetStream delivers under the subject of a record", await requireNatsServer(), () => {
  it("is dropped: the part of that subject in the sender's place is not a sender", async () => {
    await using server = await startNatsServer();
    const ran: number[] = [];
    const warnings: string[] = [];
    const logger = { ...SILENT, warn: (line: string) => void warnings.push(line) };
    await using a = await catga({ nats: server.url, id: "a" });
    await using b = await catga({ nats: server.url, id: "b", handlers: Do.handle((n) => ran.push(n)), logger });
    assertEquals((await a.send(Do, 1)).ok, true);

    const mallory = await connect({ servers: server.url });
    const api = async (call: string, body: unknown) => {
      const answer = await mallory.request(`$JS.API.${call}`, JSON.stringify(body), PATIENT);
      assertEquals(answer.json<{ error?: unknown }>().error, undefined);
    };
    const inbox = `catga.default.node.${b.self.endpoint}.`;
    const subject = `own.${"x".repeat(inbox.length - 4)}${a.self.endpoint}`;
    await api("STREAM.CREATE.own", { name: "own", subjects: ["own.>"] });
    const frame = `[1,1000000,${Date.now()},["q","Do",10000,666]]`;
    await mallory.request(subject, frame, PATIENT);
    // the server begins when somebody subscribes to just this subject
    mallory.subscribe(`${inbox}mallory.1`, { callback: () => {} });
    await mallory.flush();
    const config = { name: "push", deliver_subject: `${inbox}mallory.1`, ack_policy: "none", deliver_policy: "all" };
    await api("CONSUMER.CREATE.own.push", { stream_name: "own", config });
    await eventually("a line in the log", () => warnings.some((line) => line.includes("malformed")));
    assertEquals([ran, warnings.filter((line) => line.includes(subject)).length], [[1], 1]);
    await mallory.close();
  });
});

describe("a stream that republishes", await requireNatsServer(), () => {
  it("cannot speak in the name of a node: what JetStream publishes has headers, and no frame has", async () => {
    await using server = await startNatsServer();
    const ran: number[] = [];
    await using a = await catga({ nats: server.url, id: "a" });
    await using b = await catga({ nats: server.url, id: "b", handlers: Do.handle((n) => ran.push(n)), logger: SILENT });
    const mallory = await connect({ servers: server.url });
    const stream = {
      name: "EVIL",
      subjects: ["evil.>"],
      storage: "memory",
      republish: { src: "evil.>", dest: "catga.default.node.>" },
    };
    const made = await mallory.request("$JS.API.STREAM.CREATE.EVIL", JSON.stringify(stream), PATIENT);
    assertEquals(made.json<{ error?: unknown }>().error, undefined);
    const seen: string[] = [];
    mallory.subscribe(`catga.default.node.${b.self.endpoint}.>`, {
      callback: (_, { subject }) => void seen.push(subject),
    });
    await mallory.flush();
    const forged = `[1,1000000,${Date.now()},["q","Do",60000,666]]`;
    await mallory.request(`evil.${b.self.endpoint}.${a.self.endpoint}`, forged, PATIENT);
    await eventually(
      "it to be published",
      () => seen.includes(`catga.default.node.${b.self.endpoint}.${a.self.endpoint}`),
    );
    for (let n = 0; n < 20; n++) await a.send(Do, n);
    assertEquals(ran, Array.from({ length: 20 }, (_, n) => n));
    await mallory.close();
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
