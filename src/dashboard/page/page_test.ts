import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { Script } from "node:vm";
import { elements } from "./elements.ts";
import { PAGE_FILES } from "./page.ts";

const { clock, count, duration, latency, rate, some } = elements();

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

describe("the page of the dashboard", () => {
  it("has a script that is valid JavaScript", () => {
    new Script(PAGE_FILES["app.js"].text);
  });

  it("sets no markup by script, and has no style or script within its markup", () => {
    for (const [name, { text }] of Object.entries(PAGE_FILES)) {
      const found = /\.(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(| style=|<script>/.exec(text);
      assertEquals([name, found], [name, null]);
    }
  });

  it("loads files that there are", () => {
    const { text } = PAGE_FILES["index.html"];
    const names = [...text.matchAll(/(?:href|src)="([^"#]+)"/g)].map(([, name]) => name);
    assertEquals(names.sort(), ["app.js", "icon.svg", "page.css"]);
    for (const name of names) assertEquals(Object.hasOwn(PAGE_FILES, name), true);
  });
});

describe("texts of the page", () => {
  it("duration: has the two greatest units, each below the next", () => {
    const cases: [ms: number, text: string][] = [
      [0, "0 ms"],
      [340.4, "340 ms"],
      [SECOND, "1 s"],
      [MINUTE - 1, "59 s"],
      [MINUTE, "1 m 0 s"],
      [12 * MINUTE + 5 * SECOND, "12 m 5 s"],
      [HOUR - 1, "59 m 59 s"],
      [3 * HOUR + 20 * MINUTE, "3 h 20 m"],
      [DAY - 1, "23 h 59 m"],
      [DAY, "1 d 0 h"],
      [2 * DAY + 4 * HOUR, "2 d 4 h"],
    ];
    for (const [ms, text] of cases) assertEquals(duration(ms), text);
  });

  it("duration: of less than nothing, between two clocks, is 0 s", () => {
    assertEquals(duration(-5 * HOUR), "0 s");
  });

  it("latency: keeps a decimal where it matters, and none is a dash", () => {
    const texts = [undefined, 0.42, 9.94, 12.3, 999, 1_000, 1_249].map(latency);
    assertEquals(texts, ["-", "0.4 ms", "9.9 ms", "12 ms", "999 ms", "1.0 s", "1.2 s"]);
  });

  it("rate: has a decimal below 10, so that a slow one is not 0", () => {
    assertEquals([0, 0.44, 9.9, 12.4, 1_234].map(rate), ["0", "0.4", "9.9", "12", "1,234"]);
  });

  it("count and some: group thousands, and only one is singular", () => {
    assertEquals([999, 1_234.4, 1_000_000].map(count), ["999", "1,234", "1,000,000"]);
    assertEquals([0, 1, 2, 1_500].map((n) => some(n, "node")), ["0 nodes", "1 node", "2 nodes", "1,500 nodes"]);
  });

  it("clock: a time of day in 24 hours, and nothing for what is no time", () => {
    assertEquals(clock(new Date(2026, 0, 1, 14, 3, 22).getTime()), "14:03:22");
    assertEquals(clock(new Date(2026, 0, 1, 0, 0, 0).getTime()), "00:00:00");
    assertEquals([NaN, Infinity].map(clock), ["", ""]);
  });
});
