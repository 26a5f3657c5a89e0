import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { errorOf } from "../../../test/support/error_of.ts";
import { command, query } from "../../contract/definition.ts";
import type { NodeInfo } from "../../contract/node_info.ts";
import type { Result } from "../../contract/result.ts";
import { toText } from "../../data/encoding.ts";
import type { RemoteRequest } from "../../dispatch/remote.ts";
import { CatgaError } from "../../error.ts";
import { broadcast } from "./broadcast.ts";

const NODES = ["a", "b", "c"].map((id) => ({ id }) as NodeInfo); // cast: a broadcast reads only the ids of nodes

/** Makes a request with the members that a broadcast reads. */
function request(given: Partial<RemoteRequest>): RemoteRequest {
  return { contract: query("Ask"), payload: undefined, retries: 3, node: undefined, ...given } as RemoteRequest;
}

/** Makes a broadcast, and records the requests that it sends. */
async function run(given: Partial<RemoteRequest>, send?: (sent: RemoteRequest) => Promise<Result<unknown>>) {
  const sent: RemoteRequest[] = [];
  const results = await broadcast(request(given), NODES, (one) => {
    sent.push(one);
    return send?.(one) ?? Promise.resolve({ ok: true, value: one.node });
  });
  return { sent, results };
}

describe("broadcast", () => {
  it("sends one attempt to each node, or to the one that is named; a node that is not there gets none", async () => {
    const { sent } = await run({});
    assertEquals(sent.map(({ node, retries }) => [node, retries]), [["a", 0], ["b", 0], ["c", 0]]);
    assertEquals((await run({ node: "b" })).sent.map(({ node }) => node), ["b"]);
    assertEquals(await run({ node: "d" }), { sent: [], results: [] });
  });

  it("results are in the order of the nodes, whoever answers first; a failure of one does not touch the others", async () => {
    const failure: Result<unknown> = { ok: false, error: new CatgaError("NO", "no") };
    const waiting = new Map<string, (result: Result<unknown>) => void>();
    const running = run({}, ({ node }) => new Promise((resolve) => waiting.set(node!, resolve)));
    waiting.get("c")!({ ok: true, value: 3 });
    waiting.get("b")!(failure);
    waiting.get("a")!({ ok: true, value: 1 });
    assertEquals((await running).results, [
      { node: "a", result: { ok: true, value: 1 } },
      { node: "b", result: failure },
      { node: "c", result: { ok: true, value: 3 } },
    ]);
  });

  it("encodes the payload once for several nodes, and not for one, or where there is none", async () => {
    let read = 0;
    const payload = {
      get name() {
        read++;
        return "tea";
      },
    };
    toText(payload, "INVALID_MESSAGE", "the payload", "Ask");
    const once = read;
    const { sent } = await run({ payload });
    assertEquals(sent.map(({ text }) => text), Array(3).fill('{"name":"tea"}'));
    assertEquals(read, 2 * once);
    assertEquals((await run({ payload, node: "a" })).sent[0].text, undefined);
    assertEquals(read, 2 * once);
    assertEquals((await run({})).sent.map(({ text }) => text), [undefined, undefined, undefined]);
  });

  it("a payload that cannot be sent: each node's result is INVALID_MESSAGE, and nothing is sent", async () => {
    const { sent, results } = await run({ payload: () => {} });
    assertEquals(sent, []);
    assertEquals(results.map(({ node, result }) => [node, errorOf(result).code]), [
      ["a", "INVALID_MESSAGE"],
      ["b", "INVALID_MESSAGE"],
      ["c", "INVALID_MESSAGE"],
    ]);
  });

  it("an idempotent command has an id of its own on each node; another one keeps its id", async () => {
    const ids = async (idempotent: boolean) => {
      const { sent } = await run({ contract: command("Do", { idempotent }), meta: { id: "one" } });
      return sent.map(({ meta }) => meta?.id);
    };
    assertEquals(await ids(true), ["one@a", "one@b", "one@c"]);
    assertEquals(await ids(false), ["one", "one", "one"]);
  });
});
