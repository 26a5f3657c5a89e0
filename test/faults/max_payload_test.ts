/** Tests of nodes whose nats-server takes smaller messages from now on, after a reload of its configuration. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { catga, CatgaError, event, stream, workflow } from "../../mod.ts";
import { startTcpProxy } from "../processes/tcp_proxy.ts";
import { eventually } from "../support/eventually.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";

const slow = { timeout: 1_200_000 };
const LARGE = 100_000; // bytes
const SMALLER = 65_536; // bytes

describe("a smaller max_payload", await requireNatsServer(), () => {
  it("a stream whose items no longer fit ends with TOO_LARGE (they were sent again without end)", slow, async () => {
    await using server = await startNatsServer({ config: "max_payload: 1000000" });
    const Told = event<string>("Told");
    const Read = stream<void, string>("Read", { window: { items: 4 } });
    const large = "x".repeat(LARGE);
    const shrunk = Promise.withResolvers<void>();
    const handlers = Read.handle(async function* () {
      yield "small";
      await shrunk.promise;
      yield large;
      yield "small";
    });
    await using link = await startTcpProxy(server.port);
    let [errors, connects] = [0, 0];
    const logger = { debug() {}, info() {}, warn() {}, error: () => void errors++ };
    const warn = (line: string) => void (line.includes("connected to the network again") && connects++);
    await using worker = await catga({ nats: server.url, id: "worker", handlers, logger: { ...logger, warn } });
    await using reader = await catga({ nats: link.url, id: "reader", logger });
    const items = reader.stream(Read)[Symbol.asyncIterator]();
    assertEquals((await items.next()).value, "small");
    // while the worker has no connection, a ping of the reader would bounce, and break the stream
    link.freeze();
    // nats-server does not tell its clients: the item ends the worker's connection
    await server.configure(`max_payload: ${SMALLER}`);
    shrunk.resolve();
    await eventually("the worker to be connected again", () => connects > 0);
    await worker.cache.get("none"); // the server has read the worker's subscriptions before it reads this request
    link.restore();
    const error = await assertRejects(() => items.next(), CatgaError);
    assertEquals(error.code, "TOO_LARGE");
    assert(errors < 20, `${errors} errors were logged`);
    assertEquals((await worker.publish(Told, large)).error?.code, "TOO_LARGE");
  });

  it("a dead letter that no longer fits where it is put aside is replayed (its payload was lost)", slow, async () => {
    await using server = await startNatsServer({ config: "max_payload: 1000000" });
    const Told = event<string>("Told", { durable: true });
    const lowered = Promise.withResolvers<void>();
    let attempts = 0;
    let got: string | undefined;
    const handlers = Told.on(async (text) => {
      await lowered.promise;
      if (attempts++ === 0) throw new Error("the first attempt fails");
      got = text;
    }, { name: "reader", retry: { attempts: 1 } });
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    await using app = await catga({ nats: server.url, handlers, logger });
    const large = "x".repeat(LARGE);
    assertEquals((await app.publish(Told, large)).ok, true);
    await server.configure(`max_payload: ${SMALLER}`);
    lowered.resolve();
    const dead = async () => {
      // the connection is lost while the server finds that the message is too large
      const [found] = await app.subscriptions().catch(() => []);
      return found?.dead ?? 0;
    };
    await eventually("the dead letter", async () => await dead() === 1);
    for await (const letter of app.deadLetters()) await letter.replay();
    await eventually("the next attempt", () => got !== undefined);
    assertEquals(got, large);
  });

  it(
    "a run whose step gave more than fits from now on is stuck, and says so (it stored that for ever)",
    slow,
    async () => {
      await using server = await startNatsServer({ config: "max_payload: 1000000" });
      const Report = workflow<void, string>("Report", { id: () => "r" });
      const lowered = Promise.withResolvers<void>();
      const handlers = Report.handle((flow) =>
        flow.step("write", async () => {
          await lowered.promise;
          return "x".repeat(LARGE);
        })
      );
      const logger = { debug() {}, info() {}, warn() {}, error() {} };
      await using app = await catga({ nats: server.url, handlers, logger });
      assertEquals((await app.start(Report)).ok, true);
      await server.configure(`max_payload: ${SMALLER}`);
      lowered.resolve();
      await eventually("the stuck run", async () => {
        const { error } = await app.result(Report, "r", { timeout: 500 });
        return error?.message.includes("it is stuck; write failed with TOO_LARGE");
      });
    },
  );
});
