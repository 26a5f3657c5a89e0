/**
 * Tests that a request is not handled twice although browsers, and Deno's `fetch`, may repeat it when a kept connection
 * breaks.
 */
import { assertEquals } from "@std/assert";
import { createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import { catga, command, workflow } from "../../mod.ts";
import { edge } from "../http/mod.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { client } from "./mod.ts";

const Charge = command<{ cents: number }, string>("Charge");
const Close = command<void, string>("Close");
const api = edge({ charge: Charge, close: Close });

/**
 * Starts a server that answers one request, and then closes its connection when the next request arrives, without an
 * answer.
 */
async function dyingServer() {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}); // the client may be gone
    let text = "";
    socket.on("data", (data) => {
      text += data;
      const head = text.indexOf("\r\n\r\n");
      const length = Number(/^content-length: (\d+)/im.exec(text)?.[1] ?? 0);
      const whole = /^transfer-encoding: chunked/im.test(text)
        ? text.endsWith("0\r\n\r\n")
        : text.length >= head + 4 + length;
      if (head < 0 || !whole) return;
      requests.push(text.slice(0, text.indexOf(" HTTP")));
      text = "";
      if (requests.length === 2) return socket.destroy();
      const body = '"paid"';
      socket.write(
        `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    requests,
    url: `http://127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe("a command to a gateway that dies while it handles it", () => {
  it("arrives once, and its outcome is unknown", async () => {
    await using server = await dyingServer();
    const shop = client<typeof api>(server.url);
    assertEquals((await shop.charge.send({ cents: 1 })).ok, true);
    const { error } = await shop.charge.send({ cents: 2 });
    assertEquals([error?.code, server.requests], ["OUTCOME_UNKNOWN", ["POST /charge", "POST /charge"]]);
  });

  it("without an input, too", async () => {
    await using server = await dyingServer();
    const shop = client<typeof api>(server.url);
    assertEquals((await shop.close.send()).ok, true);
    const { error } = await shop.close.send();
    assertEquals([error?.code, server.requests], ["OUTCOME_UNKNOWN", ["POST /close", "POST /close"]]);
  });
});

/**
 * A `fetch` that sends each request twice and returns the second answer, as a browser does when the first answer is
 * lost.
 */
const repeating = (handle: (request: Request) => Promise<Response>) => async (url: string, init: RequestInit) => {
  await handle(new Request(url, init));
  return await handle(new Request(url, init));
};

describe("a request that a browser repeats", () => {
  const Add = command<number, number>("Add", { idempotent: true });
  const Buy = command<{ order: string }, number>("Buy", { idempotent: true, id: ({ order }) => order });
  const Checkout = workflow<string, string>("Checkout");
  const Approved = Checkout.signal<string>("Approved");
  const handlersOf = (calls: string[]) => [
    Add.handle((n) => calls.push(`add ${n}`)),
    Buy.handle(({ order }) => calls.push(`buy ${order}`)),
    Checkout.handle(async (flow, order) => {
      await flow.step("begin", () => void calls.push(`check out ${order}`));
      const first = await flow.wait(Approved);
      const second = await flow.wait(Approved);
      await flow.wait(Approved, { name: "the end" });
      return `${first}, ${second}`;
    }),
  ];
  const shopApi = edge({ add: Add, buy: Buy, checkout: [Checkout, { tell: { approved: Approved } }] });

  it("runs an idempotent command once, starts one run, and gives it one signal", async () => {
    const calls: string[] = [];
    await using app = await catga({ logger: QUIET, handlers: handlersOf(calls) });
    const shop = client<typeof shopApi>("http://shop.example", {
      fetch: repeating(shopApi.handler(app, { authorize: () => undefined })),
    });
    assertEquals((await shop.add.send(1)).value, 1);
    assertEquals((await shop.add.send(1)).value, 2);
    const run = (await shop.checkout.start("a")).value!;
    assertEquals((await run.tell("approved", "ann")).ok, true);
    assertEquals((await run.tell("approved", "bob")).ok, true);
    await run.tell("approved", "cyd"); // the repeated request may find that the run has ended
    assertEquals((await run.result()).value, "ann, bob");
    assertEquals(calls, ["add 1", "add 1", "check out a"]);
  });

  it("has the id that its contract makes, whatever a client calls it", async () => {
    const calls: string[] = [];
    await using app = await catga({ logger: QUIET, handlers: handlersOf(calls) });
    const shop = client<typeof shopApi>("http://shop.example", {
      fetch: repeating(shopApi.handler(app, { authorize: () => undefined })),
    });
    await shop.buy.send({ order: "a" });
    await shop.buy.send({ order: "a" }, { id: "another" });
    assertEquals(calls, ["buy a"]);
  });

  it("a run has the id that its workflow makes of the input: a second start of an order is the same run", async () => {
    const Order = workflow<{ order: string; cents: number }, string>("Order", { id: ({ order }) => order });
    const order = Order.handle((_, { order, cents }) => `${order}: ${cents}`);
    await using app = await catga({ logger: QUIET, handlers: order });
    const api = edge({ order: Order });
    const shop = client<typeof api>("http://shop.example", {
      fetch: repeating(api.handler(app, { authorize: () => undefined, identify: () => "ann" })),
    });
    const starts = [
      await shop.order.start({ order: "7", cents: 420 }),
      await shop.order.start({ order: "7", cents: 420 }, { id: "another" }),
    ];
    assertEquals(starts.map(({ value }) => value?.id), ["7", "7"]);
    assertEquals((await starts[0].value!.result()).value, "7: 420");
    assertEquals((await shop.order.start({ order: "7", cents: 1 })).error?.code, "ID_REUSED");
  });
});
