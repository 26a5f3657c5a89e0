import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { query } from "../../contract/declaration/definition.ts";
import type { RemoteRequest } from "../../dispatch/remote.ts";
import { type AttemptFailure, Call, type CallOwner, SentFrame } from "./call.ts";
import { FrameRing, RequestLedger, RunningRequests } from "./request_ledger.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { collectGarbage } from "../../../test/support/garbage.ts";

const request = { contract: query("Ask") } as unknown as RemoteRequest; // all that a ledger's calls are asked for

/**
 * Makes a ledger (list of unanswered requests) with `count` calls in each of `frames` frames, numbered from 1. Records
 * the outcome of each call, named `<frame>.<place>`.
 */
function make({ frames = 1, count = 1 } = {}) {
  const ledger = new RequestLedger("b", "a.1.2.");
  const calls = new Map<Call, string>();
  const events: string[] = [];
  const owner: CallOwner = {
    answered: (call, result) => void events.push(`${calls.get(call)} answered ${result.ok ? result.value : "failure"}`),
    answeredLate: (call, { value }) => void events.push(`${calls.get(call)} answered ${value} late`),
    failed: (call, failure, node) => void events.push(`${calls.get(call)} ${textOf(failure)} on ${node}`),
    disconnected: (call) => void events.push(`${calls.get(call)} disconnected`),
    expired() {},
    aborted() {},
  };
  for (let seq = 1; seq <= frames; seq++) {
    const sent = Array.from({ length: count }, (_, index) => {
      const call = new Call(owner, request, Infinity, { resolve() {}, reject() {} });
      call.at = "b";
      call.index = index;
      calls.set(call, `${seq}.${index}`);
      ledger.outstanding++;
      return call;
    });
    ledger.add(new SentFrame(seq, sent, 0));
  }
  return { ledger, events, call: (name: string) => [...calls].find(([, known]) => known === name)![0] };
}

const textOf = (failure: AttemptFailure) => failure.how === "undelivered" ? failure.code : failure.how;

describe("RequestLedger", () => {
  it("a call is answered once", () => {
    const { ledger, events } = make({ count: 3 });
    ledger.answered(["r", 1, 1, "x", "y"]);
    ledger.answered(["r", 1, 1, "x", "y"]);
    assertEquals(events, ["1.1 answered x", "1.2 answered y"]);
    assertEquals({ outstanding: ledger.outstanding, frames: ledger.sent.size }, { outstanding: 1, frames: 1 });
    ledger.answered(["r", 1, 0]);
    assertEquals(events[2], "1.0 answered undefined");
    assertEquals({ outstanding: ledger.outstanding, frames: ledger.sent.size }, { outstanding: 0, frames: 0 });
  });

  it("a call that was taken back from a silent process is answered by it all the same, once, unless it has ended", () => {
    const { ledger, events, call } = make({ frames: 2, count: 3 });
    ledger.release((each) => each !== call("1.1"));
    assertEquals(events.splice(0), ["1.0", "1.2", "2.0", "2.1", "2.2"].map((name) => `${name} silent on b`));
    call("2.1").done = true;
    for (let i = 0; i < 2; i++) {
      ledger.answered(["r", 1, 0, "x", "y", "z"]);
      ledger.answered(["r", 2, 0, "u", "v"]);
    }
    assertEquals(events, ["1.0 answered x late", "1.2 answered z late", "1.1 answered y", "2.0 answered u late"]);
    assertEquals({ outstanding: ledger.outstanding, frames: ledger.sent.size }, { outstanding: 0, frames: 0 });
  });

  it("an ended call that was taken back from a silent process is not kept (1,024 payloads of each process were)", async () => {
    const ledger = new RequestLedger("b", "a.1.2.");
    const owner = { failed: (call: Call) => void (call.done = true) } as unknown as CallOwner; // all that is called
    const released = (() => {
      const call = new Call(owner, request, Infinity, { resolve() {}, reject() {} });
      call.at = "b";
      ledger.outstanding++;
      ledger.add(new SentFrame(1, [call], 0));
      ledger.release(() => true);
      return new WeakRef(call);
    })();
    for (let turns = 0; turns < 50 && released.deref() !== undefined; turns++) {
      await new Promise((resolve) => setImmediate(resolve)); // a reference that was looked at holds until then
      collectGarbage();
    }
    assertEquals(released.deref(), undefined);
    ledger.answered(["r", 1, 0, "x"]);
    assertEquals(ledger.outstanding, 0);
  });

  it("calls that the process has received, and neither answered nor in hand, have lost their answers", () => {
    const { ledger, events, call } = make({ frames: 3, count: 2 });
    ledger.answered(["r", 1, 0, "x"]);
    ledger.inHand(2, [2, 0]);
    assertEquals(events, ["1.0 answered x", "1.1 lost on b", "2.1 lost on b"]);
    assertEquals(call("1.1").id, "a.1.2.1.1"); // the id is the name that the request had in its lost frame
    ledger.inHand(2, [2, 0]);
    assertEquals({ outstanding: ledger.outstanding, events: events.length }, { outstanding: 3, events: 3 });
  });

  it("the process is gone: calls in earlier frames are lost, the frame that bounced and later ones are not", () => {
    const { ledger, events } = make({ frames: 3 });
    assertEquals(ledger.lost(2), 1);
    assertEquals(events, ["1.0 lost on b"]);
    assertEquals(ledger.outstanding, 2);
  });

  it("a lost call may have run on the node, an undelivered one has not; both keep the name that they had there", () => {
    const { ledger, call } = make({ frames: 2 });
    ledger.lost(2);
    ledger.undelivered(2, "BOUNCED");
    const [lost, undelivered] = [call("1.0"), call("2.0")];
    assertEquals({ at: lost.at, id: lost.id }, { at: "b", id: "a.1.2.1.0" });
    assertEquals({ at: undelivered.at, id: undelivered.id }, { at: undefined, id: "a.1.2.2.0" });
  });

  it("a pong's gaps count up to the last frame that the process had received", () => {
    const { ledger, events } = make({ frames: 4 });
    ledger.missing(3, [2, 2, 4, 9]);
    assertEquals(events, ["2.0 LOST on b"]);
  });

  it("release takes back those calls that may move, and no others", () => {
    const { ledger, events, call } = make({ count: 2 });
    const moved: Call[] = [];
    ledger.release((each) => each === call("1.1") && moved.push(each) > 0);
    assertEquals(moved.map(({ index }) => index), [1]);
    assertEquals(events, ["1.1 silent on b"]);
    assertEquals(ledger.find(1, 0), call("1.0"));
    assertEquals(ledger.find(1, 1), undefined);
  });
});

