import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { query } from "../../contract/definition.ts";
import type { Observation } from "../../contract/observer.ts";
import { type Outcome, Refusal } from "../../dispatch/outcome.ts";
import { CatgaError } from "../../error.ts";
import { InboundRequest } from "./inbound_request.ts";
import type { Peer } from "./peer.ts";
import { RunningRequests } from "./running_requests.ts";

/** Makes a process that sends requests, and records the answers that it gets. */
function setUp() {
  const sent: string[] = [];
  const running = new RunningRequests();
  const peer = {
    node: "b",
    theirCalls: "b.2.1.",
    lastSeenAt: 70,
    running,
    outgoing: {
      answer: (seq: number, index: number, text: string | undefined) => sent.push(`answer ${seq}.${index} ${text}`),
      item(text: string) {
        const [kind, seq, index, error] = JSON.parse(text);
        sent.push(`${kind === "e" ? "failure" : kind} ${seq}.${index} ${error.code}`);
      },
      refuse: (seq: number, index: number, code: string) => sent.push(`refusal ${seq}.${index} ${code}`),
    },
  } as unknown as Peer; // cast: the only members of a peer that a request uses
  const observed: Observation[] = [];
  const options = {
    payloadLimit: () => 1_000,
    observer: (observation: Observation) => void observed.push(observation),
  };
  const request = (seq: number, index: number) => new InboundRequest(peer, seq, index, "Ask", undefined);
  const answer = (outcome: Outcome) => request(7, 2).answer(outcome, options);
  return { peer, running, sent, observed, request, answer };
}

const run = () => ({ abort() {} });

describe("InboundRequest", () => {
  it("is in hand of its sender's process from its begin to its end", () => {
    const { running, request } = setUp();
    const [first, second] = [request(7, 0), request(7, 2)];
    const [one, two] = [run(), run()];
    first.begun(one);
    second.begun(two);
    assertStrictEquals(running.find(7, 2), two);
    first.ended();
    assertEquals(running.places, [7, 2]);
  });

  it("answers with the value as text, without text for undefined, with a failure or a refusal", () => {
    const { sent, observed, answer } = setUp();
    answer({ ok: true, value: { a: 1 } });
    answer({ ok: true, value: undefined });
    answer({ ok: true, value: null });
    answer({ ok: false, error: new CatgaError("NO_TEA", "none left") });
    answer(new Refusal("LATE", { contract: query("Ask"), node: "a", remaining: () => 0 }));
    assertEquals(sent, [
      'answer 7.2 {"a":1}',
      "answer 7.2 undefined",
      "answer 7.2 null",
      "failure 7.2 NO_TEA",
      "refusal 7.2 LATE",
    ]);
    assertEquals(observed, []);
  });

  it("an answer that cannot be sent becomes one failure, which the observer gets, too", () => {
    const { sent, observed, answer } = setUp();
    answer({ ok: true, value: () => {} });
    answer({ ok: true, value: "x".repeat(2_000) });
    assertEquals(sent, ["failure 7.2 INVALID_RESPONSE", "failure 7.2 TOO_LARGE"]);
    assertEquals(observed.map((one) => one.type === "fault" && `${one.during} ${(one.error as CatgaError).code}`), [
      "answering INVALID_RESPONSE",
      "answering TOO_LARGE",
    ]);
  });

  it("its name is that of the call at its sender; it arrived when the process was last seen", () => {
    const { peer, request } = setUp();
    const { call, id, at } = request(7, 2);
    assertEquals({ call, id, at }, { call: "b.2.1.7.2", id: "b.2.1.7.2", at: 70 });
    const named = new InboundRequest(peer, 7, 3, "Ask", { id: "own" });
    assertEquals({ call: named.call, id: named.id }, { call: "b.2.1.7.3", id: "own" });
  });
});
