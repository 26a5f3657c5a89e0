import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { seededRandom } from "../../memory/seeded_random.ts";
import { Lateness, MAX_GAPS, ReceivedFrames, refuseLate } from "./received_frames.ts";

describe("ReceivedFrames", () => {
  it("accepts each frame once, and gaps that are filled later", () => {
    const heard = new ReceivedFrames();
    assertEquals([1, 2, 5, 5, 4, 1, 3, 3].map((seq) => heard.take(seq)), [
      ...[true, true, true, false],
      ...[true, false, true, false],
    ]);
    assertEquals([heard.upTo, heard.report()], [5, []]);
  });

  it("refuses for ever what was reported missing, and reports it again", () => {
    const heard = new ReceivedFrames();
    heard.take(4);
    heard.take(6);
    assertEquals(heard.report(), [1, 3, 5, 5]);
    assertEquals([1, 2, 3, 5].map((seq) => heard.take(seq)), [false, false, false, false]);
    heard.take(9);
    heard.take(8);
    assertEquals(heard.report(), [1, 3, 5, 5, 7, 7]);
  });

  it("asks for gaps in each ping until the sender has answered for them, reported ones too, and refuses none by that", () => {
    const heard = new ReceivedFrames();
    for (const seq of [2, 4, 6]) heard.take(seq);
    assertEquals(heard.ask(1), [1, 1, 3, 3, 5, 5]);
    assertEquals(heard.take(3), true);
    heard.report();
    assertEquals(heard.ask(2), [1, 1, 5, 5]);
    heard.take(8);
    assertEquals(heard.settle(1), false); // this is the answer to an earlier ping, whose list was shorter
    assertEquals(heard.ask(3), [1, 1, 5, 5, 7, 7]);
    assertEquals(heard.settle(3), true);
    assertEquals(heard.ask(4), []);
    heard.take(10);
    assertEquals(heard.ask(5), [9, 9]);
    heard.take(12);
    assertEquals(heard.settle(5), false); // since that ping another frame is missing
    assertEquals(heard.ask(6), [11, 11]);
  });

  it("refuses frames before the first one of a forgotten sender, and does not report them missing", () => {
    const heard = new ReceivedFrames({ forgotten: true });
    assertEquals([9, 8, 1, 10].map((seq) => heard.take(seq)), [true, false, false, true]);
    assertEquals(heard.report(), []);
  });

  it("in any order of arrival: accepts no frame twice and none that was reported, and reports none that was accepted", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = seededRandom(seed);
      const heard = new ReceivedFrames();
      const taken = new Set<number>();
      const reported = new Set<number>();
      const spread = [4, 30, 400][seed % 3];
      for (let step = 0; step < 600; step++) {
        const seq = Math.max(1, Math.floor(step + (random() - 0.5) * spread * (random() < 0.1 ? 10 : 1)));
        if (heard.take(seq)) {
          assert(!taken.has(seq), `seed ${seed}: ${seq} was taken twice`);
          assert(!reported.has(seq), `seed ${seed}: ${seq} was taken though reported missing`);
          taken.add(seq);
        }
        assertEquals(heard.upTo, Math.max(...taken));
        if (random() < 0.03) {
          const gaps = heard.report();
          assert(gaps.length <= 2 * MAX_GAPS);
          for (let i = 0; i < gaps.length; i += 2) {
            for (let missing = gaps[i]; missing <= gaps[i + 1]; missing++) {
              assert(!taken.has(missing), `seed ${seed}: ${missing} was reported though taken`);
              assert(missing < heard.upTo);
              reported.add(missing);
            }
          }
        }
      }
    }
  });

  it("accepts every frame in any order while there are few gaps", () => {
    const heard = new ReceivedFrames();
    const order = Array.from({ length: 1_000 }, (_, i) => i + 1);
    for (let i = 0; i + 20 <= order.length; i += 20) order.splice(i, 20, ...order.slice(i, i + 20).reverse());
    assertEquals(order.filter((seq) => !heard.take(seq)), []);
    assertEquals(heard.report(), []);
  });

  it("is bounded for frames that leave a gap each, and for frames that split one (it grew without end)", () => {
    for (const numbers of [(i: number) => 2 * i, (i: number) => (i === 1 ? 2 ** 50 : 2 * i)]) {
      const heard = new ReceivedFrames();
      for (let i = 1; i < 20_000; i++) heard.take(numbers(i));
      let gaps = 0;
      for (let seq = 1; seq < 39_999; seq += 2) if (heard.take(seq)) gaps++;
      assert(gaps <= MAX_GAPS, `${gaps} gaps were kept`);
      assert(heard.report().length <= 2 * MAX_GAPS);
    }
  });

  it("refuses a frame of a forgotten gap, which may have been accepted", () => {
    const heard = new ReceivedFrames();
    for (let seq = 2; seq <= 4 * MAX_GAPS; seq += 2) heard.take(seq);
    assertEquals([heard.take(1), heard.take(2), heard.take(4 * MAX_GAPS - 1)], [false, false, true]);
  });
});

describe("Lateness", () => {
  it("is 0 for the first message, whatever the clocks say", () => {
    assertEquals(new Lateness().note(5_000_000, 1_000), 0);
  });

  it("is what a message takes longer than the fastest one", () => {
    const lateness = new Lateness();
    lateness.note(1_000, 11_005);
    lateness.note(1_010, 11_012); // this message is the fastest, with a difference of 10,002 ms
    assert(Math.abs(lateness.note(1_020, 19_022) - 8_000) < 10);
  });

  it("does not count the drift of two clocks: 500 ppm over a day", () => {
    const lateness = new Lateness();
    for (let second = 0; second < 86_400; second++) {
      assertEquals(lateness.note(second * 1_000, 7 + second * 1_000.5), 0);
    }
  });

  it("is measured after a long silence, too", () => {
    const lateness = new Lateness();
    lateness.note(0, 3);
    assert(Math.abs(lateness.note(60_000, 69_003) - 9_000) < 100);
  });

  it("recovers when the sender's clock stood still for an hour (its frames were refused until it restarted)", () => {
    const lateness = new Lateness();
    for (let ms = 0; ms < 40_000; ms += 100) lateness.note(ms, ms + 5);
    const hour = 3_600_000;
    assert(lateness.note(40_000, 40_005 + hour) > hour - 4_000);
    let refused = 0;
    for (let ms = 40_000; ms < 120_000; ms += 100) if (lateness.note(ms, ms + 5 + hour) > 100) refused++;
    assert(refused > 100 && refused < 610, `${refused} refused: 30 to 60 s of them`);
  });

  it("is not changed for long by a forged message from the future", () => {
    const lateness = new Lateness();
    lateness.note(1_000, 1_005);
    lateness.note(90_000_000, 1_010);
    assert(lateness.note(1_020, 1_025) > 1_000_000);
    for (let ms = 2_000; ms < 70_000; ms += 100) lateness.note(ms, ms + 5);
    assertEquals(lateness.note(70_000, 70_005), 0);
  });
});

describe("refuseLate", () => {
  it("refuses a request that has no time left, and one whose time is no number", () => {
    const refused: unknown[] = [];
    const sender = { refuse: (...refusal: unknown[]) => void refused.push(refusal) };
    assertEquals([1, 0.5, 0, -7, -Infinity, NaN].map((ttl, i) => refuseLate(sender, 3, i, ttl)), [
      ...[false, false, true, true, true, true],
    ]);
    assertEquals(refused, [2, 3, 4, 5].map((index) => [3, index, "LATE"]));
  });
});
