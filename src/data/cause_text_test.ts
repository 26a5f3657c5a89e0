import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { byteLength } from "./utf8.ts";
import { causeText, logThrown, MAX_CAUSE, thrownMessage } from "./cause_text.ts";
import { CatgaError } from "../error.ts";
import { unreadable } from "../../test/support/unreadable.ts";

function charge(): never {
  throw new TypeError("card is undefined");
}

function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
}

/** Makes an error with this stack. */
function withStack(stack: string | undefined, message = "no"): Error {
  return Object.assign(new Error(message), { stack });
}

describe("causeText", () => {
  it("begins with name and message, and goes on with the frame that threw", () => {
    const [head, first] = causeText(thrownBy(charge))!.split("\n");
    assertEquals(head, "TypeError: card is undefined");
    assert(first.includes("charge") && first.includes("cause_text_test.ts"), first);
  });

  it("has the program's frames before those of packages and of the runtime", () => {
    const frames = [
      "at Query.run (/app/node_modules/pg/lib/query.js:1:2)",
      "at node:internal/process/task_queues:105:5",
      "at async load (file:///app/orders.ts:7:3)",
      "at ext:core/01_core.js:1:1",
      "at async Object.fn (/app/payments.ts:12:5)",
      "at https://jsr.io/@catga/catga/0.1.0/src/dispatch/handler_call.ts:9:1",
    ];
    const text = causeText(withStack(["Error: no", ...frames].join("\n    ")))!;
    assertEquals(text.split("\n").slice(1, 4).map((line) => line.trim()), [frames[2], frames[4], frames[0]]);
  });

  it("has the causes behind it, each once", () => {
    const root = new RangeError("root");
    const outer = new Error("outer", { cause: root });
    root.cause = outer;
    const heads = causeText(outer)!.split("\n").filter((line) => !line.startsWith("    at "));
    assertEquals(heads, ["Error: outer", "caused by RangeError: root"]);
  });

  it("has 4 kB at most, and is well-formed, whatever the message", () => {
    for (
      const message of ["x".repeat(100_000), "😀".repeat(50_000), `x${"😀".repeat(50_000)}`, "\ud800".repeat(9_000)]
    ) {
      const text = causeText(new Error(message, { cause: new Error(message, { cause: new Error(message) }) }))!;
      assert(byteLength(text) <= MAX_CAUSE, `${byteLength(text)}`);
      assert(text.isWellFormed());
    }
  });

  it("takes no line of a message for a frame", () => {
    const message = "no\n    at forged (/app/forged.ts:1:1)";
    const text = causeText(withStack(`Error: ${message}\n    at real (/app/real.ts:1:1)`, message))!;
    assertEquals(text.split("\n").slice(-1), ["    at real (/app/real.ts:1:1)"]);
  });

  it("never throws: not for proxies, getters, texts and nothing", () => {
    const hostile = new Proxy({}, {
      get() {
        throw new Error("trap");
      },
    });
    assert(causeText(hostile)!.startsWith("thrown: "));
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    assert(causeText(proxy)!.startsWith("thrown: "));
    assertEquals(causeText("no disk"), 'thrown: "no disk"');
    assertEquals(causeText(undefined), undefined);
  });

  it("is the message of an error without frames, as with Error.stackTraceLimit = 0: the dead letter had no cause", () => {
    assertEquals(causeText(withStack("Error: no", "no disk")), "Error: no disk");
    assertEquals(causeText(withStack(undefined, "no disk")), "Error: no disk");
    const unreadable = Object.defineProperty(new Error(), "message", {
      get() {
        throw new Error("getter");
      },
    });
    assert(causeText(unreadable)!.startsWith("thrown: "));
    assertEquals(causeText(Object.assign(new CatgaError("NO", "no"), { stack: "" })), undefined);
  });
});

describe("thrownMessage", () => {
  it("is the message of an error, and a text for anything else", () => {
    assertEquals(thrownMessage(new TypeError("card is undefined")), "card is undefined");
    assertEquals(thrownMessage("no card"), "no card");
    assertEquals(thrownMessage({ message: "of another realm" }), "of another realm");
    assertEquals([undefined, null, 7n, Symbol("s"), {}, Object.create(null)].map(thrownMessage), [
      "undefined",
      "null",
      "7n",
      "Symbol(s)",
      "an object",
      "an object",
    ]);
  });

  it("does not throw for what cannot be read", () => {
    const hostile = new Proxy({}, { get: () => thrownBy(charge), getPrototypeOf: charge });
    assertEquals(thrownMessage(hostile), "an object that cannot be read");
  });
});

describe("logThrown", () => {
  it("logs the line though the console cannot show the value (Deno's threw)", () => {
    const lines: string[] = [];
    const { error } = console;
    console.error = (line: string, thrown: unknown) => {
      if (typeof thrown !== "string") throw new TypeError("cannot inspect a proxy that has been revoked");
      lines.push(`${line} ${thrown}`);
    };
    try {
      logThrown("the handler threw:", unreadable());
    } finally {
      console.error = error;
    }
    assertEquals(lines, ["the handler threw: thrown: an object that cannot be read"]);
  });
});
