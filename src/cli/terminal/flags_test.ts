import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { checkedToken, Flags, readWords, UsageError } from "./flags.ts";

describe("readWords", () => {
  it("flags may stand anywhere between the words, in their long and short forms", () => {
    const { words, flags, given } = readWords(["--json", "call", "-t5s", "Buy", "--id=1", "-", "-n", "shop"]);
    assertEquals(words, ["call", "Buy", "-"]);
    assertEquals([flags.text("timeout"), flags.text("id"), flags.namespace], ["5s", "1", "shop"]);
    assertEquals([flags.has("json"), flags.has("all")], [true, false]);
    assertEquals(given, ["json", "timeout", "id", "namespace"]);
  });

  it("everything behind -- is a word", () => {
    const { words, given } = readWords(["call", "Add", "--", "-1", "--json"]);
    assertEquals(words, ["call", "Add", "-1", "--json"]);
    assertEquals(given, []);
  });

  it("a repeatable flag keeps all its values in order, any other one its last", () => {
    const { flags } = readWords(["-H", "a=1", "--header", "a=2", "--id", "x", "--id", "y"]);
    assertEquals(flags.texts("header"), ["a=1", "a=2"]);
    assertEquals(flags.text("id"), "y");
    assertEquals(flags.texts("nats"), []);
  });

  it("--help and --version are not among the flags that were given", () => {
    const { help, version, given } = readWords(["nodes", "-h", "--version"]);
    assertEquals([help, version, given], [true, true, []]);
    const neither = readWords([]);
    assertEquals([neither.help, neither.version], [false, false]);
  });

  it("an unknown option is named as it was typed, without its value", () => {
    for (const option of ["--bogus", "-x", "--no-json", "--constructor", "--__proto__"]) {
      assertEquals(complaint("nodes", option), `there is no option ${option}`);
    }
    assertEquals(complaint("nodes", "--bogus=1"), "there is no option --bogus");
    assertEquals(complaint("nodes", "-wx"), "there is no option -x");
  });

  it("a missing value is reported with the long name of the option, also in front of another option", () => {
    for (const args of [["--nats"], ["-s"], ["--nats", "--json"], ["-s", "--json"], ["-s", "-n", "shop"]]) {
      assertEquals(complaint(...args), "--nats needs a value: URL", args.join(" "));
    }
    assertEquals(complaint("call", "Buy", "-H", "--json"), "--header needs a value: NAME=VALUE");
  });

  it("a value for an option that takes none is reported", () => {
    for (const name of ["--json", "--watch", "--help", "--version"]) {
      assertEquals(complaint(`${name}=yes`), `${name} takes no value`);
    }
  });
});

describe("Flags", () => {
  it("number: accepts whole decimal numbers within the range, both ends included", () => {
    const count = (text: string) => new Flags({ count: text }).number("count", 1, 1_000);
    assertEquals(["1", "1000", "007"].map(count), [1, 1_000, 7]);
    for (const text of ["0", "1001", "-1", "1.5", "1e2", "0x10", " 5", ""]) {
      const { message } = assertThrows(() => count(text), UsageError);
      assertEquals(message, `--count takes a whole number from 1 to 1000; got ${JSON.stringify(text)}`);
    }
  });

  it("duration: accepts 1 ms up to the longest timeout of a send", () => {
    const timeout = (text: string) => new Flags({ timeout: text }).duration("timeout");
    assertEquals(["1", "0.5s", "2147483647ms"].map(timeout), [1, 500, 2_147_483_647]);
    for (const text of ["0", "0.5ms", "2147483648", "597h", "-5s", "soon", ""]) {
      const { message } = assertThrows(() => timeout(text), UsageError);
      assertEquals(message, `--timeout takes a time such as 500ms, 5s or 2m, 1ms to 596h; got ${JSON.stringify(text)}`);
    }
  });

  it("choice: accepts the choices as they are written", () => {
    const route = (text: string) => new Flags({ route: text }).choice("route", ["hash", "random"]);
    assertEquals(route("hash"), "hash");
    for (const text of ["Hash", "has", ""]) {
      const { message } = assertThrows(() => route(text), UsageError);
      assertEquals(message, `--route takes hash, random; got ${JSON.stringify(text)}`);
    }
  });

  it("a flag that was not given has no value, whatever its kind", () => {
    const none = new Flags({});
    for (const value of [none.text("id"), none.number("count", 1, 2), none.duration("timeout")]) {
      assertStrictEquals(value, undefined);
    }
    assertStrictEquals(none.choice("route", ["hash"]), undefined);
    assertEquals(none.namespace, "default");
  });

  it("namespace: one that cannot be a token of a subject is wrong usage", () => {
    for (const namespace of ["", "a b", "a.b", "*", ">", "a".repeat(65)]) {
      assertThrows(() => new Flags({ namespace }).namespace, UsageError, "--namespace must be 1 to 64 letters, ");
    }
  });
});

describe("checkedToken", () => {
  it("an invalid value is wrong usage, with the name of the option and the value", () => {
    checkedToken("--node", "orders-1");
    assertThrows(
      () => checkedToken("--node", "a.b"),
      UsageError,
      '--node must be 1 to 64 letters, digits, "-" and "_"',
    );
    assertThrows(() => checkedToken("--node", "a.b"), UsageError, 'got "a.b"');
  });
});

/** Returns the message with which a command line is refused. */
function complaint(...args: string[]): string {
  return assertThrows(() => readWords(args), UsageError).message;
}