const run = () => ({ abort() {} });

describe("RunningRequests", () => {
  it("a request is found at its place until it ends, and its frame is kept as long as one of its requests", () => {
    const running = new RunningRequests();
    const [one, two, three] = [run(), run(), run()];
    running.begun(7, 0, one);
    running.begun(7, 2, two);
    running.begun(9, 1, three);
    assertStrictEquals(running.find(7, 2), two);
    assertEquals([running.find(7, 1), running.find(8, 0)], [undefined, undefined]);
    running.ended(7, 0);
    assertEquals({ places: running.places.join(), none: running.none }, { places: "7,2,9,1", none: false });
    running.ended(7, 2);
    running.ended(9, 1);
    assertEquals({ places: running.places.join(), none: running.none }, { places: "", none: true });
  });

  it("a second end of the last request of a frame changes nothing", () => {
    const running = new RunningRequests();
    running.begun(7, 0, run());
    running.begun(8, 0, run());
    running.ended(7, 0);
    running.ended(7, 0);
    assertEquals(running.places, [8, 0]);
  });
});

describe("FrameRing", () => {
  it("get returns undefined for a number that was not added", () => {
    const ring = new FrameRing<{ seq: number }>();
    assertEquals([ring.size, ring.values(), ring.get(0), ring.get(1)], [0, [], undefined, undefined]);
    ring.delete(1);
    ring.add({ seq: 257 });
    assertEquals([ring.get(1), ring.get(0), ring.get(Number.MAX_SAFE_INTEGER)], [undefined, undefined, undefined]);
    ring.delete(1);
    assertEquals([ring.size, ring.get(257)], [1, { seq: 257 }]);
  });

  it("behaves as a Map, with stragglers of any age, in whatever order numbers come and go", () => {
    const random = seededRandom(7);
    const ring = new FrameRing<{ seq: number }>();
    const model = new Map<number, { seq: number }>();
    let seq = 0;
    for (let step = 0; step < 20_000; step++) {
      const dice = random();
      if (dice < 0.5) {
        seq += 1 + Math.floor(random() * random() * 300);
        // sometimes a number older than the newest
        const value = { seq: dice < 0.02 ? Math.max(1, seq - 256 * Math.ceil(random() * 3)) : seq };
        if (model.has(value.seq)) continue;
        ring.add(value);
        model.set(value.seq, value);
      } else {
        const keys = [...model.keys()];
        const gone = dice < 0.6 ? Math.floor(random() * seq) : keys[Math.floor(random() * keys.length)] ?? 1;
        ring.delete(gone);
        model.delete(gone);
      }
      assertEquals(ring.size, model.size);
      const some = Math.floor(random() * seq);
      assertEquals(ring.get(some), model.get(some));
    }
    assertEquals(ring.values().map((value) => value.seq).sort(), [...model.keys()].sort());
  });
});
