import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type StreamResponse, Streams } from "./streams.ts";

/** A browser that collects what it is sent. */
class Browser implements StreamResponse {
  text = "";
  ended = "";
  writableLength = 0;

  write(text: string): boolean {
    this.text += text;
    return true;
  }

  end(): void {
    this.ended += "end";
  }

  destroy(): void {
    this.ended += "destroy";
  }

  /** Returns the topics that were sent since the last call, with their values. */
  topics(): [topic: string, value: unknown][] {
    const found = [...this.text.matchAll(/^event: (\w+)\ndata: (.*)\n\n/gm)];
    this.text = "";
    return found.map(([, topic, json]) => [topic, JSON.parse(json)]);
  }
}

function setUp() {
  const looks: string[] = [];
  const hello = { namespace: "n", address: "a", version: "v", allowChanges: true, now: 1 };
  const streams = new Streams({
    hello: () => hello,
    history: () => ({ Q: [] }),
    onLook: () => looks.push("look"),
    onLeave: () => looks.push("leave"),
  });
  return { looks, streams, first: [["hello", hello], ["history", { Q: [] }]] as [string, unknown][] };
}

const EMPTY = { shown: [], total: 0 };
const ONE = { shown: [], total: 1 };

describe("Streams", () => {
  it("greets a browser, then sends it the topics as they are, and only points that are new", () => {
    const { streams, first } = setUp();
    const [early, late] = [new Browser(), new Browser()];
    streams.add(early);
    assert(early.text.startsWith("retry: 1000\n\n"), early.text);
    assertEquals(early.topics(), first);
    streams.send("locks", EMPTY);
    streams.send("letters", EMPTY);
    streams.send("locks", ONE);
    streams.sendPoints({ Q: [1, 0, null, null] });
    streams.add(late);
    assertEquals(late.topics(), [...first, ["locks", ONE], ["letters", EMPTY]]);
    streams.close();
  });

  it("sends a topic to all browsers, and not again until it has changed", () => {
    const { streams } = setUp();
    const browsers = [new Browser(), new Browser()];
    for (const browser of browsers) streams.add(browser) && browser.topics();
    streams.send("locks", EMPTY);
    streams.send("locks", { ...EMPTY });
    streams.send("letters", EMPTY);
    streams.send("locks", ONE);
    const sent = [["locks", EMPTY], ["letters", EMPTY], ["locks", ONE]] as [string, unknown][];
    assertEquals(browsers.map((browser) => browser.topics()), [sent, sent]);
    streams.close();
  });

  it("is looked at from the first browser to the last, and remembers nothing in between", () => {
    const { looks, streams, first } = setUp();
    const [a, b] = [new Browser(), new Browser()];
    streams.send("locks", EMPTY); // no browser is there, so nobody gets this value
    streams.add(a);
    streams.add(b);
    assertEquals([looks, streams.size], [["look"], 2]);
    assertEquals(a.topics(), first);
    streams.send("locks", ONE);
    streams.remove(a);
    streams.remove(a);
    assertEquals([looks, streams.size], [["look"], 1]);
    streams.remove(b);
    streams.remove(b);
    assertEquals(looks, ["look", "leave"]);
    const again = new Browser();
    streams.add(again);
    assertEquals(again.topics(), first);
    streams.send("locks", ONE);
    assertEquals(again.topics(), [["locks", ONE]]);
    streams.close();
    assertEquals(looks, ["look", "leave", "look", "leave"]);
  });

  it("accepts 32 browsers at once, and writes nothing to one more", () => {
    const { looks, streams } = setUp();
    const browsers = Array.from({ length: 32 }, () => new Browser());
    assertEquals(browsers.map((browser) => streams.add(browser)), new Array(32).fill(true));
    const more = new Browser();
    assertEquals([streams.add(more), more.text, streams.size], [false, "", 32]);
    streams.remove(browsers[7]);
    assertEquals([streams.add(more), streams.size], [true, 32]);
    streams.close();
    assertEquals(looks, ["look", "leave"]);
  });

  it("disconnects a browser that has not taken 16 MiB, and the others get what is sent", () => {
    const { streams } = setUp();
    const [full, stuck, other] = [new Browser(), new Browser(), new Browser()];
    for (const browser of [full, stuck, other]) streams.add(browser) && browser.topics();
    [full.writableLength, stuck.writableLength] = [16 * 1_048_576, 16 * 1_048_576 + 1];
    streams.send("locks", EMPTY);
    assertEquals([full, stuck, other].map(({ ended }) => ended), ["", "destroy", ""]);
    assertEquals([full, stuck, other].map((browser) => browser.topics().length), [1, 0, 1]);
    assertEquals(streams.size, 2);
    streams.close();
    assertEquals([full, stuck, other].map(({ ended }) => ended), ["end", "destroy", "end"]);
  });

  it("writes hostile text as JSON on one line, so that it forges no topic", () => {
    const { streams } = setUp();
    const browser = new Browser();
    streams.add(browser);
    browser.topics();
    const problems = [{ part: "x", message: 'a\n\nevent: hello\ndata: {"forged":1}\r\n\n' }];
    streams.send("problems", problems);
    assertEquals(browser.text.split("\n").length, 4);
    assertEquals(browser.topics(), [["problems", problems]]);
    streams.close();
  });
});
