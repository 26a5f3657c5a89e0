/** Tests of the requests that the client of an edge sends, with a `fetch` of the test. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { command, query, workflow } from "../../mod.ts";
import { edge } from "../http/mod.ts";
import { client, type ClientOptions } from "./mod.ts";

const Find = query<string, number>("Find");
const Pay = command<{ cents: number }, number>("Pay", { idempotent: true });
const Trip = workflow<void, string>("Trip");
const Packed = Trip.signal<number>("Packed");

const api = edge({ find: Find, pay: Pay, trip: [Trip, { tell: { packed: Packed }, cancel: true }] });
const URL_OF = "http://shop.example/api";
const VALUES = "application/vnd.catga+json";
const JSON_TYPE = { "content-type": "application/json" };
const value = (text: string, init: ResponseInit = {}) => new Response(text, { headers: JSON_TYPE, ...init });

/** A client whose requests get these answers, one after the other, and what it has sent. */
function scripted(answers: readonly (Response | Error)[], options: ClientOptions = {}) {
  const sent: { readonly url: string; readonly init: RequestInit; readonly headers: Headers; readonly body: string }[] =
    [];
  const left = [...answers];
  const fetch = async (url: string, init: RequestInit) => {
    const body = init.body instanceof Blob ? await init.body.text() : "";
    sent.push({ url: url.slice(URL_OF.length), init, headers: new Headers(init.headers), body });
    const answer = left.shift() ?? new Error("no answer is left");
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { shop: client<typeof api>(`${URL_OF}/`, { fetch, pause: [1, 1], ...options }), sent };
}

describe("requests of the client", () => {
  it("what stays open shares no request of its URL with another tab; a query may be cached", async () => {
    const end = `event: end\ndata: {"result":{"ok":true,"value":"home"}}\n\n`;
    const events = new Response(end, { headers: { "content-type": "text/event-stream" } });
    const { shop, sent } = scripted([value("7"), value('"home"'), events]);
    await shop.find.query("x");
    assertEquals((await shop.trip.run("7").result()).value, "home");
    const watched = await Array.fromAsync(shop.trip.run("7").watch());
    assertEquals([watched.length, ...sent.map(({ init }) => init.cache)], [1, "default", "no-store", "no-store"]);
  });

  it("a query with a long input is sent as POST, and is UNAVAILABLE without an answer, as by GET", async () => {
    const { shop, sent } = scripted([value("7"), value("8"), new Error("offline"), new Error("offline")]);
    const [short, long] = ["x", "x".repeat(5_000)];
    assertEquals([(await shop.find.query(short)).value, (await shop.find.query(long)).value], [7, 8]);
    assertEquals(sent.map(({ url, init, body }) => [init.method, url, body]), [
      ["GET", "/find?input=%22x%22", ""],
      ["POST", "/find", JSON.stringify(long)],
    ]);
    for (const input of [short, long]) {
      const { error } = await shop.find.query(input);
      assertEquals([error?.code, error?.status, error?.retryable], ["UNAVAILABLE", 0, true]);
      assertEquals((error?.cause as Error).message, "offline");
    }
    const { shop: other } = scripted([new Error("offline")]);
    assertEquals((await other.pay.send({ cents: 1 })).error?.code, "OUTCOME_UNKNOWN");
  });

  it("credentials, and headers from a function that may wait, are those of the program", async () => {
    let count = 0;
    const headers = () => Promise.resolve({ authorization: `token ${++count}`, accept: "text/html" });
    const { shop, sent } = scripted([value("7"), value("7")], { headers, credentials: "include" });
    await shop.find.query("x");
    await shop.pay.send({ cents: 1 }, { id: "order-7" });
    const names = ["authorization", "accept", "content-type", "idempotency-key"];
    assertEquals(sent.map(({ headers }) => names.map((name) => headers.get(name))), [
      ["token 1", VALUES, null, null],
      ["token 2", VALUES, VALUES, "order-7"],
    ]);
    assertEquals(sent.map(({ init, body }) => [init.credentials, body]), [["include", ""], ["include", '{"cents":1}']]);
    const { shop: plain, sent: plainly } = scripted([value("7")], { headers: { "x-tenant": "a" } });
    await plain.find.query("x");
    assertEquals([plainly[0].init.credentials, plainly[0].headers.get("x-tenant")], ["same-origin", "a"]);
  });

  it("headers that cannot be made are UNAVAILABLE, also for a command: nothing was sent", async () => {
    const headers = () => Promise.reject(new Error("no token"));
    const { shop, sent } = scripted([], { headers });
    assertEquals([(await shop.pay.send({ cents: 1 })).error?.code, sent.length], ["UNAVAILABLE", 0]);
  });

  it("a signal ends each kind of call as CANCELLED, and its request", async () => {
    const asked: AbortSignal[] = [];
    const fetch = (_: string, { signal }: RequestInit) => {
      asked.push(signal!);
      if (signal!.aborted) return Promise.reject(signal!.reason);
      return new Promise<Response>((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason)));
    };
    const shop = client<typeof api>(URL_OF, { fetch });
    const long = "x".repeat(5_000);
    const run = shop.trip.run("7");
    const calls = [
      (signal: AbortSignal) => shop.find.query("x", { signal }),
      (signal: AbortSignal) => shop.find.query(long, { signal }),
      (signal: AbortSignal) => shop.pay.send({ cents: 1 }, { signal }),
      (signal: AbortSignal) => run.result({ signal }),
      (signal: AbortSignal) => run.open({ signal }),
      (signal: AbortSignal) => run.tell("packed", 1, { signal }),
      (signal: AbortSignal) => run.cancel("no", { signal }),
    ];
    for (const [n, call] of calls.entries()) {
      const stop = new AbortController();
      const result = call(stop.signal);
      while (asked.length === n) await new Promise((resolve) => setTimeout(resolve, 0));
      stop.abort();
      const { error } = await result;
      assertEquals([n, error?.code, error?.retryable, asked[n].aborted], [n, "CANCELLED", false, true]);
    }
    const { error } = await shop.find.query("x", { signal: AbortSignal.abort() });
    assertEquals(error?.code, "CANCELLED");
  });

  it("the requests about a run name it, its signal with a key, and why it is cancelled", async () => {
    const { shop, sent } = scripted([
      value('{"run":"a/7"}', { status: 202 }),
      ...[1, 2, 3].map(() => value("", { status: 202 })),
    ]);
    const { value: run } = await shop.trip.start(undefined, { id: "k" });
    await run!.tell("packed", 3, { id: "once" });
    await run!.cancel("ill");
    await run!.cancel();
    assertEquals(sent.map(({ init, url, body, headers }) => [init.method, url, body, headers.get("idempotency-key")]), [
      ["POST", "/trip", "", "k"],
      ["POST", "/trip/a%2F7/packed", "3", "once"],
      ["DELETE", "/trip/a%2F7?reason=ill", "", null],
      ["DELETE", "/trip/a%2F7", "", null],
    ]);
  });

  it("result asks again, and to be answered late, until the run has ended or the signal aborts", async () => {
    const open = () => value('{"run":"7","status":"waiting","pending":[]}', { status: 202 });
    const { shop, sent } = scripted([
      open(),
      new Error("offline"),
      value("", { status: 503 }),
      open(),
      value('"done"'),
    ]);
    assertEquals((await shop.trip.run("7").result()).value, "done");
    assertEquals(sent.map(({ headers }) => headers.get("prefer")), Array(5).fill("wait=20"));
    const stop = new AbortController();
    const { shop: other, sent: once } = scripted([open(), open()], { pause: [60_000, 60_000] });
    const waiting = other.trip.run("7").result({ signal: stop.signal });
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
    assertEquals(once.length, 1); // it pauses before it asks again
    stop.abort();
    assertEquals((await waiting).error?.code, "CANCELLED");
  });
});
