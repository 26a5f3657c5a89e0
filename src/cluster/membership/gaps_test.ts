import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { GapInquiry, Gaps, MAX_ASKED_CONTRACTS, MAX_GAPS, REMEMBERED } from "./gaps.ts";
import type { Member } from "./membership_view.ts";

describe("Gaps", () => {
  it("a contract that nobody handles any more is remembered for 5 minutes", async () => {
    const clock = new VirtualClock();
    const gaps = new Gaps(clock);
    gaps.open("Price");
    assertEquals([gaps.left("Price"), gaps.left("Other")], [300_000, 0]);
    await clock.advance(REMEMBERED - 1);
    assertEquals(gaps.left("Price"), 1);
    await clock.advance(1);
    assertEquals(gaps.left("Price"), 0);
  });

  it("what another node reports is remembered for no longer than there", () => {
    const gaps = new Gaps(new VirtualClock());
    gaps.learn("Price", 1_000);
    gaps.learn("Forged", Number.MAX_SAFE_INTEGER);
    assertEquals([gaps.left("Price"), gaps.left("Forged")], [1_000, REMEMBERED]);
  });

  it("of too many names the oldest is forgotten", () => {
    const gaps = new Gaps(new VirtualClock());
    for (let i = 0; i < MAX_GAPS; i++) gaps.open(`Name${i}`);
    gaps.open("Name0"); // the gap of Name0 is opened a second time, so that it is the newest
    gaps.open("One.more");
    assertEquals(["Name0", "Name1", "Name2", "One.more"].map((name) => gaps.left(name) > 0), [true, false, true, true]);
  });
});

function make() {
  const clock = new VirtualClock();
  const gaps = new Gaps(clock);
  const asked: string[] = [];
  const found: string[] = [];
  const member = (id: string, startedAt: number, suspect = false) =>
    ({ info: { id, endpoint: `${id}.x`, startedAt }, suspect }) as Member; // cast: the inquiry reads only these members
  const members = [member("self", 0), member("a", 5), member("b", 3), member("c", 1, true), member("d", 4)];
  members.push(member("e", 6));
  const inquiry = new GapInquiry({
    clock,
    gaps,
    self: "self",
    view: { members, handles: (name) => name === "Live" },
    askGap: (endpoint, name) => void asked.push(`${endpoint} ${name}`),
    gapFound: (name) => void found.push(name),
  });
  return { clock, gaps, asked, found, inquiry };
}

describe("GapInquiry", () => {
  it("asks the three oldest nodes that are not suspect, once in 500 ms for each contract", async () => {
    const { clock, asked, inquiry } = make();
    inquiry.ask("Price");
    inquiry.ask("Price");
    assertEquals(asked.splice(0), ["b.x Price", "d.x Price", "a.x Price"]);
    await clock.advance(499);
    inquiry.ask("Price");
    assertEquals(asked, []);
    await clock.advance(1);
    inquiry.ask("Price");
    assertEquals(asked.length, 3);
  });

  it("an answer to a question is remembered; one to no question, or too late, is ignored", async () => {
    const { clock, gaps, found, inquiry } = make();
    inquiry.answered("Price", 1_000);
    assertEquals([found, inquiry.knows("Price")], [[], false]);
    inquiry.ask("Price");
    inquiry.answered("Price", 0);
    assertEquals([found, inquiry.knows("Price")], [[], false]);
    inquiry.answered("Price", 1_000);
    assertEquals([found, inquiry.knows("Price"), gaps.left("Price")], [["Price"], true, 1_000]);
    inquiry.ask("Late");
    await clock.advance(500);
    inquiry.answered("Late", 1_000);
    assertEquals([found, inquiry.knows("Late")], [["Price"], false]);
  });

  it("answers for how long it remembers a gap, and that a live contract was handled", async () => {
    const { clock, gaps, inquiry } = make();
    gaps.open("Price");
    await clock.advance(1_000);
    assertEquals(["Price", "Live", "Unknown"].map((name) => inquiry.answer(name)), [REMEMBERED - 1_000, REMEMBERED, 0]);
  });

  it("asks about a bounded number of contracts at once", async () => {
    const { clock, asked, inquiry } = make();
    for (let i = 0; i < 2 * MAX_ASKED_CONTRACTS; i++) inquiry.ask(`Name${i}`);
    assertEquals(asked.length, 3 * MAX_ASKED_CONTRACTS);
    await clock.advance(500);
    inquiry.ask("Another");
    assertEquals(asked.length, 3 * MAX_ASKED_CONTRACTS + 3);
  });
});
