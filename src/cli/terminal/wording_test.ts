import { describe, it } from "node:test";
import { assertEquals, assertNotMatch, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { bucketSettings, checkSettings } from "../../nats/stream/stream_settings.ts";
import { firstConnect } from "../../nats/connection/connection.ts";
import { mayNot } from "../../ports/transport.ts";
import type { Terminal } from "./terminal.ts";
import { worded } from "./wording.ts";

describe("worded", () => {
  it("an unreachable server: the advice names --nats and NATS_URL", async () => {
    const line = await failedConnect(new Error("connection refused"));
    assertEquals(
      said(line),
      [
        "UNAVAILABLE: cannot connect to NATS at a:1: connection refused. " +
        "Is a server running there (`nats-server -js`)? --nats URL, or NATS_URL, says where it is",
      ],
    );
  });

  it("refused credentials: the advice names the flags", async () => {
    const [line] = said(await failedConnect(new Error("authorization violation")));
    assertEquals(
      line,
      "UNAVAILABLE: NATS at a:1 refused the credentials (authorization violation): check --user and --password, " +
        "--token, --creds or --nkey, or their variables ($NATS_USER and so on)",
    );
  });

  it("a certificate that is not trusted, or cannot be read: the advice names the flags", async () => {
    // reasons as the sockets of Deno, of Node.js and of Bun give them
    for (
      const reason of [
        "invalid peer certificate: UnknownIssuer",
        "unable to verify the first certificate",
        "server does not support 'tls'",
        "error:0b000074:X.509 certificate routines:OPENSSL_internal:KEY_VALUES_MISMATCH",
        "Invalid CA",
        "/ca.pem doesn't exist",
        "No such file or directory: readfile '/ca.pem'",
      ]
    ) {
      assertEquals(said(await failedConnect(new Error(reason))), [
        `UNAVAILABLE: no TLS with NATS at a:1: ${reason}: check --tlsca, --tlscert and --tlskey`,
      ]);
    }
  });

  it("another number of replicas: the advice is the flag with that number", () => {
    const settings = (replicas: number) => bucketSettings("b", { direct: false, replicas });
    const { message } = assertThrows(() => checkSettings("b", { name: "KV_b", ...settings(1) }, settings(3)), Error);
    const [line] = said(message);
    assertEquals(
      line.slice(0, line.indexOf(",")),
      "the bucket b exists with num_replicas 1; Catga needs 3: give `--replicas 1`",
    );
    assertNotMatch(line, /replicas: /);
  });

  it("each missing permission is printed once, however often it is reported, by one command line", () => {
    const line = (subject: string) => `UNAVAILABLE: ${mayNot({ operation: "publish", subject }).message}`;
    assertEquals(said(line("a"), line("b"), line("a"), line("b")), [line("a"), line("b")]);
    assertEquals(said(line("a")), [line("a")]);
  });

  it("other lines are printed unchanged, as often as they come", () => {
    const lines = ["no nodes in the namespace default", "UNAVAILABLE: gone", "UNAVAILABLE: gone"];
    assertEquals(said(...lines), lines);
  });

  it("results are written unchanged; input, size and signal are those of the terminal, when they are asked for", async () => {
    const written: string[] = [];
    const { signal } = new AbortController();
    let [columns, signals] = [80, 0];
    const terminal = worded({
      write: (text) => void written.push(text),
      say: () => {},
      read: () => Promise.resolve("input"),
      get columns() {
        return columns;
      },
      rows: 24,
      colors: true,
      environment: { NATS_URL: "nats://a" },
      // the process's own signal takes over Ctrl-C when it is read, so nobody may read it without need
      get signal() {
        signals++;
        return signal;
      },
    });
    terminal.write("give `replicas: 1`\n");
    assertEquals(written, ["give `replicas: 1`\n"]);
    assertEquals(await terminal.read(), "input");
    assertEquals([terminal.columns, terminal.rows, terminal.colors], [80, 24, true]);
    columns = 60;
    assertEquals(terminal.columns, 60);
    assertEquals(terminal.environment, { NATS_URL: "nats://a" });
    assertEquals(signals, 0);
    assertStrictEquals(terminal.signal, signal);
  });
});

/** Returns what a terminal prints for these lines. */
function said(...lines: string[]): string[] {
  const printed: string[] = [];
  const plain: Terminal = {
    write: () => {},
    say: (line) => void printed.push(line),
    read: () => Promise.resolve(""),
    colors: false,
    environment: {},
    signal: new AbortController().signal,
  };
  const terminal = worded(plain);
  for (const line of lines) terminal.say(line);
  return printed;
}

/** Returns the line that the tool prints when its connection fails with this error. */
async function failedConnect(error: Error): Promise<string> {
  const options = { servers: ["a:1"], timeout: 1_000, reconnectTimeWait: 250, waitOnFirstConnect: false };
  const connecting = () => firstConnect({ connect: () => Promise.reject(error) }, options, () => {});
  return `UNAVAILABLE: ${(await assertRejects(connecting, Error)).message}`;
}
